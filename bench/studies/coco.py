"""Compare `mcgc.minimize` without gradients with other minimisers on the suite COCO/bbob.

    python -m bench.studies.coco --seed 1 > bench/studies/coco.json

Needs `coco-experiment` (the extra `bench`). The suite is that of Hansen et al. (2021): 24 functions in five groups,
here instances 3 and 4 of each, in 2, 5, 10 and 20 dimensions. The settings were chosen on instances 1 and 2. A
problem is solved where f comes within 1e-8 of the minimum. Prints one JSON record, and the table of docs/when.md to
stderr: for each budget (500 D and 2,000 D evaluations), method, dimension and group the number of solved problems,
and the area under the ECDF of runtimes: of 51 targets from 1e2 to 1e-8 the share that is met, averaged over the
logarithm of the evaluations / D, from 1 to the budget. All methods start from the problem's initial solution, and are
stopped at the budget, or where the problem is solved.
"""

import json
import os
import sys
import tempfile
from contextlib import chdir, suppress
from multiprocessing import Pool

import click
import numpy as np
from scipy import optimize

from mcgc import minimize

DIMENSIONS = (2, 5, 10, 20)
SUITE = "dimensions:" + ",".join(map(str, DIMENSIONS)) + " instance_indices:3,4"
TARGETS = 10.0 ** np.linspace(2, -8, 51)
GROUPS = {
    "separable": 5,
    "moderate": 9,
    "ill-conditioned": 14,
    "multi-modal": 19,
    "weak structure": 24,
}  # last function


class Spent(Exception):
    """The budget is spent, or the problem solved."""


class Counted:
    """A problem that notes after how many evaluations each target is met."""

    def __init__(self, index: int, budget: int):
        import cocoex

        self.problem = cocoex.Suite("bbob", "", SUITE)[index]
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            self.problem._best_parameter("print")
            best = np.loadtxt(os.listdir(folder)[0])
        self.lowest = cocoex.Suite("bbob", "", SUITE)[index](best)
        self.budget = budget * self.problem.dimension
        self.count, self.met = 0, np.full(TARGETS.size, np.inf)

    def __call__(self, x: np.ndarray) -> float:
        if self.count >= self.budget or self.problem.final_target_hit:
            raise Spent
        self.count += 1
        value = self.problem(np.asarray(x, float))
        self.met[(value - self.lowest <= TARGETS) & ~np.isfinite(self.met)] = self.count
        return value


def _minimize(fun: Counted, x0: np.ndarray, seed: int) -> None:
    minimize(fun, x0, jac="none", maxfev=fun.budget, seed=seed)


def _cma(fun: Counted, x0: np.ndarray, seed: int) -> None:
    import cma

    rng, size, options = np.random.default_rng(seed), 4 + int(3 * np.log(x0.size)), {"verbose": -9}
    for restart in range(100):  # each with twice the population, as IPOP-CMA-ES has it
        cma.fmin2(fun, x0, 2.0, {**options, "seed": 100 * seed + restart + 1, "popsize": size * 2**restart})
        x0 = rng.uniform(-4, 4, x0.size)


def _lbfgsb(fun: Counted, x0: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    while True:
        optimize.minimize(fun, x0, method="L-BFGS-B")
        x0 = rng.uniform(-4, 4, x0.size)


def _annealing(fun: Counted, x0: np.ndarray, seed: int) -> None:
    optimize.dual_annealing(fun, [(-5, 5)] * x0.size, x0=x0, maxiter=10**6, maxfun=10**7, rng=seed)


METHODS = {"mcgc.minimize": _minimize, "CMA-ES": _cma, "L-BFGS-B": _lbfgsb, "dual_annealing": _annealing}


def attempt(task: tuple[str, int, int, int]) -> tuple[int, int, bool, np.ndarray]:
    """Return function, dimension, whether it was solved, and evaluations / D to each target."""
    method, index, budget, seed = task
    fun = Counted(index, budget)
    with suppress(Spent):
        METHODS[method](fun, np.array(fun.problem.initial_solution), seed)
    problem = fun.problem
    return problem.id_function, problem.dimension, bool(problem.final_target_hit), fun.met / problem.dimension


def area(met: list[np.ndarray], budget: int) -> float:
    """Return the area under the ECDF over log(evaluations / D) from 0 to log(budget)."""
    spent = np.log(np.maximum(np.concatenate(met), 1)) / np.log(budget)
    return float(np.clip(1 - spent, 0, 1).mean())


def table(record: dict) -> str:
    """Return solved problems, and the mean area in brackets, of each method by groups of functions, as Markdown."""
    rows, methods = record["rows"], list(dict.fromkeys(row["method"] for row in record["rows"]))
    lines = [f"| budget | functions | problems | {' | '.join(methods)} |", f"|---|---|---|{'---|' * len(methods)}"]
    for budget in dict.fromkeys(row["budget"] for row in rows):
        for group in (*GROUPS, "all"):
            cells = []
            for method in methods:
                chosen = [row for row in rows if (row["budget"], row["method"]) == (budget, method)]
                chosen = [row for row in chosen if group in (row["group"], "all")]
                weights = [row["problems"] for row in chosen]
                mean = np.average([row["area"] for row in chosen], weights=weights)
                cells.append(f"{sum(row['solved'] for row in chosen)} ({mean:.3f})")
            lines.append(f"| {budget:,} D | {group} | {sum(weights)} | {' | '.join(cells)} |")
    return "\n".join(lines)


@click.command()
@click.option("--seed", default=1)
@click.option("--jobs", default=2)
def main(seed: int, jobs: int) -> None:
    """Print the record."""
    import cma
    import cocoex

    rows, count = [], len(cocoex.Suite("bbob", "", SUITE))
    with Pool(jobs) as pool:
        for budget in (500, 2000):
            for method in METHODS:
                found = pool.map(attempt, [(method, index, budget, seed) for index in range(count)], chunksize=4)
                for dimension in DIMENSIONS:
                    first = 1
                    for group, last in GROUPS.items():
                        chosen = [run for run in found if first <= run[0] <= last and run[1] == dimension]
                        row = {"budget": budget, "method": method, "dimension": dimension, "group": group}
                        row |= {"problems": len(chosen), "solved": sum(run[2] for run in chosen)}
                        rows.append(row | {"area": round(area([run[3] for run in chosen], budget), 4)})
                        first = last + 1
                print(f"{budget} D, {method}: {sum(run[2] for run in found)} of {count} solved", file=sys.stderr)
    record = {"seed": seed, "numpy": np.__version__, "cma": cma.__version__, "rows": rows}
    print(json.dumps(record, indent=1))
    print(table(record), file=sys.stderr)


if __name__ == "__main__":
    main()
