"""Gaussian continuation: one step of Algorithm 2, on the smoothed objective g(θ, λ) = E f(θ + √λ ε), ε ~ N(0, I).

Both θ and φ = log λ descend along stochastic estimates of the gradients of g (eq. 3, 7;
`mcgc.continuation.estimators`). Each has an optimiser of its own. A term β pulls λ towards zero (eq. 12). A schedule
that does not learn λ is an optimiser of φ that ignores the gradient (`mcgc.continuation.annealing`).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from mcgc._integers import whole
from mcgc.arrays import Array, as_floats, device_of, is_array, namespace_of
from mcgc.continuation.estimators import ESTIMATORS, Estimate, Estimator, estimate, evaluator
from mcgc.errors import InputError
from mcgc.optim import Optimizer, apply_updates
from mcgc.random import Keys

__all__ = [
    "ESTIMATORS",
    "Continuation",
    "Estimate",
    "Info",
    "State",
    "adapt_samples",
    "at_step",
    "continuation",
    "descent",
    "estimate",
]

DECAY = 0.98  # of the running means: they remember about the last 50 steps


class State(NamedTuple):
    """θ (m,), φ = log λ (), the states of both optimisers, and the number of steps taken.

    `moments` (3,) are the decayed means, from zero, of the estimates of g, of ∂g/∂φ and of its square; `capped` () is
    the number of steps whose φ met the cap. Plain descent has neither. Members are a leading axis of all arrays.
    """

    theta: Array
    log_lam: Array
    optimizer: Any
    optimizer_lam: Any
    steps: int
    moments: Any = ()
    capped: Any = ()


class Info(NamedTuple):
    """What a step saw: the estimate of g at the state before it, of ∂g/∂φ without and with β, and the aux list.

    `means` (..., 3) are those of the estimates of g, of ∂g/∂φ and of its square over about the last 50 steps, this one
    included; `capped` is the number of steps so far whose φ met the cap; `gap` is the estimate of g less f(θ), where
    that was asked for. All are arrays on the device of θ, the others 0-dimensional or (members,), or None where there
    is no such number.
    """

    smoothed: Array
    grad_log_lam: Array
    grad_log_lam_total: Array
    aux: list
    means: Array | None = None
    capped: Array | None = None
    gap: Array | None = None

    @property
    def ratio(self) -> Array | None:
        """The signal-to-noise ratio of the estimates of ∂g/∂φ, |mean| / standard deviation, from `means`.

        The variance is taken to be no less than its rounding: it is 1/√ε of the dtype where there is no spread, as in
        the first step.
        """
        if self.means is None:
            return None
        xp = namespace_of(self.means)
        mean, square, limits = self.means[..., 1], self.means[..., 2], xp.finfo(self.means.dtype)
        variance = xp.maximum(square - mean * mean, limits.eps * square + limits.smallest_normal)
        return xp.abs(mean) / xp.sqrt(variance)


class Continuation(NamedTuple):
    """Algorithm 2 for one objective: `init(theta) -> State` and `step(state, batch, key) -> (State, Info)`, pure.

    θ, (m,) or (members, m), may be a sequence of numbers, or of integers (`mcgc.arrays.as_floats`); `init` raises
    `InputError` if it is neither.
    """

    init: Callable[[Array], State]
    step: Callable[[State, Any, Keys], tuple[State, Info]]


def continuation(
    objective: Callable,
    optimizer: Optimizer,
    optimizer_lam: Optimizer,
    *,
    log_lam0: float,
    estimator: str | Estimator = "score",
    num_samples: int = 1,
    beta: float = 0.0,
    relative: bool = True,
    cap: float = 2.0,
    warmup: int = 0,
    has_aux: bool = False,
    gradient: str = "engine",
    batched: bool = False,
    scaled: bool = False,
    gap: bool = False,
) -> Continuation:
    """Return Algorithm 2 of the paper, with λ = exp φ, for `objective(theta, batch)`.

    A step estimates ∂g/∂θ and ∂g/∂φ (see `estimate`, which `estimator`, `num_samples`, `has_aux`, `gradient` and
    `batched` are for), adds to the latter the pull towards λ = 0, and hands both to their optimisers. With β = `beta`
    the pull is βm exp(φ − φ₀), β in units of 1/λ₀, if `relative`, else βmλ (eq. 12). φ starts at φ₀ = `log_lam0` and is
    held there for the first `warmup` steps; it never exceeds φ₀ + `cap`: what the optimiser would put above is put
    there, so noise and gradient both belong to the λ that is reported. The baseline of an estimator that takes one is,
    for one sample, the decayed mean of f in the steps before. With `scaled`, the optimiser's step of θ is multiplied by
    √(λ/λ₀), so that it narrows as the kernel does. With `gap`, each step evaluates f(θ) too, and tells the gap g − f.

    `key` must be a different one each step, such as fold_in(run_key, state.steps). A state does not depend on
    `num_samples`: a method of another number goes on with it (`adapt_samples`). Members of an ensemble step together
    from θ (members, m), with a tuple of their keys and an objective that gives f of each (see `estimate`).

    Raises `InputError` if an option is out of its range.
    """
    for name, value in (("beta", beta), ("cap", cap)):
        if not 0 <= value < math.inf:
            raise InputError(f"{name} must be a number of at least 0, got {value}")
    warmup = whole(warmup, "warmup", 0)
    if not math.isfinite(log_lam0):
        raise InputError(f"log_lam0 must be a finite number, got {log_lam0}")
    estimate_at = estimate(objective, estimator, num_samples, has_aux, gradient, batched)
    plain = evaluator(objective, "given" if gradient == "given" else "score", has_aux, batched)

    def init(theta: Array) -> State:
        theta = _vector(theta)
        xp, device = namespace_of(theta), device_of(theta)
        members = theta.shape[:-1]
        log_lam = xp.full(members, log_lam0, dtype=theta.dtype, device=device)
        moments = xp.zeros((*members, 3), dtype=theta.dtype, device=device)
        capped = xp.zeros(members, dtype=xp.int32, device=device)
        return State(theta, log_lam, optimizer.init(theta), optimizer_lam.init(log_lam), 0, moments, capped)

    def step(state: State, batch: Any, key: Keys) -> tuple[State, Info]:
        theta, log_lam, optimizer_state, lam_state, steps, moments, capped = state
        xp = namespace_of(theta)
        baseline = moments[..., 0] / (1 - DECAY**steps) if steps else 0.0
        found = estimate_at(theta, log_lam, batch, key, baseline)
        difference = found.smoothed - plain([theta], batch)[0][0] if gap else None
        pull = beta * theta.shape[-1] * xp.exp(log_lam - log_lam0 if relative else log_lam)
        grad_log_lam_total = found.grad_log_lam + pull
        if scaled:
            updates, optimizer_state = optimizer.update(found.grad_theta, optimizer_state, theta)
            theta = apply_updates(theta, xp.exp((log_lam - log_lam0) / 2)[..., None] * updates)
        else:
            theta, optimizer_state = optimizer.step(found.grad_theta, optimizer_state, theta)
        if steps >= warmup:
            log_lam, lam_state = optimizer_lam.step(grad_log_lam_total, lam_state, log_lam)
            capped = capped + xp.astype(log_lam > log_lam0 + cap, capped.dtype)
            log_lam = xp.minimum(log_lam, log_lam0 + cap)
        seen = xp.stack([found.smoothed, found.grad_log_lam, found.grad_log_lam * found.grad_log_lam], axis=-1)
        moments = DECAY * moments + (1 - DECAY) * seen
        means = moments / (1 - DECAY ** (steps + 1))
        info = Info(found.smoothed, found.grad_log_lam, grad_log_lam_total, found.aux, means, capped, difference)
        return State(theta, log_lam, optimizer_state, lam_state, steps + 1, moments, capped), info

    return Continuation(init, step)


def _vector(theta: Any) -> Array:
    theta = as_floats(theta, "theta")
    if theta.ndim == 0:
        raise InputError("theta must be a vector (m,), or with members (members, m), got one number")
    return theta


def at_step(state: State, steps: int) -> State:
    """Return `state` with `steps` as its number of steps; its running means, corrected for their start, stay equal."""
    if state.steps and is_array(state.moments):
        state = state._replace(moments=state.moments * ((1 - DECAY**steps) / (1 - DECAY**state.steps)))
    return state._replace(steps=steps)


def adapt_samples(num_samples: int, ratio: float, *, lowest: float = 0.1, most: int = 64) -> int:
    """Return the number of samples to go on with: twice `num_samples`, up to `most`, if `ratio` is below `lowest`.

    `ratio` is `Info.ratio`, read to the host where a record is due: a running number, so it is low only if it stayed
    low. A step never decides this, since that would make every step wait for the device; the caller's loop does, and
    goes on from the same state with the method of the new number. N samples make the ratio √N times as large.

    Raises `InputError` if `num_samples` or `most` is not a positive integer.
    """
    num_samples, most = whole(num_samples, "num_samples"), whole(most, "most")
    return max(num_samples, min(2 * num_samples, most)) if ratio < lowest else num_samples


def descent(
    objective: Callable, optimizer: Optimizer, *, has_aux: bool = False, gradient: str = "engine"
) -> Continuation:
    """Return plain minimisation of `objective(theta, batch)` in the form of `continuation`: λ = 0, and no noise.

    φ = −∞ in the state, the gradients with respect to it are zero, and the key of a step is not used. `gradient` is
    "engine" or "given", as in `estimate`.

    Raises `InputError` if it is neither.
    """
    if gradient == "score":
        raise InputError("plain descent needs gradients: give 'engine' or 'given' as gradient, not 'score'")
    evaluate = evaluator(objective, gradient, has_aux)

    def init(theta: Array) -> State:
        theta = _vector(theta)
        log_lam = namespace_of(theta).full(theta.shape[:-1], -math.inf, dtype=theta.dtype, device=device_of(theta))
        return State(theta, log_lam, optimizer.init(theta), (), 0)

    def step(state: State, batch: Any, key: Keys) -> tuple[State, Info]:
        ((loss, slope, aux),) = evaluate([state.theta], batch)
        theta, optimizer_state = optimizer.step(slope, state.optimizer, state.theta)
        zero = namespace_of(state.log_lam).zeros_like(state.log_lam)
        info = Info(loss, zero, zero, [aux])
        return state._replace(theta=theta, optimizer=optimizer_state, steps=state.steps + 1), info

    return Continuation(init, step)
