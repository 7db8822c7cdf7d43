"""Figures of runs and studies. Equal inputs give equal bytes."""

import math
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcgc import files
from mcgc.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito 2008
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":")
FORMATS = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}, ".pdf": {"CreationDate": None}}
LABELS = {
    "train_loss": "{loss}, training set",
    "test_loss": "{loss}, test set",
    "test_accuracy": "accuracy, test set (%)",
    "log_lam": "log₁₀ λ",
}
PARTS = {"train_loss": "training", "validation_loss": "validation", "test_loss": "test"}
SCALES = {"test_accuracy": 100.0, "log_lam": 1 / math.log(10)}


def named(model: Mapping[str, Any], name: str) -> str:
    """Return the name of a column with its unit, if the `model` of a run file knows it."""
    unit = model.get("units", {}).get(name)
    return f"{name} [{unit}]" if unit else name


def broken(label: str, newline: str = "\n", width: int = 20) -> str:
    """Return a label in at most two lines, for an axis that is short."""
    lines = textwrap.wrap(label, width) or [""]
    return newline.join(shortened(line, width) for line in [lines[0], *([" ".join(lines[1:])] if lines[1:] else [])])


def shortened(label: str, width: int = 16) -> str:
    """Return a label without its middle if it is long: names often differ at their ends."""
    kept = (width - 1) // 2
    return label if len(label) <= width else f"{label[: width - 1 - kept]}…{label[-kept:]}"


def new(width: float, height: float) -> "Figure":
    """Return an empty figure with a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def check_format(path: str | os.PathLike) -> None:
    """Raise `InputError` if `path` does not end in a format that can be written."""
    if Path(path).suffix not in FORMATS:
        raise InputError(
            f"a picture ends in {' or '.join(FORMATS)}, got {os.fspath(path)!r}: give it one of these endings"
        )


def save(figure: "Figure", path: str | os.PathLike) -> None:
    """Write `figure` to `path` as PNG, SVG or PDF. Raises `InputError` or `OutputError` if it cannot be written."""
    import matplotlib

    check_format(path)
    ending, image = Path(path).suffix, BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "mcgc"}):
        figure.savefig(image, format=ending[1:], dpi=150, metadata=FORMATS[ending])
    files.write(path, image.getvalue())


def ensembles(runs: Mapping[str, Mapping[str, Any]], shown: Sequence[str], loss: str, log: bool) -> "Figure":
    """Draw the epochs of `runs`, with a panel for each quantity in `shown`. Members are faint, their mean is bold.

    The last panel is the path of λ, if a run has one. `loss` is the name of the loss. With `log` its axes are
    logarithmic.
    """
    paths = ["log_lam"] if any((epochs["log_lam"] == epochs["log_lam"]).any() for epochs in runs.values()) else []
    fields = [*shown, *paths]
    rows = 1 if len(fields) < 4 else 2
    columns = -(-len(fields) // rows)
    figure = new(1 + 3.6 * columns, 0.4 + 3 * rows)
    for axes, field in zip(figure.subplots(rows, columns, squeeze=False).flat, fields, strict=False):
        for epochs, (colour, dash) in zip(runs.values(), styles(), strict=False):
            values = epochs[field] * SCALES.get(field, 1.0)
            axes.plot(epochs["epoch"], values, color=colour, alpha=0.3, linewidth=0.7)
            axes.plot(epochs["epoch"], values.mean(axis=1), dash, color=colour, linewidth=2)
        if log and field.endswith("loss"):
            axes.set_yscale("log")
        plain(axes, "epoch", LABELS[field].format(loss=loss))
        axes.xaxis.get_major_locator().set_params(integer=True)
    legend(figure, list(runs), "mean of the members, and each member (faint)")
    return figure


def plain(axes: "Axes", x: str, y: str) -> None:
    """Label `axes`, and remove the upper and the right spine."""
    axes.set_xlabel(x, fontsize=10, parse_math=False)  # names of columns may contain a $
    axes.set_ylabel(y, fontsize=10, parse_math=False)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def logarithmic(axes: "Axes") -> None:
    """Make the vertical axis logarithmic, with plain numbers where it spans few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if math.log10(high / low) < 2:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def styles() -> Iterator[tuple[str, Any]]:
    """Yield a colour and a dash for each line."""
    return zip(cycle(COLOURS), cycle(DASHES), strict=False)


def legend(figure: "Figure", labels: Sequence[str], title: str) -> None:
    """Put a legend of bold lines in the order of `styles` above the panels of `figure`."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=colour, linestyle=dash, linewidth=2)
        for _, (colour, dash) in zip(labels, styles(), strict=False)
    ]
    columns = min(len(labels), 4)
    made = figure.legend(
        lines, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=10, title=title
    )
    for text in made.get_texts():
        text.set_parse_math(False)  # file names may contain a $
