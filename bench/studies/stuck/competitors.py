"""What is compared: each takes an instance, a counter of evaluations and a seed, and searches until it is stopped."""

import math
import warnings
from contextlib import suppress

import numpy as np
from scipy import optimize

import mcgc

LARGE = 1e4  # a residual that is not finite, for methods that take no NaN
FAILED = 1e12  # the cost of a failed simulation, for methods that take no NaN
WIDE = 3.0  # methods that search a box get this many scales on either side of the start


class Spent(Exception):
    """The budget is spent, or the instance is solved."""


class Counter:
    """The residuals of an instance. It counts evaluations, and stops the search at success and at the budget."""

    def __init__(self, instance, budget):
        self.instance, self.budget = instance, budget
        self.count, self.solved_at, self.best = 0, None, math.inf

    def rows(self, x):
        """Return the residuals (k, n) at points (k, m)."""
        rows = self.instance.residuals(x)
        with np.errstate(all="ignore"):
            costs = (rows**2).sum(1) / 2
        for cost in np.where(np.isnan(costs), np.inf, costs).tolist():
            self.count += 1
            self.best = min(self.best, cost)
            if cost <= self.instance.threshold:
                self.solved_at = self.count
            if self.solved_at or self.count >= self.budget:
                raise Spent
        return rows

    def cost(self, x):
        """Return the cost at one point."""
        with np.errstate(all="ignore"):
            cost = float((self.rows(np.asarray(x)[None]) ** 2).sum() / 2)
        return cost if cost < FAILED else FAILED


def ours(**options):
    """Return a search by `mcgc.least_squares`."""

    def search(instance, counter, seed, polish):
        x0, scale, limit = instance.x0, instance.x_scale, round(1.15 * counter.budget)
        mcgc.least_squares(
            _Through(counter.rows), x0, scale, restarts=None, max_nfev=limit, batched=True, seed=seed, polish=polish,
            times=instance.times, **options,
        )  # fmt: skip

    return search


class _Through:
    """A function whose `Spent` passes the fit, which takes other exceptions for failures of the simulator."""

    def __init__(self, rows):
        self._rows = rows

    def __call__(self, x):
        try:
            return self._rows(x)
        except Spent:
            raise KeyboardInterrupt from None


def _cma(instance, counter, seed, polish):
    import cma

    options = {"seed": seed + 1, "verbose": -9, "CMA_stds": instance.x_scale, "maxfevals": counter.budget}
    rng = np.random.default_rng(seed)
    start = instance.x0
    while True:
        cma.fmin2(counter.cost, start, 1.0, options)
        options["seed"] += 1000
        start = instance.x0 + instance.x_scale * rng.standard_normal(start.size)


def _box(instance):
    return list(zip(instance.x0 - WIDE * instance.x_scale, instance.x0 + WIDE * instance.x_scale, strict=True))


def _evolution(instance, counter, seed, polish):
    optimize.differential_evolution(counter.cost, _box(instance), x0=instance.x0, rng=seed, maxiter=10**6, tol=0)


def _annealing(instance, counter, seed, polish):
    optimize.dual_annealing(
        counter.cost, _box(instance), x0=instance.x0, rng=seed, maxiter=10**6, maxfun=10 * counter.budget
    )


def _hopping(instance, counter, seed, polish):
    rng = np.random.default_rng(seed)
    optimize.basinhopping(
        counter.cost, instance.x0, niter=10**6, minimizer_kwargs={"method": "L-BFGS-B"}, rng=rng,
        take_step=lambda x: x + 0.5 * instance.x_scale * rng.standard_normal(x.size),
    )  # fmt: skip


def _starts(instance, rng):
    """Yield the start, and normal draws around it."""
    yield instance.x0
    while True:
        yield instance.x0 + instance.x_scale * rng.standard_normal(instance.x0.size)


def _rows(instance, counter):
    """Return the function from a point to its residuals, large numbers where they are not finite."""
    return lambda x: np.nan_to_num(counter.rows(np.asarray(x)[None])[0], nan=LARGE, posinf=LARGE, neginf=-LARGE)


def _trust_region(instance, counter, seed, polish):
    for x0 in _starts(instance, np.random.default_rng(seed)):
        with suppress(ValueError):  # of SVD, where the residuals are as large as that
            optimize.least_squares(_rows(instance, counter), x0, x_scale=instance.x_scale, max_nfev=1000)


def _dfols(instance, counter, seed, polish):
    import dfols

    rows = _rows(instance, counter)
    for x0 in _starts(instance, np.random.default_rng(seed)):
        scaled = lambda u, x0=x0: rows(x0 + instance.x_scale * u)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            np.random.seed(seed)  # noqa: NPY002 - the package has no other way
            dfols.solve(scaled, np.zeros(x0.size), rhobeg=0.5, maxfun=1000, do_logging=False)


SEARCHES = {
    "continuation": ours(method="continuation"),
    "horizons": ours(method="horizons", horizons=7),
    "auto": ours(method="auto"),
    "DFGN": ours(method="dfgn"),
    "EKI": ours(method="eki"),
    "LM, multi-start": ours(method="lm"),
    "CMA-ES": _cma,
    "differential evolution": _evolution,
    "dual annealing": _annealing,
    "basinhopping": _hopping,
    "TRF, multi-start": _trust_region,
    "DFO-LS, multi-start": _dfols,
}


def attempt(search, instance, seed, polish, budget):
    """Return the evaluation at which one search solved the instance, or None, and the evaluations spent."""
    counter = Counter(instance, budget)
    with suppress(Spent, KeyboardInterrupt):
        search(instance, counter, seed, polish)
    return counter.solved_at, counter.count
