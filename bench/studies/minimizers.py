"""Compare `mcgc.minimize` with other global minimisers at one number of evaluations.

    python -m bench.studies.minimizers

Needs CMA-ES (`pip install cma`). Prints the table in docs/minimize.md: of 10 seeds, how many come within 1e-4 of the
minimum from the function's start. A gradient counts as one evaluation together with its value. Peers that search a box
get the function's domain, and they are stopped once they have found the minimum.
"""

import sys
from collections.abc import Callable
from contextlib import suppress

import cma
import numpy as np
from scipy import optimize

from mcgc import minimize, value_and_grad
from mcgc.paper import test_functions

BUDGET = 8000
SEEDS = range(10)
CASES = (
    *((name, 2) for name in test_functions.names() if name not in ("quartic", "good-saddle")),
    *((name, 10) for name in ("rastrigin", "styblinski-tang", "levy", "ackley", "rosenbrock")),
)


class _Spent(Exception):
    pass


class Counted:
    """A function that counts its evaluations, and ends the run at the budget or when the minimum is found."""

    def __init__(self, known: test_functions.Function):
        self.function, self.target = known.function, known.value + 1e-4
        self.count, self.best = 0, np.inf

    def _note(self, value: float) -> float:
        self.count += 1
        self.best = min(self.best, float(value))
        if self.count >= BUDGET or self.best < self.target:
            raise _Spent
        return float(value)

    def value(self, x: np.ndarray) -> float:
        return self._note(self.function(np.asarray(x)))

    def both(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = value_and_grad(self.function)(x)
        return self._note(value), slope


def _continuation(known, counted, seed, **options):
    found = minimize(known.function, known.start, seed=seed, batched=True, maxfev=BUDGET, **options)
    counted.count, counted.best = found.nfev, found.fun


def _basinhopping(known, counted, seed):
    local = {"jac": True, "method": "L-BFGS-B"}
    optimize.basinhopping(counted.both, known.start, niter=10**6, rng=seed, minimizer_kwargs=local)


def _annealing(known, counted, seed):
    bounds = [known.domain] * known.dimension
    optimize.dual_annealing(counted.value, bounds, x0=np.array(known.start), maxfun=BUDGET, maxiter=10**6, rng=seed)


def _cma(known, counted, seed):
    options = {"seed": seed + 1, "verbose": -9, "maxfevals": BUDGET}
    while counted.count < BUDGET:  # restarts until the budget is spent
        options["seed"] += 1000
        cma.fmin2(counted.value, known.start, 3**0.5, options)


METHODS = {
    "mcgc.minimize": _continuation,
    'jac="none"': lambda *args: _continuation(*args, jac="none"),
    "λ learned": lambda *args: _continuation(*args, learning_rate_lam=0.03),
    "basinhopping": _basinhopping,
    "dual_annealing": _annealing,
    "CMA-ES": _cma,
}


def attempt(method: Callable, known: test_functions.Function, seed: int) -> tuple[bool, int]:
    """Return whether one run found the minimum, and its number of evaluations."""
    counted = Counted(known)
    with suppress(_Spent):
        method(known, counted, seed)
    return counted.best < counted.target, counted.count


if __name__ == "__main__":
    print(f"| function | d | {' | '.join(METHODS)} |\n|---|---|{'---|' * len(METHODS)}")
    for name, dimension in CASES:
        known, cells = test_functions.get(name, dimension), []
        for method in METHODS.values():
            runs = [attempt(method, known, seed) for seed in SEEDS]
            cells.append(f"{sum(found for found, _ in runs)}")
        print(f"| {name} | {dimension} | {' | '.join(cells)} |", flush=True)
    print(f"evaluations at most {BUDGET}, NumPy {np.__version__}, Python {sys.version.split()[0]}", file=sys.stderr)
