"""The picture of a sweep: its trials in parallel coordinates, and the loss against each setting."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mcgc.sweeps import Results, Trial
from mcgc_cli import pictures
from mcgc_cli.sweep_text import named, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = 10.0  # a ratio of losses from which on their axis is logarithmic
COLUMNS, TICKS = 4, 5  # panels in a row, and ticks of an axis in parallel, about
GREY = "0.7"
SPREAD, GOLDEN = 0.4, 0.618  # of the trials of a choice: their width, and a step that fills it evenly


def of_sweep(results: Results, metric: str | None = None) -> "Figure":
    """Return the figure of a sweep. Raises `InputError` if no trial has a finite loss."""
    loss = metric or results.metric
    best = results.best(metric)
    trials = [trial for trial in results.ranked(metric) if trial.status == "finished"]
    finite = [trial for trial in trials if math.isfinite(trial.value(loss))]
    rows = -(-len(results.space) // COLUMNS)
    width = 2.6 * min(len(results.space), COLUMNS) + 1.2
    figure = pictures.new(max(width, 6.5), 3.2 + 2.6 * rows)
    parts: Any = figure.subfigures(2, 1, height_ratios=[3.2, 2.6 * rows])
    above, below = parts
    _parallel(above.subplots(), results, finite, loss)
    panels = below.subplots(rows, min(len(results.space), COLUMNS), squeeze=False, sharey=True).ravel()
    for panel, one in zip(panels, results.space, strict=False):
        _slice(panel, one, results.trials, best, loss)
        first = panel is panels[0] or one in results.space[::COLUMNS]
        pictures.plain(panel, named(one.name), f"{loss} loss" if first else "")
    for panel in panels[len(results.space) :]:
        panel.set_axis_off()
    if _wide([trial.value(loss) for trial in finite]):
        pictures.logarithmic(panels[0])
    above.suptitle(_title(results, best, len(finite), loss), fontsize=10)
    return figure


def _title(results: Results, best: Trial, drawn: int, loss: str) -> str:
    pruned = sum(trial.status == "pruned" for trial in results.trials)
    lost = len(results.trials) - drawn - pruned
    found = f"{drawn} trials, best: trial {best.number}, {loss} loss {best.value(loss):.4g}"
    found += f"; {pruned} pruned (crosses)" if pruned else ""
    return found + (f"; {lost} without a finite loss" if lost else "")


def _wide(losses: Sequence[float]) -> bool:
    return min(losses) > 0 and max(losses) > WIDE * min(losses)


def _parallel(axes: "Axes", results: Results, trials: Sequence[Trial], loss: str) -> None:
    """Draw a line a trial through the values of its settings to its loss: the better, the darker."""
    import matplotlib

    losses = [trial.value(loss) for trial in trials]
    low, high = min(losses), max(losses)
    log = _wide(losses)
    of = math.log if log else float
    height = lambda value: 0.5 if low == high else (of(value) - of(low)) / (of(high) - of(low))
    colours = matplotlib.colormaps["viridis"]
    for rank, trial in reversed(list(enumerate(trials))):
        course = [*(one.unit(trial.values[one.name]) for one in results.space), height(trial.value(loss))]
        how = {"color": colours(0.95 * rank / max(len(trials) - 1, 1)), "linewidth": 1, "alpha": 0.8}
        if rank == 0:
            how = {"color": pictures.COLOURS[1], "linewidth": 2.5}
        axes.plot(range(len(course)), course, **how)  # type: ignore[arg-type]
    for x, one in enumerate(results.space):
        if one.choices:
            labels = [(one.unit(choice), shown(choice)) for choice in one.choices]
        else:
            labels = [(one.unit(tick), shown(tick)) for tick in _ticks(one.low, one.high, one.log, one.integer)]
        _axis(axes, x, labels)
    _axis(axes, len(results.space), [(height(tick), shown(tick)) for tick in _ticks(low, high, log)])
    axes.set_xlim(-0.3, len(results.space) + 0.5)
    names = [*(named(one.name) for one in results.space), f"{loss} loss"]
    axes.set_xticks(range(len(names)), names, fontsize=10, parse_math=False)
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)


def _axis(axes: "Axes", x: float, labels: Sequence[tuple[float, str]]) -> None:
    axes.axvline(x, color="0.3", linewidth=1, zorder=0.5)
    for height, text in labels:
        axes.annotate(
            pictures.shortened(text),
            (x, height),
            (4, 0),
            textcoords="offset points",
            fontsize=8,
            va="center",
            parse_math=False,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
        )


def _ticks(low: float, high: float, log: bool, integer: bool = False) -> list[float]:
    """Return round numbers in a range, or its ends where there are fewer than two."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    subs = (1.0,) if not log or high / low >= 100 else (1.0, 2.0, 5.0)
    locator: Any = LogLocator(subs=subs, numticks=TICKS + 2) if log else MaxNLocator(TICKS, integer=integer)
    found = [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]
    ticks = found if len(found) > 1 else [low, high]
    return [round(tick) for tick in ticks] if integer else ticks


def _slice(axes: Any, one: Any, trials: Sequence[Trial], best: Trial, loss: str) -> None:
    """Draw the loss against a setting: the mean of the members, and from their lowest to their highest."""
    blue, red = pictures.COLOURS[:2]
    for trial in trials:
        value = trial.value(loss)
        if not math.isfinite(value):
            continue
        x = trial.values[one.name]
        if one.choices:  # trials of a choice are drawn beside each other
            x = one.choices.index(x) + SPREAD * (trial.number * GOLDEN % 1 - 0.5)
        colour = red if trial is best else blue if trial.status == "finished" else GREY
        order = 3 if trial is best else 2
        axes.plot([x, x], [min(trial.losses(loss)), max(trial.losses(loss))], color=colour, linewidth=0.8, alpha=0.5)
        mark = "o" if trial.status == "finished" else "x"
        axes.plot([x], [value], mark, color=colour, markersize=6 if trial is best else 4, zorder=order)
    if one.choices:
        axes.set_xticks(
            range(len(one.choices)), [pictures.shortened(shown(it)) for it in one.choices], parse_math=False
        )
        axes.set_xlim(-0.5, len(one.choices) - 0.5)
    elif one.log:
        axes.set_xscale("log")
        if one.high < 100 * one.low:
            _plain_ticks(axes, _ticks(one.low, one.high, True, one.integer))
    elif one.integer:
        axes.xaxis.get_major_locator().set_params(integer=True)


def _plain_ticks(axes: "Axes", ticks: Sequence[float]) -> None:
    from matplotlib.ticker import NullFormatter

    axes.set_xticks(ticks, [shown(tick) for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
