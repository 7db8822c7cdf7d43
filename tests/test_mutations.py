"""Spoiled files are refused in one sentence, in bounded time and memory; damage to a run file is always noticed."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from mcgc_datasets import mnist_image, write_series

from mcgc.train import run_file
from mcgc.train._resume import records

SCRIPT = Path(__file__).with_name("mutations.py")
DATA = Path(__file__).with_name("data")
GOLDEN = DATA / "run-version-3.h5"


@pytest.fixture
def sources(tmp_path):
    """Give a good file of each kind."""
    rng = np.random.default_rng(0)
    write_series(tmp_path / "series.h5", "lorenz", np.linspace(0, 1, 4), np.ones((6, 2)), rng.normal(size=(6, 4, 3)))
    images, labels = rng.integers(0, 256, (20, 28, 28)).astype(np.uint8), (np.arange(20) % 10).astype(np.uint8)
    (tmp_path / "mnist.h5").write_bytes(mnist_image(images, labels, images[:5], labels[:5]))
    return {"run": GOLDEN, "series": tmp_path / "series.h5", "mnist": tmp_path / "mnist.h5"}


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["run", "series", "mnist"])
def test_spoiled_files_are_refused_in_one_sentence_in_bounded_time_and_memory(sources, kind, count):
    command = [sys.executable, str(SCRIPT), kind, str(sources[kind]), str(count), "12"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stderr
    counts = json.loads(found.stdout)
    print(kind, counts)
    assert sum(counts.values()) == count
    assert counts["refused"] > count / 2
    assert counts["unchanged"] > 0
    assert kind != "run" or counts["unnoticed"] == 0


def test_a_run_file_of_version_2_stays_readable():
    run = run_file.load(DATA / "run-version-2.h5")
    assert run.settings["problem"] == "lorenz"
    assert (run.epoch, run.finished, run.device) == (2, True, "cpu")
    assert run.epochs["loss"].tolist() == [[2.0, 1.5], [1.0, 1.25]]
    assert run.theta.tolist() == [[2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0]]
    assert run.theta.dtype == np.float32
    assert run.states[1]["state/theta"].tolist() == [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]
    assert run.states[0]["noise/bits"].tolist() == [2**64 - 1, 0]
    assert run.changes == ["after epoch 1, the version of numpy was 1 and is 2"]


def test_a_run_file_of_version_3_stays_readable():
    run = run_file.load(GOLDEN)
    assert (run.settings["problem"], run.settings["members"], run.finished, run.device) == ("means", 2, True, "cpu")
    first, _, last = records(run)
    assert (first.epoch, first.train_loss) == (1, (1.7822477817535400, 2.0832991600036621))
    assert (last.steps, last.skipped, last.restored, last.function_evaluations) == (
        (18,) * 2,
        (0, 0),
        (False,) * 2,
        (None,) * 2,
    )
    assert run.theta.shape == (2, 2)
    assert run.theta.dtype == np.float32
    assert run.states[0]["state/optimizer/steps"].tolist() == [18, 18]
    assert run.states[1]["state/steps"].tolist() == [12, 12]
    assert run.changes == ["after epoch 1, the version of numpy was 1 and is 2"]


def test_a_run_of_version_2_left_no_step_out(tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(GOLDEN.read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs.modify("version", 2)
        del file["epochs/skipped"]
    assert records(run_file.load(path)) == records(run_file.load(GOLDEN))
