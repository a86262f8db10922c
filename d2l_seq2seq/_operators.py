"""Arrays and symbols alike: code that is traced as well as run, as Gluon's hybrid blocks are."""
from __future__ import annotations

from ._mxnet import mx, np


def operators_of(X):
    """MXNet's operators for arrays or for symbols, whichever X is: Gluon's F."""
    return mx.nd if isinstance(X, np.ndarray) else mx.sym


def shape_of(X) -> tuple[int, ...]:
    """The shape of an array, or of a symbol where the graph's inputs have shapes.

    Raises
    ------
    TypeError
        If the symbol's shape is not known, as when Gluon hybridizes a block.
    """
    if isinstance(X, np.ndarray):
        return X.shape
    _, (shape,), _ = X.as_nd_ndarray().infer_shape_partial()
    if not shape or min(shape) < 0:
        raise TypeError('expected an array or a symbol of known shape, got a symbol without one; a '
                        'block that goes step by step can not be hybridized (fit traces it by '
                        'itself)')
    return shape
