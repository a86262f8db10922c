"""Corpora, tokenizers, encoding, and batches on the device."""
