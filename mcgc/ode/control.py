"""Step size control: how large the first step, whether a step is good enough, and how large the next one.

One step size for each trajectory: arrays of shape (batch,), no trajectory looks at another.
"""

from collections.abc import Callable
from typing import NamedTuple

from mcgc.arrays import Array, namespace_of

SAFETY = 0.9
SHRINK, GROW = 0.2, 10.0  # bounds on the change of the step size from one step to the next
INTEGRAL, PROPORTIONAL = 0.85, 0.2  # exponents, divided by the order of the local error: 0.17, 0.04 for dopri5


class Memory(NamedTuple):
    """What the controller remembers, shape (batch,): the last accepted error, and whether the last step failed."""

    error: Array
    rejected: Array


def scaled_norm(x: Array, y: Array, rtol: float, atol: float) -> Array:
    """Return the root mean square over the last axis of x / (atol + rtol |y|), shape (batch,)."""
    xp = namespace_of(x)
    ratio = x / (atol + rtol * xp.abs(y))
    return xp.sqrt(xp.mean(ratio * ratio, axis=-1))


def start(y: Array) -> Memory:
    """Return the controller's memory before the first step from `y`, shape (batch, states)."""
    xp = namespace_of(y)
    error = xp.full_like(y[:, 0], 1e-4)
    return Memory(error, error < 0)


def adapt(norm: Array, memory: Memory, order: int) -> tuple[Array, Array, Memory]:
    """Judge a step by its scaled error: whether to accept it, by which factor to change the step size, and the memory.

    A step is accepted where the norm is at most 1. With p = `order` of the local error, the factor is that of a PI
    controller, 0.9 norm^(−0.85/p) last^(0.2/p), within [0.2, 10] (Gustafsson 1991; Hairer, Nørsett and Wanner 1993,
    IV.2); after a rejection it is 0.9 norm^(−0.85/p), and the step after that does not grow. A norm that is not
    finite rejects, with the smallest factor.
    """
    xp = namespace_of(norm)
    finite = xp.isfinite(norm)
    norm = xp.clip(xp.where(finite, norm, xp.full_like(norm, 1e10)), 1e-10, 1e10)
    accepted = finite & (norm <= 1)
    plain = SAFETY * norm ** (-INTEGRAL / order)
    factor = xp.where(accepted, plain * memory.error ** (PROPORTIONAL / order), plain)
    factor = xp.clip(factor, SHRINK, GROW)
    factor = xp.where(memory.rejected & accepted, xp.clip(factor, SHRINK, 1.0), factor)
    error = xp.where(accepted, xp.clip(norm, 1e-4, 1.0), memory.error)
    return accepted, factor, Memory(error, xp.logical_not(accepted))


def first_step(
    field: Callable[[Array, Array], Array],
    y: Array,
    k1: Array,
    sign: Array,
    order: int,
    rtol: float,
    atol: float,
) -> Array:
    """Return a first step size, shape (batch,), positive, at the cost of one evaluation of the field.

    `field(h, y)` is f after a time h (batch,). An explicit Euler step estimates the second derivative, and the step
    is such that the leading error term is about 1 % of the tolerance (Hairer, Nørsett and Wanner 1993, II.4).
    """
    xp = namespace_of(y)
    size = scaled_norm(y, y, rtol, atol)
    slope = scaled_norm(k1, y, rtol, atol)
    tiny = (size < 1e-5) | (slope < 1e-5)
    h0 = xp.where(tiny, xp.full_like(size, 1e-6), 0.01 * size / xp.where(tiny, xp.ones_like(slope), slope))
    k2 = field(h0 * sign, y + (h0 * sign)[:, None] * k1)
    curvature = scaled_norm(k2 - k1, y, rtol, atol) / h0
    steepest = xp.where(slope > curvature, slope, curvature)
    flat = steepest <= 1e-15
    h1 = (0.01 / xp.where(flat, xp.ones_like(steepest), steepest)) ** (1 / order)
    h1 = xp.where(flat, xp.where(h0 > 1e-3, h0 * 1e-3, xp.full_like(h0, 1e-6)), h1)
    return xp.where(h1 < 100 * h0, h1, 100 * h0)
