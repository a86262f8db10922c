"""d2l 0.14.0 made fit for a process without a notebook; for scripts that run in its environment."""

from d2l import mxnet as d2l


class NoPlot:
    """In place of the animator, which needs a notebook."""

    def __init__(self, **kwargs):
        pass

    def add(self, x, y):
        pass


class Recorded(d2l.Accumulator):
    """Remembers every accumulator made; the training loop makes one for each epoch."""

    made = []

    def __init__(self, n):
        super().__init__(n)
        self.made.append(self)


d2l.Animator, d2l.Accumulator = NoPlot, Recorded
