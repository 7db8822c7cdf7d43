"""The residuals of a fit, from its experiments, its parameters and the starts that are fitted."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mcgc.continuation import Parameter
from mcgc.continuation._least_squares._parameters import with_scale
from mcgc.errors import InputError, unknown
from mcgc.estimation._experiment import Entry, Series
from mcgc.estimation._field import Layout, Observer, packed_field
from mcgc.estimation._simulate import Group, Options, groups_of, slopes_at, states_at
from mcgc.ode._equations import check_equations

MOST = 2**24  # states that are held at once


class Model(NamedTuple):
    """What is fitted: the field and what is seen of its states, as they were given.

    Parameters
    ----------
    field : function
        The field.
    states : tuple of str
        The names of the states.
    columns : tuple of str
        The names of the observed columns.
    observed : tuple of int, or function
        Which states are seen, or how.
    interpolation : str
        How inputs go on between times.
    options : Options
        Those of the solver.
    """

    field: Any
    states: tuple[str, ...]
    columns: tuple[str, ...]
    observed: Any
    interpolation: str
    options: Options


class Problem:
    """Experiments and a model, as residuals of named parameters.

    Parameters
    ----------
    model : Model
        The model.
    series : list of Series
        The experiments.
    parameters : dict of Parameter
        Those of the field.
    fitted : tuple of int
        The states whose starts are fitted.

    Attributes
    ----------
    parameters : dict of Parameter
        Those of the field and then those of the starts.
    sigma : array of shape (columns,)
        The unit of the residuals of each column.
    keep : list of array
        Which values (times, columns) of each experiment are compared.
    """

    def __init__(
        self, model: Model, series: list[Series], parameters: Mapping[str, Parameter], fitted: tuple[int, ...]
    ):
        self.model, self.series = model, series
        self.of_field = tuple(parameters)
        self.layout = Layout(self.of_field, tuple(series[0].inputs), any(one.varying for one in series))
        inputs = dict.fromkeys(self.layout.inputs, 0.0)
        check_equations(
            model.field, len(model.states), {k: float(v.value) for k, v in parameters.items()}, inputs, series[0].t0
        )
        self.field = packed_field(model.field, self.layout)
        self.observer = Observer(model.observed, self.of_field)
        self.keep = [~np.isnan(one.values) for one in series]
        self._entries = [self._starts(i, fitted) for i in range(len(series))]
        self.parameters = dict(parameters)
        for one, entries in zip(series, self._entries, strict=True):
            for j, entry in enumerate(entries):
                if isinstance(entry, Parameter):
                    name = self._name(one, j)
                    if name in self.parameters:
                        raise InputError(f"{name!r} names a parameter and a start: rename the parameter")
                    self.parameters[name] = entry
        self.groups = groups_of(series, [one.times for one in series], self.layout, model.interpolation)
        self.sigma = self._spread()
        self.elapsed = np.concatenate(
            [
                np.repeat((one.times - one.t0)[:, None], one.values.shape[1], 1)[keep]
                for one, keep in zip(series, self.keep, strict=True)
            ]
        )
        self.column = np.concatenate([np.nonzero(keep)[1] for keep in self.keep])
        if self.elapsed.size == 0:
            raise InputError("every observed value is missing: give some")

    def _name(self, one: Series, state: int) -> str:
        name = f"{self.model.states[state]}(0)"
        return name if len(self.series) == 1 else f"{name}[{one.name}]"

    def _spread(self) -> np.ndarray:
        values = np.concatenate([np.where(keep, one.values, np.nan) for one, keep in zip(self.series, self.keep)])  # noqa: B905
        found = []
        for column in values.T:
            there = column[~np.isnan(column)]
            size = float(there.std()) if there.size else 0.0
            found.append(size or float(np.abs(there).max(initial=0.0)) or 1.0)
        return np.asarray(found)

    def _starts(self, i: int, fitted: tuple[int, ...]) -> list[float | Parameter]:
        """Return the start of an experiment, by state: a number, or a parameter where it is fitted."""
        one, states = self.series[i], self.model.states
        given: Sequence[Entry] = one.y0 or [None] * len(states)
        if len(given) != len(states):
            raise InputError(
                f"y0 of experiment {one.name!r} has {len(given)} numbers for {len(states)} states: give one for each"
            )
        found: list[float | Parameter] = []
        for j, entry in enumerate(given):
            if entry is None:
                entry = self._first(i, j, j in fitted)
            if j in fitted and not isinstance(entry, Parameter):
                entry = Parameter(entry)
            if isinstance(entry, Parameter):
                entry = with_scale(entry, self._scale(j, float(entry.value)))
            found.append(entry)
        return found

    def _column(self, state: int) -> int | None:
        """Return the column in which a state is seen."""
        observed = self.model.observed
        return None if callable(observed) or state not in observed else observed.index(state)

    def _scale(self, state: int, value: float) -> float:
        column = self._column(state)
        if column is None:
            return abs(value) / 2 or 1.0
        seen = np.concatenate([one.values[:, column] for one in self.series])
        return (float(np.nanstd(seen)) / 2 if np.isfinite(seen).any() else 0.0) or abs(value) / 2 or 1.0

    def _first(self, i: int, state: int, fitted: bool) -> float:
        """Return the first value of a state, which is no longer compared if it is taken as known."""
        one, column = self.series[i], self._column(state)
        where = f"state {self.model.states[state]!r} in experiment {one.name!r}"
        if column is None:
            raise InputError(f"the start of {where} is not known, since it is not observed: give it in y0")
        if fitted:
            there = np.flatnonzero(~np.isnan(one.values[:, column]))
            if there.size == 0:
                raise InputError(f"{where} has no value: give a start in y0")
            return float(one.values[there[0], column])
        at = (one.times == one.t0) & ~np.isnan(one.values[:, column])
        if not at.any():
            raise InputError(f"{where} has no value at its start {one.t0:g}: give one in y0, or fit it with y0='fit'")
        self.keep[i][at, column] = False
        return float(one.values[at, column].mean())

    # ---- what parameters mean ----

    def starts(self, named: Mapping[str, Any], i: int, draws: int) -> np.ndarray:
        """Return the starts (draws, states) of an experiment."""
        found = np.empty((draws, len(self.model.states)))
        for j, entry in enumerate(self._entries[i]):
            found[:, j] = named[self._name(self.series[i], j)] if isinstance(entry, Parameter) else entry
        return found

    def _rows(self, named: Mapping[str, Any], group: Group) -> tuple[np.ndarray, np.ndarray]:
        """Return parameters and starts of the rows of a group: its members for each draw."""
        p = np.stack([np.atleast_1d(np.asarray(named[name], dtype="float64")) for name in self.of_field], axis=1)
        draws = len(p)
        y0 = np.stack([self.starts(named, i, draws) for i in group.members], axis=1)
        return np.repeat(p, len(group.members), 0), y0.reshape(-1, y0.shape[2])

    def curves(self, named: Mapping[str, Any], points: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return equally spaced times (points,) of each experiment, and the predicted columns (points, columns)."""
        times = [np.linspace(one.t0, one.times[-1], points) for one in self.series]
        groups = groups_of(self.series, times, self.layout, self.model.interpolation)
        return [(t, seen[0]) for t, seen in zip(times, self.predictions(named, groups), strict=True)]

    # ---- residuals and their derivatives ----

    def predictions(self, named: Mapping[str, Any], groups: Sequence[Group] | None = None) -> list[np.ndarray]:
        """Return the predicted columns (draws, times, columns) of each experiment, at its times or others."""
        found: list[Any] = [None] * len(self.series)
        for group in self.groups if groups is None else groups:
            p, y0 = self._rows(named, group)
            states = states_at(self.field, group, self.model.options, p, y0)
            count = len(group.members)
            for at, (i, indices) in enumerate(zip(group.members, group.indices, strict=True)):
                seen = states[at::count][:, indices]
                flat = self.observer.values(seen.reshape(-1, seen.shape[2]), np.repeat(p[at::count], len(indices), 0))
                found[i] = flat.reshape(len(seen), len(indices), -1)
        return found

    def residuals(self, named: Mapping[str, Any]) -> np.ndarray:
        """Return the residuals (draws, n) in units of `sigma`, NaN where a solution failed."""
        draws = np.size(named[self.of_field[0]])
        most = max(1, MOST // (sum(one.times.size for one in self.series) * len(self.model.states)))
        if draws > most:
            some = [{k: v[i : i + most] for k, v in named.items()} for i in range(0, draws, most)]
            return np.concatenate([self.residuals(each) for each in some])
        parts = [
            ((seen - one.values) / self.sigma)[:, keep]
            for seen, one, keep in zip(self.predictions(named), self.series, self.keep, strict=True)
        ]
        return np.concatenate(parts, axis=1)

    def jacobian(self, named: Mapping[str, Any]) -> np.ndarray:
        """Return the derivatives (n, m) of the residuals at one draw by all parameters."""
        number = {name: j for j, name in enumerate(self.parameters)}
        m, parts = len(self.of_field), [np.empty((0, 0))] * len(self.series)
        for group in self.groups:
            p, y0 = self._rows(named, group)
            states, of_y0, of_p = slopes_at(self.field, group, self.model.options, p, y0)
            for at, (i, indices) in enumerate(zip(group.members, group.indices, strict=True)):
                by_y, by_p = self.observer.slopes(states[at, indices], np.repeat(p[at : at + 1], len(indices), 0))
                whole = np.zeros((*by_p.shape[:2], len(number)))
                whole[..., :m] = by_p + by_y @ of_p[at, indices]
                of_start = by_y @ of_y0[at, indices]
                for j, entry in enumerate(self._entries[i]):
                    if isinstance(entry, Parameter):
                        whole[..., number[self._name(self.series[i], j)]] = of_start[..., j]
                parts[i] = (whole / self.sigma[:, None])[self.keep[i]]
        return np.concatenate(parts)

    def slopes_of_states(self, named: Mapping[str, float], i: int, group: Group) -> tuple[np.ndarray, np.ndarray]:
        """Return the states (times, states) of experiment i, alone in its group, and their derivatives (..., m)."""
        p = np.asarray([[named[name] for name in self.of_field]], dtype="float64")
        states, of_y0, of_p = slopes_at(self.field, group, self.model.options, p, self.starts(named, i, 1))
        at, number = group.indices[0], {name: j for j, name in enumerate(self.parameters)}
        found = np.zeros((len(at), states.shape[2], len(number)))
        found[..., : len(self.of_field)] = of_p[0, at]
        for j, entry in enumerate(self._entries[i]):
            if isinstance(entry, Parameter):
                found[..., number[self._name(self.series[i], j)]] = of_y0[0, at][..., j]
        return states[0, at], found


def indices_of(names: Any, known: tuple[str, ...], what: str) -> tuple[int, ...]:
    """Return the numbers of states that are given by number or by name."""
    found = []
    for name in [names] if isinstance(names, str | int) else names:
        if isinstance(name, str):
            if name not in known:
                raise InputError(unknown(what, name, known))
            name = known.index(name)
        if not (isinstance(name, int | np.integer) and 0 <= name < len(known)):
            raise InputError(f"{what} {name!r} is none of the {len(known)} states: count from 0, or give a name")
        found.append(int(name))
    if len({*found}) < len(found):
        raise InputError(f"a {what} is there twice: name each once")
    return tuple(found)
