"""Every example runs, without a warning, and fits on a screen."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

from mcgc.train import run_file

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
PACKAGE = Path(__file__).parents[2] / "examples/own_problem_package"


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


def test_a_problem_of_an_installed_package_is_trained_by_its_name(tmp_path):
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site")]
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    fit = ["-m", "mcgc_cli", "fit", "--problem", "pendulum", "--epochs", "2", "--json", "--quiet"]
    for command, variables in (([*pip, str(PACKAGE)], {}), (fit, {"PYTHONPATH": path})):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["problem"] == "pendulum"
    assert run_file.load(tmp_path / "pendulum-seed0.h5").epoch == 2


def test_the_package_of_a_problem_fits_on_a_screen():
    assert {path.name for path in PACKAGE.iterdir()} - {"__pycache__"} == {"pyproject.toml", "own_problem.py"}
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 60 for path in PACKAGE.glob("*.*"))
