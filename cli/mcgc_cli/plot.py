"""`mcgc plot`: losses and λ of a run, and its predictions beside the data."""

from typing import TYPE_CHECKING, Any

import click

from mcgc_cli import pictures
from mcgc_cli.errors import tell
from mcgc_cli.values import FILE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SERIES, MOST_STATES = 3, 6  # that are drawn
PARTS = {"train_loss": "training", "validation_loss": "validation", "test_loss": "test"}


@click.command()
@click.argument("run", type=FILE)
@click.option("-o", "--output", metavar="FILE", type=FILE, required=True, help="Picture: .png, .svg or .pdf.")
@click.option("--data", metavar="FILE", type=FILE, help="Table to compare with.  [default: that of the run]")
@click.option("--force", is_flag=True, help="Replace the picture if it exists.")
def plot(run: str, output: str, data: str | None, force: bool) -> None:
    """Draw the run file RUN: losses and lambda, and for a table its predictions beside the data.

    Dynamics are drawn with bands for three series of the test set, a regression by its residuals, and a classification
    by its confusion matrix. An estimate is drawn beside its data.
    """
    from mcgc import estimation, files
    from mcgc.errors import InputError
    from mcgc.train import Fitted, run_file
    from mcgc_cli.tables import is_own, table_of

    pictures.check_format(output)
    files.check_writable(output, force)
    if estimation.is_estimate(run):
        pictures.save(of_estimate(estimation.read_estimate(run)), output)
        return
    found = run_file.load(run)
    fitted = table = None
    if is_own(found.model):
        fitted = Fitted(found)
        try:
            table = table_of(found, data)
        except InputError as error:
            if data is not None:
                raise
            tell(f"{error}; the picture is without data (--data gives a table)")
    pictures.save(of_run(found, fitted, table), output)


def of_run(run: Any, fitted: Any = None, table: Any = None) -> "Figure":
    """Return the figure of a run file, and of what it fitted to a table."""
    if fitted is None or (table is None and fitted.task != "classification"):
        figure = pictures.new(8, 3.2)
        _progress(figure.subplots(1, 2), run.epochs)
        return figure
    if fitted.task == "dynamics":
        groups = _groups(fitted, table)
        states = fitted.model["states"][:MOST_STATES]
        figure = pictures.new(2 + 3 * max(len(groups), 2), 3 + 1.7 * len(states))
        parts: Any = figure.subfigures(2, 1, height_ratios=[3, 1.7 * len(states)])
        above, below = parts
        _series(below.subplots(len(states), len(groups), squeeze=False, sharex="col"), fitted, table, groups, states)
    else:
        figure = pictures.new(8, 6.6)
        parts = figure.subfigures(2, 1)
        above, below = parts
        if fitted.task == "classification":
            _confusion(below.subplots(1, 1), fitted)
        else:
            _residuals(below.subplots(1, 2), fitted, table)
    _progress(above.subplots(1, 2), run.epochs)
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
            pictures.plain(panel, "time" if i == len(columns) - 1 else "", column if j == 0 else "")
        if len(saved.summary["experiments"]) > 1:
            axes[0, j].set_title(name, fontsize=10, parse_math=False)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _progress(axes: Any, epochs: Any) -> None:
    """Draw losses and λ by the epoch. Members are faint, their mean is bold."""
    import numpy as np

    for (field, label), (colour, dash) in zip(PARTS.items(), pictures.styles(), strict=False):
        values = epochs[field]
        if np.isfinite(values).any():
            values = np.where(np.isfinite(values), values, np.nan)
            axes[0].plot(epochs["epoch"], values, color=colour, alpha=0.3, linewidth=0.7)
            axes[0].plot(epochs["epoch"], values.mean(axis=1), dash, color=colour, linewidth=2, label=label)
    axes[0].set_yscale("log")
    axes[0].legend(frameon=False, fontsize=9)
    pictures.plain(axes[0], "epoch", "loss")
    lam = epochs["log_lam"] / np.log(10)
    if np.isfinite(lam).any():
        axes[1].plot(epochs["epoch"], lam, color=pictures.COLOURS[0], alpha=0.3, linewidth=0.7)
        axes[1].plot(epochs["epoch"], lam.mean(axis=1), color=pictures.COLOURS[0], linewidth=2)
        pictures.plain(axes[1], "epoch", "log₁₀ λ")
    else:
        axes[1].set_axis_off()
    for panel in axes:
        panel.xaxis.get_major_locator().set_params(integer=True)


def _groups(fitted: Any, table: Any) -> list[str]:
    """Return the groups of the table to draw: those of the test set, else the first."""
    column = fitted.model["group"]
    if column is None:
        return [""]
    there = list(dict.fromkeys(label for label in table.labels(column) if label is not None))
    test = {*fitted.results.get("groups", {}).get("test", [])}
    return sorted(there, key=lambda label: label not in test)[:MOST_SERIES]


def _series(axes: Any, fitted: Any, table: Any, groups: list[str], states: list[str]) -> None:
    """Draw data, means and bands: a row a state, a column a series."""
    import numpy as np

    from mcgc.tables import as_table

    model, (blue, red) = fitted.model, pictures.COLOURS[:2]
    labels = None if model["group"] is None else np.asarray(table.labels(model["group"]))
    for column, group in enumerate(groups):
        rows = np.arange(table.num_rows) if labels is None else np.flatnonzero(labels == group)
        part = as_table({name: values[rows] for name, values in table.columns.items()})
        times = part.numbers(model["time"])
        found = fitted.predict(part, every=(times.max() - times.min()) / 200)
        for row, state in enumerate(states):
            panel = axes[row, column]
            panel.plot(times, part.numbers(state), ".", color=red, markersize=4, label="data")
            panel.plot(found[model["time"]], found[state], color=blue, label="fit")
            if f"{state}_low" in found:
                band = found[f"{state}_low"], found[f"{state}_high"]
                panel.fill_between(found[model["time"]], *band, color=blue, alpha=0.2, linewidth=0, label="90% band")
            bottom = row == len(states) - 1
            pictures.plain(
                panel, _named(model, model["time"]) if bottom else "", _named(model, state) if column == 0 else ""
            )
            if row == 0 and model["group"] is not None:
                panel.set_title(f"{model['group']} {group}", fontsize=10, parse_math=False)
    axes[0, 0].legend(frameon=False, fontsize=8)


def _named(model: Any, name: str) -> str:
    unit = model["units"].get(name)
    return f"{name} [{unit}]" if unit else name


def _residuals(axes: Any, fitted: Any, table: Any) -> None:
    """Draw predictions against the data, and residuals against predictions, for the test set of a regression."""
    held = fitted.held_out(table)
    target = fitted.model["targets"][0]
    truth, found = held.numbers(target), fitted.predict(held)
    blue = pictures.COLOURS[0]
    ends = [min(truth.min(), found[target].min()), max(truth.max(), found[target].max())]
    axes[0].plot(ends, ends, color="0.6", linewidth=1)
    axes[0].plot(truth, found[target], ".", color=blue)
    pictures.plain(axes[0], f"{_named(fitted.model, target)}, data", "prediction")
    axes[1].axhline(0, color="0.6", linewidth=1)
    axes[1].plot(found[target], truth - found[target], ".", color=blue)
    half = (found[f"{target}_high"] - found[f"{target}_low"]) / 2
    order = found[target].argsort()
    axes[1].fill_between(found[target][order], -half[order], half[order], color=blue, alpha=0.15, linewidth=0)
    pictures.plain(axes[1], f"{_named(fitted.model, target)}, prediction", "residual and 90% band")


def _confusion(axes: "Axes", fitted: Any) -> None:
    """Draw the confusion matrix of the test set."""
    import numpy as np

    counts, classes = np.asarray(fitted.results["confusion"]), fitted.model["classes"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= 20:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(len(classes)), classes, parse_math=False)
        axes.set_yticks(range(len(classes)), classes, parse_math=False)
    pictures.plain(axes, "predicted class", "true class")
