"""A model's parameters as views of one array, and their gradients as views of another.

With all weights in one array the optimizer, the norm of the gradient and a copy of the model are
one operation each, whatever the number of parameters.  The model does not notice: its Gluon
parameters hold the views, so `model(...)`, `collect_params()`, `save_parameters` and `grad()` work
as before.
"""

from __future__ import annotations

from typing import Iterable, Sequence

import numpy as onp

from .._mxnet import autograd, gluon, mx

ALIGNMENT = 16  # float32 values, 64 bytes: a cache line, and what MXNet's own arrays begin on


class FlatParameters:
    """The storage of a model's parameters.

    Parameters
    ----------
    parameters : iterable of gluon.Parameter
        Initialized, float32, on one context.  They keep their values and are bound to the storage.
    adjacent : iterable of list of str
        Names of parameters that have to lie one after the other without a gap.

    Raises
    ------
    ValueError
        If a parameter is of another type, on several contexts, or not trained like the others.

    Attributes
    ----------
    weights, gradients : float32 NDArray of shape (size,)
        Gaps for alignment hold zeros.
    """

    def __init__(
        self, parameters: Iterable[gluon.Parameter], adjacent: Iterable[Sequence[str]] = ()
    ):
        self._parameters = by_name = {parameter.name: parameter for parameter in parameters}
        for parameter in by_name.values():
            _check(parameter)
        groups = [list(names) for names in adjacent]
        grouped = {name for names in groups for name in names}
        groups += [[name] for name in by_name if name not in grouped]
        self._places, self._views = {}, {}
        size = 0
        for names in groups:
            for name in names:
                self._places[name] = slice(size, size + by_name[name].data().size)
                size = self._places[name].stop
            size += -size % ALIGNMENT
        ctx = next(iter(by_name.values())).list_ctx()[0]
        self.weights, self.gradients = mx.nd.zeros(size, ctx=ctx), mx.nd.zeros(size, ctx=ctx)
        for name, parameter in by_name.items():
            self._bind(name, parameter)

    def _bind(self, name: str, parameter: gluon.Parameter) -> None:
        """Copy a parameter's values into the storage and make it a view of its place there."""
        # Slices of the first axis and reshapes of a classic array share its memory.
        view, gradient = (
            storage[self._places[name]].reshape(parameter.shape).as_np_ndarray()
            for storage in (self.weights, self.gradients)
        )
        view[:] = parameter.data()
        autograd.mark_variables([view], [gradient], 'write')
        parameter._data, parameter._grad = [view], [gradient]
        self._views[name] = view
        parameter._storage = self  # so that `storage_of` finds it

    def holds(self, parameters: Iterable[gluon.Parameter]) -> bool:
        """Whether these are its parameters, and still views of it."""
        parameters = list(parameters)
        return len(parameters) == len(self._views) and all(
            parameter._data is not None and self._views.get(parameter.name) is parameter._data[0]
            for parameter in parameters
        )

    def variables(self, packed: dict[str, list[str]]) -> dict[str, mx.nd.NDArray]:
        """All parameters by name, those of each group of `packed` as one vector under its name.

        Classic arrays that share the storage; autograd puts their gradients in place.
        """
        in_groups = {name for names in packed.values() for name in names}
        return {
            **{
                name: parameter.data().as_nd_ndarray()
                for name, parameter in self._parameters.items()
                if name not in in_groups
            },
            **{group: _vector(self, self._places, names) for group, names in packed.items()},
        }

    def copy_to(self, ctx: mx.Context) -> FlatCopy:
        """A copy on another device."""
        shapes = {name: parameter.shape for name, parameter in self._parameters.items()}
        return FlatCopy(self, self._places, shapes, ctx)

    def decay_mask(self) -> mx.nd.NDArray:
        """Float32 NDArray of shape (size,): 1 for a weight that may decay, 0 for what may not.

        These are biases, and what the parameter's own initializer zeroes in `exclude_from_decay`.
        """
        mask = onp.zeros(self.weights.size, dtype='float32')
        for name, parameter in self._parameters.items():
            if len(parameter.shape) > 1:
                own = mask[self._places[name]].reshape(parameter.shape)  # a view
                own[:] = 1
                getattr(parameter.init, 'exclude_from_decay', lambda decay_mask: None)(own)
        return mx.nd.array(mask, ctx=self.weights.context)

    def split_by_parameter(self, vector: mx.nd.NDArray) -> dict[str, onp.ndarray]:
        """The parts of a vector that is laid out like `weights`, by Gluon's names."""
        host = vector.asnumpy()
        return {
            name: host[self._places[name]].reshape(parameter.shape)
            for name, parameter in self._parameters.items()
        }

    def join_parameters(self, parts: dict[str, onp.ndarray], vector: mx.nd.NDArray) -> None:
        """The reverse of `split_by_parameter`, into `vector`."""
        host = onp.zeros(self.weights.size, dtype='float32')
        for name, place in self._places.items():
            host[place] = parts[name].ravel()
        vector[:] = mx.nd.array(host, ctx=vector.context)


class FlatCopy:
    """The weights of a model on another device, to compute with there; see `FlatParameters`.

    Parameters
    ----------
    flat : FlatParameters
    places, shapes : dict of str to slice, and to tuple of int
        Of each parameter in it.
    ctx : mxnet.Context

    Attributes
    ----------
    weights, gradients : float32 NDArray of shape (size,)
    """

    def __init__(
        self,
        flat: FlatParameters,
        places: dict[str, slice],
        shapes: dict[str, tuple[int, ...]],
        ctx: mx.Context,
    ):
        self._flat, self._places, self._shapes = flat, places, shapes
        self.weights = flat.weights.copyto(ctx)
        self.gradients = mx.nd.zeros_like(self.weights)

    def refresh(self) -> None:
        """Take the weights over as they are now."""
        self._flat.weights.copyto(self.weights)

    def variables(self, packed: dict[str, list[str]]) -> dict[str, mx.nd.NDArray]:
        """As those of `FlatParameters`, of this device."""
        variables = {group: _vector(self, self._places, names) for group, names in packed.items()}
        in_groups = {name for names in packed.values() for name in names}
        for name in self._shapes.keys() - in_groups:
            place, shape = self._places[name], self._shapes[name]
            variables[name] = view = self.weights[place].reshape(shape)
            autograd.mark_variables([view], [self.gradients[place].reshape(shape)], 'write')
        return variables


def _vector(
    storage: FlatParameters | FlatCopy, places: dict[str, slice], names: Sequence[str]
) -> mx.nd.NDArray:
    """Adjacent parameters as one vector with its gradient."""
    place = slice(places[names[0]].start, places[names[-1]].stop)
    view, gradient = storage.weights[place], storage.gradients[place]
    autograd.mark_variables([view], [gradient], 'write')
    return view


def storage_of(
    parameters: Iterable[gluon.Parameter], adjacent: Iterable[Sequence[str]]
) -> FlatParameters:
    """The storage that a model's parameters lie in; it is made where they lie in none.

    Whoever wants the model's weights as vectors, to train or to translate, shares it.

    Parameters
    ----------
    parameters, adjacent
        As for `FlatParameters`; the same for a model each time.

    Raises
    ------
    ValueError
        As `FlatParameters` does.
    """
    parameters = list(parameters)
    storage = getattr(parameters[0], '_storage', None)
    if storage is not None and storage.holds(parameters):
        for parameter in parameters:
            _check(parameter)
        return storage
    return FlatParameters(parameters, adjacent)


def _check(parameter: gluon.Parameter) -> None:
    """Raise ValueError unless one array and one update can serve the parameter."""
    expected = {
        'grad_req': 'write',
        'lr_mult': 1.0,
        'wd_mult': 1.0,
        'dtype': 'float32',
        'contexts': 1,
    }
    found = {
        'grad_req': parameter.grad_req,
        'lr_mult': parameter.lr_mult,
        'wd_mult': parameter.wd_mult,
        'dtype': onp.dtype(parameter.data().dtype).name,
        'contexts': len(parameter.list_ctx()),
    }
    for name, value in expected.items():
        if found[name] != value:
            raise ValueError(
                f'{parameter.name}: expected {name} {value}, got {found[name]}; train '
                'it with gluon.Trainer'
            )
