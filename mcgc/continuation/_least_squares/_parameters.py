"""Parameters of a fit, named or not, with bounds, scales, fixed ones and logarithms; the vector that is searched."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mcgc.errors import InputError


class Parameter(NamedTuple):
    """A named parameter of `mcgc.least_squares`.

    Parameters
    ----------
    value : float
        The start.
    min, max : float
        The bounds. They may be infinite.
    scale : float, optional
        About how far `value` may be off. With `log` it is that of the logarithm. By default a quarter of the width
        between the bounds, or 1 with `log`.
    fixed : bool
        Whether the parameter keeps its value.
    log : bool
        Whether the logarithm is searched. The parameter is then positive, and needs no `min`. A scale of 0.7 says that
        it may be off by a factor of 2, and the default of 1 by a factor of 2.7.

    Examples
    --------
    >>> import mcgc
    >>> mcgc.Parameter(2.0, min=0.0, scale=1.0)
    Parameter(value=2.0, min=0.0, max=inf, scale=1.0, fixed=False, log=False)
    """

    value: float
    min: float = -math.inf
    max: float = math.inf
    scale: float | None = None
    fixed: bool = False
    log: bool = False


def named_parameter(name: Any, one: Any) -> Parameter:
    """Return a parameter with a scale: that of its bounds, or the size of its start."""
    if not isinstance(one, Parameter):
        try:
            one = Parameter(float(one))
        except (TypeError, ValueError):
            raise InputError(f"parameter {name!r} must be a number or mcgc.Parameter, got {one!r}") from None
    return with_scale(one, abs(float(one.value)) or 1.0)


def with_scale(one: Parameter, scale: float) -> Parameter:
    """Return a parameter with this scale unless it has one, or bounds or a logarithm from which one follows."""
    if one.log:
        return one._replace(min=max(one.min, 0.0))
    if one.scale is None and not math.isfinite(one.max - one.min):
        return one._replace(scale=scale)
    return one


class Space(NamedTuple):
    """The vectors u (d,) that are searched, those of the free parameters or their logarithms, and what they stand for.

    Parameters
    ----------
    names : tuple of str
        The names of all parameters.
    values : array of shape (m,)
        The start.
    free, log : array of shape (m,), bool
        Which parameters are searched, and which as logarithms.
    start, scale, lower, upper : array of shape (d,)
        The start of u, its scale and its bounds.
    named : bool
        Whether the residuals take parameters by their names, and not an array.
    build : function
        Makes what the residuals take from the values (m,) of all parameters.
    """

    names: tuple[str, ...]
    values: np.ndarray
    free: np.ndarray
    log: np.ndarray
    start: np.ndarray
    scale: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    named: bool
    build: Callable[[np.ndarray], Any]

    def decode(self, u: np.ndarray) -> np.ndarray:
        """Return the values (..., m) of all parameters at the vectors u (..., d)."""
        x = np.broadcast_to(self.values, (*u.shape[:-1], self.values.size)).copy()
        x[..., self.free] = np.where(self.log[self.free], self._exp(u), u)
        return x

    def report(self, u: np.ndarray) -> np.ndarray:
        """Return the values (m,) of all parameters, with those of lmfit that follow from others by an expression."""
        x = self.decode(u)
        built = self.build(x)
        return np.asarray([float(one.value) for one in built.values()]) if hasattr(built, "valuesdict") else x

    def slopes(self, u: np.ndarray) -> np.ndarray:
        """Return dx/du (d,) of the free parameters."""
        return np.where(self.log[self.free], self._exp(u), 1.0)

    def _exp(self, u: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # an infinite parameter is one more at which the residuals fail
            return np.exp(np.where(self.log[self.free], u, 0.0))

    def clip(self, u: np.ndarray) -> np.ndarray:
        """Return the nearest vector within the bounds."""
        return np.clip(u, self.lower, self.upper)

    @property
    def bounded(self) -> bool:
        """Whether there is a finite bound."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())


def space_of(x0: Any, x_scale: Any, bounds: Any) -> Space:
    """Return the space of an array, of a dict of `Parameter`, or of lmfit's `Parameters`.

    Raises `InputError` if a start, a scale or a bound is missing or cannot be used.
    """
    if isinstance(x0, Mapping):
        named = {name: _of_lmfit(one) if hasattr(one, "vary") else _of_value(one) for name, one in x0.items()}
        if bounds is not None:
            raise InputError("named parameters have bounds of their own: give min and max of each, and no bounds")
        build = _builder_of_lmfit(x0) if hasattr(x0, "valuesdict") else _builder_of_dicts(tuple(named))
        return _checked(tuple(map(str, named)), list(named.values()), _scales_by_name(x_scale, named), True, build)
    try:
        values = np.atleast_1d(np.asarray(x0, dtype="float64"))
    except (TypeError, ValueError):
        raise InputError("x0 must be a vector of numbers, a dict of mcgc.Parameter, or lmfit's Parameters") from None
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"x0 must be a vector of numbers, got one of shape {values.shape}")
    if x_scale is None:
        raise InputError("x_scale is needed: about how far each parameter of x0 may be off")
    lower, upper = _bounds(bounds, values.size)
    scales = _vector(x_scale, values.size, "x_scale")
    parts = [Parameter(*row) for row in zip(values.tolist(), lower.tolist(), upper.tolist(), strict=True)]
    return _checked(tuple(f"x[{i}]" for i in range(values.size)), parts, scales.tolist(), False, lambda x: x)


def _of_value(one: Any) -> Parameter:
    return one if isinstance(one, Parameter) else Parameter(float(one))


def _of_lmfit(one: Any) -> Parameter:
    return Parameter(float(one.value), float(one.min), float(one.max), fixed=not one.vary or one.expr is not None)


def _builder_of_dicts(names: tuple) -> Callable[[np.ndarray], Any]:
    return lambda x: dict(zip(names, x.T if x.ndim == 2 else x.tolist(), strict=True))


def _builder_of_lmfit(given: Any) -> Callable[[np.ndarray], Any]:
    """Return what makes lmfit's `Parameters` of values. Those with an expression follow from the others."""

    def build(x: np.ndarray) -> Any:
        if x.ndim == 2:
            raise InputError("lmfit's Parameters hold one point: do without batched, or give a dict of mcgc.Parameter")
        made = copy.deepcopy(given)
        for one, value in zip(made.values(), x.tolist(), strict=True):
            if one.expr is None:
                one.value = value
        return made

    return build


def _scales_by_name(x_scale: Any, named: Mapping[str, Parameter]) -> list[float | None]:
    if x_scale is None:
        x_scale = {}
    if not isinstance(x_scale, Mapping):
        return list(_vector(x_scale, len(named), "x_scale"))
    for name in x_scale:
        if name not in named:
            raise InputError(f"x_scale has {name!r}, which is no parameter: choose of {', '.join(named)}")
    return [x_scale.get(name, one.scale) for name, one in named.items()]


def _bounds(bounds: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    if bounds is None:
        return np.full(size, -np.inf), np.full(size, np.inf)
    try:
        lower, upper = (bounds.lb, bounds.ub) if hasattr(bounds, "lb") else bounds
    except (TypeError, ValueError):
        raise InputError("bounds must be a pair (lower, upper) or scipy.optimize.Bounds") from None
    return _vector(lower, size, "the lower bounds"), _vector(upper, size, "the upper bounds")


def _vector(value: Any, size: int, what: str) -> np.ndarray:
    try:
        return np.broadcast_to(np.asarray(value, dtype="float64"), (size,)).copy()
    except (TypeError, ValueError):
        raise InputError(f"{what} must be a number or one number for each of the {size} parameters") from None


def _checked(names: tuple[str, ...], parts: list[Parameter], scales: list[Any], named: bool, build: Callable) -> Space:
    rows = [_searched(name, one, scale) for name, one, scale in zip(names, parts, scales, strict=True)]
    free = np.asarray([not one.fixed for one in parts])
    if not free.any():
        raise InputError("every parameter is fixed: at least one must be free")
    start, scale, lower, upper = np.asarray([row for row, one in zip(rows, free, strict=True) if one]).T
    values = np.asarray([float(one.value) for one in parts])
    return Space(names, values, free, np.asarray([one.log for one in parts]), start, scale, lower, upper, named, build)


def _searched(name: str, one: Parameter, scale: Any) -> tuple[float, float, float, float]:
    """Return start, scale and bounds of u for one parameter."""
    value, low, high = float(one.value), float(one.min), float(one.max)
    if one.fixed:
        return value, 1.0, low, high
    if not (math.isfinite(value) and low <= value <= high and low < high):
        raise InputError(f"{name} must start at a finite number within its bounds, got {value} of {low} to {high}")
    if one.log:
        low = 0.0 if low == -math.inf else low
        if value <= 0 or low < 0:
            raise InputError(f"{name} is searched by its logarithm: its start and its bounds must be positive")
        value, low, high = math.log(value), math.log(low) if low > 0 else -math.inf, math.log(high)
    if scale is None:
        scale = 1.0 if one.log else (high - low) / 4
    scale = float(scale)
    if not 0 < scale < math.inf:
        raise InputError(
            f"{name} needs a scale, about how far its start may be off: a positive number in x_scale or in Parameter"
        )
    return value, scale, low, high
