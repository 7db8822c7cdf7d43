"""The methods of a fit, each with restarts, and the portfolio that gives each a share of the budget."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mcgc.continuation._least_squares._ensemble import COLLAPSED, NARROW, invert
from mcgc.continuation._least_squares._evaluate import Residuals, Spent, Stop
from mcgc.continuation._least_squares._interpolated import interpolate
from mcgc.continuation._least_squares._local import Horizons, Slopes, Visit, grow, levenberg_marquardt
from mcgc.continuation._least_squares._smoothed import Path, Step, descend
from mcgc.random import Key, fold_in, normal

WIDTH, NEAR = 0.5, 1e-3  # scales: the first trust region of "dfgn", and the last
LINEAR = 1e-3  # a path followed by a local search ends where Ω falls to this part of the squares of r̄
MOST = 100  # steps of an ensemble
LONGER = 1.25  # the steps of a run over those of the last
MANY = 10  # parameters: with more, growing horizons cost more than they are worth at first


class Plan(NamedTuple):
    """What the methods are told: the settings of `mcgc.least_squares`, checked."""

    paths: tuple[Path, ...]
    restarts: float
    polish: bool
    slopes: Slopes
    tol: float
    horizons: Horizons | None
    members: int
    sigma: float | None
    key: Key
    visits: list[Visit]


class Run(NamedTuple):
    """One run of a method from one start: what came out, and what it cost."""

    method: str
    cost: float
    nfev: int
    converged: bool
    message: str
    path: tuple[Step, ...]


Once = Callable[[Residuals, np.ndarray, Plan, int, list], tuple[bool, str]]


def _polished(residuals: Residuals, start: np.ndarray, plan: Plan) -> tuple[bool, str]:
    found = levenberg_marquardt(residuals, start, plan.slopes, plan.tol)
    return found.status > 0, found.message


def _lm(residuals: Residuals, start: np.ndarray, plan: Plan, number: int, record: list) -> tuple[bool, str]:
    return _polished(residuals, start, plan)


def _horizons(residuals: Residuals, start: np.ndarray, plan: Plan, number: int, record: list) -> tuple[bool, str]:
    assert plan.horizons is not None  # the method is not run without
    found = grow(residuals, start, plan.horizons.masks(number), plan.slopes, plan.tol, plan.visits)
    return found.status > 0, found.message


def _continuation(residuals: Residuals, start: np.ndarray, plan: Plan, number: int, record: list) -> tuple[bool, str]:
    path = plan.paths[number % len(plan.paths)]
    path = path._replace(steps=round(path.steps * LONGER**number))
    end = descend(residuals, start, path, fold_in(plan.key, 2 * number + 1), record, LINEAR if plan.polish else 0.0)
    return _from_best(residuals, end, plan, "the path of λ is at its end")


def _eki(residuals: Residuals, start: np.ndarray, plan: Plan, number: int, record: list) -> tuple[bool, str]:
    members = round(plan.members * LONGER**number)
    narrow = NARROW if plan.polish else COLLAPSED
    end = invert(residuals, start, members, MOST, fold_in(plan.key, 2 * number + 1), plan.sigma, narrow)
    return _from_best(residuals, end, plan, "the ensemble has collapsed")


def _from_best(residuals: Residuals, end: np.ndarray, plan: Plan, message: str) -> tuple[bool, str]:
    """Evaluate the end of a run, and polish the best point of the run."""
    rows = residuals(end[None])
    if not plan.polish:
        return bool(rows.size and np.isfinite(rows).all()), message
    return _polished(residuals, residuals.best_of_run.u, plan)


def _dfgn(residuals: Residuals, start: np.ndarray, plan: Plan, number: int, record: list) -> tuple[bool, str]:
    narrow = interpolate(residuals, start, WIDTH, NEAR)
    if plan.polish:
        return _polished(residuals, residuals.best_of_run.u, plan)
    return narrow, "the trust region is narrow" if narrow else "the residuals fail around the start"


METHODS: dict[str, Once] = {
    "dfgn": _dfgn,
    "lm": _lm,
    "horizons": _horizons,
    "continuation": _continuation,
    "eki": _eki,
}


def runs(residuals: Residuals, method: str, plan: Plan, done: list[Run]) -> None:
    """Run a method from the start, and from as many drawn ones as `plan.restarts`. Each run is added to `done`."""
    number = 0
    while number <= plan.restarts:
        run(residuals, method, _start(residuals, plan, number), plan, number, done)
        number += 1


def _start(residuals: Residuals, plan: Plan, number: int) -> np.ndarray:
    """Return where the run of this number begins: the start, and for the others normal draws around it."""
    space = residuals.space
    noise = normal(fold_in(plan.key, 2 * number), space.start.shape, "float64")
    return space.clip(space.start + space.scale * noise) if number else space.start


def run(residuals: Residuals, method: str, start: np.ndarray, plan: Plan, number: int, done: list[Run]) -> None:
    """Run a method once from `start`, which is the restart with this number. The run is added to `done`."""
    record: list[Step] = []
    before, converged, message = residuals.nfev, False, ""
    residuals.begin_run()
    try:
        converged, message = METHODS[method](residuals, start, plan, number, record)
    except Stop as stop:
        message = str(stop)
        raise
    finally:
        cost = residuals.best_of_run.cost
        done.append(Run(method, cost, residuals.nfev - before, converged, message, tuple(record)))


def portfolio(residuals: Residuals, plan: Plan, done: list[Run]) -> None:
    """Run the methods in rounds, each run from a start of its own, until the budget is spent.

    A run that succeeds does so soon, but for continuation. So the others get few evaluations, by `_share`, and a
    quarter more in each round after. Without a budget there is one round, and each run goes to its end.
    """
    limit, number = residuals.limit, 0
    counts = dict.fromkeys(METHODS, 0)
    while number == 0 or limit < math.inf:
        for name in METHODS:
            share = _share(name, residuals.space.start.size, plan, number, limit == math.inf)
            end = residuals.nfev + share.total * LONGER**number
            while residuals.nfev < min(end, limit):
                if limit < math.inf:
                    longest = residuals.nfev + share.longest * LONGER**number
                    residuals.limit = math.ceil(min(end, limit, longest))
                try:
                    run(residuals, name, _start(residuals, plan, counts[name]), plan, counts[name], done)
                except Spent:
                    if residuals.nfev >= limit:
                        raise
                finally:
                    residuals.limit = limit
                counts[name] += 1
                if not share.again or limit == math.inf:
                    break
        number += 1


class Share(NamedTuple):
    """What a method gets in the first round: evaluations in all, those of a run, and whether runs go on until then."""

    total: float
    longest: float = math.inf
    again: bool = False


def _share(name: str, size: int, plan: Plan, number: int, endless: bool) -> Share:
    """Return the share of a method in the round of this number, with `size` parameters, of a budget or `endless`.

    Where the residuals are not smooth, a budget is for DFGN and continuation. Where the derivatives are given,
    Levenberg–Marquardt takes the place of DFGN.
    """
    given, rough = plan.polish and callable(plan.slopes.jac), not (plan.polish or endless)
    late = size > MANY and not number and not endless
    return {
        "dfgn": Share(0 if given else 20 * (size + 1), again=True),
        "lm": Share(10 * (size + 1) if given and not number else 0),
        "horizons": Share(0 if plan.horizons is None or rough or late else 600, 300, True),
        "continuation": Share(math.inf),
        "eki": Share(0 if rough else 10 * plan.members),
    }[name]


def first_point(residuals: Residuals, key: Key, tries: int = 20) -> None:
    """Evaluate the start, and draws around it as long as none gave anything, so that the number n is known."""
    space = residuals.space
    residuals(space.start[None])
    for i in range(tries):
        if residuals.size is not None:
            break
        residuals(space.clip(space.start + space.scale * normal(fold_in(key, i), space.start.shape, "float64"))[None])


def winner_of(done: list[Run]) -> Run:
    """Return the first of the runs that came to the lowest cost, up to rounding."""
    lowest = min(run.cost for run in done)
    return next(run for run in done if run.cost <= lowest * (1 + 1e-6) + 1e-20)
