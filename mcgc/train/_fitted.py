"""What a run on a table has learned: predictions with bands, simulations and scores, from its file alone."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

import numpy as np

from mcgc.arrays import HOST, to_device, to_host
from mcgc.errors import InputError
from mcgc.tables import Dates, SeriesTable, Table, as_table
from mcgc.train import run_file
from mcgc.train._assess import softmax
from mcgc.train._courses import courses, pairs_of
from mcgc.train._diagnose import Diagnosable
from mcgc.train._dynamics import TableScaling
from mcgc.train._export import Exports
from mcgc.train._known import known_of_model
from mcgc.train._own import is_own, problem_of_model, table_of
from mcgc.train._scores import (
    LEVEL,
    LEVELS,
    Calibration,
    Predicted,
    calibration_of,
    class_scores,
    coverage,
    of_members,
    scores,
)
from mcgc.train._segments import TEST, pieces_of, times_until
from mcgc.train._supervised import RowsScaling, parts_of
from mcgc.train.run_file import RunFile
from mcgc.train.settings import Settings


class Fitted(Exports, Diagnosable):
    """A trained model of a table.

    Parameters
    ----------
    file : RunFile
        The run, as `mcgc.train.run_file.load` reads it. It suffices: neither the table nor the problem is needed.

    Attributes
    ----------
    file : RunFile
        The run.
    model : mapping
        The task (`kind`), the net, and the names of the columns.
    settings : Settings
        The settings.
    results : mapping
        Scores, baselines, calibration and coverage (see the page on run files).

    Raises
    ------
    InputError
        If the run is not of a table.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgc
    >>> x = np.linspace(-1, 1, 200)
    >>> fitted = mcgc.fit({"x": x, "y": 2 * x + 1}, "regression", target="y")
    >>> found = fitted.predict({"x": [0.0, 0.5]})
    >>> print(abs(found["y"] - [1, 2]).max() < 0.2, fitted.score({"x": x, "y": 2 * x + 1})["r2"]["y"] > 0.99)
    True True
    """

    def __init__(self, file: RunFile) -> None:
        if not is_own(file.model):
            raise InputError(
                f"the run is of the problem {file.settings.get('problem')!r}, not of a table: use mcgc.train.predict"
            )
        self.file, self.model, self.results = file, file.model, file.results
        self.settings = Settings(**{name: file.settings[name] for name in Settings._fields if name in file.settings})
        self._problem = problem_of_model(file.model, self.settings)
        kind = TableScaling if self.task == "dynamics" else RowsScaling
        host = {name: to_device(values, HOST, self.settings.dtype) for name, values in file.scaling.items()}
        self._scaling = kind(**host) if host else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Let copies, and other processes, have the run file and make the rest anew."""
        return Fitted, (self.file,)

    @property
    def task(self) -> str:
        """The task: "dynamics", "regression" or "classification"."""
        return str(self.model["kind"])

    @property
    def parameters(self) -> dict[str, list[float]]:
        """The fitted parameters of the equations by name, one value for each member; none for a net alone."""
        known = known_of_model(self.model) if self.task == "dynamics" else None
        return {} if known is None else known.fitted(self.file.theta)

    def save(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write the run to a file, which `mcgc.load` and the command read."""
        run_file.save(path, self.file, overwrite)

    @property
    def dates(self) -> Dates | None:
        """How the times of dynamics are dates, if the run was trained on dates."""
        return Dates(**self.model["dates"]) if "dates" in self.model else None

    def predict(
        self, data: Any = None, *, until: Any = None, every: float | None = None, level: float = LEVEL
    ) -> dict[str, np.ndarray]:
        """Return predictions with their bands, as columns of a table.

        Parameters
        ----------
        data : Any, optional
            A table (`mcgc.tables.as_table`) with the columns of the run. For dynamics, each group has an initial state,
            its inputs, and the times where states are wanted. By default the groups of the run, from their own starts;
            `until` is then needed.
        until, every : float, optional
            For dynamics: the states are wanted from the start of each group to `until` in steps of `every`, in place of
            the times in `data`. `every` is by default a hundredth of the whole. Where the times of the run are dates,
            `until` is a date or a number in their unit, and `every` is in this unit (`dates`).
        level : float
            The share of observations that the bands shall cover, from 0.01 to 0.99.

        Returns
        -------
        dict of str to array
            For dynamics the group and the time, as dates (datetime64) if they were given as dates. For others nothing
            of the table. For each state or target its mean over the members, and `<name>_low` and `<name>_high`. For a
            classification the class, and `p(<class>)` of each.

        Raises
        ------
        InputError
            If the table lacks a column, or a group its initial state.
        SolveError
            If the course of a group leaves what can be solved.
        """
        if not LEVELS[0] <= level <= LEVELS[-1]:
            raise InputError(f"level must be a number from {LEVELS[0]} to {LEVELS[-1]}, got {level!r}")
        if self.task != "dynamics":
            if until is not None or every is not None:
                raise InputError(f"until and every are for dynamics, not for a {self.task}: leave them out")
            if data is None:
                raise InputError(f"a {self.task} predicts for rows: give a table of features")
            return self._of_rows(data, level)
        if data is None and until is None:
            raise InputError("give a table, or until when to predict")
        own = self._starts() if data is None else table_of(data, self.model)
        assert isinstance(own, SeriesTable)
        return self._of_series(own, until, every, level)

    def _time(self, value: Any, what: str) -> float:
        """Return a time as a number; it may be a date if the run has dates."""
        if self.dates is not None:
            return self.dates.number(value, what)
        if isinstance(value, int | float | np.number):
            return float(value)
        raise InputError(f"{what} must be a number, as the times of the run are, got {value!r}")

    def simulate(
        self,
        start: Mapping[str, float],
        inputs: Mapping[str, float] | None = None,
        *,
        until: Any,
        every: float | None = None,
        begin: Any = 0.0,
        level: float = LEVEL,
    ) -> dict[str, np.ndarray]:
        """Return the course of the states from a state of one's own, with constant inputs.

        Parameters
        ----------
        start : mapping of str to float
            The value of each state at the time `begin`.
        inputs : mapping of str to float, optional
            The value of each input.
        until, every, level
            As for `predict`.
        begin : float or date
            The time of the start, 0 by default.

        Returns
        -------
        dict of str to array
            As `predict` returns.

        Raises
        ------
        InputError
            If a state or input is missing or unknown, or the run is not of dynamics.
        """
        if self.task != "dynamics":
            raise InputError(f"only dynamics can be simulated, and the run is a {self.task}: use predict")
        given, fed = dict(start), dict(inputs or {})
        for what, names, values in (("state", self.model["states"], given), ("input", self.model["inputs"], fed)):
            if {*names} != {*values}:
                raise InputError(f"the run has the {what}s {', '.join(names) or 'none'}: give each of them a value")
        group = {} if self.model["group"] is None else {self.model["group"]: ["simulation"]}
        row = {name: [float(value)] for name, value in (given | fed).items()}
        as_number = isinstance(begin, int | float | np.number)
        at: Any = [float(begin)] if as_number else self._dated(np.asarray([self._time(begin, "begin")]))
        return self.predict({self.model["time"]: at, **group, **row}, until=until, every=every, level=level)

    def _dated(self, times: np.ndarray) -> np.ndarray:
        assert self.dates is not None
        found = self.dates.instants(times)
        if not self.dates.utc:
            return found
        return np.asarray([each.astype(object).replace(tzinfo=UTC) for each in found], object)

    def score(self, data: Any, level: float = LEVEL) -> dict[str, Any]:
        """Return the scores of a table: for numbers "rmse", "mae", "r2" and "coverage", each by column; for classes
        "accuracy" and "log_loss".

        For dynamics each group is predicted from its first row on, and the first row does not count.

        Parameters
        ----------
        data : Any
            A table with features and targets, or with states.
        level : float
            That of the bands whose coverage is measured.

        Returns
        -------
        dict
            The scores, in the units of the data.

        Raises
        ------
        InputError
            If the table has nothing to compare with.
        """
        own = table_of(data, self.model)
        observed = own.states if isinstance(own, SeriesTable) else own.targets
        if np.isnan(observed).all():
            raise InputError("the table has no value of what is predicted, so there is nothing to score: add it")
        if self.task == "classification":
            there = ~np.isnan(observed[:, 0])
            assert not isinstance(own, SeriesTable)
            chances = self._chances(own._replace(features=own.features[there], targets=observed[there]))
            return class_scores(observed[there, 0].astype(int), chances)
        if isinstance(own, SeriesTable):
            found = self._predicted_series(own, [own.times[a:b] for a, b in pairs_of(own)])
            first = own.bounds[:-1]
            truth = observed.copy()
            truth[first] = np.nan
        else:
            found, truth = self._predicted_rows(own), observed
        found = found._replace(truth=truth)
        names = self.model["states" if self.task == "dynamics" else "targets"]
        covered = {"coverage": coverage(found, self._calibration(), names, level)} if self._calibrated else {}
        return {**scores(truth, found.mean, names), **covered}

    def held_out(self, data: Any) -> Table:
        """Return the rows of a table that were the test set of the run, if it is the table of the run.

        Parameters
        ----------
        data : Any
            The table that the run was trained on.

        Returns
        -------
        Table
            The rows of the test set; with the split in time of dynamics, and the row before them, where each begins.

        Raises
        ------
        InputError
            If the run has no test set.

        Examples
        --------
        >>> import mcgc
        >>> table = {"x": list(range(40)), "y": list(range(40))}
        >>> found = mcgc.fit(table, "regression", target="y", epochs=2)
        >>> found.held_out(table).num_rows
        8
        """
        table, own = as_table(data), table_of(data, self.model)
        if isinstance(own, SeriesTable):
            pieces = pieces_of(own, self.settings)
            chosen = [own.rows[a:b] for _, a, b, part in pieces if part == TEST]
        else:
            kept, parts = parts_of(own, self.settings)
            chosen = [kept[parts == TEST]]
        rows = np.concatenate(chosen or [np.zeros(0, int)])
        if len(rows) == 0:
            raise InputError("the run has no test set: train one with a test part")
        return table._replace(columns={name: values[rows] for name, values in table.columns.items()})

    @property
    def _calibrated(self) -> bool:
        return "calibration" in self.results

    def _calibration(self) -> Calibration:
        return calibration_of(self.results["calibration"])

    def _starts(self) -> SeriesTable:
        """Return the groups of the run with their starts alone."""
        found = self.results.get("starts")
        if found is None:
            raise InputError(
                "the run file has no starts, as the inputs change with time or the run is not done: give a table"
            )
        times = np.asarray(found["time"])
        times = times if self.dates is None else self._dated(times)
        columns = {self.model["time"]: times, **found["states"], **found["inputs"]}
        if self.model["group"] is not None:
            columns[self.model["group"]] = found["groups"]
        return table_of(as_table(columns), self.model)  # type: ignore[return-value]

    def _of_series(self, own: SeriesTable, until: Any, every: float | None, level: float) -> dict[str, np.ndarray]:
        wanted = [own.times[a:b] for a, b in pairs_of(own)]
        if until is not None:
            end = self._time(until, "until")
            wanted = [times_until(times[0], end, every) for times in wanted]
        elif every is not None:
            wanted = [times_until(times[0], times[-1], every) for times in wanted]
        found = self._predicted_series(own, wanted)
        columns: dict[str, np.ndarray] = {}
        if self.model["group"] is not None:
            columns[self.model["group"]] = np.repeat(np.asarray(own.groups), [len(times) for times in wanted])
        times = np.concatenate(wanted)
        columns[self.model["time"]] = times if own.dates is None else own.dates.instants(times)
        return columns | self._banded(found, self.model["states"], level)

    def _banded(self, found: Predicted, names: Sequence[str], level: float) -> dict[str, np.ndarray]:
        """Return the means, and their bands where the run has a calibration."""
        half = self._calibration().half_width(found.variance, level) if self._calibrated else None
        columns: dict[str, np.ndarray] = {}
        for i, name in enumerate(names):
            columns[name] = found.mean[:, i]
            if half is not None:
                columns[f"{name}_low"], columns[f"{name}_high"] = (found.mean[:, i] + s * half[:, i] for s in (-1, 1))
        return columns

    def _predicted_series(self, own: SeriesTable, wanted: Sequence[np.ndarray]) -> Predicted:
        return courses(self._problem, self.settings, self._scaling, self.file.theta, own, wanted)

    def _predicted_rows(self, own: Any) -> Predicted:
        return of_members(self._outputs(own))

    def _outputs(self, own: Any) -> np.ndarray:
        """Return the output of each member for rows, (members, rows, outputs)."""
        assert self._problem.predict is not None
        targets = np.zeros_like(own.targets)
        examples = self._problem.examples(own._replace(targets=targets), self.settings.dtype, HOST)
        of = self._problem.predict(self.settings, self._scaling)
        return np.stack([to_host(of(theta, examples)).astype(np.float64) for theta in self.file.theta])

    def _chances(self, own: Any) -> np.ndarray:
        return softmax(self._outputs(own)).mean(axis=0)

    def _of_rows(self, data: Any, level: float) -> dict[str, np.ndarray]:
        own = table_of(data, self.model)
        if self.task == "regression":
            return self._banded(self._predicted_rows(own), self.model["targets"], level)
        chances, classes = self._chances(own), np.asarray(self.model["classes"])
        named = {f"p({name})": chances[:, i] for i, name in enumerate(classes)}
        return {self.model["targets"][0]: classes[chances.argmax(axis=1)], **named}


def load(path: str | os.PathLike) -> Fitted:
    """Return the model of a run on a table, from its file.

    Parameters
    ----------
    path : str or path
        A run file that `mcgc fit`, `mcgc.fit` or `Fitted.save` wrote.

    Returns
    -------
    Fitted
        The model.

    Raises
    ------
    InputError
        If the file cannot be read, or the run is not of a table.

    Examples
    --------
    >>> import mcgc
    >>> table = {"x": list(range(20)), "y": list(range(20))}
    >>> mcgc.fit(table, "regression", target="y", epochs=2).save("mine.h5")
    >>> mcgc.load("mine.h5").task
    'regression'
    """
    return Fitted(run_file.load(path))
