"""Runs on tables: the options that name columns, the task of a table, and what `fit` says of it."""

from collections.abc import Callable
from typing import Any

import click

from mcgc_cli.equations import METAVAR, PARAMETERS, function_of, parameters_of
from mcgc_cli.grouped import in_group
from mcgc_cli.options import with_flags
from mcgc_cli.summary import as_table
from mcgc_cli.values import FILE, Columns, Name

COLUMNS = ("task", "time", "group", "states", "inputs", "interpolation", "target", "features", "field", "parameters")
MOST_NAMED = 5  # columns in a sentence
_HELP = {
    "task": "What to learn from DATA: dynamics of series, or the regression or classification of a column.",
    "time": "Column of times.  [default: time or t]",
    "group": "Column that tells which series a row is of.",
    "states": "Columns of states, with commas between.  [default: all others that are numbers]",
    "inputs": "Columns of inputs, constant in a series or given over time.",
    "interpolation": "How inputs go on between times: linear, cubic or previous.  [default: linear]",
    "target": "Column to predict.",
    "features": "Columns to predict it from.  [default: all others]",
    "field": "Known equations of dynamics: a function (t, y, p), or (t, y, p, u) with inputs. Alone, its "
    "parameters are fitted. With --hidden, a net is added to it, which learns what it leaves out.",
    "parameters": PARAMETERS,
}

_OF_MODEL = {"field": "FILE.py:NAME", "parameters": METAVAR}


def _choices(name: str) -> Any:
    if name == "task":
        return Name(lambda ctx: ("dynamics", "regression", "classification"))
    if name == "interpolation":
        return Name(lambda ctx: ("linear", "cubic", "previous"))
    return {"field": FILE, "parameters": str}.get(name, Columns())


def _metavar(name: str) -> str | None:
    return None if name in ("task", "interpolation") else "COLUMN" if name in ("time", "group") else "COLUMNS"


def column_options(command: Callable) -> Callable:
    """Add the options that say what the columns of a table are."""
    for name in reversed(COLUMNS):
        group, metavar = ("Model", _OF_MODEL[name]) if name in _OF_MODEL else ("Table", _metavar(name))
        option = in_group(group, f"--{name}", type=_choices(name), metavar=metavar, help=_HELP[name])
        command = option(command)
    return command


def prepared(path: str, columns: dict[str, Any], changes: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return the problem, the settings and the data of a table in a file. Sentences of errors have the flags."""
    from mcgc_datasets import read_table

    from mcgc.errors import InputError
    from mcgc.train import prepare

    if columns["task"] is None:
        raise click.UsageError("A table needs '--task': dynamics, regression or classification.")
    given = dict(columns)
    if given["field"] is not None:
        given["field"] = function_of(given["field"])
    if given["parameters"] is not None:
        given["parameters"] = parameters_of(given["parameters"])
    try:
        return prepare(read_table(path), **given, **changes)
    except InputError as error:
        raise type(error)(with_flags(str(error))) from None


def is_own(model: Any) -> bool:
    """Tell whether the `model` of a run file is of a table."""
    from mcgc.train._own import TASKS

    return model.get("kind") in TASKS


def problem_of_model(model: Any, settings: Any) -> Any:
    """Return the problem of a run file of a table."""
    from mcgc.train import Settings
    from mcgc.train._own import problem_of_model

    return problem_of_model(model, Settings.of(settings))


def taken_up(run: Any, path: str | None, changes: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return what `prepared` does for a run file, whose table is at `path`, or where it was."""
    from mcgc import train
    from mcgc.errors import InputError
    from mcgc.train import Settings

    given = {name: value for name, value in changes.items() if value is not None}
    try:
        return train.taken_up(table_of(run, path), run.model, Settings.of({**run.settings, **given}))
    except InputError as error:
        raise type(error)(with_flags(str(error))) from None


def table_of(run: Any, path: str | None) -> Any:
    """Return the table at `path`, or that of the run file, from where it was."""
    from mcgc_datasets import read_table

    from mcgc.errors import InputError
    from mcgc.files import IN_MEMORY

    source = path or run.dataset.get("source")
    if source in (None, IN_MEMORY):
        raise InputError("the run was trained on a table in memory: give the table")
    return read_table(source)


def with_table(run: Any, path: str | None) -> tuple[Any, Any, str]:
    """Return what a run file fitted to a table, the table to show beside it, and why there is none.

    Both are None for a run that is not of a table. Times that are dates are numbers in the unit of the run. Raises
    `InputError` if the table at `path` cannot be read.
    """
    from mcgc.errors import InputError
    from mcgc.train import Fitted

    if not is_own(run.model):
        return None, None, ""
    fitted = Fitted(run)
    try:
        return fitted, _with_numbers(fitted, table_of(run, path)), ""
    except InputError as error:
        if path is not None:
            raise
        return fitted, None, str(error)


def _with_numbers(fitted: Any, table: Any) -> Any:
    """Return a table whose times are numbers, also if the run was trained on dates."""
    from mcgc.tables._dates import instants_of

    instants = None if fitted.dates is None else instants_of(table, fitted.model["time"])
    if instants is None:
        return table
    times = fitted.dates.numbers(instants[0])
    return table._replace(columns={**table.columns, fitted.model["time"]: times})


def told(data: Any) -> str:
    """Return a sentence on what a table has."""
    missing = {name: count for name, count in data.missing.items() if count}
    gaps = ", ".join(f"{name} {count}" for name, count in missing.items()) or "none"
    if hasattr(data, "groups") and hasattr(data, "lengths"):
        what = f"{len(data.groups)} series, {len(data.times)} times"
    else:
        what = f"{len(data.features)} rows, {data.features.shape[1]} features"
    dates = getattr(data, "dates", None)
    when = "" if dates is None else f"; times are {dates}"
    return f"{data.source}: {what}; missing values: {gaps}{when}"


def shown(results: Any) -> str:
    """Return the scores of a run on a table beside its baselines, as text."""
    part = next((name for name in ("test", "validation", "train") if name in results["scores"]), "train")
    rows = {f"this run, {name}": found for name, found in results["scores"].items()}
    rows |= {f"{name}, {part}": found for name, found in results["baselines"].items()}
    first = results["scores"][part]
    if "accuracy" in first:
        body = [[name, *(_number(found.get(key)) for key in ("accuracy", "log_loss"))] for name, found in rows.items()]
        return as_table(["", "accuracy", "log loss"], body) + _not_beaten(results, part)
    names = list(first["rmse"])
    body = [
        [name, *(_number(found["rmse"][each]) for each in names), _number(found["r2"]["all"])]
        for name, found in rows.items()
    ]
    text = as_table(["RMSE in the units of the data", *names, "R²"], body) + _not_beaten(results, part)
    text += _parameters(results.get("parameters", {}))
    covered = results["coverage"].get(part)
    if covered is None:
        return text
    level, chosen = results["calibration"]["level"], results["calibration"]["part"]
    kind = "the noise and the spread of the members" if results["calibration"]["spread"] else "the noise"
    return (
        f"{text}\n{level:.0%} bands from {kind}, calibrated on the {chosen} set, cover {covered['all']:.1%} of the "
        f"{part} set"
    )


def _not_beaten(results: Any, part: str) -> str:
    """Return lines with the baselines that are as good as the run, or better, in all or for some columns."""
    names = [name for name, beaten in results["beats"].items() if not beaten]
    lines = [f"\non the {part} set the run is no better than the {' and the '.join(names)}"] if names else []
    ours = results["scores"][part].get("rmse", {})
    for name, found in results["baselines"].items():
        columns = [each for each in ours if each != "all" and not _is_less(ours[each], found["rmse"][each])]
        if name not in names and columns:
            listed = ", ".join(columns[:MOST_NAMED]) + (" and others" if len(columns) > MOST_NAMED else "")
            lines.append(f"\non the {part} set the run is no better than the {name} for {listed}")
    return "".join(lines)


def _is_less(ours: float | None, other: float | None) -> bool:
    """Tell whether an error is the smaller one; one that is None is the largest."""
    return ours is not None and (other is None or ours < other)


def _parameters(found: Any) -> str:
    """Return a line with the fitted parameters of equations: the value, or the range of the members."""
    if not found:
        return ""
    shown = [
        f"{name} {_number(sum(values) / len(values))}"
        + (f" ({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else "")
        for name, values in found.items()
    ]
    return f"\nparameters of the equations: {', '.join(shown)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
