"""Inference: greedy search, beam search and sampling, the `Translator`, and its evaluation."""
