"""The phases of `minimize`, on a `Target`: paths along which λ falls, and searches of a minimum of f itself.

With gradients a step of the path is one of Algorithm 2, and L-BFGS-B ends the round. From values alone a step of the
path is a generation of CMA-ES whose step size is √λ (its mean descends on the smoothed ranks), and CMA-ES with a free
step size ends the round.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mcgc.arrays import Array, to_host
from mcgc.continuation._step import continuation
from mcgc.continuation._target import Target
from mcgc.continuation.annealing import bounded, geometric
from mcgc.continuation.estimators import Estimator
from mcgc.optim import adam
from mcgc.random import Key, fold_in, normal

CORRECTIONS = 20  # of L-BFGS-B: as many as there are variables in most problems, so that it is BFGS
SEARCHES = 5  # most local searches one after the other, each in units of the f that the last one found
LINES, ALONG = 2, 10  # points on lines through the start, which tell whether f is rugged
MINIMA = 4  # on all lines together: a function with more local minima is rugged; a quartic has two on a line


class Path(NamedTuple):
    """How λ falls along a path: from `lam0` to `lam0 · shrink` in `steps`, after `warmup` steps at `lam0`."""

    steps: int
    lam0: float
    shrink: float
    warmup: int


class Local(NamedTuple):
    """How a search of f itself ended: its value, its iterations, whether it converged, and its message."""

    value: float
    nit: int
    converged: bool
    message: str


def descend(
    target: Target,
    z: Array,
    path: Path,
    key: Key,
    estimator: str | Estimator,
    num_samples: int,
    learning_rate: float,
    learning_rate_lam: float | None,
    beta: float,
) -> Iterator[tuple[Array, Array, Array]]:
    """Yield z, φ and the estimate of g after each step of Algorithm 2 from `z`."""
    rate = path.shrink ** (1 / (path.steps - path.warmup))
    method = continuation(
        lambda points, batch: target(points) if target.has_gradients else target(points)[0],
        adam(learning_rate * math.sqrt(path.lam0)),
        geometric(rate) if learning_rate_lam is None else bounded(adam(learning_rate_lam), rate),
        log_lam0=math.log(path.lam0),
        estimator=estimator,
        num_samples=num_samples,
        beta=beta,
        warmup=path.warmup,
        gradient="given" if target.has_gradients else "score",
        batched=True,
        scaled=True,
        skip_nonfinite=True,
    )
    state = method.init(z)
    for i in range(path.steps):
        state, info = method.step(state, None, fold_in(key, i))
        yield state.theta, state.log_lam, info.smoothed


def polish(target: Target, z: Any, tol: float, most: float = math.inf) -> Local:
    """Search a local minimum from `z` by L-BFGS-B, in units of the value that was found last, until it stays.

    At most about `most` points are evaluated.
    """
    from scipy import optimize

    epsilon = float(target.device.namespace.finfo(target.start.dtype).eps)
    begun, value, nit = target.nfev, target.host(z)[0], 0
    local = Local(math.nan, 0, False, "f is not finite where the search begins")
    for _ in range(SEARCHES):
        unit, dropped = abs(value) or 1.0, target.dropped
        left = begun + most - target.nfev
        if not math.isfinite(unit) or left < 1:
            break
        limits = {"gtol": tol, "ftol": 4 * epsilon, "maxls": 50, "maxcor": CORRECTIONS}
        limits |= {"maxfun": int(min(left, 15000))}
        found = optimize.minimize(
            lambda point: _in_units(target.host(point), unit),  # noqa: B023
            z,
            jac=True,
            bounds=target.box if target.bounded else None,
            method="L-BFGS-B",
            options=limits,
        )
        nit += found.nit
        if not math.isfinite(found.fun):
            break
        fell, z, value = value - found.fun * unit, found.x, found.fun * unit
        if target.dropped > dropped:
            local = Local(value, nit, False, "f is not finite where the search went")
        else:
            local = Local(value, nit, local.converged or bool(found.success), str(found.message))
        if not fell > 0.1 * unit:
            break
    return local


def _in_units(found: tuple[float, Any], unit: float) -> tuple[float, Any]:
    value, slope = found
    if math.isfinite(value) and np.isfinite(slope).all():
        return value / unit, slope / unit
    return math.inf, np.zeros_like(slope)


class Generations:
    """CMA-ES on a target (Hansen 2016), with noise from a key."""

    def __init__(self, target: Target, z: Any, sigma: float, size: int, key: Key):
        from cma import CMAEvolutionStrategy

        self._target, self.nit, self._followed = target, 0, 0  # generations: all, and those of a given step size

        def randn(*shape: int) -> np.ndarray:
            return normal(fold_in(key, self.nit), shape, "float64")

        options = {"verbose": -9, "randn": randn, "seed": math.nan, "popsize": size}
        options |= {
            "tolfacupx": math.inf,
            "tolupsigma": math.inf,
        }  # see `step`
        self._strategy = CMAEvolutionStrategy(z, sigma, options)
        self._worst = target.first if math.isfinite(target.first) else 0.0  # so far; it stands for what is not finite

    def step(self, sigma: float | None = None) -> tuple[np.ndarray, float]:
        """Evaluate a generation, of this step size if one is given. Return the mean z and the mean of f."""
        if sigma is not None:  # of the geometric mean of the axes; else the covariance shrinks
            self._strategy.sigma = sigma / math.exp(np.mean(np.log(self._strategy.D)))
            self._followed += 1
        self.nit += 1
        points = self._strategy.ask()
        values = _values(self._target, np.stack(points))
        finite = values[np.isfinite(values)]
        self._worst = max([self._worst, *finite])
        self._strategy.tell(points, np.where(np.isfinite(values), values, self._worst))
        return self._strategy.mean, float(values.mean())

    def finish(self) -> Local:
        """Go on with a free step size until the search ends."""
        while not (reasons := self._strategy.stop()):
            self.step()
        converged = any(reason.startswith(("tolfun", "tolx")) for reason in reasons)
        return Local(
            float(self._strategy.best.f), self.nit - self._followed, converged, f"CMA-ES ended by {', '.join(reasons)}"
        )


def generate(generations: Generations, path: Path) -> Iterator[tuple[np.ndarray, float, float]]:
    """Yield the mean z, φ and the mean of f after each generation along a path."""
    rate = math.log(path.shrink) / (path.steps - path.warmup)
    log_lam = math.log(path.lam0)
    for i in range(path.steps):
        mean, smoothed = generations.step(math.exp(log_lam / 2))
        log_lam = math.log(path.lam0) + rate * max(i + 1 - path.warmup, 0)
        yield mean, log_lam, smoothed


def rugged(target: Target, sigma: float, key: Key) -> bool:
    """Tell whether f has more than `MINIMA` local minima on lines of length 4σ through the start."""
    directions = normal(key, (LINES, target.scale.size), "float64")
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    along = np.linspace(-2, 2, ALONG)[:, None] * sigma
    slopes = np.diff([_values(target, along * direction) for direction in directions])
    return bool(np.sum((slopes[:, :-1] < 0) & (slopes[:, 1:] > 0)) > MINIMA)


def _values(target: Target, points: np.ndarray) -> np.ndarray:
    """Return f at points of the host, as float64 on the host."""
    return to_host(target(target.on_device(points))[0]).astype("float64")
