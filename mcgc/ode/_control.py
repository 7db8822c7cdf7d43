"""Step size control: how large the first step, whether a step is good enough, and how large the next one.

One step size for each trajectory: arrays of shape (batch,), no trajectory looks at another. Norms and factors are
float64, and a factor is a multiple of 2⁻¹⁰: libraries whose powers differ in the last bits then take the same steps.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff import ops
from mcgc.ode._step import Rate

SAFETY = 0.9
SHRINK, GROW = 0.2, 10.0  # bounds on the change of the step size from one step to the next
INTEGRAL, PROPORTIONAL = 0.85, 0.2  # exponents, divided by the order of the local error: 0.17, 0.04 for dopri5


class ControllerState(NamedTuple):
    """The state of the controller, each (batch,): the last accepted error, and whether the last step was rejected."""

    error: Array
    rejected: Array


Tolerance = float | Array  # one number, or float64 (states,)


def scaled_norm(x: Array, y: Array, rtol: Tolerance, atol: Tolerance) -> Array:
    """Return the root mean square over the last axis of x / (atol + rtol |y|), float64 of shape (batch,)."""
    xp = namespace_of(x)
    ratio = xp.astype(x, xp.float64) / (atol + rtol * xp.abs(xp.astype(y, xp.float64)))
    return xp.sqrt(xp.mean(ratio * ratio, axis=-1))


def error_norm(errors: Sequence[Array], y: Array, rtol: Tolerance, atol: Tolerance) -> Array:
    """Return the norm by which a step is judged, shape (batch,).

    Of one estimate it is the scaled norm n; of two it is n₁²/√(n₁² + n₂²/100), where n₁ is of the higher order
    (Hairer, Nørsett and Wanner 1993, II.10).
    """
    first, *others = (scaled_norm(error, y, rtol, atol) for error in errors)
    xp = namespace_of(first)
    for second in others:
        first = first * first / xp.sqrt(first * first + 0.01 * second * second + 1e-30)  # 0 where both are
    return first


def start(y: Array) -> ControllerState:
    """Return the state of the controller before the first step from `y`, shape (batch, states)."""
    xp = namespace_of(y)
    error = xp.full_like(y[:, 0], 1e-4, dtype=xp.float64)
    return ControllerState(error, error < 0)


def adapt(norm: Array, state: ControllerState, order: int) -> tuple[Array, Array, ControllerState]:
    """Judge a step by its scaled error: return whether it is accepted, the factor of the step size, and the new state.

    A step is accepted where the norm is at most 1. With p = `order` of the local error, the factor is that of a PI
    controller, 0.9 norm^(−0.85/p) last^(0.2/p), within [0.2, 10] (Gustafsson 1991; Hairer, Nørsett and Wanner 1993,
    IV.2); after a rejection it is 0.9 norm^(−0.85/p), and the step after that does not grow. A norm that is not
    finite rejects, with the smallest factor. Factors are rounded down to multiples of 2⁻¹⁰.
    """
    xp = namespace_of(norm)
    finite = xp.isfinite(norm)
    norm = xp.clip(xp.where(finite, norm, xp.full_like(norm, 1e10)), 1e-10, 1e10)
    accepted = finite & (norm <= 1)
    plain = SAFETY * norm ** (-INTEGRAL / order)
    factor = xp.where(accepted, plain * state.error ** (PROPORTIONAL / order), plain)
    factor = xp.clip(xp.floor(1024 * factor) / 1024, SHRINK, GROW)
    factor = xp.where(state.rejected & accepted, xp.clip(factor, SHRINK, 1.0), factor)
    error = xp.where(accepted, xp.clip(norm, 1e-4, 1.0), state.error)
    return accepted, factor, ControllerState(error, xp.logical_not(accepted))


def first_step(field: Rate, y: Array, k1: Array, span: Array, order: int, rtol: Tolerance, atol: Tolerance) -> Array:
    """Return a first step size, shape (batch, 1), positive, at the cost of one evaluation of the field.

    `field(h, y)` is f a signed time h (batch, 1) from the start, and `span` (batch, 1) the signed time to the end,
    beyond which f is not asked for. An explicit Euler step estimates the second derivative, and the step is such that
    the leading error term is about 1 % of the tolerance (Hairer, Nørsett and Wanner 1993, II.4).
    """
    xp = namespace_of(y)
    norm = lambda x: scaled_norm(x, y, rtol, atol)[:, None]
    size, slope, length = norm(y), norm(k1), xp.abs(span)
    h0 = ops.where((size < 1e-5) | (slope < 1e-5), 1e-6, 0.01 * size / xp.clip(slope, 1e-5, xp.inf))
    h0 = xp.minimum(xp.astype(h0, y.dtype), length)
    euler, wide = h0 * xp.sign(span), xp.astype(h0, xp.float64)
    curvature = norm(field(euler, y + euler * k1) - k1) / wide
    h1 = (0.01 / xp.clip(xp.maximum(slope, curvature), 1e-15, xp.inf)) ** (1 / order)
    growth = xp.clip(xp.floor(h1 * 1024 / wide) / 1024, 1 / 1024, 100)
    return xp.minimum(xp.astype(growth, y.dtype) * h0, length)
