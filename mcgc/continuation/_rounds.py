"""The rounds of `minimize`: a path along which λ falls, and a search of f itself from its end."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mcgc.arrays import is_array, to_host
from mcgc.continuation._search import Generations, Local, Path, descend, generate, polish, rugged
from mcgc.continuation._target import Spent, Target
from mcgc.continuation.estimators import ESTIMATORS, Estimator
from mcgc.random import Key, fold_in, normal

CONVERGED, NOT_CONVERGED, NOT_FINITE, SPENT, STOPPED = 0, 1, 2, 3, 99  # the last as SciPy has it
NOISE, SEARCH, RESTART, PROBE, ROUND = range(5)  # the streams of a key
MESSAGES = {
    NOT_FINITE: "The function is not finite where the noise took it: take a smaller lam0, or another start.",
    SPENT: "The evaluations of maxfev are used up: the best point so far.",
    STOPPED: "`callback` raised `StopIteration`.",
}


class Options(NamedTuple):
    """The options of `minimize` that its rounds need. Without `estimator` a path is one of generations."""

    lam0: float
    shrink: float | None
    maxiter: int | None
    warmup: int | None
    num_samples: int | None
    estimator: str | Estimator | None
    learning_rate: float
    learning_rate_lam: float | None
    beta: float
    tol: float


class Rounds:
    """One run of `minimize`: rounds until the evaluations are spent, or one where they have no limit.

    Parameters
    ----------
    target : Target
        The function.
    options : Options
        The options.
    report : function (z, g)
        It is called after each step. It may raise StopIteration.
    key : Key
        The key of all noise.
    """

    def __init__(self, target: Target, options: Options, report: Callable[[Any, Any], None], key: Key):
        self.target, self.options, self.report, self.key = target, options, report, key
        self.size = target.scale.size
        self.sigma = math.sqrt(options.lam0)
        self.population = 4 + int(3 * math.log(self.size))  # of CMA-ES, as usual
        self.nit, self.rounds = 0, 0
        self.path: list[Any] = []  # φ of the round of `ending`, or of the last one
        self.ending: Local | None = None  # the search that found the lowest value

    def result(self) -> Any:
        """Run, and return an OptimizeResult."""
        status, maxfev = None, self.target.maxfev
        try:
            self.target.check()
            self._first()
            while self.rounds == 0 or self.target.nfev < maxfev < math.inf:
                self._round()
        except Spent:
            status = SPENT
        except StopIteration:
            status = STOPPED
        return self._result(status)

    def _first(self) -> None:
        """Search f from the start, which costs little: by gradients, or by CMA-ES where f is not rugged."""
        target, z = self.target, np.zeros(self.size)
        if target.has_gradients:
            self._keep(polish(target, z, self.options.tol, 0.3 * target.maxfev), [])
        elif self.options.estimator is None and not rugged(target, self.sigma, fold_in(self.key, PROBE)):
            self._keep(Generations(target, z, self.sigma, self.population, fold_in(self.key, SEARCH)).finish(), [])

    def planned(self) -> tuple[Path, int]:
        """Return the path of the next round, and its draws a step or the size of its generations."""
        options, left = self.options, self.target.maxfev - self.target.nfev
        if options.estimator is None:
            draws = (2 * options.num_samples if options.num_samples else 3 * self.population) * 2**self.rounds
            cost, share, usual, shrink = draws, 0.25, 100, 1e-4
        else:
            chosen = ESTIMATORS.get(options.estimator) if isinstance(options.estimator, str) else options.estimator
            each = (1 if chosen is None else len(chosen.signs)) * (
                self.size + 1 if self.target.source == "2-point" else 1
            )
            fewest = 4 if left >= 800 * each or options.estimator == "mixture" else 1
            draws = (options.num_samples or fewest) * 2**self.rounds
            cost, share, usual, shrink = each * draws, 0.6, 1000, 3e-3
        steps = options.maxiter or (usual if left == math.inf else min(max(int(share * left / cost), 4), 1000))
        warmup = options.warmup if options.warmup is not None else 0 if options.estimator is None else steps // 4
        return Path(steps, options.lam0, options.shrink or shrink, min(warmup, steps - 1)), draws

    def _round(self) -> None:
        """Follow λ from a start to its end, and search f from there."""
        target, options, key = self.target, self.options, fold_in(self.key, ROUND + self.rounds)
        path, draws = self.planned()
        z = self.sigma * normal(fold_in(key, RESTART), (self.size,), "float64") if self.rounds else np.zeros(self.size)
        generations = None
        if options.estimator is None:
            generations = Generations(target, z, self.sigma, draws, fold_in(key, NOISE))
            steps = generate(generations, path)
        else:
            rates = (options.learning_rate, options.learning_rate_lam, options.beta)
            steps = descend(target, target.on_device(z), path, fold_in(key, NOISE), options.estimator, draws, *rates)
        self.rounds += 1
        log_lams: list[Any] = []
        self.path = self.path or log_lams
        for z, log_lam, smoothed in steps:
            self.nit += 1
            log_lams.append(float(to_host(log_lam) if is_array(log_lam) else log_lam))
            self.report(z, smoothed)
        if target.has_gradients:
            found = self._keep(polish(target, to_host(z).astype("float64"), options.tol), log_lams)
            best = target.best
            if best is not None and best.value < found.value - 1e-12 * abs(found.value):
                self._keep(polish(target, best.z, options.tol), log_lams)
        else:
            if generations is None:
                sigma = self.sigma * math.sqrt(path.shrink)
                generations = Generations(
                    target, to_host(z).astype("float64"), sigma, self.population, fold_in(key, SEARCH)
                )
            self._keep(generations.finish(), log_lams)

    def _keep(self, found: Local, log_lams: list) -> Local:
        """Count the iterations of a search, and keep how it ended if it found the lowest value."""
        self.nit += found.nit
        if self.ending is None or found.value < self.ending.value or math.isnan(self.ending.value):
            self.ending, self.path = found, log_lams or self.path
        return found

    def _result(self, status: int | None) -> Any:
        from scipy.optimize import OptimizeResult

        target, best, ending = self.target, self.target.best, self.ending
        found = OptimizeResult(nit=self.nit, nfev=target.nfev, njev=target.njev, dropped=target.dropped)
        found.update(rounds=self.rounds, log_lam=np.asarray(self.path), success=False)
        if best is None:
            found.update(x=target.start, fun=math.nan, status=NOT_FINITE, message=MESSAGES[NOT_FINITE])
            return found
        found.update(x=best.x, fun=best.value)
        if target.source in ("engine", "given"):
            found.jac = to_host(best.slope).astype("float64")
        unit = max(abs(best.value), abs(target.first) if math.isfinite(target.first) else 0.0)
        done = ending is not None and ending.converged and not ending.value > best.value + 1e-9 * unit
        if status != STOPPED and done:
            status = CONVERGED
        status = NOT_CONVERGED if status is None else status
        ended = "" if ending is None else ending.message
        found.update(success=status == CONVERGED, status=status)
        found.message = MESSAGES.get(status, f"Continuation, then a search of f: {ended}")
        return found
