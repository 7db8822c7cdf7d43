"""What was measured: experiments with times, observed values, a start, and inputs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mcgc.continuation import Parameter
from mcgc.errors import InputError
from mcgc.tables import SeriesTable, interpolate


class Experiment(NamedTuple):
    """One experiment: what was seen at which times.

    Parameters
    ----------
    times : array of shape (times,)
        The times, in any order. A time may be there twice.
    values : array of shape (times,) or (times, columns)
        The observed values, NaN where one is missing.
    y0 : sequence of shape (states,), optional
        The state at the start: numbers, `mcgc.Parameter` for those to fit, and None for those that the first values
        give. By default all are None.
    inputs : dict, optional
        What the field takes as u: a number, or for one that varies an array (times,), or a pair of times and values.
    t0 : float, optional
        The time of the start, by default the first of `times`.
    name : str, optional
        What reports call it, by default its number.

    Examples
    --------
    >>> from mcgc.estimation import Experiment
    >>> Experiment([0.0, 1.0], [2.0, 1.1], name="first").name
    'first'
    """

    times: Any
    values: Any
    y0: Any = None
    inputs: Any = None
    t0: float | None = None
    name: str = ""


Entry = float | Parameter | None


class Series(NamedTuple):
    """An experiment, checked: sorted times (n,), values (n, columns), and inputs as numbers or as knots with values."""

    name: str
    t0: float
    times: np.ndarray
    values: np.ndarray
    y0: tuple[Entry, ...] | None
    inputs: dict[str, Any]

    @property
    def varying(self) -> bool:
        """Whether an input changes with time."""
        return any(isinstance(one, tuple) for one in self.inputs.values())


def series_of_data(data: Any) -> list[Series]:
    """Return the experiments that a caller gave. Raises `InputError` for what cannot be used."""
    if isinstance(data, SeriesTable):
        data = experiments_of(data)
    given = list(data) if _is_several(data) else [data]
    if not given:
        raise InputError("data holds no experiment: give one")
    found = []
    for number, one in enumerate(given):
        if not isinstance(one, Experiment):
            if not (isinstance(one, Sequence) and len(one) == 2):
                raise InputError(f"data must be an Experiment, a pair (times, values), or several, got {one!r:.60}")
            one = Experiment(*one)
        found.append(_checked(one, one.name or str(number)))
    widths = {one.values.shape[1] for one in found}
    if len(widths) > 1:
        raise InputError(f"all experiments have the same columns, got {sorted(widths)}: fill missing ones with NaN")
    names = [one.name for one in found]
    if len({*names}) < len(names):
        raise InputError("two experiments have the same name: give each its own")
    for one in found:
        if one.inputs.keys() != found[0].inputs.keys():
            raise InputError(
                f"experiment {one.name!r} has the inputs {sorted(one.inputs)}, but {found[0].name!r} has "
                f"{sorted(found[0].inputs)}: give each the same"
            )
    return found


def _is_several(data: Any) -> bool:
    if isinstance(data, Experiment):
        return False
    pair = isinstance(data, tuple) and len(data) == 2 and not any(isinstance(one, Experiment | tuple) for one in data)
    return isinstance(data, Sequence) and not pair


def experiments_of(series: SeriesTable, starts: Mapping[str, Entry] | None = None) -> list[Experiment]:
    """Return the experiments of a table of series: one for each group.

    Parameters
    ----------
    series : SeriesTable
        The series. Its states are the states of the field, in this order.
    starts : dict, optional
        States at the start, by name. The first values give the others.

    Returns
    -------
    list of Experiment
        The experiments, with the names of the groups.

    Raises
    ------
    InputError
        If a name in `starts` is that of no state.

    Examples
    --------
    >>> from mcgc.estimation import experiments_of
    >>> from mcgc.tables import series_columns, series_of
    >>> table = {"t": [0, 1, 0, 1], "run": ["a", "a", "b", "b"], "y": [2.0, 1.0, 4.0, 2.0]}
    >>> [one.name for one in experiments_of(series_of(table, series_columns(table, group="run")))]
    ['a', 'b']
    """
    starts = dict(starts or {})
    for name in starts:
        if name not in series.columns.states:
            raise InputError(f"a start is given for {name!r}, which is no state: choose of {series.columns.states}")
    found = []
    for label, a, b in zip(series.groups, series.bounds[:-1], series.bounds[1:], strict=True):
        inputs = {}
        for i, name in enumerate(series.columns.inputs):
            column = series.inputs[a:b, i]
            inputs[name] = float(column[0]) if (column == column[0]).all() else column
        y0 = [starts.get(name) for name in series.columns.states]
        found.append(Experiment(series.times[a:b], series.states[a:b], y0, inputs, name=label))
    return found


def _checked(one: Experiment, name: str) -> Series:
    where = f"experiment {name!r}"
    try:
        times, values = np.asarray(one.times, dtype="float64"), np.asarray(one.values, dtype="float64")
    except (TypeError, ValueError):
        raise InputError(f"times and values of {where} must be numbers, with NaN for those that are missing") from None
    values = values[:, None] if values.ndim == 1 else values
    if times.ndim != 1 or values.ndim != 2 or len(values) != len(times) or values.shape[1] == 0:
        raise InputError(
            f"{where} needs times of shape (n,) and values of shape (n, columns), got {times.shape} and {values.shape}"
        )
    if times.size == 0 or not np.isfinite(times).all() or np.isinf(values).any():
        raise InputError(f"{where} needs finite times, one at least, and values that are finite or NaN")
    t0 = float(times.min() if one.t0 is None else one.t0)
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    if not (t0 <= times[0] and t0 < times[-1]):
        raise InputError(f"{where} needs a time after its start at {t0:g}, and none before it")
    inputs = {
        key: _input(value, times, order, f"input {key!r} of {where}") for key, value in (one.inputs or {}).items()
    }
    return Series(name, t0, times, values, None if one.y0 is None else _start(one.y0, where), inputs)


def _start(y0: Any, where: str) -> tuple[Entry, ...]:
    try:
        found = tuple(one if one is None or isinstance(one, Parameter) else float(one) for one in y0)
    except (TypeError, ValueError):
        found = ()
    if not found or any(isinstance(one, float) and not math.isfinite(one) for one in found):
        raise InputError(f"y0 of {where} must be a sequence with a finite number, a Parameter or None for each state")
    return found


def _input(value: Any, times: np.ndarray, order: np.ndarray, what: str) -> Any:
    """Return an input as a number, or as a pair of increasing knots and values."""
    try:
        if isinstance(value, tuple) and len(value) == 2:
            knots, values = (np.asarray(part, dtype="float64") for part in value)
        else:
            values = np.asarray(value, dtype="float64")
            if values.ndim == 0:
                if not np.isfinite(values):
                    raise InputError(f"{what} is not finite")
                return float(values)
            knots, values = times, values[order] if values.shape == times.shape else values
    except (TypeError, ValueError):
        raise InputError(f"{what} must be a number, an array over the times, or a pair (times, values)") from None
    if knots.shape != values.shape or knots.ndim != 1 or knots.size == 0:
        raise InputError(f"{what} has the shape {values.shape}, but its times have {knots.shape}: make them equal")
    if not np.isfinite(values).all() or not (np.diff(knots) > 0).all():
        raise InputError(f"{what} needs finite values at times that increase")
    return knots, values


def input_at(value: Any, times: np.ndarray, kind: str) -> np.ndarray:
    """Return an input at some times."""
    if not isinstance(value, tuple):
        return np.full(np.shape(times), value)
    knots, values = value
    return interpolate(knots, values, times, kind)
