"""d2l 0.14.0, changed so that it needs no notebook, for scripts in its environment."""

from d2l import mxnet as d2l


class NoPlot:
    """A replacement for the animator, which works in notebooks only."""

    def __init__(self, **kwargs):
        pass

    def add(self, x, y):
        pass


class Recorded(d2l.Accumulator):
    """An accumulator that is kept in a list; the training loop makes one for each epoch."""

    made = []

    def __init__(self, n):
        super().__init__(n)
        self.made.append(self)


d2l.Animator, d2l.Accumulator = NoPlot, Recorded
