"""`mcgc fit --problem FILE.py:NAME`: a problem of one's own is trained, saved and resumed, and predicts."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from mcgc_datasets import write_series

from mcgc.errors import InputError
from mcgc.train import predict, problems, run_file

SOURCE = """
import numpy as np
from mcgc.train.problems import neural_ode
from mcgc.train import Settings

recipe = Settings("decay", 1e-2, -8.0, 1e-2, 1e-1, epochs=2, batch_size=3, estimator="antithetic", rtol=1e-3, atol=1e-3)
decay = neural_ode(recipe, (2, 6, 1), activation="tanh", summary="exponential decay")


class Data:
    pass


def made(path):
    data = Data()
    data.times, data.parameters = np.linspace(0, 1, 5), np.linspace(0.5, 2, 8)[:, None]
    data.series = np.exp(-data.parameters[:, None, :] * data.times[:, None])
    return data


by_itself = decay._replace(load=made)
nothing = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE)
    times, rates = np.linspace(0, 1, 5), np.linspace(0.5, 2, 8)[:, None]
    write_series("data.h5", "decay", times, rates, np.exp(-rates[:, None, :] * times[:, None]))
    return tmp_path / "mine.py"


def test_a_problem_in_a_file_is_trained_and_resumed_from_any_directory(mcgc, own, tmp_path, monkeypatch):
    done = mcgc("fit", "--problem", "mine.py:decay", "--dataset", "data.h5", "--members", 2, "--json", "--quiet")
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["problem"], result["output"]) == (f"{own}:decay", "decay-seed0.h5")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    done = mcgc("fit", "--resume", "../decay-seed0.h5", "--epochs", 3, "--quiet")
    assert done.exit_code == 0, done.stderr
    run = run_file.load("../decay-seed0.h5")
    assert run.epoch == 3
    assert predict(run, [[1.0]], [0.0, 0.5], [[1.0]]).shape == (2, 1, 2, 1)


def test_a_problem_may_bring_its_data(mcgc, own):
    done = mcgc("fit", "--problem", "mine.py:by_itself", "--quiet", "--json")
    assert done.exit_code == 0, done.stderr
    assert run_file.load("decay-seed0.h5").dataset["source"] == "built in memory"
    assert mcgc("fit", "--resume", "decay-seed0.h5", "--epochs", 3, "--quiet").exit_code == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.py:decay", "none.py' does not exist: check the path"),
        ("mine.py:deca", "unknown problem 'deca': choose one of decay, by_itself; did you mean 'decay'?"),
        ("mine.py:nothing", "'nothing' of .* is a int, not a mcgc.train.Problem"),
        ("broken.py:x", r"broken.py' cannot be run \(ZeroDivisionError: division by zero\): mend it"),
        ("mine.py:decay", "the problem 'decay' has no data of its own: give a file with --dataset"),
    ],
)
def test_an_object_that_is_not_a_problem_is_one_sentence(mcgc, own, tmp_path, name, words):
    (tmp_path / "broken.py").write_text("1 / 0")
    done = mcgc("fit", "--problem", name, "-o", "new.h5")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    with pytest.raises(InputError, match=words):
        raise InputError(done.stderr)
    assert not os.path.exists("new.h5")


def test_an_installed_package_offers_a_problem_by_an_entry_point(own, tmp_path):
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mcgc.problems]\ndecaying = mine:by_itself\nlost = mine:lost\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    run = lambda name: subprocess.run(
        [sys.executable, "-m", "mcgc_cli", "fit", "--problem", name, "--quiet", "--json"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    done = run("decaying")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["problem"] == "decaying"
    done = run("lost")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the problem 'lost' cannot be imported" in done.stderr
    assert "did you mean" in run("decayin").stderr


def test_problems_that_come_with_mcgc_are_made_by_the_public_factories():
    lorenz = problems.get("lorenz")
    again = problems.neural_ode(lorenz.recipe, lorenz.sizes)
    assert again.recipe == lorenz.recipe
    assert problems.classifier(problems.get("mnist").recipe, (784, 10)).options == ("loss",)
