"""Schedules of λ, as optimisers of φ = log λ (section 2.2); and Algorithm 1, a minimisation at each λ of a list.

A schedule that does not learn λ is an `Optimizer` that ignores the gradient, so it goes where `continuation`
takes the optimiser of φ: `continuation(f, adam(1e-3), geometric(0.99), log_lam0=0.0)`. i is the number of updates of
φ, so it starts to count after the warm-up.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff import ops
from mcgc.errors import InputError
from mcgc.optim import Optimizer, from_step


class Clock(NamedTuple):
    """The number of updates so far, φ₀, and the state of an inner optimiser where there is one."""

    updates: int
    start: Array
    inner: Any = ()


def _of_clock(path: Callable[[int], float]) -> Optimizer:
    """Return the schedule φᵢ = φ₀ + path(i)."""

    def step(gradient: Array, state: Clock, log_lam: Array) -> tuple[Array, Clock]:
        state = state._replace(updates=state.updates + 1)
        return state.start + path(state.updates), state

    return from_step(lambda log_lam: Clock(0, log_lam), step)


def decay(power: float) -> Optimizer:
    """Return the schedule λᵢ = λ₀ / (1 + i)^γ with γ = `power` (Neelakantan et al. 2017).

    Raises `InputError` if the power is not a positive number.
    """
    if not 0 < power < math.inf:
        raise InputError(f"gamma of a decay, its power, must be a positive number, got {power}")
    return _of_clock(lambda i: -power * math.log(1 + i))


def geometric(rate: float) -> Optimizer:
    """Return the schedule λᵢ = λ₀ γⁱ with γ = `rate` (Zhou et al. 2019).

    Raises `InputError` if the rate is not between 0 and 1.
    """
    slope = _log_rate(rate)
    return _of_clock(lambda i: slope * i)


SCHEDULES: Mapping[str, Callable[[float], Optimizer]] = {"geometric": geometric, "decay": decay}


def bounded(optimizer: Optimizer, rate: float) -> Optimizer:
    """Return `optimizer` of φ with the bound λᵢ ≤ λ₀ γⁱ, γ = `rate`.

    It is the condition of the iteration count O(1/ε⁴) of Iwakiri et al. 2022, whose single-loop method, which learns λ
    itself, is `bounded(projected(sgd(b)), rate)`.

    Raises `InputError` if the rate is not between 0 and 1.
    """
    slope = _log_rate(rate)

    def init(log_lam: Array) -> Clock:
        return Clock(0, log_lam, optimizer.init(log_lam))

    def step(gradient: Array, state: Clock, log_lam: Array) -> tuple[Array, Clock]:
        log_lam, inner = optimizer.step(gradient, state.inner, log_lam)
        updates = state.updates + 1
        bound = state.start + slope * updates
        return namespace_of(log_lam).minimum(log_lam, bound), Clock(updates, state.start, inner)

    return from_step(init, step)


def projected(optimizer: Optimizer) -> Optimizer:
    """Return the optimiser of φ that moves λ itself by `optimizer`: Algorithm 2 as printed.

    λ ← max(0, λ − b ∂g/∂λ) for `sgd(b)`, with ∂g/∂λ = (∂g/∂φ)/λ. After that division the error of "antithetic" stays
    bounded as λ → 0, since it tends to ½ εᵀHε; so does that of "antithetic-score" with two or more samples. The error
    of "pathwise" grows as λ^(−1/2), that of "score" as 1/λ.

    λ = 0, φ = −∞, is for good: without noise no estimate of ∂g/∂λ is left. There it is ½ tr H exactly (eq. 6), and
    where that is positive, as at a minimum of f, the printed algorithm stays at 0 too.
    """

    def step(gradient: Array, state: Any, log_lam: Array) -> tuple[Array, Any]:
        lam = namespace_of(log_lam).exp(log_lam)
        alive = lam > 0
        lam, state = optimizer.step(gradient / ops.where(alive, lam, math.inf), state, lam)
        alive = alive & (lam > 0)
        return ops.where(alive, ops.log(ops.where(alive, lam, 1.0)), -math.inf), state

    return from_step(lambda log_lam: optimizer.init(namespace_of(log_lam).exp(log_lam)), step)


def _log_rate(rate: float) -> float:
    if not 0 < rate < 1:
        raise InputError(f"gamma of a geometric schedule, its rate, must lie between 0 and 1, got {rate}")
    return math.log(rate)


class Point(NamedTuple):
    """A point of the path θ*(λ): λ, a minimiser θ of g(·, λ), and g there."""

    lam: float
    theta: Array
    smoothed: Any


def follow(
    minimise: Callable[[Array, float], tuple[Array, Any]], theta: Array, lams: Iterable[float]
) -> Sequence[Point]:
    """Algorithm 1: minimise g(·, λ) at each λ₀ > … > λₙ = 0 of `lams`, from the minimiser before; return the path.

    `minimise(theta, lam)` returns a minimiser of g(·, λ) near θ and the value there, by any means: SciPy or an
    optimiser on an exact g (`mcgc.continuation.smoothing`), or steps of `continuation` whose warm-up never ends.

    Raises `InputError` if the numbers do not decrease to 0.
    """
    lams = [float(lam) for lam in lams]
    if not lams or lams[-1] != 0 or not all(a > b for a, b in pairwise(lams)):
        raise InputError(f"Algorithm 1 needs numbers that decrease to 0, got {lams}")
    path = []
    for lam in lams:
        theta, smoothed = minimise(theta, lam)
        path.append(Point(lam, theta, smoothed))
    return path
