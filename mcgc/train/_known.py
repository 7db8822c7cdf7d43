"""The known part of a field: equations of the user's with parameters to fit, which the run file holds as a formula."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit import Formula, Jitted
from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.continuation import Parameter
from mcgc.continuation._least_squares._parameters import named_parameter, space_of
from mcgc.errors import InputError
from mcgc.ode._equations import ScaledEquations, check_equations, recorded_equations

EDGE = 0.1  # radians: a start at a bound is moved inside by this much of the map's sine, where its slope is not 0
MOST_SOURCE = 20_000  # characters of the source that a run file shows


class Known(NamedTuple):
    """Equations dy/dt = g(t, y, p, u) in the units of the data, and the parameters p.

    Parameters
    ----------
    name : str
        What the function is called.
    states, inputs : int
        How many there are.
    parameters : tuple of pairs of str and Parameter
        The parameters by name.
    formula : Formula
        What the function computes of t (1,), y, p and u.
    source : str
        Its source, to be read and never run; "" where it is not known.
    """

    name: str
    states: int
    inputs: int
    parameters: tuple[tuple[str, Parameter], ...]
    formula: Formula
    source: str = ""

    @property
    def num_free(self) -> int:
        """The number of parameters that are fitted."""
        return sum(not one.fixed for _, one in self.parameters)

    def values(self, z: Array) -> Array:
        """Return the parameters p (..., parameters) at coordinates z (..., free), which are 0 at the start.

        About there p changes by its scale, or by the factor exp(scale), where z changes by 1. It stays within its
        bounds.
        """
        return _values(self.parameters, z)

    def fitted(self, theta: np.ndarray) -> dict[str, list[float]]:
        """Return the values of each parameter, one for each member of θ (members, m)."""
        found = np.asarray(self.values(np.asarray(theta, np.float64)[:, : self.num_free]))
        return {name: found[:, i].tolist() for i, (name, _) in enumerate(self.parameters)}

    def scaled(self, units: Array) -> ScaledEquations:
        """Return the equations in the units (1, ...) of `mcgc.train._segments.Observed`."""
        return ScaledEquations(self.formula, self.states, len(self.parameters), self.inputs, units)

    def to_json(self) -> dict[str, Any]:
        """Return what a run file says of it; a bound that is infinite is null."""
        finite = lambda x: float(x) if x is not None and math.isfinite(x) else None
        parts = {
            name: {key: value if isinstance(value, bool) else finite(value) for key, value in one._asdict().items()}
            for name, one in self.parameters
        }
        return {"name": self.name, "parameters": parts, "formula": self.formula.to_json(), "source": self.source}


def known_of(
    field: Callable[..., Any], parameters: Mapping[str, Any] | None, states: Sequence[str], inputs: Sequence[str]
) -> Known:
    """Return the known part that a caller gave: `field(t, y, p)`, or `field(t, y, p, u)` where there are inputs.

    Raises `InputError` if the function does not take these or a parameter cannot be used, and `TraceError` if it
    cannot be recorded.
    """
    if not isinstance(parameters or {}, Mapping):
        raise InputError("parameters must be a dict of names with numbers or mcgc.Parameter")
    parts = {str(name): named_parameter(name, one) for name, one in (parameters or {}).items()}
    if any(not one.fixed for one in parts.values()):
        space_of(parts, None, None)  # raises what is wrong with a start, a scale or a bound
    function = field.function if isinstance(field, Jitted) else field
    check_equations(
        function, len(states), {name: float(one.value) for name, one in parts.items()}, dict.fromkeys(inputs, 1.0), 1.0
    )
    formula = recorded_equations(function, len(states), tuple(parts), inputs)
    name = getattr(function, "__name__", "field")
    return Known(name, len(states), len(inputs), tuple(parts.items()), formula, _source_of(function))


def _source_of(function: Callable[..., Any]) -> str:
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):  # of a shell, or of a callable object
        return ""
    return text if len(text) <= MOST_SOURCE else ""


def known_of_model(model: Mapping[str, Any]) -> Known | None:
    """Return the known part that the `model` of a run file has, or None. It runs nothing that the file holds."""
    said = model.get("known")
    if said is None:
        return None
    states, inputs = len(model["states"]), len(model["inputs"])
    try:
        parts = tuple((name, _parameter_of(**one)) for name, one in said["parameters"].items())
        formula = Formula.of_json(said["formula"], (1, states, len(parts), inputs))
        if len(formula.results) != states:
            raise ValueError
        return Known(str(said["name"]), states, inputs, parts, formula, str(said.get("source", "")))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError("the known part of the run file is not one that mcgc wrote: copy the file again") from None


def _parameter_of(value: float, min: float | None, max: float | None, **others: Any) -> Parameter:
    return Parameter(value, -math.inf if min is None else min, math.inf if max is None else max, **others)


# ---- coordinates ----


class _Map(NamedTuple):
    """The map from coordinates to the free parameters.

    With w = c + k z it is `middle` + `wave` sin w + `root` (√(w² + 1) − 1) + `line` w, or exp of that where `log`. `at`
    are the numbers of the free parameters among all, and `values` the starts of all.
    """

    c: np.ndarray
    k: np.ndarray
    middle: np.ndarray
    wave: np.ndarray
    root: np.ndarray
    line: np.ndarray
    log: np.ndarray
    at: tuple[int, ...]
    values: np.ndarray


@lru_cache(maxsize=64)
def _map_of(parameters: tuple[tuple[str, Parameter], ...]) -> _Map:
    at = tuple(i for i, (_, one) in enumerate(parameters) if not one.fixed)
    values = np.asarray([float(one.value) for _, one in parameters])
    if not at:
        none = np.zeros(0)
        return _Map(none, none, none, none, none, none, np.zeros(0, bool), at, values)
    space = space_of(dict(parameters), None, None)
    rows = np.asarray([_row(*each) for each in zip(space.start, space.scale, space.lower, space.upper, strict=True)])
    c, k, middle, wave, root, line = rows.T
    return _Map(c, k, middle, wave, root, line, space.log[space.free], at, values)


def _row(start: float, scale: float, low: float, high: float) -> tuple[float, ...]:
    """Return c, k, middle, wave, root and line of a parameter, or of its logarithm."""
    if math.isfinite(low) and math.isfinite(high):
        half = (high - low) / 2
        c = math.asin(min(max((start - low) / half - 1, -1.0), 1.0))
        c = min(max(c, EDGE - math.pi / 2), math.pi / 2 - EDGE)
        return c, scale / half, low + half, half, 0.0, 0.0
    if math.isfinite(low) or math.isfinite(high):
        sign, edge = (1.0, low) if math.isfinite(low) else (-1.0, high)
        c = math.sqrt((abs(start - edge) / scale + 1) ** 2 - 1)
        return sign * max(c, EDGE), 1.0, edge, 0.0, sign * scale, 0.0
    return 0.0, scale, start, 0.0, 0.0, 1.0


def _values(parameters: tuple[tuple[str, Parameter], ...], z: Array) -> Array:
    found, xp = _map_of(parameters), namespace_of(strip(z))
    device = device_of(strip(z))
    on = lambda x: xp.asarray(x.tolist(), dtype=z.dtype, device=device)
    w = on(found.c) + on(found.k) * z
    free = on(found.middle) + on(found.line) * w
    if found.wave.any():
        free = free + on(found.wave) * ops.sin(w)
    if found.root.any():
        free = free + on(found.root) * (ops.sqrt(ops.square(w) + 1) - 1)
    if found.log.any():
        logs = xp.asarray(found.log.tolist(), device=device)
        free = ops.where(logs, ops.exp(ops.where(logs, free, 0)), free)
    if len(found.at) == len(found.values):
        return free
    shape, place = (*z.shape[:-1], 1), {at: i for i, at in enumerate(found.at)}
    fixed = lambda i: xp.full(shape, float(found.values[i]), dtype=z.dtype, device=device)
    columns = [free[..., place[i] : place[i] + 1] if i in place else fixed(i) for i in range(len(found.values))]
    return ops.concat(columns, axis=-1)
