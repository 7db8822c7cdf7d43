"""`mcgc plot`: losses and λ of a run, and its predictions beside the data."""

from typing import TYPE_CHECKING, Any

import click

from mcgc_cli import drawn, pictures
from mcgc_cli.errors import tell
from mcgc_cli.values import FILE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SERIES, MOST_STATES = 3, 6  # that are drawn
LETTERS = 45  # of all classes together, which fit side by side below a matrix


@click.command()
@click.argument("run", type=FILE)
@click.option("-o", "--output", metavar="FILE", type=FILE, required=True, help="Picture: .png, .svg or .pdf.")
@click.option("--data", metavar="FILE", type=FILE, help="Table to compare with.  [default: that of the run]")
@click.option("--force", is_flag=True, help="Replace the picture if it exists.")
def plot(run: str, output: str, data: str | None, force: bool) -> None:
    """Draw the run file RUN: losses and lambda, and for a table its predictions beside the data.

    Dynamics are drawn with bands for three series of the test set, a regression by its residuals, and a classification
    by its confusion matrix; and each by its calibration on the test set. An estimate is drawn beside its data.
    """
    from mcgc import estimation, files
    from mcgc.train import run_file
    from mcgc_cli.tables import with_table

    pictures.check_format(output)
    files.check_writable(output, force)
    if estimation.is_estimate(run):
        pictures.save(of_estimate(estimation.read_estimate(run)), output)
        return
    found = run_file.load(run)
    fitted, table, note = with_table(found, data)
    if note:
        tell(f"{note}; the picture is without data (--data gives a table)")
    pictures.save(of_run(found, fitted, table), output)


def of_run(run: Any, fitted: Any = None, table: Any = None) -> "Figure":
    """Return the figure of a run file, and of what it fitted to a table."""
    lacking = fitted is None or ("confusion" not in run.results if fitted.task == "classification" else table is None)
    if lacking:
        figure = pictures.new(8, 3.2)
        _progress(figure.subplots(1, 2), run)
        return figure
    held = None if table is None else drawn.held_out(fitted, table)
    if fitted.task == "dynamics":
        return _of_dynamics(run, fitted, table, held)
    if fitted.task == "classification":
        return _of_classes(run, fitted, held)
    return of_run(run) if held is None else _of_regression(run, fitted, held)


def _of_dynamics(run: Any, fitted: Any, table: Any, held: drawn.Held | None) -> "Figure":
    """Return the figure of dynamics: training and calibration above, series below."""
    chosen = dict(list(drawn.groups(fitted, table).items())[:MOST_SERIES])
    states = fitted.model["states"][:MOST_STATES]
    shares = {} if held is None else drawn.covered(fitted, drawn.residuals(fitted, held.table))
    height = 0.5 + 1.7 * len(states)
    figure = pictures.new(11 if shares or len(chosen) > 2 else 8, 3 + height)
    parts: Any = figure.subfigures(2, 1, height_ratios=[3, height])
    above, below = parts
    axes = above.subplots(1, 3 if shares else 2)
    _progress(axes, run)
    if held is not None and shares:
        _calibration(axes[2], fitted, shares, held.what)
    courses = [drawn.course(fitted, table, group, part, held) for group, part in chosen.items()]
    panels = below.subplots(len(states), len(courses), squeeze=False, sharex="col")
    _series(panels, fitted, courses, states)
    lines, labels = max((panel.get_legend_handles_labels() for panel in panels[0]), key=lambda found: len(found[0]))
    below.legend(lines, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    below.align_ylabels(panels[:, 0])
    return figure


def of_estimate(saved: Any) -> "Figure":
    """Return the figure of an estimate: a row for each observed column, a column for each of the first experiments."""
    names, columns = saved.summary["experiments"][:MOST_SERIES], saved.summary["columns"][:MOST_STATES]
    figure = pictures.new(2 + 3 * max(len(names), 2), 0.6 + 1.7 * len(columns))
    axes: Any = figure.subplots(len(columns), len(names), squeeze=False, sharex="col")
    blue, red = pictures.COLOURS[:2]
    for j, (name, one) in enumerate(zip(names, saved.experiments, strict=False)):
        for i, column in enumerate(columns):
            panel = axes[i, j]
            panel.plot(one["times"], one["values"][:, i], ".", color=red, markersize=4, label="data")
            panel.plot(one["curve_times"], one["curve"][:, i], color=blue, label="fit")
            if saved.model and column in saved.summary["states"]:
                found, at = saved.bands(one["curve_times"], j), saved.summary["states"].index(column)
                for low, high in ((found.data_low, found.data_high), (found.low, found.high)):
                    panel.fill_between(found.times, low[:, at], high[:, at], color=blue, alpha=0.2, linewidth=0)
            pictures.plain(panel, "time" if i == len(columns) - 1 else "", column if j == 0 else "")
        if len(saved.summary["experiments"]) > 1:
            axes[0, j].set_title(name, fontsize=10, parse_math=False)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _of_regression(run: Any, fitted: Any, held: drawn.Held) -> "Figure":
    """Return the figure of a regression: training above, and a row for each target."""
    found = drawn.residuals(fitted, held.table)
    shares = drawn.covered(fitted, found)
    targets = [name for name, each in found.items() if len(each.truth)][:MOST_STATES]
    figure = pictures.new(11, 3 + 3.2 * len(targets))
    parts: Any = figure.subfigures(2, 1, height_ratios=[3, 3.2 * len(targets)])
    above, below = parts
    _progress(above.subplots(1, 2), run)
    panels = below.subplots(len(targets), 3, squeeze=False)
    for row, name in zip(panels, targets, strict=True):
        _residuals(row, pictures.named(fitted.model, name), found[name], held.what)
        if name in shares:
            _calibration(row[2], fitted, {name: shares[name]}, held.what)
        else:
            row[2].set_axis_off()
    return figure


def _of_classes(run: Any, fitted: Any, held: drawn.Held | None) -> "Figure":
    """Return the figure of a classification: training above, confusion and calibration below."""
    side = 4.2 + 0.2 * min(max(len(fitted.model["classes"]) - 10, 0), 10)
    figure = pictures.new(2 * side + 0.6, 3 + side)
    parts: Any = figure.subfigures(2, 1, height_ratios=[3, side])
    above, below = parts
    _progress(above.subplots(1, 2), run)
    if held is None:
        _confusion(below.subplots(1, 1), fitted)
        return figure
    reliability = drawn.reliability(fitted, held.table)
    left, right = below.subplots(1, 2)
    _confusion(left, fitted)
    right.plot([0, 100], [0, 100], color="0.6", linewidth=1)
    size = (reliability.rows**0.5).clip(4, 10) ** 2  # a mark with many rows is large
    right.plot(100 * reliability.chance, 100 * reliability.right, color=pictures.COLOURS[0], linewidth=1)
    right.scatter(100 * reliability.chance, 100 * reliability.right, s=size, color=pictures.COLOURS[0], clip_on=False)
    right.set(xlim=(0, 100), ylim=(0, 100))
    right.set_title(f"calibration, {held.what}", fontsize=10)
    pictures.plain(right, "probability of the predicted class (%)", "predictions that are right (%)")
    return figure


def _progress(axes: Any, run: Any) -> None:
    """Draw losses and λ by the epoch. Members are faint, their mean is bold."""
    import numpy as np

    epochs = run.epochs
    for (field, label), (colour, dash) in zip(pictures.PARTS.items(), pictures.styles(), strict=False):
        values = epochs[field]
        if np.isfinite(values).any():
            values = np.where(np.isfinite(values), values, np.nan)
            axes[0].plot(epochs["epoch"], values, color=colour, alpha=0.3, linewidth=0.7)
            axes[0].plot(epochs["epoch"], values.mean(axis=1), dash, color=colour, linewidth=2, label=label)
    pictures.logarithmic(axes[0])
    axes[0].legend(frameon=False, fontsize=9)
    scaled = run.scaling and run.model.get("kind") in ("dynamics", "regression")
    pictures.plain(axes[0], "epoch", "loss, in scaled units" if scaled else "loss")
    lam = epochs["log_lam"] / np.log(10)
    if np.isfinite(lam).any():
        axes[1].plot(epochs["epoch"], lam, color=pictures.COLOURS[0], alpha=0.3, linewidth=0.7)
        axes[1].plot(epochs["epoch"], lam.mean(axis=1), color=pictures.COLOURS[0], linewidth=2)
        pictures.plain(axes[1], "epoch", "log₁₀ λ")
    else:
        axes[1].set_axis_off()
    for panel in axes[:2]:
        panel.xaxis.get_major_locator().set_params(integer=True)


def _series(axes: Any, fitted: Any, courses: list[drawn.Course], states: list[str]) -> None:
    """Draw data, means and bands: a row a state, a column a series."""
    model, (blue, red) = fitted.model, pictures.COLOURS[:2]
    for column, found in enumerate(courses):
        for row, state in enumerate(states):
            panel, name = axes[row, column], lambda label: pictures.named(model, label)
            panel.plot(found.times, found.data[state], ".", color=red, markersize=4, label="data")
            if state in found.fit:
                panel.plot(found.fit[model["time"]], found.fit[state], color=blue, label="fit")
            if f"{state}_low" in found.fit:
                band = found.fit[f"{state}_low"], found.fit[f"{state}_high"]
                around = {"alpha": 0.2, "linewidth": 0, "label": "90% band"}
                panel.fill_between(found.fit[model["time"]], *band, color=blue, **around)
            if found.test_from is not None:
                panel.axvline(found.test_from, color="0.6", linestyle="--", linewidth=1, label="test from here")
            bottom = row == len(states) - 1
            label = pictures.broken(name(state)) if column == 0 else ""
            pictures.plain(panel, name(model["time"]) if bottom else "", label)
        title = f"{model['group']} {found.group}" if model["group"] is not None else ""
        axes[0, column].set_title(f"{title} ({found.part})" if found.part else title, fontsize=10, parse_math=False)


def _calibration(axes: "Axes", fitted: Any, shares: Any, what: str) -> None:
    """Draw the share of the data in the bands against their level."""
    axes.plot([0, 100], [0, 100], color="0.6", linewidth=1)
    levels = [100 * level for level in drawn.LEVELS]
    columns = len(shares)
    if columns > MOST_STATES:
        shares = {f"mean of {columns} columns": sum(shares.values()) / columns}
    for (name, share), (colour, dash) in zip(shares.items(), pictures.styles(), strict=False):
        axes.plot(levels, 100 * share, dash, color=colour, label=pictures.named(fitted.model, name))
    if columns > 1:
        for text in axes.legend(frameon=False, fontsize=9).get_texts():
            text.set_parse_math(False)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.set_title("calibration of the bands", fontsize=10)
    pictures.plain(axes, "level of the band (%)", f"{what} in the band (%)")


def _residuals(axes: Any, name: str, found: drawn.Residuals, what: str) -> None:
    """Draw predictions against the data, and residuals against predictions, for a column of a regression."""
    blue = pictures.COLOURS[0]
    both = [*found.truth, *found.predicted]
    axes[0].plot([min(both), max(both)], [min(both), max(both)], color="0.6", linewidth=1)
    axes[0].plot(found.truth, found.predicted, ".", color=blue)
    axes[0].set_title(what, fontsize=10)
    pictures.plain(axes[0], f"{name}, data", f"{name}, prediction")
    axes[1].axhline(0, color="0.6", linewidth=1)
    axes[1].plot(found.predicted, found.truth - found.predicted, ".", color=blue)
    order = found.predicted.argsort()
    x, half = found.predicted[order], found.half[order]
    axes[1].fill_between(x, -half, half, color=blue, alpha=0.15, linewidth=0)
    axes[1].set_title(f"90% band, {what}" if (half == half).all() else what, fontsize=10)
    pictures.plain(axes[1], f"{name}, prediction", f"{name}, data − prediction")


def _confusion(axes: "Axes", fitted: Any) -> None:
    """Draw the confusion matrix of the test set."""
    import numpy as np

    counts, classes = np.asarray(fitted.results["confusion"]), fitted.model["classes"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= 20:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
        names = [pictures.shortened(name) for name in classes]
        upright = sum(len(name) + 1 for name in names) > LETTERS
        axes.set_xticks(range(len(classes)), names, parse_math=False, rotation=90 if upright else 0)
        axes.set_yticks(range(len(classes)), names, parse_math=False)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("share of the true class", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    axes.set_title("confusion, test set", fontsize=10)
    pictures.plain(axes, "predicted class", "true class")
