"""One Runge–Kutta step and its dense output, in operations that differentiate as they stand."""

from collections.abc import Callable, Sequence
from typing import Any

from mcgc.arrays import Array
from mcgc.autodiff import ops
from mcgc.autodiff.extend import primitive
from mcgc.ode._tableaux import Tableau

Rate = Callable[[Array, Array], Array]  # t (batch, 1), y (batch, states) -> dy/dt (batch, states)


def _weighted(weights: Sequence[float], ks: Sequence[Array]) -> Any:
    first, *others = [weight * k for weight, k in zip(weights, ks, strict=True) if weight] or [0.0]
    return sum(others, start=first)


def _combine_rule(out: Array, y: Array, *ks: Array, h: Array, weights: Sequence[float]) -> Callable[..., Any]:
    def pullback(g: Array) -> tuple:
        scaled = g * h
        return (g, *(scaled * weight if weight else None for weight in weights))

    return pullback


_combine = primitive("combine", lambda y, *ks, h, weights: y + h * _weighted(weights, ks), joint=_combine_rule)


def combine(y: Array, h: Array, weights: Sequence[float], ks: Sequence[Array]) -> Array:
    """Return y + h Σ wᵢ kᵢ, elementwise and in that order; `h` of shape (batch, 1) is a constant."""
    return _combine(y, *ks, h=h, weights=weights)


def stages(
    tableau: Tableau, field: Rate, t: Array, h: Array, y: Array, ks: Sequence[Array], *, dense: bool = False
) -> tuple[Array, list[Array]]:
    """Take one step of signed size `h` (batch, 1) from `y` (batch, states) at times `t` (batch, 1), given k₁.

    Returns the new state and the stages k₁ … k_s, of which the last is the field at the new state. With `dense`,
    `ks` are these, and the tableau's extra stages follow.
    """
    stop = len(tableau.a) - (0 if dense else tableau.extra)
    point, ks = y, list(ks)
    for c, weights in zip(tableau.c[len(ks) : stop], tableau.a[len(ks) : stop], strict=True):
        point = combine(y, h, weights, ks)
        ks.append(field(ops.astype(t + c * h, y.dtype), point))
    return point, ks


def errors(tableau: Tableau, h: Array, ks: Sequence[Array]) -> list[Array]:
    """Return the estimates h Σ eᵢ kᵢ of the step's local error, one or two, each of shape (batch, states)."""
    return [h * _weighted(weights, ks) for weights in tableau.error]


def interpolate(tableau: Tableau, fraction: Array, h: Array, y: Array, ks: Sequence[Array]) -> Array:
    """Return the state at the fractions θ (batch, times) of the step, shape (batch, times, states).

    It is y + h Σᵢ wᵢ(θ) kᵢ with the polynomials wᵢ of the tableau's dense output.
    """
    theta, change = fraction[:, :, None], 0.0
    for weights in reversed(list(zip(*tableau.dense, strict=True))):
        change = (change + combine(0.0, h, weights, ks)[:, None, :]) * theta
    return y[:, None, :] + change


def dense_output(tableau: Tableau, h: Array, ks: Sequence[Array]) -> list[Array]:
    """Return the coefficients of θ, θ², … of the dense output, h Σᵢ wᵢ kᵢ, each of shape (batch, states)."""
    return [combine(0.0, h, weights, ks) for weights in zip(*tableau.dense, strict=True)]


def evaluate(y: Array, coefficients: Sequence[Array], fraction: Array) -> Array:
    """Return the dense output at the fraction θ (batch, 1) of a step from `y`, shape (batch, states)."""
    change: Any = 0.0
    for coefficient in reversed(coefficients):
        change = (change + coefficient) * fraction
    return y + change
