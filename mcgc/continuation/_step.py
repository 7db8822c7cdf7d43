"""Gaussian continuation: one step of Algorithm 2, on the smoothed objective g(θ, λ) = E f(θ + √λ ε), ε ~ N(0, I).

Both θ and φ = log λ descend along stochastic estimates of the gradients of g (eq. 3, 7;
`mcgc.continuation.estimators`). Each has an optimiser of its own. A term with the weight β draws λ towards zero
(eq. 12). A schedule that does not learn λ is an optimiser of φ that ignores the gradient
(`mcgc.continuation.annealing`).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from mcgc._integers import whole
from mcgc._shapes import Array, Float
from mcgc.arrays import as_floats, device_of, is_array, is_host, namespace_of
from mcgc.autodiff import flatten
from mcgc.continuation.estimators import ESTIMATORS, Estimate, Estimator, Objective, estimate, evaluator
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
    """The state of an optimisation. Members are a leading axis of all arrays.

    Parameters
    ----------
    theta : array of shape (m,)
        The parameters θ.
    log_lam : array of shape ()
        φ = log λ.
    optimizer, optimizer_lam : pytree
        The states of both optimisers.
    steps : int
        The number of steps so far.
    moments : array of shape (3,), or () for plain descent
        The decayed means, from zero, of the estimates of g, of ∂g/∂φ and of its square.
    capped : array of shape (), or () for plain descent
        The number of steps whose φ met the cap.
    """

    theta: Float[Array, "*members m"]
    log_lam: Float[Array, "*members"]
    optimizer: Any
    optimizer_lam: Any
    steps: int
    moments: Any = ()
    capped: Any = ()


class Info(NamedTuple):
    """What a step estimated, at the state before it. Arrays are on the device of θ; members are a leading axis.

    Parameters
    ----------
    smoothed : array of shape ()
        The estimate of g.
    grad_log_lam, grad_log_lam_total : array of shape ()
        The estimate of ∂g/∂φ, without and with the term of β.
    aux : list
        The aux of each evaluation.
    means : array of shape (3,), optional
        The means of the estimates of g, of ∂g/∂φ and of its square over about the last 50 steps, this one included.
    capped : array of shape (), optional
        The number of steps so far whose φ met the cap.
    gap : array of shape (), optional
        The estimate of g less f(θ), where that was asked for.
    """

    smoothed: Float[Array, "*members"]
    grad_log_lam: Float[Array, "*members"]
    grad_log_lam_total: Float[Array, "*members"]
    aux: list
    means: Float[Array, "*members 3"] | None = None
    capped: Array | None = None
    gap: Float[Array, "*members"] | None = None

    @property
    def ratio(self) -> Array | None:
        """The signal-to-noise ratio of the estimates of ∂g/∂φ, |mean| / standard deviation, from `means`.

        The variance is at least its own rounding. Where there is no spread, as in the first step, the ratio is 1/√ε for
        the ε of the dtype.
        """
        if self.means is None:
            return None
        xp = namespace_of(self.means)
        mean, square, limits = self.means[..., 1], self.means[..., 2], xp.finfo(self.means.dtype)
        variance = xp.maximum(square - mean * mean, limits.eps * square + limits.smallest_normal)
        return xp.abs(mean) / xp.sqrt(variance)


class Step(Protocol):
    """Maps a state, a batch and a key to the next state and what the step estimated."""

    def __call__(self, state: State, batch: Any, key: Keys, donate: bool = False) -> tuple[State, Info]: ...


class Continuation(NamedTuple):
    """A method for one objective: two pure functions.

    Parameters
    ----------
    init : function (theta) → State
        θ, (m,) or (members, m), may be a sequence of numbers, or of integers. `InputError` refuses anything else.
    step : function (state, batch, key, donate=False) → (State, Info)
        One step. `key` must be a different one each step, such as fold_in(run_key, state.steps). Members have a tuple
        of keys. With `donate` the arrays θ and those of its optimiser's state may be overwritten, as
        `Optimizer.step` says: `state` must not be used any more. A step that raises an error before it has the
        gradient leaves them as they are.
    """

    init: Callable[[Array], State]
    step: Step


def continuation(
    objective: Objective,
    optimizer: Optimizer,
    optimizer_lam: Optimizer,
    *,
    log_lam0: float,
    estimator: str | Estimator = "score",
    num_samples: int = 1,
    beta: float = 0.0,
    cap: float = 2.0,
    warmup: int = 0,
    has_aux: bool = False,
    gradient: str = "engine",
    batched: bool = False,
    scaled: bool = False,
    gap: bool = False,
    skip_nonfinite: bool = False,
) -> Continuation:
    """Return Algorithm 2 of the paper, with λ = exp φ.

    A step estimates ∂g/∂θ and ∂g/∂φ (see `estimate`). It adds to the latter the term of β, which draws λ towards zero.
    It hands both to their optimisers. The baseline of an estimator with one sample is the decayed mean of f in the
    steps before.

    Parameters
    ----------
    objective : Objective
        f(θ, batch). Members step together from θ (members, m), with an objective that gives f of each.
    optimizer, optimizer_lam : Optimizer
        The optimisers of θ and of φ. A schedule of `mcgc.continuation.annealing` may stand for the second.
    log_lam0 : float
        φ₀, the start of φ.
    estimator, num_samples, has_aux, gradient, batched, skip_nonfinite
        As for `estimate`. A state does not depend on `num_samples`: a method of another number goes on with it
        (`adapt_samples`).
    beta : float
        The weight β ≥ 0 of the term βm exp(φ − φ₀), in units of 1/λ₀. The β of eq. 12, whose term is βmλ, is β/λ₀.
    cap : float
        φ never exceeds φ₀ + cap. What the optimiser would put above is put there, so noise and gradient belong to the
        λ that is reported.
    warmup : int
        The number of steps at the start in which φ is held at φ₀.
    scaled : bool
        Whether the updates of θ are multiplied by √(λ/λ₀), so that they narrow as the kernel does.
    gap : bool
        Whether each step evaluates f(θ) too, for `Info.gap`.

    Returns
    -------
    Continuation
        The method.

    Raises
    ------
    InputError
        If an option is out of its range.

    References
    ----------
    Ilersich and Nair (2024), Deep learning with Gaussian continuation, Algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import Key, fold_in, ops
    >>> from mcgc.continuation import continuation
    >>> from mcgc.optim import adam
    >>> rough = lambda theta, batch: ops.sum(theta**2 / 20 + 1 - ops.cos(2 * np.pi * theta))
    >>> options = {"log_lam0": 0.0, "estimator": "pathwise", "num_samples": 4, "beta": 0.03}
    >>> method = continuation(rough, adam(0.05), adam(0.02), **options)
    >>> state = method.init(np.asarray([3.0, -2.0]))
    >>> for i in range(2000):
    ...     state, info = method.step(state, None, fold_in(Key(0), i))
    >>> bool(np.all(abs(state.theta) < 0.1))
    True
    """
    for name, value in (("beta", beta), ("cap", cap)):
        if not 0 <= value < math.inf:
            raise InputError(f"{name} must be a number of at least 0, got {value}")
    warmup = whole(warmup, "warmup", 0)
    if not math.isfinite(log_lam0):
        raise InputError(f"log_lam0 must be a finite number, got {log_lam0}")
    estimate_at = estimate(objective, estimator, num_samples, has_aux, gradient, batched, skip_nonfinite)
    plain = evaluator(objective, "given" if gradient == "given" else "score", has_aux, batched)

    def init(theta: Array) -> State:
        theta = _vector(theta)
        xp, device = namespace_of(theta), device_of(theta)
        members = theta.shape[:-1]
        log_lam = xp.full(members, log_lam0, dtype=theta.dtype, device=device)
        moments = xp.zeros((*members, 3), dtype=theta.dtype, device=device)
        capped = xp.zeros(members, dtype=xp.int32, device=device)
        return State(theta, log_lam, optimizer.init(theta), optimizer_lam.init(log_lam), 0, moments, capped)

    def step(state: State, batch: Any, key: Keys, donate: bool = False) -> tuple[State, Info]:
        theta, log_lam, optimizer_state, lam_state, steps, moments, capped = state
        xp = namespace_of(theta)
        baseline = moments[..., 0] / (1 - DECAY**steps) if steps else 0.0
        found = estimate_at(theta, log_lam, batch, key, baseline)
        difference = found.smoothed - plain([theta], batch)[0][0] if gap else None
        penalty = beta * theta.shape[-1] * xp.exp(log_lam - log_lam0)
        grad_log_lam_total = found.grad_log_lam + penalty
        if scaled:
            updates, optimizer_state = optimizer.update(found.grad_theta, optimizer_state, theta)
            theta = apply_updates(theta, xp.exp((log_lam - log_lam0) / 2)[..., None] * updates)
        else:
            donate = donate and not _shares((found.smoothed, difference, found.aux), theta)
            theta, optimizer_state = optimizer.step(found.grad_theta, optimizer_state, theta, donate)
        if steps >= warmup:
            log_lam, lam_state = optimizer_lam.step(grad_log_lam_total, lam_state, log_lam)
            capped = capped + xp.astype(log_lam > log_lam0 + cap, capped.dtype)
            log_lam = xp.minimum(log_lam, log_lam0 + cap)
        estimates = xp.stack([found.smoothed, found.grad_log_lam, found.grad_log_lam * found.grad_log_lam], axis=-1)
        moments = DECAY * moments + (1 - DECAY) * estimates
        means = moments / (1 - DECAY ** (steps + 1))
        info = Info(found.smoothed, found.grad_log_lam, grad_log_lam_total, found.aux, means, capped, difference)
        return State(theta, log_lam, optimizer_state, lam_state, steps + 1, moments, capped), info

    return Continuation(init, step)


def _vector(theta: Any) -> Array:
    theta = as_floats(theta, "theta")
    if theta.ndim == 0:
        raise InputError("theta must be a vector (m,), or with members (members, m), got one number")
    return theta


def _shares(found: Any, theta: Array) -> bool:
    """Return whether an array of the pytree `found` is a view of θ, as the loss of an objective may be."""
    arrays = [x for x in flatten(found)[0] if isinstance(x, np.ndarray)]  # a number is no view
    return bool(arrays) and is_host(theta) and any(np.may_share_memory(x, theta) for x in arrays)


def at_step(state: State, steps: int) -> State:
    """Return `state` with `steps` as its number of steps; its running means, corrected for their start, stay equal."""
    if state.steps and is_array(state.moments):
        state = state._replace(moments=state.moments * ((1 - DECAY**steps) / (1 - DECAY**state.steps)))
    return state._replace(steps=steps)


def adapt_samples(num_samples: int, ratio: float, *, lowest: float = 0.1, most: int = 64) -> int:
    """Return the number of samples to go on with: twice `num_samples`, up to `most`, if `ratio` is below `lowest`.

    N samples make the signal-to-noise ratio √N times as large. A step never decides this, since every step would then
    wait for the device. The caller's loop decides it where a record is due, and goes on from the same state with the
    method of the new number.

    Parameters
    ----------
    num_samples : int
        The present number of samples.
    ratio : float
        `Info.ratio`, read to the host. It is a running number, so it is low only if it stayed low.
    lowest : float
        The ratio that suffices.
    most : int
        The largest number of samples.

    Returns
    -------
    int
        The number.

    Raises
    ------
    InputError
        If `num_samples` or `most` is not a positive integer.

    Examples
    --------
    >>> from mcgc.continuation import adapt_samples
    >>> adapt_samples(4, 0.02), adapt_samples(4, 0.5)
    (8, 4)
    """
    num_samples, most = whole(num_samples, "num_samples"), whole(most, "most")
    return max(num_samples, min(2 * num_samples, most)) if ratio < lowest else num_samples


def descent(
    objective: Objective, optimizer: Optimizer, *, has_aux: bool = False, gradient: str = "engine"
) -> Continuation:
    """Return plain minimisation in the form of `continuation`: λ = 0, and no noise.

    φ is −∞ in the state. The gradients with respect to φ are zero. The key of a step is not used.

    Parameters
    ----------
    objective : Objective
        f(θ, batch).
    optimizer : Optimizer
        The optimiser of θ.
    has_aux : bool
        Whether the objective returns (f, aux).
    gradient : {"engine", "given"}
        As for `estimate`.

    Returns
    -------
    Continuation
        The method.

    Raises
    ------
    InputError
        If `gradient` is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import Key, ops
    >>> from mcgc.continuation import descent
    >>> from mcgc.optim import sgd
    >>> method = descent(lambda theta, batch: ops.sum(theta**2) / 2, sgd(0.1))
    >>> state, info = method.step(method.init(np.asarray([1.0, -2.0])), None, Key(0))
    >>> state.theta
    array([ 0.9, -1.8])
    """
    if gradient == "score":
        raise InputError("plain descent needs gradients: give 'engine' or 'given' as gradient, not 'score'")
    evaluate = evaluator(objective, gradient, has_aux)

    def init(theta: Array) -> State:
        theta = _vector(theta)
        log_lam = namespace_of(theta).full(theta.shape[:-1], -math.inf, dtype=theta.dtype, device=device_of(theta))
        return State(theta, log_lam, optimizer.init(theta), (), 0)

    def step(state: State, batch: Any, key: Keys, donate: bool = False) -> tuple[State, Info]:
        ((loss, slope, aux),) = evaluate([state.theta], batch)
        donate = donate and not _shares((loss, aux), state.theta)
        theta, optimizer_state = optimizer.step(slope, state.optimizer, state.theta, donate)
        zero = namespace_of(state.log_lam).zeros_like(state.log_lam)
        info = Info(loss, zero, zero, [aux])
        return state._replace(theta=theta, optimizer=optimizer_state, steps=state.steps + 1), info

    return Continuation(init, step)
