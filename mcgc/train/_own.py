"""From a table to a problem: which task, which columns, and with which settings."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcgc.errors import InputError, unknown
from mcgc.tables import (
    Dates,
    RowsColumns,
    RowsTable,
    SeriesColumns,
    SeriesTable,
    as_table,
    rows_columns,
    rows_of,
    series_columns,
    series_of,
)
from mcgc.train import _dynamics as of_series
from mcgc.train import _supervised as of_rows
from mcgc.train._known import Known, known_of, known_of_model
from mcgc.train._problem import Problem
from mcgc.train.settings import CheckedSettings, Settings, validate

TASKS = ("dynamics", "regression", "classification")
MOST_TEXT = 60_000  # bytes of what a run file says of a model, which is an attribute of at most 64 KiB

Names = str | Sequence[str] | None


def prepare(
    data: Any,
    task: str,
    *,
    time: str | None = None,
    group: str | None = None,
    states: Names = None,
    inputs: Names = None,
    interpolation: str | None = None,
    target: Names = None,
    features: Names = None,
    field: Callable[..., Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    **changes: Any,
) -> tuple[Problem, CheckedSettings, Any]:
    """Return the problem of a table, its settings, and its data: what `mcgc.train.bind` takes.

    Parameters
    ----------
    data : Any
        What `mcgc.tables.as_table` takes.
    task : {"dynamics", "regression", "classification"}
        What is learned.
    time, group, states, inputs : str or sequence of str, optional
        The columns of series (`mcgc.tables.series_columns`). `group` and `time` also divide rows.
    interpolation : str, optional
        How inputs go on between times, "linear" by default.
    target, features : str or sequence of str, optional
        The columns of rows (`mcgc.tables.rows_columns`).
    field : function, optional
        Equations of dynamics that are known: `field(t, y, p)` or, with inputs, `field(t, y, p, u)`, as `mcgc.estimate`
        takes them. With `hidden` a net is added to them.
    parameters : dict of Parameter or float, optional
        The parameters of the equations, which are fitted unless they are fixed.
    **changes
        Settings in place of those of the task's recipe. None leaves a setting as it is.

    Returns
    -------
    tuple
        The `Problem`, the settings, and a `mcgc.tables.SeriesTable` or `RowsTable`.

    Raises
    ------
    InputError
        If a name or a setting cannot be used.

    Examples
    --------
    >>> from mcgc import train
    >>> table = {"t": [0, 1, 2] * 6, "run": list("aaabbbcccdddeeefff"), "y": [1, 2, 4] * 6}
    >>> problem, settings, own = train.prepare(table, "dynamics", group="run", hidden=8)
    >>> problem.model["states"], settings.hidden, len(train.bind(settings, own, problem=problem).train.times)
    (['y'], '8', 4)
    """
    if task not in TASKS:
        raise InputError(unknown("task", task, TASKS))
    table = as_table(data)
    others: dict[str, Any] = {"states": states, "inputs": inputs, "interpolation": interpolation, "field": field}
    if task == "dynamics":
        others = {"target": target, "features": features}
    for name, value in others.items():
        if value is not None:
            raise InputError(f"{name} does not apply to the task {task}: leave it out")
    if parameters is not None and field is None:
        raise InputError("parameters are those of equations: give their field too")
    own: SeriesTable | RowsTable
    known = None
    if task == "dynamics":
        columns = series_columns(table, time, group, states, inputs)
        own = series_of(table, columns, interpolation or "linear")
        known = None if field is None else known_of(field, parameters, columns.states, columns.inputs)
    else:
        if target is None:
            raise InputError(f"the task {task} needs a target: name the column that is predicted")
        own = rows_of(table, rows_columns(table, target, features, task == "classification", group, time))
    return prepare_own(own, changes, known)


def prepare_own(
    own: SeriesTable | RowsTable, changes: Mapping[str, Any], known: Known | None = None
) -> tuple[Problem, CheckedSettings, Any]:
    """Return what `prepare` does, of series or rows that were taken from a table already."""
    if isinstance(own, SeriesTable):
        net = known is None or changes.get("hidden") is not None
        return with_settings(own, _changed(of_series.recipe_of(own, known is not None, net), changes), known)
    return with_settings(own, _changed(of_rows.recipe_of(own), changes))


def taken_up(data: Any, model: Mapping[str, Any], settings: Settings) -> tuple[Problem, CheckedSettings, Any]:
    """Return what `prepare` does for the columns of a run file's `model`, and the given settings.

    Parameters
    ----------
    data : Any
        What `mcgc.tables.as_table` takes.
    model : mapping
        The `model` of a run file.
    settings : Settings
        The settings.

    Returns
    -------
    tuple
        The `Problem`, the settings, and a `mcgc.tables.SeriesTable` or `RowsTable`.

    Raises
    ------
    InputError
        If the table lacks a column, or a setting cannot be used.

    Examples
    --------
    >>> import mcgc
    >>> from mcgc import train
    >>> table = {"x": list(range(20)), "y": list(range(20))}
    >>> fitted = mcgc.fit(table, "regression", target="y", epochs=2)
    >>> problem, settings, own = train.taken_up(table, fitted.model, fitted.settings)
    >>> problem.name, own.features.shape
    ('regression', (20, 1))
    """
    own = table_of(data, model)
    return with_settings(own, settings, known_of_model(model))


def table_of(data: Any, model: Mapping[str, Any]) -> SeriesTable | RowsTable:
    """Return a table as the `model` of a run file names its columns. It may lack states and targets."""
    table = as_table(data)
    if model["kind"] == "dynamics":
        columns = SeriesColumns(model["time"], model["group"], tuple(model["states"]), tuple(model["inputs"]))
        dates = Dates(**model["dates"]) if "dates" in model else None
        found = series_of(table, columns, model["interpolation"], dates)
        if found.dates is not None and dates is None:
            raise InputError(
                f"column {columns.time!r} holds dates, but the times of the run are numbers: give numbers like those"
            )
        if found.varying and not model["varying"]:
            raise InputError(
                "the inputs change within a series, but in the table of the run they were constant: give constant "
                "inputs, or train on a table where they change"
            )
        return found._replace(varying=bool(model["varying"]))
    categories = {name: tuple(found) for name, found in model["categories"].items()}
    names = tuple(model["targets"]), tuple(model["features"]), categories, tuple(model["classes"])
    return rows_of(table, RowsColumns(*names, model["group"], model["time"]))


def problem_of_model(model: Mapping[str, Any], settings: Settings) -> Problem:
    """Return the problem that the `model` of a run file is of, one of `TASKS`."""
    return of_series.dynamics(model, settings) if model["kind"] == "dynamics" else of_rows.supervised(model, settings)


def with_settings(
    own: SeriesTable | RowsTable, settings: Settings, known: Known | None = None
) -> tuple[Problem, CheckedSettings, Any]:
    """Return what `prepare` does, of series or rows that were taken from a table already and all of their settings."""
    if isinstance(own, SeriesTable):
        checked = validate(settings, of_series.options_of(known is None or settings.hidden is not None))
        model = of_series.model_of(own, checked, known)
    else:
        checked = validate(settings, of_rows.OPTIONS)
        model = of_rows.model_of_rows(own, checked)
    if len(json.dumps(model)) > MOST_TEXT:
        what = "the names of the columns and the equations are" if known else "the names of the columns are"
        raise InputError(f"{what} too long for a run file: name fewer columns, or shorten them")
    return problem_of_model(model, checked), checked, own


def _changed(recipe: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return a recipe with changes; hidden widths may be a number or a sequence."""
    given = {name: value for name, value in changes.items() if value is not None}
    wrong = [name for name in given if name not in Settings._fields or name == "problem"]
    if wrong:
        raise InputError(unknown("setting", wrong[0], [name for name in Settings._fields if name != "problem"]))
    hidden = given.get("hidden")
    if hidden is not None and not isinstance(hidden, str):
        widths = [hidden] if isinstance(hidden, int) else hidden
        given["hidden"] = ",".join(str(width) for width in widths)
    return recipe._replace(**given)


def recipes() -> dict[str, Settings]:
    """Return the settings that each task begins with. Some depend on the table too (`prepare`)."""
    return {"dynamics": of_series.RECIPE, "regression": of_rows.REGRESSION, "classification": of_rows.CLASSIFICATION}


def is_own(model: Mapping[str, Any]) -> bool:
    """Tell whether the `model` of a run file is of a table."""
    return model.get("kind") in TASKS
