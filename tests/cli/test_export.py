"""`mcgc export` writes what the file of a run holds, in the format that is asked for."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from reactor import reactor

import mcgc as library

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def run(mcgc, tmp_path):
    how = {"hidden": "4", "epochs": 1, "horizons": "1"}
    library.fit(reactor(runs=6), "dynamics", group="run", states="A,B", inputs="feed", **how).save(tmp_path / "r.h5")


def test_the_format_is_that_of_the_option_or_of_the_ending(mcgc, run, tmp_path):
    for command in (("-o", "a.onnx"), ("--to", "onnx", "-o", "b")):
        done = mcgc("export", "r.h5", *command)
        assert done.exit_code == 0, done.output
        assert done.stdout == f"saved to {command[-1]}\n"
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b").read_bytes()
    assert [each.name for each in onnx.load(tmp_path / "b").graph.output] == ["members"]
    assert mcgc("export", "r.h5", "--to", "npz", "-o", "c.npz").exit_code == 0
    assert np.load(tmp_path / "c.npz")["W0"].shape == (1, 3, 4)


def test_a_mistake_is_one_sentence_and_leaves_nothing(mcgc, run, tmp_path):
    done = mcgc("export", "r.h5", "-o", "a.pb")
    assert done.exit_code == 2
    assert "the ending of 'a.pb' is no format: add --to onnx or --to npz" in done.stderr
    (tmp_path / "a.npz").write_bytes(b"mine")
    done = mcgc("export", "r.h5", "-o", "a.npz")
    assert done.exit_code != 0
    assert "exists" in done.stderr
    assert (tmp_path / "a.npz").read_bytes() == b"mine"
    assert mcgc("export", "r.h5", "-o", "a.npz", "--force").exit_code == 0
    assert not (tmp_path / "a.pb").exists()


def test_a_run_that_is_not_of_a_table_is_refused(mcgc, tmp_path):
    done = mcgc("export", DATA / "run-version-5.h5", "-o", "a.npz")
    assert done.exit_code != 0
    assert "not of a table" in done.stderr
    assert not (tmp_path / "a.npz").exists()
