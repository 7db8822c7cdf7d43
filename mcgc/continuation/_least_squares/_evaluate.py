"""Residuals at many points: counted, within a budget, with what failed as NaN, and the best point kept."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mcgc._integers import whole
from mcgc._jit import Jitted
from mcgc.continuation._least_squares._cluster import ClusterWorkers, of_client
from mcgc.continuation._least_squares._parameters import Space
from mcgc.continuation._least_squares._workers import Failed, Workers, attempt
from mcgc.errors import InputError

SPENT, REACHED = "the budget of evaluations is spent", "the cost has reached the target"
HUGE = 1e100  # residuals above this are as good as infinite: their squares overflow soon


class Stop(Exception):
    """The search ends: the budget is spent, the target is reached, or the callback asked for it."""


class Spent(Stop):
    """The budget of evaluations is spent."""

    def __init__(self) -> None:
        super().__init__(SPENT)


class Best(NamedTuple):
    """The best point u (d,), its cost ½ |r|² and its residuals (n,)."""

    u: np.ndarray
    cost: float
    fun: np.ndarray


class Residuals:
    """The residuals r (n,) at the vectors u of a space, with the counts of a fit and its best point.

    Parameters
    ----------
    function : function
        The user's. It maps one point to n numbers, or with `batched` points (k, m) to (k, n).
    space : Space
        What u stands for.
    batched : bool
        Whether `function` takes all points at once.
    workers : Workers or ClusterWorkers, optional
        The processes that call `function`.
    limit : float
        The number of evaluations at which `Stop` is raised.
    target : float
        The cost at which `Stop` is raised.
    report : function
        Called as `report(self, lam, u)` by the methods after each step. It may raise `Stop`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        space: Space,
        batched: bool,
        workers: Workers | ClusterWorkers | None,
        limit: float,
        target: float,
        report: Callable[..., None],
    ):
        self._function, self.space, self._batched, self._workers = function, space, batched, workers
        self.limit, self.target, self._report = limit, target, report
        self.nfev = self.njev = 0
        self.size: int | None = None  # n, known after the first call that gave something
        self.failures: Counter = Counter()
        self.first_failure = ""
        self.best = self.best_of_run = Best(space.start, math.inf, np.empty(0))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the residuals (k, n) at points (k, d). Rows that failed are NaN."""
        room = self.limit - self.nfev
        if room <= 0:
            raise Spent
        short = room < len(points)
        points = points[: int(room)] if short else points
        rows = self._stacked(self._called(self.space.decode(points)))
        self.nfev += len(points)
        self._note(points, rows)
        if self.best.cost <= self.target:
            raise Stop(REACHED)
        if short:
            raise Spent
        return rows

    def begin_run(self) -> None:
        """Forget the best point of the last run."""
        self.best_of_run = Best(self.space.start, math.inf, np.empty(0))

    def step(self, lam: float, u: np.ndarray) -> None:
        """Tell the callback of a step."""
        self._report(self, lam, u)

    def _called(self, x: np.ndarray) -> list:
        """Return what the user's function gives for the rows of x (k, m), or `Failed`, one each."""
        if self._batched:  # one error is that of all points of a call
            parts = [x] if self._workers is None else np.array_split(x, self._workers.parts(len(x)))
            results = self._calls([self.space.build(part) for part in parts])
            return [row for part, found in zip(parts, results, strict=True) for row in _rows_of(found, len(part))]
        return self._calls([self.space.build(row) for row in x])

    def _calls(self, arguments: list) -> list:
        if self._workers is not None:
            return self._workers.map(arguments)
        return [attempt(self._function, one) for one in arguments]

    def _stacked(self, found: Sequence[Any]) -> np.ndarray:
        given = [self._row(one) for one in found]
        rows = np.full((len(given), self.size or 0), np.nan)
        for i, row in enumerate(given):
            if row is not None:
                rows[i] = row
        rows[~(np.abs(rows) < HUGE)] = np.nan
        self.failures["not finite"] += sum(
            bool(row is not None and not np.isfinite(rows[i]).all()) for i, row in enumerate(given)
        )
        return rows

    def _row(self, one: Any) -> np.ndarray | None:
        """Return what a call gave as n numbers, or None if it failed, which is counted."""
        if not isinstance(one, Failed):
            try:
                row = np.asarray(one, dtype="float64").reshape(-1)
            except (TypeError, ValueError) as error:
                one = Failed("raised", f"the residuals are no numbers ({error})")
            else:
                if self.size is None and row.size:
                    self.size = row.size
                if row.size and row.size == self.size:
                    return row
                one = Failed("wrong length", f"{row.size} residuals in place of {self.size}")
        self.failures[one.kind] += 1
        self.first_failure = self.first_failure or one.sentence
        return None

    def _note(self, points: np.ndarray, rows: np.ndarray) -> None:
        if rows.shape[1] == 0:
            return
        costs = (rows**2).sum(1) / 2
        i = int(np.argmin(np.where(np.isnan(costs), np.inf, costs)))
        found = Best(points[i].copy(), float(costs[i]), rows[i].copy())
        self.best = found if found.cost < self.best.cost else self.best
        self.best_of_run = found if found.cost < self.best_of_run.cost else self.best_of_run


def _rows_of(found: Any, count: int) -> list:
    """Return the rows that a batched function gave for so many points, or for each what it gave instead."""
    whole_batch = isinstance(found, Failed) or np.shape(found)[:1] != (count,)
    return [found] * count if whole_batch else list(found)


def callable_rows(function: Any, space: Space, batched: bool) -> tuple[Callable[..., Any], bool]:
    """Return the function that is called, and whether it takes all points. One of `mcgc.jit` always does."""
    if isinstance(function, Jitted) and not (batched or space.named):
        return function.rows(), True
    if not callable(function):
        raise InputError(f"residuals must be a function, got {function!r}")
    return function, batched


def start_workers(
    function: Callable[..., Any],
    workers: Any,
    timeout: float | None,
    batched: bool,
    client: Any = None,
    repeat: float | None = None,
) -> Workers | ClusterWorkers | None:
    """Return the processes that `workers` and `timeout` ask for, or those of a cluster, or None if none are."""
    if timeout is not None and not timeout > 0:
        raise InputError(f"timeout must be a positive number of seconds, got {timeout!r}")
    if client is not None and workers is not None:
        raise InputError("a client has workers of its own: leave out workers")
    if (of_cluster := of_client(function, client, timeout, repeat)) is not None:
        return of_cluster
    if workers is None and timeout is None:
        return None
    if batched:
        raise InputError("a batched function is called in this process: leave out workers and timeout")
    return Workers(
        function, 1 if workers is None else whole(workers, "workers"), math.inf if timeout is None else timeout
    )
