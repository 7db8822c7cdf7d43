"""Equations of a user: a function of the time, the state, named parameters and perhaps inputs, for one trajectory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mcgc._jit import Formula, Jitted, formula_of
from mcgc.autodiff import ops
from mcgc.errors import InputError, McgcError


def stacked(found: Any) -> Any:
    """Return what a field or an observation gives as an array: it may be a list of numbers."""
    return ops.stack(list(found)) if isinstance(found, list | tuple) else found


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
