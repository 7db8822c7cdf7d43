"""Figures have the right panels, scales and means, and readable letters."""

import math

import numpy as np
import pytest
from matplotlib.text import Text
from mcgc_cli import contours, pictures

from mcgc.errors import InputError, OutputError
from mcgc.paper import studies

RNG = np.random.default_rng(0)


def epochs(continued):
    shape = (6, 3)
    none = np.full(shape, math.nan)
    columns = {name: RNG.uniform(0.1, 1, shape) for name in ("train_loss", "test_loss", "test_accuracy")}
    return {**columns, "epoch": np.arange(1, 7), "log_lam": RNG.normal(-10, 1, shape) if continued else none}


def ensembles(*continued, log=True, shown=("train_loss", "test_loss")):
    runs = {f"run {i}": epochs(it) for i, it in enumerate(continued)}
    return runs, pictures.ensembles(runs, shown, "MSE", log)


def test_each_quantity_and_the_path_of_lambda_have_a_panel():
    _, figure = ensembles(True, False)
    assert [axes.get_ylabel() for axes in figure.axes] == ["MSE, training set", "MSE, test set", "log₁₀ λ"]
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log", "linear"]
    _, figure = ensembles(False, False, log=False, shown=("test_accuracy",))
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy, test set (%)"]


def test_the_bold_line_is_the_mean_of_the_faint_ones_in_the_colour_of_the_run():
    runs, figure = ensembles(True, True)
    shown = (("train_loss", 1), ("test_loss", 1), ("log_lam", math.log10(math.e)))
    for axes, (name, scale) in zip(figure.axes, shown, strict=True):
        lines = axes.get_lines()
        for i, run in enumerate(runs.values()):
            *faint, bold = lines[4 * i : 4 * i + 4]
            assert {line.get_color() for line in (*faint, bold)} == {pictures.COLOURS[i]}
            np.testing.assert_allclose([line.get_ydata() for line in faint], run[name].T * scale, rtol=1e-12)
            np.testing.assert_allclose(bold.get_ydata(), run[name].mean(axis=1) * scale, rtol=1e-12)
            assert bold.get_linewidth() > 2 * faint[0].get_linewidth()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(runs)


@pytest.mark.parametrize("name", ["ensembles", "figure-1", "figure-3"])
def test_no_letter_is_smaller_than_8_points(name, tmp_path):
    made = {
        "ensembles": lambda: ensembles(True, False)[1],
        "figure-1": lambda: contours.continued(studies.figure_1()),
        "figure-3": lambda: contours.schemes(studies.figure_3()),
    }
    figure = made[name]()
    pictures.save(figure, tmp_path / "figure.png")
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
    assert len(sizes) > 10
    assert min(sizes) >= 8


def test_more_runs_than_colours_are_told_apart_by_their_dashes():
    colours_and_dashes = [style for style, _ in zip(pictures.styles(), range(12), strict=False)]
    assert len(set(colours_and_dashes)) == 12


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path):
    _, figure = ensembles(True)
    with pytest.raises(InputError, match=r"a picture ends in .png or .svg or .pdf, got 'one.gif'"):
        pictures.save(figure, "one.gif")
    with pytest.raises(OutputError, match="cannot be written"):
        pictures.save(figure, tmp_path / "no" / "one.png")
    (tmp_path / "there.svg").mkdir()
    with pytest.raises(OutputError, match="is a directory"):
        pictures.save(figure, tmp_path / "there.svg")
    (tmp_path / "file.h5").touch()
    for name in ("file.h5/one.png", f"{'x' * 300}.png"):
        with pytest.raises(OutputError, match="cannot be written"):
            pictures.save(figure, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.h5", "there.svg"]


def test_labels_are_shown_as_they_are(tmp_path):
    figure = pictures.ensembles({r"a$\foo$.h5": epochs(False)}, ("test_loss",), "MSE", log=True)
    pictures.save(figure, tmp_path / "one.svg")  # which would fail on such mathematics
    assert figure.legends[0].get_texts()[0].get_text() == r"a$\foo$.h5"
