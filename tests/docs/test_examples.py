"""Every example runs, without a warning, and fits on a screen."""

import runpy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_draws(path, tmp_path, monkeypatch):
    shown = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    with matplotlib.rc_context({"backend": "agg"}):
        runpy.run_path(str(path), run_name="__main__")
    plt.close("all")
    assert shown
    assert all(shown)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_fits_on_a_screen(path):
    assert path.name.startswith("plot_")  # only these are run and drawn by the gallery
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
