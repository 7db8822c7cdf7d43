"""Equations of a user: a function of the time, the state, named parameters and perhaps inputs, for one trajectory."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit import Formula, Jitted, formula_of
from mcgc.arrays import Array
from mcgc.autodiff import ops
from mcgc.errors import InputError, McgcError


def stacked(found: Any) -> Any:
    """Return what a field or an observation gives as an array: it may be a list of numbers, some of them constant."""
    if not isinstance(found, list | tuple):
        return found
    like = next((x for x in found if hasattr(x, "dtype")), None)
    if like is None:
        return np.asarray(found, np.float64)
    return ops.stack([x if hasattr(x, "dtype") else ops.zeros_like(like) + x for x in found])


def check_equations(
    field: Any, states: int, parameters: Mapping[str, float], inputs: Mapping[str, float], t: float
) -> None:
    """Raise `InputError` unless the field takes numbers and returns as many derivatives as there are states."""
    if not callable(field):
        raise InputError(f"field must be a function of t, y and p, got {field!r}")
    shown = "field(t, y, p, u)" if inputs else "field(t, y, p)"
    y = np.ones(states)
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(stacked(field(np.float64(t), y, dict(parameters), *([dict(inputs)] if inputs else []))))
    except McgcError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        named = f"the parameters {', '.join(parameters)}" if parameters else "no parameters"
        raise InputError(f"{shown} raises {said} with {named}: mend it") from error
    if found.shape != (states,):
        raise InputError(f"{shown} must return {states} numbers, one for each state, got the shape {found.shape}")


def recorded_equations(
    field: Callable[..., Any], states: int, parameters: Sequence[str], inputs: Sequence[str]
) -> Formula:
    """Return the field as a formula of t (1,), y (states,), and p and u in the order of their names.

    Raises `TraceError` if it cannot be recorded, such as a field that branches on a value.
    """
    function = field.function if isinstance(field, Jitted) else field

    def of_arrays(t: Any, y: Any, p: Any, u: Any) -> Any:
        named = {name: p[i] for i, name in enumerate(parameters)}
        fed = {name: u[i] for i, name in enumerate(inputs)}
        return stacked(function(t[0], y, named, *([fed] if inputs else [])))

    return formula_of(of_arrays, (1,), (states,), (len(parameters),), (len(inputs),))


class ScaledEquations(NamedTuple):
    """Equations of a user as a part of a field whose times, states and inputs are scaled.

    Parameters
    ----------
    formula : Formula
        What they compute, in the units of the data, of t (1,), y (states,), p and u.
    states, parameters, inputs : int
        How many there are.
    units : array of shape (1, 2 states + 2 inputs + 1)
        The mean and the standard deviation of the states, those of the inputs, and the unit of time.
    """

    formula: Formula
    states: int
    parameters: int
    inputs: int
    units: Array

    def __call__(self, t: Array, y: Array, p: Array, u: Array, begun: Array) -> Array:
        """Return dy/dt in scaled units, (..., states).

        `t` (..., 1) is the scaled time, `begun` (..., 1) the time in the data where that is 0. `y` (..., states) and
        `u` (..., inputs) are scaled, `p` (..., parameters) are not.
        """
        return _scaled(self.formula, self.states, self.parameters, self.inputs, t, y, p, u, begun, self.units)

    def tape(self, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the scaled equations as the compiled march takes them (`mcgc.kernels.cpu_formula`)."""
        return _tape(self.formula, self.states, self.parameters, self.inputs, dtype)


def _scaled(
    formula: Formula, d: int, count: int, width: int, t: Any, y: Any, p: Any, u: Any, begun: Any, units: Any
) -> Any:
    of = lambda i: units[0, i]
    mean, sd, inputs_mean, inputs_sd, unit = 0, d, 2 * d, 2 * d + width, of(2 * (d + width))
    time = begun[..., 0] + unit * t[..., 0]
    states = [of(mean + i) + of(sd + i) * y[..., i] for i in range(d)]
    fed = [of(inputs_mean + i) + of(inputs_sd + i) * u[..., i] for i in range(width)]
    rates = formula([time], states, [p[..., i] for i in range(count)], fed, like=y)
    return ops.stack([y[..., i] * 0 + rate * (unit / of(sd + i)) for i, rate in enumerate(rates)], axis=-1)


@lru_cache(maxsize=64)
def _tape(
    formula: Formula, d: int, count: int, width: int, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from mcgc.kernels.cpu_formula import tape_of

    units = 2 * (d + width) + 1
    whole = formula_of(
        lambda t, y, p, u, begun, units: _scaled(formula, d, count, width, t, y, p, u, begun, units),
        (1,), (d,), (count,), (width,), (1,), (1, units),
    )  # fmt: skip
    shared = count + units
    tape, constants = tape_of(whole.operations, (shared, shared + 2, 0, shared + 2 + d, shared + 1, count))
    return tape, constants.astype(dtype), np.asarray(whole.results, np.int64)
