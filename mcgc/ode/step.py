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


_combine = primitive("combine", lambda y, *ks, h, weights: y + h * _weighted(weights, ks), joint=_combine_rule)


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


def _blend_forward(y: Array, *ks_and_weights: Array, h: Array) -> Array:
    ks, weights = _halves(ks_and_weights)
    total = sum((w[:, :, None] * k[:, None, :] for k, w in zip(ks, weights, strict=True)), start=0.0)
    return y[:, None, :] + h[:, :, None] * total


def _blend_rule(out: Array, y: Array, *ks_and_weights: Array, h: Array) -> Callable:
    ks, weights = _halves(ks_and_weights)

    def pull(g: Array) -> tuple:
        scaled = g * h[:, :, None]
        k_bars = (ops.sum(scaled * w[:, :, None], axis=1) for w in weights)
        w_bars = (ops.sum(scaled * k[:, None, :], axis=2) for k in ks)
        return (ops.sum(g, axis=1), *k_bars, *w_bars)

    return pull


def _halves(arrays: Sequence[Array]) -> tuple[Sequence[Array], Sequence[Array]]:
    return arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]


_blend = primitive("blend", _blend_forward, joint=_blend_rule)


def interpolate(tableau: Tableau, fraction: Array, h: Array, y: Array, ks: Sequence[Array]) -> Array:
    """Return the state at the fractions θ (batch, times) of the step, shape (batch, times, states).

    It is y + h Σᵢ wᵢ(θ) kᵢ with the polynomials wᵢ of the tableau's dense output.
    """
    used = [(row, k) for row, k in zip(tableau.dense, ks, strict=True) if any(row)]
    weights = []
    for row, _ in used:
        weight: Any = 0.0
        for coefficient in reversed(row):
            weight = (weight + coefficient) * fraction
        weights.append(weight)
    return _blend(y, *(k for _, k in used), *weights, h=h)
