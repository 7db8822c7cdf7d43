"""Schedules of λ, as optimisers of φ = log λ (section 2.2); and Algorithm 1, a minimisation at each λ of a list.

A schedule that does not learn λ is an `Optimizer` that ignores the gradient, so it goes where `continuation` takes the
optimiser of φ: `continuation(f, adam(1e-3), geometric(0.99), log_lam0=0.0)`. i is the number of updates of φ, so it
starts to count after the warm-up.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from mcgc._shapes import Array
from mcgc.arrays import namespace_of
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
    """Return the schedule λᵢ = λ₀ / (1 + i)^γ.

    Parameters
    ----------
    power : float
        The positive number γ.

    Returns
    -------
    Optimizer
        The schedule, for φ.

    Raises
    ------
    InputError
        If γ is not a positive number.

    References
    ----------
    Neelakantan et al. (2017).

    Examples
    --------
    >>> import math
    >>> from mcgc.continuation.annealing import decay
    >>> schedule = decay(1.0)
    >>> log_lam, state = schedule.step(0.0, schedule.init(0.0), 0.0)
    >>> math.exp(log_lam)
    0.5
    """
    if not 0 < power < math.inf:
        raise InputError(f"gamma of a decay, its power, must be a positive number, got {power}")
    return _of_clock(lambda i: -power * math.log(1 + i))


def geometric(rate: float) -> Optimizer:
    """Return the schedule λᵢ = λ₀ γⁱ.

    Parameters
    ----------
    rate : float
        The number γ between 0 and 1.

    Returns
    -------
    Optimizer
        The schedule, for φ.

    Raises
    ------
    InputError
        If γ is not between 0 and 1.

    References
    ----------
    Zhou et al. (2019).

    Examples
    --------
    >>> import math
    >>> from mcgc.continuation.annealing import geometric
    >>> schedule = geometric(0.5)
    >>> log_lam, state = schedule.step(0.0, schedule.init(0.0), 0.0)
    >>> math.exp(log_lam)
    0.5
    """
    slope = _log_rate(rate)
    return _of_clock(lambda i: slope * i)


SCHEDULES: Mapping[str, Callable[[float], Optimizer]] = {"geometric": geometric, "decay": decay}


def bounded(optimizer: Optimizer, rate: float) -> Optimizer:
    """Return `optimizer` of φ with the bound λᵢ ≤ λ₀ γⁱ.

    The bound is the condition of the iteration count O(1/ε⁴) of Iwakiri et al. [1]_. Their single-loop method, which
    learns λ itself, is `bounded(projected(sgd(b)), rate)`.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser of φ.
    rate : float
        The number γ between 0 and 1.

    Returns
    -------
    Optimizer
        The optimiser of φ.

    Raises
    ------
    InputError
        If γ is not between 0 and 1.

    References
    ----------
    .. [1] Iwakiri et al. (2022), Single loop Gaussian homotopy method for non-convex optimization.

    Examples
    --------
    >>> import math
    >>> from mcgc.continuation.annealing import bounded
    >>> from mcgc.optim import sgd
    >>> rule = bounded(sgd(0.1), 0.5)
    >>> log_lam, state = rule.step(1.0, rule.init(0.0), 0.0)  # the gradient alone would make it exp(−0.1)
    >>> math.exp(log_lam)
    0.5
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

    λ ← max(0, λ − b ∂g/∂λ) for `sgd(b)`, with ∂g/∂λ = (∂g/∂φ)/λ. That division makes errors grow as λ → 0: the error of
    "pathwise" as λ^(−1/2), that of "score" as 1/λ. The error of "antithetic" stays bounded, since it tends to
    ½ εᵀHε; so does that of "antithetic-score" with two or more samples.

    λ = 0, φ = −∞, is for good: without noise there is no estimate of ∂g/∂λ. There ∂g/∂λ = ½ tr H (eq. 6). Where that is
    positive, as at a minimum of f, the printed algorithm stays at 0 too.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser of λ.

    Returns
    -------
    Optimizer
        The optimiser of φ.

    Examples
    --------
    >>> import math
    >>> from mcgc.continuation.annealing import projected
    >>> from mcgc.optim import sgd
    >>> rule = projected(sgd(0.1))
    >>> log_lam, state = rule.step(2.0, rule.init(0.0), 0.0)
    >>> round(math.exp(log_lam), 12)
    0.8
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
    """Return the path of Algorithm 1: minimise g(·, λ) at each λ, from the minimiser before.

    Parameters
    ----------
    minimise : function (theta, lam) → (theta, value)
        Returns a minimiser of g(·, λ) near θ, and the value there, by any means: SciPy or an optimiser on an exact g
        (`mcgc.continuation.smoothing`), or steps of `continuation` whose warm-up never ends.
    theta : array of shape (m,)
        The start.
    lams : iterable of float
        λ₀ > … > λₙ = 0.

    Returns
    -------
    list of Point
        One for each λ.

    Raises
    ------
    InputError
        If the numbers do not decrease to 0.

    References
    ----------
    Ilersich and Nair (2024), Deep learning with Gaussian continuation, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.continuation.annealing import follow
    >>> smoothed = lambda x, lam: x**4 + (6 * lam - 2) * x**2 + 3 * lam**2 - 2 * lam + x / 2  # of x⁴ − 2x² + x/2
    >>> grid = np.linspace(-2, 2, 401)
    >>> def minimise(x, lam):
    ...     near = grid[abs(grid - x) < 0.5]
    ...     return near[smoothed(near, lam).argmin()], smoothed(near, lam).min()
    >>> [round(float(point.theta), 2) for point in follow(minimise, 0.8, (1.0, 0.5, 0.25, 0.1, 0.0))]
    [0.3, -0.19, -0.66, -0.91, -1.06]
    """
    lams = [float(lam) for lam in lams]
    if not lams or lams[-1] != 0 or not all(a > b for a, b in pairwise(lams)):
        raise InputError(f"Algorithm 1 needs numbers that decrease to 0, got {lams}")
    path = []
    for lam in lams:
        theta, smoothed = minimise(theta, lam)
        path.append(Point(lam, theta, smoothed))
    return path
