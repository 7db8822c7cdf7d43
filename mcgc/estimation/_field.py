"""The field and the observation of a fit as compiled functions of many rows."""

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit import Jitted, jit
from mcgc.autodiff import ops
from mcgc.errors import InputError
from mcgc.ode._equations import stacked


class Layout(NamedTuple):
    """What a row of the numbers of a field holds: parameters, inputs, and where they vary their slopes and a time."""

    parameters: tuple[str, ...]
    inputs: tuple[str, ...]
    varying: bool

    @property
    def width(self) -> int:
        """How many numbers follow the parameters."""
        return 2 * len(self.inputs) + 1 if self.varying else len(self.inputs)


@lru_cache(maxsize=64)  # so that the second fit of a field compiles nothing
def packed_field(field: Callable[..., Any], layout: Layout) -> Jitted:
    """Return the field of a batch: t (rows, 1), y (rows, states) and numbers q (rows, ...) by the layout."""

    def of_row(t: Any, y: Any, q: Any) -> Any:
        named = {name: q[i] for i, name in enumerate(layout.parameters)}
        if not layout.inputs:
            return stacked(field(t, y, named))
        at, count = len(layout.parameters), len(layout.inputs)
        u = {}
        for i, name in enumerate(layout.inputs):
            u[name] = q[at + i]
            if layout.varying:
                u[name] = u[name] + q[at + count + i] * (t - q[at + 2 * count])
        return stacked(field(t, y, named, u))

    def packed(t: Any, y: Any, q: Any) -> Any:
        first = of_row(t[0, 0], y[0, :], q[0, :])
        if q.shape[0] != y.shape[0]:
            raise InputError("each row has numbers of its own")
        rest = [of_row(t[i, 0], y[i, :], q[i, :]) for i in range(1, y.shape[0])]
        return ops.stack([first, *rest])

    return jit(packed)


class Observer:
    """What is seen of a state y (states,) with parameters p: some of the states, or a function of them.

    Parameters
    ----------
    columns : sequence of int, or function
        The numbers of the states, or a function of y, or of y and a dict p, that returns the columns.
    parameters : tuple of str
        The names of the parameters.
    """

    def __init__(self, columns: Sequence[int] | Callable[..., Any], parameters: tuple[str, ...]):
        self.indices = None if callable(columns) else list(columns)
        self._parameters = parameters
        self._function = _packed_observation(columns, parameters).rows() if callable(columns) else None

    def values(self, y: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the columns (rows, columns) at states (rows, states) and parameters (rows, parameters)."""
        if self._function is None:
            return y[:, self.indices]
        return np.asarray(self._function(np.concatenate([y, p], axis=1)))

    def slopes(self, y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivatives of the columns by the states and by the parameters, (rows, columns, ...) each."""
        if self._function is None:
            unit = np.eye(y.shape[1])[self.indices]
            return np.broadcast_to(unit, (len(y), *unit.shape)), np.zeros((len(y), len(unit), p.shape[1]))
        found = np.asarray(self._function.jacobian(np.concatenate([y, p], axis=1)))
        return found[..., : y.shape[1]], found[..., y.shape[1] :]


@lru_cache(maxsize=64)
def _packed_observation(observed: Callable[..., Any], parameters: tuple[str, ...]) -> Jitted:
    both = len(inspect.signature(observed).parameters) > 1

    def packed(z: Any) -> Any:
        states = z.shape[0] - len(parameters)
        named = {name: z[states + i] for i, name in enumerate(parameters)}
        found = stacked(observed(z[:states], named) if both else observed(z[:states]))
        return found if len(found.shape) else ops.stack([found])

    return jit(packed)
