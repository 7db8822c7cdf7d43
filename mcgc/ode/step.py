"""One Runge–Kutta step and its dense output, in operations that differentiate as they stand."""

from collections.abc import Callable, Sequence
from typing import Any

from mcgc.arrays import Array
from mcgc.autodiff import ops
from mcgc.autodiff.transforms import primitive
from mcgc.ode.tableaux import Tableau

Field = Callable[[Array, Array], Array]  # t (batch, 1), y (batch, states) -> dy/dt (batch, states)


def _weighted(weights: Sequence[float], ks: Sequence[Array]) -> Any:
    total = None
    for weight, k in zip(weights, ks, strict=True):
        if weight:
            total = weight * k if total is None else total + weight * k
    return total


def _combine_rule(out: Array, y: Array, *ks: Array, h: Array, weights: Sequence[float]) -> Callable:
    def pull(g: Array) -> tuple:
        scaled = g * h
        return (g, *(scaled * weight if weight else None for weight in weights))

    return pull


_combine = primitive(
    "combine", lambda y, *ks, h, weights: y + h * _weighted(weights, ks), joint=_combine_rule
)


def combine(y: Array, h: Array, weights: Sequence[float], ks: Sequence[Array]) -> Array:
    """Return y + h Σ wᵢ kᵢ, elementwise and in that order; `h` of shape (batch, 1) is a constant."""
    return _combine(y, *ks, h=h, weights=weights)


def stages(tableau: Tableau, field: Field, t: Array, h: Array, y: Array, k1: Array) -> tuple[Array, list[Array]]:
    """Take one step of signed size `h` (batch, 1) from `y` (batch, states) at times `t` (batch, 1), with k₁ given.

    Returns the new state and all stages k₁ … k_s, of which the last is the field at the new state.
    """
    times = [ops.astype(t + c * h, y.dtype) for c in tableau.c]
    ks = [k1]
    for time, weights in zip(times[1:], tableau.a[1:], strict=True):
        point = combine(y, h, weights, ks)
        ks.append(field(time, point))
    return point, ks


def error(tableau: Tableau, h: Array, ks: Sequence[Array]) -> Array:
    """Return the estimate h Σ eᵢ kᵢ of the step's local error, shape (batch, states)."""
    return h * _weighted(tableau.error, ks)


def interpolate(tableau: Tableau, fraction: Array, h: Array, y: Array, ks: Sequence[Array]) -> Array:
    """Return the state at the fractions θ (batch, times) of the step, shape (batch, times, states)."""
    theta = fraction[:, :, None]
    total: Any = 0.0
    for row, k in zip(tableau.dense, ks, strict=True):
        if any(row):
            weight: Any = 0.0
            for coefficient in reversed(row):
                weight = (weight + coefficient) * theta
            total = total + weight * k[:, None, :]
    return y[:, None, :] + h[:, :, None] * total
