"""`mcgc plot` draws a run and its data, and no text meets another or leaves the picture."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from mcgc_cli.pictures import broken, shortened
from mcgc_cli.plot import of_run
from mcgc_datasets import read_table

from mcgc.train import Fitted, run_file

TABLES = {"dynamics": "reactor.csv", "regression": "line.csv", "classification": "iris.csv"}


def figure_of(runs, kind, **model):
    """Return the figure of a run, whose model may have other entries, such as units."""
    found = run_file.load(runs / f"{kind}.h5")
    found = found._replace(model={**found.model, **model})
    if kind not in TABLES:
        return of_run(found)
    return of_run(found, Fitted(found), read_table(runs / TABLES[kind]))


def texts(figure):
    """Return the texts of a figure that are drawn, and their boxes in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = [axis for panel in figure.axes if panel.axison for axis in (panel.xaxis, panel.yaxis)]
    of_axes = {text for axis in axes for text in axis.findobj(Text)}
    shown = {text for axis in axes for tick in axis.get_majorticklabels() for text in [tick] if _inside(axis, tick)}
    shown |= {axis.label for axis in axes}
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    found = [text for text in found if text not in of_axes or text in shown]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in found]


def _inside(axis, tick):
    """Tell whether a label of an axis is in its range: others are not drawn."""
    low, high = sorted(axis.get_view_interval())
    place = tick.get_position()[0 if axis.axis_name == "x" else 1]
    return low <= place <= high


@pytest.mark.parametrize("kind", ["dynamics", "regression", "classification", "lorenz"])
def test_no_text_meets_another_or_is_cut(runs, kind):
    figure = figure_of(runs, kind)
    found = texts(figure)
    assert len(found) > 10
    width, height = figure.get_size_inches() * figure.dpi
    for text, box in found:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
    meeting = [(a, b) for (a, x), (b, y) in combinations(found, 2) if x.padded(-1).overlaps(y.padded(-1))]
    assert meeting == []


def test_labels_have_units_and_series_say_which_part_they_are_of(runs):
    figure = figure_of(runs, "dynamics", units={"A": "mol/l", "time": "h"})
    labels = [panel.get_ylabel() for panel in figure.axes] + [panel.get_xlabel() for panel in figure.axes]
    assert {"A [mol/l]", "B", "time [h]", "loss, in scaled units", "log₁₀ λ"} <= {*labels}
    assert sum("(test)" in panel.get_title() for panel in figure.axes) == 1
    figure = figure_of(runs, "regression", units={"y": "$"})
    assert "y [$], prediction" in [panel.get_ylabel() for panel in figure.axes]
    FigureCanvasAgg(figure).draw()  # a $ is a letter


def test_the_confusion_that_is_drawn_is_that_of_the_run(runs):
    run = run_file.load(runs / "classification.h5")
    figure = figure_of(runs, "classification")
    (panel,) = [each for each in figure.axes if each.get_title() == "confusion, test set"]
    counts = [int(text.get_text()) for text in panel.texts]
    np.testing.assert_array_equal(np.reshape(counts, (3, 3)), run.results["confusion"])


def test_a_loss_within_two_decades_has_plain_numbers(runs):
    figure = figure_of(runs, "lorenz")
    FigureCanvasAgg(figure).draw()
    labels = [tick.get_text() for tick in figure.axes[0].yaxis.get_majorticklabels()]
    assert labels
    assert all(float(label) > 0 for label in labels)


def test_texts_that_meet_are_found():
    figure = Figure()
    figure.subplots().set_xticks([0.0, 0.01, 1.0], ["one long name", "another", "far away"])
    found = texts(figure)
    assert [(a, b) for (a, x), (b, y) in combinations(found, 2) if x.overlaps(y)] == [("one long name", "another")]


def test_long_labels_are_broken_or_lose_their_middle():
    assert broken("temp [K]") == "temp [K]"
    assert broken("concentration of species 17") == "concentration of\nspecies 17"
    assert all(len(line) <= 20 for line in broken("a very long name of a column " * 5).split("\n"))
    assert broken("a very long name of a column " * 5).count("\n") == 1
    assert shortened("virginica") == "virginica"
    assert shortened("class with a long name 17") == "class wi…name 17"
    assert len(shortened("x" * 40)) == 16
