"""Gaussian continuation: the smoothed objective, its gradients by Monte Carlo, and one step of Algorithm 2.

The smoothed objective of f is g(θ, λ) = E f(θ + √λ ε) with ε ~ N(0, I) (eq. 3, 7). Both θ and φ = log λ descend
along stochastic estimates of its gradients, each with an optimiser of its own; a term β pulls λ towards zero (eq. 12).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff.transforms import value_and_grad
from mcgc.errors import InputError
from mcgc.kernels import kernels_for
from mcgc.optim import Optimizer
from mcgc.random import Key, fold_in


class Sample(NamedTuple):
    """One draw of the noise: f and ∇f at ϑ = θ + √λ ε, with √λ, ‖ε‖² and the key that makes ε again."""

    loss: Array
    gradient: Array
    root: Array
    sqnorm: Array
    key: Key


def _score(sample: Sample) -> Array:
    return (sample.sqnorm - sample.gradient.shape[0]) / 2 * sample.loss


def _pathwise(sample: Sample) -> Array:
    return sample.root / 2 * kernels_for(sample.gradient).noise_dot(sample.gradient, sample.key)


ESTIMATORS: Mapping[str, Callable[[Sample], Array]] = {"score": _score, "pathwise": _pathwise}


class Estimate(NamedTuple):
    """Unbiased estimates: `smoothed` of g, `grad_theta` of ∂g/∂θ, `grad_log_lam` of ∂g/∂φ; and the objective's aux."""

    smoothed: Array
    grad_theta: Array
    grad_log_lam: Array
    aux: list


def estimate(
    objective: Callable, estimator: str = "score", num_samples: int = 1, has_aux: bool = False
) -> Callable[[Array, Array, Any, Key], Estimate]:
    """Return a function (θ, φ, batch, key) → `Estimate` of the smoothed objective and its gradients.

    Averages over N = `num_samples` draws, the j-th with noise ε = normal(fold_in(key, j), (m,)) and ϑ = θ + √λ ε:

    - g: f(ϑ), and ∂g/∂θ: ∇f(ϑ);
    - ∂g/∂φ by "score": (‖ε‖² − m)/2 · f(ϑ) (eq. 8, times λ); by "pathwise": ½ √λ ε·∇f(ϑ).

    `objective(theta, batch)` returns a scalar f, or (f, aux) with `has_aux`; `aux` of the result lists those of all
    draws. θ has shape (m,), φ is 0-dimensional of the same dtype and device, and so are the results.

    Raises `InputError` if the estimator is unknown or `num_samples` is not a positive integer.
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator {estimator!r}: choose one of {', '.join(ESTIMATORS)}")
    if not isinstance(num_samples, int) or num_samples < 1:
        raise InputError(f"num_samples must be a positive integer, got {num_samples!r}")
    evaluate = value_and_grad(objective, has_aux=True) if has_aux else value_and_grad(objective)

    def at(theta: Array, log_lam: Array, batch: Any, key: Key) -> Estimate:
        root = namespace_of(log_lam).exp(log_lam / 2)
        drawn, extras = [], []
        for j in range(num_samples):
            sample_key = fold_in(key, j)
            perturbed, sqnorm = kernels_for(theta).perturb(theta, root, sample_key)
            value, gradient = evaluate(perturbed, batch)
            loss, aux = value if has_aux else (value, None)
            sample = Sample(loss, gradient, root, sqnorm, sample_key)
            drawn.append((loss, gradient, ESTIMATORS[estimator](sample)))
            extras.append(aux)
        smoothed, grad_theta, grad_log_lam = (_mean(parts) for parts in zip(*drawn, strict=True))
        return Estimate(smoothed, grad_theta, grad_log_lam, extras)

    return at


def _mean(parts: tuple) -> Array:
    return parts[0] if len(parts) == 1 else sum(parts[1:], start=parts[0]) / len(parts)


class State(NamedTuple):
    """θ (m,), φ = log λ (), the states of both optimisers, and the number of steps taken."""

    theta: Array
    log_lam: Array
    optimizer: Any
    optimizer_lam: Any
    steps: int


class Info(NamedTuple):
    """What a step saw: the estimate of g at the state before it, of ∂g/∂φ without and with β, and the aux list."""

    smoothed: Array
    grad_log_lam: Array
    regularised: Array
    aux: list


class Continuation(NamedTuple):
    """Algorithm 2 for one objective: `init(theta) -> State` and `step(state, batch, key) -> (State, Info)`, pure."""

    init: Callable[[Array], State]
    step: Callable[[State, Any, Key], tuple[State, Info]]


def continuation(
    objective: Callable,
    optimizer: Optimizer,
    optimizer_lam: Optimizer,
    *,
    log_lam0: float,
    estimator: str = "score",
    num_samples: int = 1,
    beta: float = 0.0,
    relative: bool = True,
    cap: float = 2.0,
    warmup: int = 0,
    has_aux: bool = False,
) -> Continuation:
    """Return Algorithm 2 of the paper, with λ = exp φ, for `objective(theta, batch)`.

    A step estimates ∂g/∂θ and ∂g/∂φ (see `estimate`), adds to the latter the pull towards λ = 0, and hands θ and φ to
    their optimisers. With β = `beta` the pull is βm exp(φ − φ₀), β in units of 1/λ₀, if `relative`, else βmλ (eq. 12).
    φ starts at φ₀ = `log_lam0` and is held there for the first `warmup` steps; it never exceeds φ₀ + `cap`: what the
    optimiser would put above is put there, so noise and gradient both belong to the λ that is reported.

    `key` must be a different one each step, such as fold_in(run_key, state.steps).

    Raises `InputError` if an option is out of its range.
    """
    for name, value, lowest in (("beta", beta, 0), ("cap", cap, 0), ("warmup", warmup, 0)):
        if not lowest <= value < math.inf:
            raise InputError(f"{name} must be a number of at least {lowest}, got {value}")
    if not math.isfinite(log_lam0):
        raise InputError(f"log_lam0 must be a finite number, got {log_lam0}")
    estimate_at = estimate(objective, estimator, num_samples, has_aux)

    def init(theta: Array) -> State:
        log_lam = namespace_of(theta).asarray(log_lam0, dtype=theta.dtype, device=device_of(theta))
        return State(theta, log_lam, optimizer.init(theta), optimizer_lam.init(log_lam), 0)

    def step(state: State, batch: Any, key: Key) -> tuple[State, Info]:
        theta, log_lam, optimizer_state, lam_state, steps = state
        xp = namespace_of(theta)
        found = estimate_at(theta, log_lam, batch, key)
        pull = beta * theta.shape[0] * xp.exp(log_lam - log_lam0 if relative else log_lam)
        regularised = found.grad_log_lam + pull
        theta, optimizer_state = optimizer.update(found.grad_theta, optimizer_state, theta)
        if steps >= warmup:
            log_lam, lam_state = optimizer_lam.update(regularised, lam_state, log_lam)
            log_lam = xp.clip(log_lam, None, log_lam0 + cap)
        info = Info(found.smoothed, found.grad_log_lam, regularised, found.aux)
        return State(theta, log_lam, optimizer_state, lam_state, steps + 1), info

    return Continuation(init, step)


def descent(objective: Callable, optimizer: Optimizer, *, has_aux: bool = False) -> Continuation:
    """Return plain minimisation of `objective(theta, batch)` in the form of `continuation`: λ = 0, and no noise.

    φ = −∞ in the state, the gradients with respect to it are zero, and the key of a step is not used.
    """
    evaluate = value_and_grad(objective, has_aux=has_aux)

    def init(theta: Array) -> State:
        log_lam = namespace_of(theta).asarray(-math.inf, dtype=theta.dtype, device=device_of(theta))
        return State(theta, log_lam, optimizer.init(theta), (), 0)

    def step(state: State, batch: Any, key: Key) -> tuple[State, Info]:
        value, gradient = evaluate(state.theta, batch)
        loss, aux = value if has_aux else (value, None)
        theta, optimizer_state = optimizer.update(gradient, state.optimizer, state.theta)
        zero = namespace_of(state.log_lam).zeros_like(state.log_lam)
        info = Info(loss, zero, zero, [aux])
        return state._replace(theta=theta, optimizer=optimizer_state, steps=state.steps + 1), info

    return Continuation(init, step)
