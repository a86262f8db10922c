"""The fast path: `fit`, one update, traced graphs, flat parameters, the optimizer, workers."""
