"""Compare training steps with a reference on HIPS autograd (Maclaurin, Duvenaud and Adams 2015), in float64 on the CPU.

The reference has nets, losses, Runge–Kutta steps, estimators and optimisers of its own, and the derivatives of
autograd. The library gives it data: minibatches, the noise ε, and the sizes of the steps that the solver accepted,
since a choice is not differentiated.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import count, pairwise
from typing import Any, NamedTuple

import autograd
import autograd.numpy as anp
import numpy as np

from mcgc import train
from mcgc.arrays import HOST, Array
from mcgc.errors import InputError
from mcgc.kernels import perturb
from mcgc.ode import TABLEAUX, DenseField
from mcgc.ode._integrate import Method, Plan, march
from mcgc.optim import Optimizer, Update, adam
from mcgc.random import Key, fold_in, normal
from mcgc.train import Problem, Settings
from mcgc.train._epoch import minibatches

SIZES = {"mnist": (784, *(50,) * 29, 10), "lotka-volterra": (4, *(50,) * 4, 2), "lorenz": (5, *(50,) * 19, 3)}
SIGNS = {  # of √λ ε, at the points of a draw
    "score": (1,),
    "score-baseline": (1,),
    "pathwise": (1,),
    "antithetic-score": (1, -1),
    "antithetic": (1, -1),
}
MAX_STEPS = 16384
CAP = 2.0


class Difference(NamedTuple):
    """How far engine and reference are apart in one training step.

    Each is the largest absolute difference relative to the largest element of the reference.

    Parameters
    ----------
    step : int
        The number of the step, from 1 on.
    loss : float
        That of the estimate of the loss.
    grad_theta : float
        That of the gradient of θ. Weights and biases of each layer are compared by themselves, since those of the first
        layers may be small.
    grad_log_lam : float
        That of the gradient of φ, with β or without.
    theta, log_lam : float
        Those of θ and φ after the step.
    """

    step: int
    loss: float
    grad_theta: float
    grad_log_lam: float
    theta: float
    log_lam: float


class Moments(NamedTuple):
    """Adam's state: the number of updates, and the decayed means of the gradient and its square."""

    updates: int
    mean: Any
    square: Any


class State(NamedTuple):
    """θ and φ, their optimisers' states, and the estimates of the loss so far."""

    theta: np.ndarray
    log_lam: float
    moments: Moments
    moments_lam: Moments
    losses: tuple[float, ...] = ()


class Estimate(NamedTuple):
    """Estimates of the smoothed loss and its gradients; `grad_log_lam_total` is that of φ with β."""

    loss: float
    grad_theta: np.ndarray
    grad_log_lam: float
    grad_log_lam_total: float


def compare(problem: Problem, settings: Settings, data: Any, steps: int) -> list[Difference]:
    """Take the first training steps with the engine and with the reference, and return how far they are apart.

    Both start from the same θ, and go on from their own.

    Parameters
    ----------
    problem : Problem
        One of the library's problems.
    settings : Settings
        The recipe. Its dtype is not used: both compute in float64.
    data : Any
        The dataset, as for `mcgc.train.fit`.
    steps : int
        The number of steps.

    Returns
    -------
    list of Difference
        One for each step.

    Raises
    ------
    InputError
        If there is no reference for the problem or the estimator, or the settings are of plain descent or out of range.

    Examples
    --------
    >>> from mcgc_datasets import load
    >>> from mcgc.checks import engine
    >>> from mcgc.train import problems
    >>> problem = problems.get("lotka-volterra")
    >>> (found,) = engine.compare(problem, problem.recipe, load("lotka-volterra"), steps=1)
    >>> bool(found.loss < 1e-9)
    True
    """
    if problem.name not in SIZES or settings.estimator not in SIGNS:
        raise InputError(f"no reference for {settings.estimator!r} on {problem.name!r}: choose from {', '.join(SIZES)}")
    if not settings.continuation or settings.gamma is not None:
        raise InputError("the comparison is of steps that learn lambda: leave continuation on, and schedules out")
    settings = settings._replace(dtype="float64", members=1)
    task = train.bind(settings, data, HOST, problem, _remembering(adam(settings.learning_rate)))
    (member,) = train.draw(task)
    warmup = settings.warmup_epochs * len(list(minibatches(task, member, 1)))
    engine, differences = member.state, []
    zeros = np.zeros_like(engine.theta)
    state = State(engine.theta, settings.log_lam0, Moments(0, zeros, zeros), Moments(0, 0.0, 0.0))
    batches = (batch for epoch in count(1) for batch in minibatches(task, member, epoch))
    for step, batch in zip(range(1, steps + 1), batches, strict=False):
        key = fold_in(member.noise, engine.steps)
        plans = [_plan(settings, point, batch) for point in _points(engine, settings, key)]
        engine, info = task.method().step(engine, batch, key)
        state, found = _step(state, settings, batch, key, plans, warmup)
        differences.append(
            Difference(
                step,
                _apart(info.smoothed, found.loss),
                _largest(map(_apart, *(_parts(x, problem.name) for x in (engine.optimizer[0], found.grad_theta)))),
                _largest(_apart(getattr(info, x), getattr(found, x)) for x in ("grad_log_lam", "grad_log_lam_total")),
                _apart(engine.theta, state.theta),
                _apart(engine.log_lam, state.log_lam),
            )
        )
    return differences


def _remembering(optimizer: Optimizer) -> Optimizer:
    """Return `optimizer` with a state that holds the last gradient too."""

    def remembering(function: Update) -> Update:
        def run(gradient: Array, state: tuple, theta: Array) -> tuple[Array, tuple]:
            found, inner = function(gradient, state[1], theta)
            return found, (gradient, inner)

        return run

    init = lambda theta: (None, optimizer.init(theta))
    return Optimizer(init, remembering(optimizer.update), remembering(optimizer.step))


def _points(engine: Any, settings: Settings, key: Key) -> list[np.ndarray]:
    """Return the points that the engine's next step evaluates, to the bit: other roundings could choose other steps."""
    root = np.exp(engine.log_lam / 2)
    keys = [fold_in(key, j) for j in range(settings.num_samples)]
    return [perturb(engine.theta, sign * root, k)[0] for k in keys for sign in SIGNS[settings.estimator]]


def _plan(settings: Settings, theta: np.ndarray, batch: Any) -> Plan | None:
    """Return the steps that the engine takes from `theta`, for a problem that is solved."""
    if settings.solver is None or settings.rtol is None or settings.atol is None:
        return None
    field, parameters = DenseField(SIZES[settings.problem]), (theta, batch.parameters)
    method = Method(TABLEAUX[settings.solver], settings.rtol, settings.atol, settings.step_size, MAX_STEPS)
    return march(method, lambda t, y: field(t, y, parameters), batch.times, batch.states[:, 0, :])


def _apart(ours: Any, reference: Any) -> float:
    scale, apart = np.max(np.abs(reference)), np.max(np.abs(np.asarray(ours) - reference))
    return float(apart / scale) if scale > 0 else (0.0 if apart == 0 else np.inf)


def _largest(values: Iterable[float]) -> float:
    return float(np.max(list(values)))  # of which NaN is the largest


def _parts(theta: np.ndarray, problem: str) -> list[np.ndarray]:
    return [part for layer in _layers(theta, SIZES[problem]) for part in layer]


def _step(
    state: State, settings: Settings, batch: Any, key: Key, plans: Sequence[Plan | None], warmup: int
) -> tuple[State, Estimate]:
    """Take a step of Algorithm 2, with the sizes of the solver's steps in `plans`, one for each evaluation."""
    found = _estimate(state, settings, batch, key, plans)
    theta, moments = _adam(state.theta, found.grad_theta, state.moments, settings.learning_rate)
    log_lam, moments_lam = state.log_lam, state.moments_lam
    if len(state.losses) >= warmup:
        log_lam, moments_lam = _adam(log_lam, found.grad_log_lam_total, moments_lam, settings.learning_rate_lam)
        log_lam = min(log_lam, settings.log_lam0 + CAP)
    return State(theta, log_lam, moments, moments_lam, (*state.losses, found.loss)), found


def _adam(x: Any, gradient: Any, moments: Moments, rate: float) -> tuple[Any, Moments]:
    n, mean, square = moments.updates + 1, 0.9 * moments.mean + 0.1 * gradient, 0.999 * moments.square
    square = square + 0.001 * gradient**2
    moved = x - rate * (mean / (1 - 0.9**n)) / (np.sqrt(square / (1 - 0.999**n)) + 1e-8)
    return moved, Moments(n, mean, square)


def _estimate(state: State, settings: Settings, batch: Any, key: Key, plans: Sequence[Plan | None]) -> Estimate:
    """Average over the draws ε of the noise, at θ + √λ ε, and at θ − √λ ε too for an antithetic estimator."""
    theta, root, m, signs = state.theta, np.exp(state.log_lam / 2), state.theta.size, SIGNS[settings.estimator]
    noise = [normal(fold_in(key, j), (m,), "float64") for j in range(settings.num_samples)]
    value_and_grad, left = autograd.value_and_grad(_loss), iter(plans)
    found = [
        [value_and_grad(theta + sign * root * eps, settings, batch, next(left)) for sign in signs] for eps in noise
    ]
    losses = np.array([np.mean([loss for loss, _ in points]) for points in found])
    if settings.estimator in ("score", "score-baseline", "antithetic-score"):
        baselines = np.zeros_like(losses) if settings.estimator == "score" else _baselines(losses, state.losses)
        slopes = [(eps @ eps - m) / 2 * (f - b) for eps, f, b in zip(noise, losses, baselines, strict=True)]
    else:
        slopes = [
            root / 2 * np.mean([sign * (eps @ gradient) for sign, (_, gradient) in zip(signs, points, strict=True)])
            for eps, points in zip(noise, found, strict=True)
        ]
    grad_theta = np.mean([gradient for points in found for _, gradient in points], axis=0)
    grad_log_lam = float(np.mean(slopes))
    penalty = settings.beta * m * np.exp(state.log_lam - settings.log_lam0)
    return Estimate(float(np.mean(losses)), grad_theta, grad_log_lam, grad_log_lam + penalty)


def _baselines(losses: np.ndarray, past: Sequence[float]) -> np.ndarray:
    """Return for each draw the mean loss of the others; for one alone that of past steps, decayed."""
    if len(losses) > 1:
        return np.array([np.mean(np.delete(losses, j)) for j in range(len(losses))])
    return np.array([np.average(past, weights=0.98 ** np.arange(len(past))[::-1]) if past else 0.0])


def _loss(theta: Any, settings: Settings, batch: Any, plan: Plan | None) -> Any:
    layers = _layers(theta, SIZES[settings.problem])
    if plan is not None:
        field = lambda y: _net(layers, anp.concatenate([y, batch.parameters], axis=1))
        return anp.mean((_solution(field, batch.states[:, 0], batch.times, plan) - batch.states) ** 2)
    outputs = _net(layers, batch.pixels / 255)
    if settings.loss == "softmax-cross-entropy":
        outputs = anp.exp(_log_softmax(outputs))
    return -anp.mean(_log_softmax(outputs)[np.arange(len(batch.labels)), batch.labels])


def _log_softmax(z: Any) -> Any:
    z = z - anp.max(z, axis=1, keepdims=True)
    return z - anp.log(anp.sum(anp.exp(z), axis=1, keepdims=True))


def _layers(theta: Any, sizes: Sequence[int]) -> list[tuple[Any, Any]]:
    layers, start = [], 0
    for k, n in pairwise(sizes):
        middle, stop = start + k * n, start + (k + 1) * n
        layers.append((anp.reshape(theta[start:middle], (k, n)), theta[middle:stop]))
        start = stop
    return layers


def _net(layers: Sequence[tuple[Any, Any]], x: Any) -> Any:
    for weights, biases in layers[:-1]:
        z = anp.dot(x, weights) + biases
        x = anp.where(z > 0, z, 0.0)
    return anp.dot(x, layers[-1][0]) + layers[-1][1]


def _solution(field: Callable[..., Any], y: Any, times: np.ndarray, plan: Plan) -> Any:
    """Return the states at all times, (batch, times, states), by the steps of `plan`; dy/dt = field(y)."""
    tableau = plan.method.tableau
    regular = len(tableau.a) - tableau.extra
    sign = np.sign(times[:, -1:] - times[:, :1])
    elapsed = (times - times[:, :1]) * sign
    ends = [step.elapsed for step in plan.steps[1:]] + [elapsed[:, -1:]]
    states, k1 = [y] + [0.0] * (times.shape[1] - 1), field(y)
    for step, end in zip(plan.steps, ends, strict=True):
        h, moves, (low, high) = step.size * sign, step.size > 0, step.window
        ks = [k1]
        for i in range(1, regular if low == high else len(tableau.a)):
            point = y + h * _sum(tableau.a[i], ks)
            ks.append(field(point))
            if i == regular - 1:
                after = point
        for i in range(low, high):
            time = elapsed[:, i : i + 1]
            inside = moves & (step.elapsed < time) & (time <= end)
            fraction = np.where(inside, time - step.elapsed, 0) / np.where(moves, step.size, 1)
            weights = [sum(c * fraction ** (power + 1) for power, c in enumerate(row)) for row in tableau.dense]
            states[i] = states[i] + inside * (y + h * _sum(weights, ks))
        y, k1 = anp.where(moves, after, y), anp.where(moves, ks[regular - 1], k1)
    return anp.stack(states, axis=1)


def _sum(weights: Sequence[Any], ks: Sequence[Any]) -> Any:
    return sum(w * k for w, k in zip(weights, ks, strict=True) if np.any(w))
