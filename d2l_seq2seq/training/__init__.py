"""The training that ``python -m d2l_seq2seq.train`` runs: trainer, callbacks, checkpoints."""
