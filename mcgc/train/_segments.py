"""Segments: the series of a table, divided into parts, filled up to one length, and scaled."""

from typing import NamedTuple

import numpy as np

from mcgc.arrays import HOST, Array, device_of, namespace_of, to_host
from mcgc.errors import InputError
from mcgc.random import Key, fold_in, permutation
from mcgc.tables import SeriesTable
from mcgc.train.settings import Settings

TRAIN, VALIDATION, TEST = range(3)  # the parts of a divided table
FEWEST = 5  # groups that are divided among the parts; fewer are each divided in time
MOST_TIMES = 10**7  # of a simulation; more are a mistake of `every`
AFTER = 1e-9  # of a series' duration: between the times that fill up shorter series, where nothing is observed


class Segments(NamedTuple):
    """Series, or parts of series, of a table, filled up to one length: the data of `dynamics`.

    Parameters
    ----------
    times : array of shape (segments, times), float64
        The times. After the last one of a segment they go on in steps of almost nothing.
    states, seen : array of shape (segments, times, states)
        The states, and 1 where a state was observed, else 0. What is missing lies on straight lines between
        observations.
    knots : array of shape (segments, knots), float64
        The times of the inputs where they vary; (segments, 0) where they do not.
    inputs : array of shape (segments, inputs), or (segments, knots, 2 inputs) where they vary
        The inputs. Where they vary, values at the knots, and after them second derivatives by time.
    counts : array of shape (segments,), int64
        The number of times of each.
    labels : tuple of str
        The group of each.
    source, sha256 : str
        Those of the table.
    """

    times: np.ndarray
    states: np.ndarray
    seen: np.ndarray
    knots: np.ndarray
    inputs: np.ndarray
    counts: np.ndarray
    labels: tuple[str, ...]
    source: str
    sha256: str


class Observed(NamedTuple):
    """Segments as examples, on a device: the fields of `Segments`, and the units that their numbers are in.

    `units` (segments, 2 D + 2 P + 2) has of each the time in the data at its time 0, and then what makes the numbers
    those of the data: mean and standard deviation of the states and of the inputs, and the unit of time.
    """

    times: Array
    states: Array
    seen: Array
    knots: Array
    inputs: Array
    counts: Array
    units: Array


class TableScaling(NamedTuple):
    """Means and standard deviations of the states (D,) and of the inputs (P,), and the unit of time (1,).

    They are those of the training set. The standard deviation of what does not vary counts as 1. The unit of time is
    the time in which states change by about their standard deviation.
    """

    mean: Array
    sd: Array
    inputs_mean: Array
    inputs_sd: Array
    time: Array


def divide(table: SeriesTable, settings: Settings) -> tuple[Segments, np.ndarray]:
    """Return the segments of a table, and the part that each belongs to: `TRAIN`, `VALIDATION` or `TEST`.

    The parts have shape (segments,), or (members, segments) where each member has its own. A state that a segment never
    has begins at its mean over the training set. Raises `InputError` as `pieces_of` does, and if a state has no value
    to train on.
    """
    of_members = [pieces_of(table, settings, member) for member in range(num_divisions(settings))]
    parts = np.asarray([[part for *_, part in pieces] for pieces in of_members])
    data = segments(table, [piece[:3] for piece in of_members[0]])
    means = [_mean_of(table, of_members[0], state) for state in range(len(table.columns.states))]
    data = data._replace(states=np.where(np.isnan(data.states), means, data.states))
    return data, parts[0] if len(parts) == 1 else parts


def _mean_of(table: SeriesTable, pieces: list[tuple[int, int, int, int]], state: int) -> float:
    """Return the mean of a state over the training set. Raises `InputError` if it was never observed there."""
    values = np.concatenate([table.states[a:b, state] for _, a, b, part in pieces if part == TRAIN])
    values = values[~np.isnan(values)]
    if len(values) == 0:
        raise InputError(
            f"state {table.columns.states[state]!r} has no value in the training set: leave it out, or add values"
        )
    return float(values.mean())


def num_divisions(settings: Settings) -> int:
    """Return in how many ways the data are divided: one for each member, or one for all."""
    own = settings.rotate and settings.validation and settings.split != "time"
    return settings.members if own else 1


def dealt(order: np.ndarray, fractions: tuple[float, float], what: str, member: int = 0) -> np.ndarray:
    """Return the part of each group, row or time, where `order` is the order in which they are dealt out.

    The first are the test set. What follows is the validation set, which moves on by its size with each member.
    Raises `InputError` as `sizes_of_parts` does.
    """
    test, validation = sizes_of_parts(len(order), fractions, what)
    parts = np.full(len(order), TRAIN)
    parts[order[:test]] = TEST
    parts[np.roll(order[test:], -member * validation)[:validation]] = VALIDATION
    return parts


def pieces_of(table: SeriesTable, settings: Settings, member: int = 0) -> list[tuple[int, int, int, int]]:
    """Return segments of a table for a member: the series, the first row, the row after the last, and the part.

    With the split "group" or "random", whole series are dealt out at random. With "time", the last part of each series
    is for the test, and what is before that for the validation; each segment begins at the last time of the one before,
    where it has its initial state and no target.

    Raises `InputError` if a part would be empty.
    """
    groups, bounds = len(table.groups), table.bounds
    fractions = settings.validation, settings.test or 0.0
    if settings.split == "time":
        pieces = [
            (series, a, b, part)
            for series in range(groups)
            for a, b, part in _in_time(int(bounds[series]), int(bounds[series + 1]), fractions)
        ]
    else:
        order = to_host(permutation(fold_in(Key(settings.seed), 0), groups, HOST))
        parts = dealt(order, fractions, "groups", member).tolist()
        pieces = [(series, int(bounds[series]), int(bounds[series + 1]), parts[series]) for series in range(groups)]
    pieces = [piece for piece in pieces if _has_targets(table, *piece[1:3])]
    if not any(part == TRAIN for *_, part in pieces):
        raise InputError("no series has two times with states, so there is nothing to train on: give longer series")
    return pieces


def sizes_of_parts(total: int, fractions: tuple[float, float], what: str) -> tuple[int, int]:
    """Return the sizes of the test and the validation set of so many rows, groups or times.

    `fractions` are those of the validation, out of what is not the test, and of the test. Raises `InputError` if
    nothing is left to train on.
    """
    test = max(1, round(fractions[1] * total)) if fractions[1] else 0
    validation = max(1, round(fractions[0] * (total - test))) if fractions[0] else 0
    if total - test - validation < 1:
        raise InputError(
            f"the table has {total} {what}, of which {test + validation} are set apart, so none is left to train on: "
            "give more, smaller parts, or another split"
        )
    return test, validation


def _in_time(a: int, b: int, fractions: tuple[float, float]) -> list[tuple[int, int, int]]:
    """Return the segments of rows a to b, with their parts."""
    test = b - max(1, round(fractions[1] * (b - a))) if fractions[1] else b
    validation = test - max(1, round(fractions[0] * (test - a))) if fractions[0] else test
    ends = ((a, validation, TRAIN), (validation - 1, test, VALIDATION), (test - 1, b, TEST))
    return [(max(first, a), last, part) for first, last, part in ends if last - max(first, a) > 1]


def _has_targets(table: SeriesTable, a: int, b: int) -> bool:
    return b - a > 1 and not bool(np.isnan(table.states[a + 1 : b]).all())


def segments(table: SeriesTable, pieces: list[tuple[int, int, int]]) -> Segments:
    """Return segments (series, first row, row after the last) of a table."""
    longest = max(2, *(b - a for _, a, b in pieces))
    shape, (_, d), p = (len(pieces), longest), table.states.shape, table.inputs.shape[1]
    times, counts = np.empty(shape), np.asarray([b - a for _, a, b in pieces])
    states, seen = np.empty((*shape, d)), np.zeros((*shape, d))
    inputs = np.empty((*shape, 2 * p))
    for i, (_, a, b) in enumerate(pieces):
        n, own = b - a, table.times[a:b]
        times[i] = padded_times(own, longest)
        seen[i, :n] = ~np.isnan(table.states[a:b])
        states[i, :n] = filled(own, table.states[a:b])
        states[i, n:] = states[i, n - 1]
        inputs[i, :n, :p], inputs[i, n:, :p] = table.inputs[a:b], table.inputs[b - 1]
        inputs[i, :n, p:], inputs[i, n:, p:] = _curvatures(own, table.inputs[a:b], table.interpolation), 0
    labels = tuple(table.groups[series] for series, *_ in pieces)
    knots, inputs = (times, inputs) if table.varying else (times[:, :0], inputs[:, 0, :p])
    return Segments(times, states, seen, knots, inputs, counts, labels, table.source, table.sha256)


def _curvatures(times: np.ndarray, inputs: np.ndarray, interpolation: str) -> np.ndarray:
    """Return the second derivatives of the inputs at their times: those of the natural spline, or 0 if not cubic."""
    if interpolation != "cubic" or len(times) < 3 or inputs.shape[1] == 0:
        return np.zeros_like(inputs)
    from scipy.interpolate import CubicSpline

    return CubicSpline(times, inputs, bc_type="natural")(times, 2)


def padded_times(times: np.ndarray, length: int) -> np.ndarray:
    """Return times, and after them as many more, almost nothing apart, as make up `length`."""
    span = (times[-1] - times[0]) or 1.0
    return np.concatenate([times, times[-1] + AFTER * span * np.arange(1, length - len(times) + 1)])


def times_until(begin: float, until: float, every: float | None) -> np.ndarray:
    """Return times from `begin` to `until`, both included where the step allows it."""
    if not until > begin:
        raise InputError(f"until must be after the start of each group, {begin:g}, got {until:g}")
    step = (until - begin) / 100 if every is None else every
    if not 0 < step < np.inf:
        raise InputError(f"every must be a positive number, got {every!r}")
    count = (until - begin) / step
    if count > MOST_TIMES:
        raise InputError(f"steps of {step:g} from {begin:g} to {until:g} are {count:.3g} times: give a larger every")
    return begin + step * np.arange(int(np.floor(count * (1 + 1e-9))) + 1)


def filled(times: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return states with straight lines where some are missing: between neighbours, and beyond the ends as far again.

    Beyond an end the line through the two nearest observations goes on, for as long as they are apart. After that, and
    where there is one observation, the value stays. A state that was never observed stays NaN.
    """
    found = states.copy()
    for column in found.T:
        there = np.flatnonzero(~np.isnan(column))
        if len(there) == 0:
            continue
        if len(there) > 1:
            for end, inner, beyond in (
                (there[0], there[1], slice(0, there[0])),
                (there[-1], there[-2], slice(there[-1] + 1, None)),
            ):
                away = np.clip((times[beyond] - times[end]) / (times[inner] - times[end]), -1, 0)
                column[beyond] = column[end] + away * (column[inner] - column[end])
        missing = np.isnan(column)
        there = ~missing
        column[missing] = np.interp(times[missing], times[there], column[there])
    return found


def scaling_of_table(observed: Observed) -> TableScaling:
    """Return the means, the standard deviations and the unit of time of a training set."""
    xp, dtype, device = namespace_of(observed.states), observed.states.dtype, device_of(observed.states)
    states, seen, inputs, times = (
        to_host(x).astype(np.float64) for x in (observed.states, observed.seen, observed.inputs, observed.times)
    )
    inside = np.arange(times.shape[1]) < to_host(observed.counts)[:, None]
    rows = np.where(seen > 0, states, np.nan).reshape(-1, states.shape[-1])
    mean, sd = (reduce(rows, axis=0) for reduce in (np.nanmean, np.nanstd))
    fed = inputs[inside][:, : inputs.shape[2] // 2] if inputs.ndim == 3 else inputs
    sds = [np.where(x > 0, x, 1.0) for x in (sd, fed.std(axis=0))]
    unit = _unit_of_time(times, (states - mean) / sds[0], seen > 0)
    on = lambda x: xp.asarray(x.tolist(), dtype=dtype, device=device)
    return TableScaling(*map(on, (mean, sds[0], fed.mean(axis=0), sds[1], np.asarray([unit]))))


def _unit_of_time(times: np.ndarray, states: np.ndarray, seen: np.ndarray) -> float:
    """Return the distance in time at which standardised states differ by 1 (root mean square), or the longest."""
    found = 1.0
    for lag in 2 ** np.arange(int(np.log2(max(times.shape[1] - 1, 1))) + 1):
        both = seen[:, lag:] & seen[:, :-lag]
        if not both.any():
            break
        pairs = both.any(axis=-1)
        found = float(np.mean((times[:, lag:] - times[:, :-lag])[pairs]))
        if np.mean(np.square(states[:, lag:] - states[:, :-lag])[both]) >= 1:
            break
    return found
