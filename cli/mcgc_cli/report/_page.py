"""The page of a report: one HTML file with its style, its script and plotly, which loads nothing."""

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from mcgc_cli import drawn
from mcgc_cli.pictures import named
from mcgc_cli.report import _charts as charts
from mcgc_cli.report import _sections as sections
from mcgc_cli.report._charts import Chart
from mcgc_cli.report._findings import Finding, best_epochs, findings, scored

if TYPE_CHECKING:
    from mcgc.tables import Table
    from mcgc.train import Fitted
    from mcgc.train.run_file import RunFile

MOST_COURSES, MOST_STATES = 80, 12  # courses are series times states
# the page may run what is in it, and load nothing
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def page(
    run: "RunFile",
    name: str,
    fitted: "Fitted | None" = None,
    table: "Table | None" = None,
    more: Sequence[Finding] = (),
    note: str = "",
) -> str:
    """Return the page of a run.

    Parameters
    ----------
    run : RunFile
        The run.
    name : str
        What the run is called.
    fitted : Fitted, optional
        The run as a model, if it is of a table.
    table : Table, optional
        The table that it was trained on.
    more : sequence of Finding
        Findings beside those that the numbers of the run file give; they come first.
    note : str
        Why there is no table.

    Returns
    -------
    str
        HTML.
    """
    body = "\n".join(
        [
            f"<h1>{escape(name)}</h1>",
            f'<p class="about">{escape(_about(run))}</p>',
            _tiles(run),
            "<h2>What to do next</h2>",
            _advice(run, [*more, *findings(run)]),
            *_scores(run),
            *_fit(run, fitted, table, note),
            "<h2>Training</h2>",
            _grid(
                chart("Losses", [charts.losses(run)], note="Members are faint, their mean is bold."),
                chart("Accuracy", [charts.accuracy(run)]),
                chart("λ, the variance of the noise", [charts.lam(run)]),
            ),
            _units_of_losses(run),
            sections.members(run),
            sections.equations(run),
            "<h2>Data</h2>",
            sections.data(run),
            "<h2>Model and settings</h2>",
            f'<div class="columns">{sections.settings(run)}</div>',
        ]
    )
    return document(name, body)


def document(name: str, body: str) -> str:
    """Return a page with its style, its script and plotly, from the HTML of its body."""
    from plotly.offline import get_plotlyjs

    own = files("mcgc_cli.report")
    style, script = ((own / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(name)}: mcgc report</title>\n<style>\n{style}</style></head>\n<body><main>\n"
        "<noscript><p>The charts of this page need JavaScript, which is in the page.</p></noscript>\n"
        f"{body}\n</main>\n<script>{get_plotlyjs()}</script>\n<script>\n{script}</script>\n</body></html>\n"
    )


def chart(title: str, figures: Sequence[Chart | None], labels: Sequence[str] = (), note: str = "") -> str:
    """Return a chart as HTML, or "" if there is nothing to draw. With labels a list chooses one of the figures."""
    if not figures or None in figures:
        return ""
    # a text in the data must not end the script
    text = json.dumps(figures, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    options = "".join(f"<option>{escape(label)}</option>" for label in labels)
    choice = f'<select aria-label="{escape(title)}">{options}</select>' if len(figures) > 1 else ""
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    label = f'role="img" aria-label="{escape(title)}"'
    return (
        f'<section class="chart"><h3>{escape(title)}</h3>{said}{choice}<div class="plot" {label}></div>'
        f'<script type="application/json">{text}</script></section>'
    )


def _grid(*parts: str) -> str:
    return f'<div class="grid">{"".join(parts)}</div>'


def _about(run: "RunFile") -> str:
    kind = run.model.get("kind", run.settings.get("problem", ""))
    problem = run.settings.get("problem")
    what = f"{kind}" if kind == problem else f"{problem} ({kind})"
    method = (
        f"continuation ({run.settings.get('estimator')})" if run.settings.get("continuation") else "no continuation"
    )
    return f"A run of mcgc {run.versions.get('mcgc', '')}: {what}, {method}, seed {run.settings.get('seed')}."


def _tiles(run: "RunFile") -> str:
    """Return the few numbers that one looks for first."""
    tiles: dict[str, str] = {}
    results = run.results
    if results:
        part = scored(results)
        own = results["scores"][part]
        if "accuracy" in own:
            tiles[f"accuracy, {part} set"] = sections.shown(own["accuracy"], percent=True)
        else:
            tiles[f"R², {part} set"] = sections.shown(own["r2"]["all"])
            covered = results["coverage"].get(part, {}).get("all")
            if covered is not None:
                level = f"{results['calibration']['level']:.0%}"
                tiles[f"of the {part} set in the {level} bands"] = sections.shown(covered, percent=True)
    else:
        at = best_epochs(run) - 1
        for field, name in (("test_accuracy", "accuracy, test set"), ("test_loss", "loss, test set")):
            values = run.epochs[field][at, np.arange(len(at))]
            if np.isfinite(values).all():
                tiles[f"{name}, mean of the members"] = sections.shown(values.mean(), field == "test_accuracy")
    tiles["epochs" if run.finished else "epochs so far"] = f"{run.epoch}"
    tiles["members"] = f"{len(run.theta)}"
    tiles["training"] = _time(float(np.sum(run.epochs.get("seconds", 0.0))))
    return f'<div class="tiles">{"".join(tile(name, value) for name, value in tiles.items())}</div>'


def tile(name: str, value: str) -> str:
    """Return a number with what it is."""
    return f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _time(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.1f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _advice(run: "RunFile", found: Sequence[Finding]) -> str:
    if not found:
        left = "" if run.results else " The run file has no baselines to compare with."
        return f"<p>Nothing found that asks for a change.{left}</p>"
    rows = "".join(f"<li><strong>{escape(each.fact)}</strong> {escape(each.advice)}</li>" for each in found)
    return f'<ul class="findings">{rows}</ul>'


def _scores(run: "RunFile") -> list[str]:
    found = sections.scores(run)
    return ["<h2>Scores</h2>", found] if found else []


def _units_of_losses(run: "RunFile") -> str:
    if not run.scaling or run.model.get("kind") not in ("dynamics", "regression"):
        return ""
    return (
        '<p class="note">Losses are in scaled units: those of the standard deviation of each column of the training '
        "set.</p>"
    )


def _fit(run: "RunFile", fitted: "Fitted | None", table: "Table | None", note: str) -> list[str]:
    """Return what is drawn of the data."""
    if fitted is None:
        kept = "losses, λ and the parameters, but neither data nor predictions"
        return ["<h2>Fit</h2>", f"<p>The run file holds {kept}: those are not drawn here.</p>"]
    found: list[str] = []
    if fitted.task == "classification" and "confusion" in run.results:
        counts = np.asarray(run.results["confusion"])
        part = scored(run.results)
        title, shade = f"Confusion matrix, {part} set", "The shade is the share of the true class."
        found.append(chart(title, [charts.confusion(counts, run.model["classes"])], note=shade))
    if table is None:
        missing = f"{note}: data and predictions are not drawn."
        return ["<h2>Fit</h2>", f"<p>{escape(missing)}</p>", _grid(*found)]
    held = drawn.held_out(fitted, table)
    if fitted.task == "dynamics":
        found = [_courses(fitted, table, held)]
    if held is None:
        return ["<h2>Fit</h2>", *found, "<p>There is no test set: nothing more is compared with data.</p>"]
    if fitted.task == "classification":
        how = "The share of rows whose predicted class is right, by its probability, in bins of a tenth."
        reliability = charts.of_reliability(drawn.reliability(fitted, held.table))
        found.append(chart(f"Calibration, {held.what}", [reliability], note=how))
        return ["<h2>Fit</h2>", _grid(*found)]
    return ["<h2>Fit</h2>", *(found if fitted.task == "dynamics" else []), _of_numbers(fitted, held)]


def _courses(fitted: "Fitted", table: "Table", held: drawn.Held | None) -> str:
    """Return the courses of series, those of the test set first, with a list to choose from."""
    model, every = fitted.model, drawn.groups(fitted, table)
    states = model["states"][:MOST_STATES]
    chosen = dict(list(every.items())[: MOST_COURSES // len(states)])
    found = [drawn.course(fitted, table, group, part, held) for group, part in chosen.items()]
    series = lambda each: "The series" if model["group"] is None else f"{model['group']} {each.group}"
    labels = [series(each) + (f" ({each.part} set)" if each.part else "") for each in found]
    figures = [charts.of_course(each, model, states) for each in found]
    left = []
    if len(every) > len(chosen):
        left.append(f"{len(chosen)} of {len(every)} series are drawn.")
    if len(model["states"]) > len(states):
        left.append(f"{len(states)} of {len(model['states'])} states are drawn.")
    left += [f"{label}: {each.note}." for label, each in zip(labels, found, strict=True) if each.note]
    how = "Each series is predicted from its first row on. Drag to zoom, double-click to zoom out."
    return chart("Data against fit", figures, labels, " ".join([how, *left]))


def _of_numbers(fitted: "Fitted", held: drawn.Held) -> str:
    """Return residuals and calibration of the test set, for a column that can be chosen."""
    found = {name: each for name, each in drawn.residuals(fitted, held.table).items() if len(each.truth)}
    labels = [named(fitted.model, name) for name in found]
    pairs = list(zip(found.values(), labels, strict=True))
    parts = [
        chart(f"Predictions, {held.what}", [charts.of_predictions(*pair) for pair in pairs], labels),
        chart(f"Residuals, {held.what}", [charts.of_residuals(*pair) for pair in pairs], labels),
    ]
    shares = drawn.covered(fitted, found)
    if shares:
        parts.append(chart(f"Calibration of the bands, {held.what}", [charts.of_coverage(shares, fitted.model)]))
    return _grid(*parts)
