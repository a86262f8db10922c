"""Run folders and checkpoints: written atomically, verified by checksums, safe to open."""
