"""`mcgc compare`: numbers of run files, differences, pictures, and the accuracy on each class."""

import json
import os
import shutil
import statistics

import h5py
import numpy as np
import pytest
from mcgc_cli import summary
from mcgc_datasets import mnist_bytes, write_series

from mcgc.paper.comparison import interval
from mcgc.train import run_file

SERIES = "fit --problem lotka-volterra --dataset data.h5 --rtol 1e-2 --atol 1e-2 --epochs 2 --quiet --device cpu"


@pytest.fixture
def three(mcgc):
    """Make three small runs: a.h5 and b.h5 of three members each, c.h5 of two."""
    times, states = np.linspace(0.0, 0.5, 4), np.random.default_rng(0).normal(size=(6, 4, 2))
    write_series("data.h5", "lotka-volterra", times, np.ones((6, 2)), states)
    for name, options in (("a", "--members 3"), ("b", "--members 3 --no-continuation"), ("c", "--members 2")):
        assert mcgc(*f"{SERIES} {options} -o {name}.h5".split()).exit_code == 0


def test_the_numbers_are_those_of_the_run_files(mcgc, three):
    done = mcgc("compare", "a.h5", "b.h5", "c.h5", "--json")
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["problem"] == "lotka-volterra"
    for path, found in result["runs"].items():
        epochs = run_file.load(path).epochs
        for when, values in (("final", epochs["test_loss"][-1]), ("best", epochs["test_loss"].min(axis=0))):
            assert found[when]["test_loss"]["members"] == values.tolist()
            assert found[when]["test_loss"]["sd"] == pytest.approx(statistics.stdev(values.tolist()), rel=1e-12)
    assert {path: it["paired"] for path, it in result["differences"].items()} == {"b.h5": True, "c.h5": False}
    ours, theirs = (run_file.load(path).epochs["train_loss"][-1].tolist() for path in ("a.h5", "b.h5"))
    assert result["differences"]["b.h5"]["final"]["train_loss"] == interval(ours, theirs, True)._asdict()


def test_the_table_and_the_picture_show_every_run(mcgc, three):
    done = mcgc("compare", "a.h5", "b.h5", "-o", "one.svg")
    assert done.exit_code == 0, done.stderr
    for word in ("a.h5", "b.h5 in pairs", "train loss", "final", "best", "95 % bootstrap interval"):
        assert word in done.stdout
    assert mcgc("compare", "a.h5", "b.h5", "-o", "other.svg").exit_code == 0
    with open("one.svg", "rb") as one, open("other.svg", "rb") as other:
        assert one.read() == other.read()
    assert done.stdout.splitlines()[-1] == "saved to one.svg"
    alone = mcgc("compare", "a.h5", "-o", "one.png")
    told = json.loads(mcgc("compare", "a.h5", "-o", "two.png", "--json").stdout)
    assert told["output"] == "two.png"
    assert alone.exit_code == 0
    assert "bootstrap" not in alone.stdout
    with open("one.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_members_with_other_data_or_precision_are_not_paired(mcgc, three):
    times, states = np.linspace(0.0, 0.5, 4), np.random.default_rng(1).normal(size=(6, 4, 2))
    write_series("other.h5", "lotka-volterra", times, np.ones((6, 2)), states)
    for name, options in (("d", "--dataset other.h5"), ("e", "--dtype float64")):
        assert mcgc(*f"{SERIES} --members 3 {options} -o {name}.h5".split()).exit_code == 0
    found = json.loads(mcgc("compare", "a.h5", "b.h5", "d.h5", "e.h5", "--json").stdout)["differences"]
    told = {path: (it["paired"], it["same_data"]) for path, it in found.items()}
    assert told == {"b.h5": (True, True), "d.h5": (False, False), "e.h5": (False, True)}
    table = mcgc("compare", "a.h5", "b.h5", "d.h5", "e.h5").stdout
    assert "(b.h5 in pairs; d.h5 not paired, with a test set from other data; e.h5 not paired)" in table


def test_any_name_of_a_file_is_shown_as_it_is(mcgc, three):
    os.mkdir("d[")
    names = ["d[/x].h5", ":smile:[red].h5", r"a$\foo$.h5", "_" + "a" * 240 + ".h5"]
    for name in names:
        shutil.copy("b.h5", name)
    done = mcgc("compare", "a.h5", *names, "-o", "one.svg")
    assert done.exit_code == 0, done.stderr
    for name in names:
        rows = [line.removeprefix(name).split() for line in done.stdout.splitlines() if line.startswith(f"{name}  ")]
        assert [len(row) for row in rows] == [7] * 4 + [6] * 4
    assert "…" not in done.stdout


@pytest.fixture
def digits(mcgc, tmp_path):
    """Make a run of two members on 100 images, on which the first names class 3 alone, the second never class 0."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (100, 28, 28), np.uint8), np.arange(100, dtype=np.uint8) % 10
    (tmp_path / "digits.h5").write_bytes(mnist_bytes(images, labels, images[:0], labels[:0]))
    fit = "fit --problem mnist --dataset digits.h5 --epochs 1 --members 2 --quiet --device cpu -o run.h5"
    assert mcgc(*fit.split()).exit_code == 0
    with h5py.File("run.h5", "a") as file:
        theta = file["theta"][()]
        theta[:, -510:] = 0  # the last layer's 50 by 10 weights and 10 biases
        theta[0, -10:] = np.eye(10)[3]
        theta[1, -10:] = -np.eye(10)[0]
        file["theta"][...] = theta


def test_the_accuracy_on_each_class_shows_which_are_never_predicted(mcgc, digits):
    done = mcgc("compare", "run.h5", "--data", "digits.h5", "--json")
    assert done.exit_code == 0, done.stderr
    first, second = json.loads(done.stdout)["recall"]["run.h5"]
    there = [k for k, fraction in enumerate(first["recall"]) if fraction is not None]
    assert [first["recall"][k] for k in there] == [float(k == 3) for k in there]
    assert [second["recall"][k] for k in there] == [float(k == 1) for k in there]  # of equals the first
    assert first["never"] == [k for k in range(10) if k != 3]
    assert second["never"] == [k for k in range(10) if k != 1]
    table = mcgc("compare", "run.h5", "--data", "digits.h5").stdout
    assert "a dash is a class never predicted" in table
    assert len([line for line in table.splitlines() if line.startswith("run.h5   ")]) >= 2


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ("a.h5 run.h5", "a.h5 is a run of lotka-volterra, but run.h5 of mnist: compare runs of one problem"),
        ("a.h5 ./a.h5", "a run is given twice: name each run once"),
        ("a.h5 none.h5", "run file 'none.h5'"),
        ("a.h5 -o one.gif", "a picture ends in .png or .svg or .pdf, got 'one.gif'"),
        ("a.h5 -o no/one.png", "output 'no/one.png' cannot be written (No such file or directory)"),
        ("a.h5 --data data.h5", "lotka-volterra has no classes: leave out --data"),
        ("run.h5 --data more.h5", "more.h5 is not the dataset of the run"),
    ],
)
def test_mistakes_are_one_sentence(mcgc, three, digits, tmp_path, args, sentence):
    images, labels = np.zeros((20, 28, 28), np.uint8), np.zeros(20, np.uint8)
    (tmp_path / "more.h5").write_bytes(mnist_bytes(images, labels, images[:0], labels[:0]))
    done = mcgc("compare", *args.split())
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_numbers_are_written_for_a_reader():
    assert summary.number("test_accuracy", 0.5) == "50.00%"
    assert summary.number("train_loss", 0.00012345) == "0.0001234"
    assert summary.number("train_loss", float("nan")) == "-"


OWN = """
from typing import NamedTuple

import numpy as np

from mcgc.train import problems


class Labelled(NamedTuple):
    images: np.ndarray
    labels: np.ndarray


def load(path):
    labels = np.arange(20, dtype=np.uint8) % 3 + int(path or 0) % 2
    return Labelled(np.arange(120, dtype=np.uint8).reshape(20, 2, 3), labels)


recipe = problems.get("mnist").recipe._replace(problem="own", epochs=1, batch_size=4)
own = problems.classifier(recipe, (6, 4))._replace(load=load)
"""


def test_the_data_of_a_problem_of_your_own_need_no_hash(mcgc, tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    done = mcgc("fit", "--problem", "mine.py:own", "--quiet", "--device", "cpu", "-o", "own.h5")
    assert done.exit_code == 0, done.stderr
    done = mcgc("compare", "own.h5", "--data", "0", "--json")
    assert done.exit_code == 0, done.stderr
    (found,) = json.loads(done.stdout)["recall"]["own.h5"]
    assert len(found["recall"]) == 4
    other = mcgc("compare", "own.h5", "--data", "1")
    assert other.exit_code == 2
    assert "1 is not the dataset of the run" in other.stderr
