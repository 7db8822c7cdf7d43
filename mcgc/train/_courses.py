"""Courses of the series in a table, as the members of a run on a table predict them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcgc.arrays import HOST, to_host
from mcgc.errors import InputError, SolveError
from mcgc.tables import SeriesTable
from mcgc.train._problem import Problem
from mcgc.train._scores import Predicted, of_members
from mcgc.train._segments import padded_times, segments
from mcgc.train.settings import Settings


def courses(
    problem: Problem,
    settings: Settings,
    scaling: Any,
    thetas: np.ndarray,
    own: SeriesTable,
    wanted: Sequence[np.ndarray],
) -> Predicted:
    """Return the states of each series at the wanted times, series after series; `thetas` is (members, m).

    Raises `InputError` if a series lacks a state in its first row, and `SolveError` if it cannot be solved so far.
    """
    pieces = [(i, int(a), int(b)) for i, (a, b) in enumerate(pairs_of(own))]
    whole = segments(own, pieces)
    unknown = np.isnan(whole.states[:, 0])
    if unknown.any():
        series, state = (int(x[0]) for x in np.nonzero(unknown))
        where = f"group {own.groups[series]!r}" if problem.model["group"] else "the table"
        raise InputError(
            f"{where} has no value of the state {problem.model['states'][state]!r}: give it in its first row"
        )
    longest = max(2, *map(len, wanted))
    whole = whole._replace(
        times=np.stack([padded_times(times, longest) for times in wanted]),
        counts=np.asarray([len(times) for times in wanted]),
    )
    assert problem.predict is not None
    examples = problem.examples(whole, settings.dtype, HOST)
    course = problem.predict(settings, scaling)
    ys = np.stack([to_host(course(theta, examples)).astype(np.float64) for theta in thetas])
    if np.isnan(ys).any():
        series = int(np.nonzero(np.isnan(ys).any(axis=(0, 2, 3)))[0][0])
        where = f"group {own.groups[series]!r}" if problem.model["group"] else "the series"
        raise SolveError(f"{where} cannot be solved as far as {wanted[series][-1]:g}: predict a shorter time")
    inside = np.arange(longest) < whole.counts[:, None]
    return of_members(ys[:, inside])


def pairs_of(own: SeriesTable) -> list[tuple[int, int]]:
    """Return the first row of each series, and the row after its last."""
    bounds = own.bounds
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
