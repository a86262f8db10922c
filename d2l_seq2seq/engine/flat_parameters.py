"""A model's parameters as views of one array, and their gradients as views of another.

With all weights in one array, the optimizer, the norm of the gradient and a copy of the model are
one operation each, however many parameters there are.  Nothing else changes for the model: its
Gluon parameters hold the views, so `model(...)`, `collect_params()`, `save_parameters` and `grad()`
work as before.

`FlatParameters` holds the parameters of a model.  `FlatCopy` is a copy of them on another device.
"""

from __future__ import annotations

from typing import Iterable, Mapping, Sequence

import numpy as onp

from .._mxnet import autograd, gluon, mx

ALIGNMENT = 16  # float32 values, 64 bytes: a cache line, and the alignment of MXNet's own arrays


def storage_of(
    parameters: Iterable[gluon.Parameter], adjacent: Iterable[Sequence[str]]
) -> FlatParameters:
    """Return the storage that holds a model's parameters, and create it if there is none.

    Training and inference share the storage of a model.

    Parameters
    ----------
    parameters, adjacent
        As for `FlatParameters`.  They must be the same in every call for a model.

    Raises
    ------
    ValueError
        As `FlatParameters` does.
    """
    parameters = list(parameters)
    storage = getattr(parameters[0], '_storage', None)
    if storage is not None and storage.holds(parameters):
        for parameter in parameters:
            check_parameter(parameter)
        return storage
    return FlatParameters(parameters, adjacent)


class _FlatArrays:
    """The weights and the gradients of named parameters, as one vector each.

    Parameters
    ----------
    places : dict of str to slice
        The place of each parameter in the vectors.
    shapes : dict of str to tuple of int
        The shape of each parameter.
    weights, gradients : float32 NDArray of shape (size,)
    """

    def __init__(
        self,
        places: dict[str, slice],
        shapes: dict[str, tuple[int, ...]],
        weights: mx.nd.NDArray,
        gradients: mx.nd.NDArray,
    ):
        self._places, self._shapes = places, shapes
        self.weights, self.gradients = weights, gradients

    def variables(self, packed: Mapping[str, Sequence[str]]) -> dict[str, mx.nd.NDArray]:
        """Return the parameters as inputs of a graph.

        Parameters
        ----------
        packed : dict of str to list of str
            Names of adjacent parameters that the graph reads as one vector; see `Graph.packed`.

        Returns
        -------
        dict of str to float32 NDArray
            A vector for each group of `packed`, and all other parameters by name.  They share the
            memory of `weights`, and autograd writes their gradients to `gradients`.
        """
        in_groups = {name for names in packed.values() for name in names}
        variables = {
            name: self._variable(self._places[name], shape)
            for name, shape in self._shapes.items()
            if name not in in_groups
        }
        for group, names in packed.items():
            place = slice(self._places[names[0]].start, self._places[names[-1]].stop)
            variables[group] = self._variable(place, (-1,))
        return variables

    def _variable(self, place: slice, shape: tuple[int, ...]) -> mx.nd.NDArray:
        """Return a part of the weights, with the same part of the gradients as its gradient."""
        # Slices of the first axis and reshapes of a classic array share its memory.
        view, gradient = (vector[place].reshape(shape) for vector in (self.weights, self.gradients))
        autograd.mark_variables([view], [gradient], 'write')
        return view


class FlatParameters(_FlatArrays):
    """The storage of a model's parameters.

    Parameters
    ----------
    parameters : iterable of gluon.Parameter
        Initialized float32 parameters on one device.  They keep their values and become views of
        the storage.
    adjacent : iterable of list of str
        Names of parameters that must lie next to each other without a gap.

    Raises
    ------
    ValueError
        If a parameter has another type, is on several devices, or is not trained like the others
        (`grad_req`, `lr_mult` or `wd_mult`).

    Attributes
    ----------
    weights, gradients : float32 NDArray of shape (size,)
        Gaps for alignment hold zeros.
    """

    def __init__(
        self, parameters: Iterable[gluon.Parameter], adjacent: Iterable[Sequence[str]] = ()
    ):
        self._parameters = {parameter.name: parameter for parameter in parameters}
        for parameter in self._parameters.values():
            check_parameter(parameter)
        shapes = {name: parameter.shape for name, parameter in self._parameters.items()}
        places, size = _lay_out(shapes, adjacent)
        ctx = next(iter(self._parameters.values())).list_ctx()[0]
        super().__init__(places, shapes, mx.nd.zeros(size, ctx=ctx), mx.nd.zeros(size, ctx=ctx))
        self._views = {name: self._bind(name) for name in self._parameters}

    def _bind(self, name: str) -> mx.np.ndarray:
        """Copy a parameter's values to the storage, make the parameter a view, and return it."""
        parameter = self._parameters[name]
        view, gradient = (
            vector[self._places[name]].reshape(parameter.shape).as_np_ndarray()
            for vector in (self.weights, self.gradients)
        )
        view[:] = parameter.data()
        autograd.mark_variables([view], [gradient], 'write')
        parameter._data, parameter._grad = [view], [gradient]
        parameter._storage = self  # for `storage_of`
        return view

    def holds(self, parameters: Iterable[gluon.Parameter]) -> bool:
        """Return whether these are the parameters of the storage and still views of it."""
        parameters = list(parameters)
        return len(parameters) == len(self._views) and all(
            parameter._data is not None and self._views.get(parameter.name) is parameter._data[0]
            for parameter in parameters
        )

    def copy_to(self, ctx: mx.Context) -> FlatCopy:
        """Return a copy on another device."""
        return FlatCopy(self, ctx)

    def decay_mask(self) -> mx.nd.NDArray:
        """Return a mask of the weights that weight decay applies to.

        Returns
        -------
        float32 NDArray of shape (size,)
            1 for weights that decay, 0 for all others: biases, and the weights that the parameter's
            own initializer excludes with `exclude_from_decay`.
        """
        mask = onp.zeros(self.weights.size, dtype='float32')
        for name, parameter in self._parameters.items():
            if len(parameter.shape) > 1:
                parameter_mask = mask[self._places[name]].reshape(parameter.shape)  # a view
                parameter_mask[:] = 1
                if hasattr(parameter.init, 'exclude_from_decay'):
                    parameter.init.exclude_from_decay(parameter_mask)
        return mx.nd.array(mask, ctx=self.weights.context)

    def split_by_parameter(self, vector: mx.nd.NDArray) -> dict[str, onp.ndarray]:
        """Return the parts of a vector that is laid out like `weights`, by Gluon name."""
        host = vector.asnumpy()
        return {
            name: host[self._places[name]].reshape(shape) for name, shape in self._shapes.items()
        }

    def join_parameters(self, parts: Mapping[str, onp.ndarray], vector: mx.nd.NDArray) -> None:
        """Set a vector to the parts that `split_by_parameter` returned for it."""
        host = onp.zeros(self.weights.size, dtype='float32')
        for name, place in self._places.items():
            host[place] = parts[name].ravel()
        vector[:] = mx.nd.array(host, ctx=vector.context)


class FlatCopy(_FlatArrays):
    """A copy of a model's parameters on another device, for gradients that are computed there.

    Parameters
    ----------
    flat : FlatParameters
    ctx : mxnet.Context

    Attributes
    ----------
    weights, gradients : float32 NDArray of shape (size,)
    """

    def __init__(self, flat: FlatParameters, ctx: mx.Context):
        weights = flat.weights.copyto(ctx)
        super().__init__(flat._places, flat._shapes, weights, mx.nd.zeros_like(weights))
        self._flat = flat

    def refresh(self) -> None:
        """Copy the current weights of the model."""
        self._flat.weights.copyto(self.weights)


def _lay_out(
    shapes: Mapping[str, tuple[int, ...]], adjacent: Iterable[Sequence[str]]
) -> tuple[dict[str, slice], int]:
    """Return the place of each parameter in a vector, and the size of the vector."""
    groups = [list(names) for names in adjacent]
    grouped = {name for names in groups for name in names}
    groups += [[name] for name in shapes if name not in grouped]
    places, size = {}, 0
    for names in groups:
        for name in names:
            places[name] = slice(size, size + int(onp.prod(shapes[name])))
            size = places[name].stop
        size += -size % ALIGNMENT
    return places, size


def check_parameter(parameter: gluon.Parameter) -> None:
    """Raise ValueError unless a parameter can share one array and one update with the others."""
    expected = {
        'grad_req': 'write',
        'lr_mult': 1.0,
        'wd_mult': 1.0,
        'dtype': 'float32',
        'contexts': 1,
    }
    actual = {
        'grad_req': parameter.grad_req,
        'lr_mult': parameter.lr_mult,
        'wd_mult': parameter.wd_mult,
        'dtype': onp.dtype(parameter.data().dtype).name,
        'contexts': len(parameter.list_ctx()),
    }
    for name, value in expected.items():
        if actual[name] != value:
            raise ValueError(
                f'{parameter.name}: expected {name} {value}, got {actual[name]}. Train the model '
                'with gluon.Trainer.'
            )
