"""Models beyond the chapter's: layers, encoders, decoders, attention, and the factory for them."""
