"""Time series from a table in long form: a row for each time of each group."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mcgc.errors import DatasetError, InputError, unknown
from mcgc.tables._dates import Dates, dates_of, instants_of
from mcgc.tables._table import Table, as_table, chosen

INTERPOLATIONS = ("linear", "cubic", "previous")
CLOSE = 1e-9  # inputs that differ by less, relative to their size, are constant


class SeriesColumns(NamedTuple):
    """Which columns of a table are what.

    Parameters
    ----------
    time : str
        The column of times.
    group : str or None
        The column that tells which series a row is of. None where the table is one series.
    states, inputs : tuple of str
        The columns of states and of inputs.
    """

    time: str
    group: str | None
    states: tuple[str, ...]
    inputs: tuple[str, ...]


class SeriesTable(NamedTuple):
    """Time series, each with times of its own, one after the other in one array of rows.

    Parameters
    ----------
    columns : SeriesColumns
        What the columns are.
    groups : tuple of str
        The label of each series, in the order of the table.
    lengths : array of shape (series,)
        The number of times of each.
    times : array of shape (rows,)
        The times, increasing within a series.
    states : array of shape (rows, states)
        The states, NaN where they are missing.
    inputs : array of shape (rows, inputs)
        The inputs. None is missing: between those that are there, they are interpolated.
    varying : bool
        Whether an input changes within a series.
    interpolation : str
        How inputs go on between times, one of `INTERPOLATIONS`.
    rows : array of shape (rows,)
        The row of the table that each came from.
    source, sha256 : str
        Those of the table.
    units : dict
        Those of the table, of the columns that are used.
    dates : Dates, optional
        How the times are dates, if the column of times has dates.
    """

    columns: SeriesColumns
    groups: tuple[str, ...]
    lengths: np.ndarray
    times: np.ndarray
    states: np.ndarray
    inputs: np.ndarray
    varying: bool
    interpolation: str
    rows: np.ndarray
    source: str
    sha256: str
    units: dict[str, str]
    dates: Dates | None = None

    @property
    def bounds(self) -> np.ndarray:
        """The first row of each series, and the number of rows after the last: (series + 1,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @property
    def missing(self) -> dict[str, int]:
        """How many values of each state are missing."""
        return dict(zip(self.columns.states, np.isnan(self.states).sum(axis=0).tolist(), strict=True))


def series_columns(
    data: Any,
    time: str | None = None,
    group: str | None = None,
    states: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
) -> SeriesColumns:
    """Return which columns are what, where a caller named some of them.

    Parameters
    ----------
    data : Any
        What `as_table` takes.
    time : str, optional
        The column of times. By default the one that is called "time" or "t".
    group : str, optional
        The column that tells which series a row is of. Without one, the table is one series.
    states : str or sequence of str, optional
        The columns of states. By default all that are left and hold numbers.
    inputs : str or sequence of str, optional
        The columns of inputs. By default there are none.

    Returns
    -------
    SeriesColumns
        The names.

    Raises
    ------
    InputError
        If a name is not that of a column, or is named as two things.

    Examples
    --------
    >>> from mcgc.tables import series_columns
    >>> series_columns({"t": [0, 1], "y": [1, 2], "u": [0, 0]}, inputs="u")
    SeriesColumns(time='t', group=None, states=('y',), inputs=('u',))
    """
    table = as_table(data)
    if time is None:
        found = [name for name in table.columns if name.lower() in ("time", "t")]
        if len(found) != 1:
            raise InputError(unknown("column of times", time or "time", table.columns))
        time = found[0]
    table.column(time, "column of times")
    if group is not None:
        table.column(group, "column of groups")
    given = () if inputs is None else chosen(table, inputs, "input")
    if states is None:
        taken = {time, group, *given}
        named = tuple(name for name in table.columns if name not in taken and not table.is_text(name))
        if not named:
            raise InputError("the table has no column left for the states: name some")
    else:
        named = chosen(table, states, "state")
    uses = {"the time": (time,), "the group": (group,) if group else (), "a state": named, "an input": given}
    seen: dict[str, str] = {}
    for use, names in uses.items():
        for name in names:
            if name in seen:
                raise InputError(f"column {name!r} is named as {seen[name]} and as {use}: choose one")
            seen[name] = use
    return SeriesColumns(time, group, named, given)


def series_of(
    data: Any, columns: SeriesColumns, interpolation: str = "linear", dates: Dates | None = None
) -> SeriesTable:
    """Return the time series of a table in long form.

    Rows are sorted by time within a series. A row without any state stays: a prediction is wanted there.

    Parameters
    ----------
    data : Any
        What `as_table` takes.
    columns : SeriesColumns
        What the columns are. States that the table lacks are missing.
    interpolation : {"linear", "cubic", "previous"}
        How inputs that are missing are filled in.
    dates : Dates, optional
        How dates are numbers. By default they are numbers of days, hours, minutes or seconds since the first date of
        the table: the largest unit that is no longer than the steps between times.

    Returns
    -------
    SeriesTable
        The series.

    Raises
    ------
    DatasetError
        If a value is no number, a time or group is missing, a time is there twice in a series, or a series has no value
        of an input. The sentence names the row.

    Examples
    --------
    >>> from mcgc.tables import series_columns, series_of
    >>> table = {"t": [1, 0, 0], "run": ["a", "a", "b"], "y": [2.0, 1.0, None]}
    >>> found = series_of(table, series_columns(table, group="run"))
    >>> found.groups, found.lengths.tolist(), found.times.tolist(), found.missing
    (('a', 'b'), [2, 1], [0.0, 1.0, 0.0], {'y': 1})
    """
    table = as_table(data)
    if interpolation not in INTERPOLATIONS:
        raise InputError(unknown("interpolation", interpolation, INTERPOLATIONS))
    instants = instants_of(table, columns.time)
    times: Any = table.numbers(columns.time, "column of times") if instants is None else instants[0]
    _require_all(table, ~np.isnan(times), columns.time, "time")
    labels, numbers = _grouped(table, columns.group)
    if instants is None:
        dates = None
    else:
        dates = dates or dates_of(times, numbers, instants[1])
        if dates.utc != instants[1]:
            zone = lambda there: "a time zone" if there else "no time zone"
            raise DatasetError(
                f"column {columns.time!r} has dates with {zone(instants[1])}, and the run has dates with "
                f"{zone(dates.utc)}: give dates like those of the run"
            )
        times = dates.numbers(times)
    order = np.lexsort((times, numbers))
    times, numbers = times[order], numbers[order]
    same = (np.diff(times) == 0) & (np.diff(numbers) == 0)
    if same.any():
        at = int(same.argmax()) + 1
        where = "" if columns.group is None else f" of group {labels[numbers[at]]!r}"
        raise DatasetError(
            f"{table.location(int(order[at]))} has the time {times[at]:g}{where} a second time: each time is there "
            "once, so remove the row or name the column of groups"
        )
    absent = np.full(len(times), np.nan)
    states = [table.numbers(name)[order] if name in table.columns else absent for name in columns.states]
    lengths = np.bincount(numbers, minlength=len(labels))
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    inputs, varying = [], False
    for name in columns.inputs:
        values = table.numbers(name, "column for an input")[order]
        for label, a, b in zip(labels, bounds[:-1], bounds[1:], strict=True):
            there = ~np.isnan(values[a:b])
            if not there.any():
                where = "the table" if columns.group is None else f"group {label!r}"
                raise DatasetError(f"input {name!r} has no value in {where}: give it at one time at least")
            known = values[a:b][there]
            if np.ptp(known) <= CLOSE * np.abs(known).max():
                values[a:b] = known[0]
            else:
                varying = True
                values[a:b] = interpolate(times[a:b][there], known, times[a:b], interpolation)
        inputs.append(values)
    stacked = lambda parts: np.stack(parts, axis=1) if parts else np.zeros((len(times), 0))
    used = {columns.time, *columns.states, *columns.inputs}
    units = {name: unit for name, unit in table.units.items() if name in used}
    parts = (lengths, times, stacked(states), stacked(inputs), varying, interpolation, order)
    units |= {} if dates is None else {columns.time: str(dates)}
    return SeriesTable(columns, tuple(labels), *parts, table.source, table.sha256, units, dates)


def _grouped(table: Table, group: str | None) -> tuple[list[str], np.ndarray]:
    """Return the labels of the groups, in the order in which they come, and the number of the group of each row."""
    if group is None:
        return [""], np.zeros(table.num_rows, np.int64)
    labels = table.labels(group, "column of groups")
    _require_all(table, np.asarray([label is not None for label in labels]), group, "group")
    known = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return [str(label) for label in known], np.asarray([known[label] for label in labels])


def _require_all(table: Table, there: np.ndarray, column: str, what: str) -> None:
    if not there.all():
        row = int(np.argmin(there))
        raise DatasetError(
            f"{table.location(row, column)} is empty: each row needs a {what}, so fill it in or remove the row"
        )


def interpolate(known_times: np.ndarray, known: np.ndarray, times: np.ndarray, kind: str = "linear") -> np.ndarray:
    """Return the values of a series at other times. Beyond its ends it has the value of the end.

    Parameters
    ----------
    known_times, known : array of shape (n,)
        The times, increasing, and the values there.
    times : array of any shape
        Where the values are wanted.
    kind : {"linear", "cubic", "previous"}
        Straight lines, the natural cubic spline, or the last value before, each of them through the known values.

    Returns
    -------
    array of the shape of `times`
        The values.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.tables import interpolate
    >>> interpolate(np.array([0.0, 2.0]), np.array([1.0, 3.0]), np.array([-1.0, 0.5, 9.0]))
    array([1. , 1.5, 3. ])
    """
    inside = np.clip(times, known_times[0], known_times[-1])
    if kind == "previous":
        return known[np.clip(np.searchsorted(known_times, inside, side="right") - 1, 0, None)]
    if kind == "cubic" and len(known) > 2:
        from scipy.interpolate import CubicSpline

        return CubicSpline(known_times, known, bc_type="natural")(inside)
    return np.interp(inside, known_times, known)
