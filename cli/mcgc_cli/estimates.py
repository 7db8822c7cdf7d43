"""What the file of an estimate predicts, as columns, and the page that `mcgc report` writes of it."""

from html import escape
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from mcgc_cli.values import numbers_of

if TYPE_CHECKING:
    from mcgc.estimation import SavedEstimate


def predicted(
    saved: "SavedEstimate", until: Any, every: float | None, start: str | None, constant: str | None, level: float
) -> dict:
    """Return the states of each experiment from its start to `until`, or of one simulation from `start`, with bands."""
    from mcgc.errors import InputError
    from mcgc.train._segments import times_until

    if until is None:
        raise click.UsageError("An estimate predicts from the starts of its experiments: give '--until'.")
    if not isinstance(until, float):
        raise InputError(f"until must be a number, as the times of an estimate are, got {until!r}")
    if not saved.model:
        raise InputError("the file of the estimate is of an older version, without its field: estimate again")
    states, columns = saved.summary["states"], dict[str, list]()
    courses: dict[str, Any] = {}
    if start is not None:
        times = np.asarray(times_until(0.0, until, every))
        given = numbers_of(start, "--start"), numbers_of(constant or "", "--constant")
        courses["simulation"] = saved.bands(times, 0, *given, level=level)
    else:
        for i, name in enumerate(saved.summary["experiments"]):
            times = np.asarray(times_until(saved.experiments[i]["t0"], until, every))
            courses[name] = saved.bands(times, i, level=level)
    for name, found in courses.items():
        if len(courses) > 1:
            columns.setdefault("experiment", []).append(np.repeat(name, len(found.times)))
        columns.setdefault("time", []).append(found.times)
        for i, state in enumerate(states):
            parts = {"": found.states, "_se": found.standard_errors, "_low": found.low, "_high": found.high}
            if np.isfinite(found.data_low[:, i]).any():
                parts |= {"_data_low": found.data_low, "_data_high": found.data_high}
            for ending, values in parts.items():
                columns.setdefault(state + ending, []).append(values[:, i])
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def page_of(saved: "SavedEstimate", name: str) -> str:
    """Return the page of an estimate as HTML: its parameters, correlations, noise, and the fit beside the data."""
    from mcgc_cli.drawn import Course
    from mcgc_cli.report import _charts as charts
    from mcgc_cli.report._page import MOST_COURSES, MOST_STATES, chart, document, tile
    from mcgc_cli.report._sections import shown, table

    said, columns = saved.summary, saved.summary["columns"][:MOST_STATES]
    model = {"time": "time", "units": {}}
    figures, labels = [], []
    for i, (label, one) in enumerate(zip(said["experiments"], saved.experiments, strict=True)):
        if i < MOST_COURSES // len(columns):
            data = {column: one["values"][:, j] for j, column in enumerate(columns)}
            fit = {"time": one["curve_times"], **{column: one["curve"][:, j] for j, column in enumerate(columns)}}
            figures.append(charts.of_course(Course(label, "", one["times"], data, fit), model, columns))
            labels.append(f"experiment {label}")
    head = ["parameter", "value", "standard error", "start", "lowest", "highest"]
    rows = [
        [each, *(shown(one[key]) for key in ("value", "standard_error", "start", "min", "max"))]
        for each, one in said["parameters"].items()
    ]
    fixed = [each for each, one in said["parameters"].items() if one["fixed"]]
    left = f"Fixed: {', '.join(fixed)}." if fixed else ""
    names = [each for each in said["names"] if each not in fixed]
    at = [said["names"].index(each) for each in names]
    correlations = [[said["names"][i], *(shown(said["correlations"][i][j]) for j in at)] for i in at]
    tiles = {"parameters fitted": str(said["free_parameters"]), "data points": str(said["data_points"]),
             "experiments": str(len(said["experiments"])), "half the sum of squares": shown(said["cost"])}  # fmt: skip
    seen = {
        column: shown(said["sigma"][column])
        for j, column in enumerate(said["columns"])
        if any(np.isfinite(one["values"][:, j]).any() for one in saved.experiments)
    }
    how = "given" if said["sigma_known"] else "estimated"
    body = "\n".join(
        [
            f"<h1>{escape(name)}</h1>",
            f'<p class="about">{escape("An estimate of mcgc by " + said["method"] + ": " + said["message"])}</p>',
            f'<div class="tiles">{"".join(tile(key, value) for key, value in tiles.items())}</div>',
            "<h2>Parameters</h2>",
            table(head, rows, f"Standard errors are those of the linear model at the estimate. {left}".strip()),
            table(["correlation", *names], correlations) if len(names) > 1 else "",
            "<h2>Fit</h2>",
            chart("Data against fit", figures, labels, "Drag to zoom, double-click to zoom out."),
            "<h2>Noise</h2>",
            table(["column", f"standard deviation, {how}"], seen.items()),
            "<h2>Report</h2>",
            f'<div class="scroll"><pre>{escape(saved.report)}</pre></div>',
        ]
    )
    return document(name, body)
