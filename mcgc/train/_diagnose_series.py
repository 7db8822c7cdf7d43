"""What the field of a run makes of its series: errors by time, growth of a perturbation, and steps of the solver."""

from typing import Any

import numpy as np

from mcgc.arrays import HOST, to_device, to_host
from mcgc.errors import SolveError
from mcgc.train import _baselines as baselines
from mcgc.train._diagnose_net import even, r_squared
from mcgc.train._task import Task, count, rows_at
from mcgc.train._windows import ragged_counts

SERIES, WINDOWS = 32, 1000  # so many suffice
SMALL = 1e-2  # the size of the perturbation of a start, in standard deviations: above the tolerances and float32
PARTS = 4  # of the horizon, whose errors are told apart


def series_of(task: Task, theta: np.ndarray) -> dict[str, Any]:
    """Return the numbers of a member's field, in units of the standard deviation of each state."""
    at = to_device(even(count(task.train), SERIES), HOST)
    series = rows_at(task.train, at)
    course = _Course(task, theta)
    truth, inside, seen = course.truth(series)
    sd = np.nanstd(np.where(seen, truth, np.nan), axis=(0, 1))
    sd = np.where(sd > 0, sd, 1.0)
    found = course(series)
    errors = np.where(seen, (found - truth) / sd, np.nan)[:, 1:]
    return {
        "first_horizon": task.horizon(1) or course.intervals,
        "intervals": course.intervals,
        "one_interval": _one_interval(task, course, sd),
        "error_by_time": (by_time := _by_time(errors)),
        "late_error": by_time[-1],
        "growth": _growth(course, series, found, inside, sd),
        "steps_per_interval": _steps(task, theta, series, inside),
        **_scores(series, truth, found, seen),
    }


class _Course:
    """The solutions of a member, in the units in which the task holds its series."""

    def __init__(self, task: Task, theta: np.ndarray) -> None:
        problem = task.problem
        assert problem.predict is not None
        assert problem.intervals is not None
        scaling = task.scaling if problem.scaled is None else None  # of series that are held as they are
        self._solve, self._theta = problem.predict(task.settings, scaling), theta
        self.intervals = problem.intervals(task.train)

    def __call__(self, series: Any) -> np.ndarray:
        try:
            return to_host(self._solve(self._theta, series)).astype(np.float64)
        except SolveError:
            return np.full(series.states.shape, np.nan)

    def truth(self, series: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the states, which times are those of the series, and which states were observed."""
        states = to_host(series.states).astype(np.float64)
        counts = getattr(series, "counts", None)
        lengths = np.full(len(states), states.shape[1]) if counts is None else to_host(counts)
        inside = np.arange(states.shape[1]) < lengths[:, None]
        seen = getattr(series, "seen", None)
        return states, inside, np.broadcast_to(inside[..., None], states.shape) if seen is None else to_host(seen) > 0


def _one_interval(task: Task, course: _Course, sd: np.ndarray) -> float | None:
    """Return the error one interval ahead of observed states, relative to that of the last value."""
    problem, train = task.problem, task.train
    assert problem.windows is not None
    every = count(train) * course.intervals if problem.lengths is None else ragged_counts(problem.lengths(train), 1)[0]
    windows = problem.windows(train, to_device(even(every, WINDOWS), HOST), 1)
    truth, _, seen = course.truth(windows)
    both = seen[:, 0] & seen[:, 1]
    own = np.where(both, (course(windows)[:, 1] - truth[:, 1]) / sd, np.nan)
    last = np.where(both, (truth[:, 0] - truth[:, 1]) / sd, np.nan)
    if not np.isfinite(own).any() or not np.nanmax(np.abs(last)) > 0:
        return None
    return float(np.sqrt(np.nanmean(own**2) / np.nanmean(last**2)))


def _by_time(errors: np.ndarray) -> list[float | None]:
    """Return the root mean square of errors (series, times, states) in each part of the horizon."""
    parts = np.array_split(np.arange(errors.shape[1]), min(PARTS, errors.shape[1]))
    squares = [errors[:, part] ** 2 for part in parts]
    return [float(np.sqrt(np.nanmean(x))) if np.isfinite(x).any() else None for x in squares]


def _growth(course: _Course, series: Any, found: np.ndarray, inside: np.ndarray, sd: np.ndarray) -> float | None:
    """Return the mean of log |Δ(T)| / |Δ(0)|, for starts perturbed by `SMALL` along (1, …, 1) of scaled states."""
    states = to_host(series.states).copy()
    step = SMALL / np.sqrt(len(sd)) * sd
    states[:, 0] += step.astype(states.dtype)
    moved = course(series._replace(states=to_device(states, HOST)))
    apart = np.linalg.norm((moved - found) / sd, axis=-1)
    last = apart[np.arange(len(apart)), inside.sum(axis=1) - 1]
    last = last[np.isfinite(last) & (last > 0)]
    return float(np.mean(np.log(last / SMALL))) if len(last) else None


def _steps(task: Task, theta: np.ndarray, series: Any, inside: np.ndarray) -> float | None:
    """Return the accepted steps of the solver for each observed interval."""
    try:
        aux: Any = task.objective(theta, series)[1]
    except SolveError:
        return None
    stats = getattr(aux, "stats", aux)
    return float(np.sum(to_host(stats.accepted)) / np.sum(inside.sum(axis=1) - 1))


def _scores(series: Any, truth: np.ndarray, found: np.ndarray, seen: np.ndarray) -> dict[str, Any]:
    """Return the mean R² of whole series but their starts, and that of the linear model, or 0 if the mean is better.

    A member whose series cannot be solved has −∞.
    """
    there = seen.copy()
    there[:, 0] = False
    states = [i for i in range(truth.shape[-1]) if np.ptp(truth[..., i][there[..., i]]) > 0]
    mean = lambda ys: float(np.mean([_r_squared(truth[..., i], ys[..., i], there[..., i]) for i in states]))
    if not states:
        return {"score": None, "linear": None}
    return {"score": mean(found), "linear": max(0.0, mean(_linear(series, truth)))}


def _r_squared(truth: np.ndarray, found: np.ndarray, there: np.ndarray) -> float:
    return r_squared(truth[there], found[there]) if np.isfinite(found[there]).all() else -np.inf


def _linear(series: Any, truth: np.ndarray) -> np.ndarray:
    """Return the courses of the linear model that is fitted to the same series."""
    times, found = to_host(series.times).astype(np.float64), np.zeros_like(truth)
    if hasattr(series, "counts"):
        counts, fed = to_host(series.counts), to_host(series.inputs).astype(np.float64)
        fed = fed[..., : fed.shape[-1] // 2] if fed.ndim == 3 else fed[:, None, :]
    else:
        counts, fed = np.full(len(truth), truth.shape[1]), to_host(series.parameters).astype(np.float64)[:, None, :]
    fed = np.broadcast_to(fed, (*truth.shape[:2], fed.shape[-1]))
    own = [(times[i, :n], truth[i, :n], fed[i, :n]) for i, n in enumerate(counts)]
    with np.errstate(over="ignore", invalid="ignore"):
        matrices = baselines.linear_dynamics(*zip(*own, strict=True))
        for i, (t, y, u) in enumerate(own):
            found[i, : len(t)] = baselines.linear_course(*matrices, t, y[0], u)
    return found
