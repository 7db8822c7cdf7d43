"""Run files: what is saved is loaded, whole or not at all."""

import os
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from mcgc.errors import InputError, OutputError
from mcgc.train import run_file


class Epoch(NamedTuple):
    """A record of one epoch, of two members."""

    epoch: int
    loss: tuple
    accuracy: tuple
    log_lam: tuple
    evaluations: tuple
    seconds: float


RECORDS = [
    Epoch(1, (2.0, 1.5), (None, None), (-10.0, None), (600, 700), 0.25),
    Epoch(2, (1.0, 1.25), (None, None), (-9.5, None), (610, 720), 0.5),
]
RUN = run_file.RunFile(
    settings={"problem": "lorenz", "epochs": 2, "beta": 0.01, "step_size": None, "continuation": True},
    versions={"python": "3.11", "numpy": "2"},
    dataset={"source": "datä.h5", "sha256": "ab" * 32},
    device="cpu",
    finished=True,
    epochs=run_file.columns(RECORDS),
    states=[
        {
            "state/theta": np.arange(8, dtype=np.float32).reshape(2, 4) + epoch,
            "state/log_lam": np.array([-9.5, -np.inf], dtype=np.float32),
            "best/theta": np.arange(8, dtype=np.float32).reshape(2, 4) - epoch,
            "best/log_lam": np.array([-9.0, -np.inf], dtype=np.float32),
            "noise/bits": np.array([2**64 - 1, 0], dtype=np.uint64),
        }
        for epoch in (2, 1)
    ],
    changes=["after epoch 1, the version of numpy was 1 and is 2"],
    scaling={"mean": [0.1, 2.0], "sd": [1e-3, 1.0]},
)


def names(directory):
    return sorted(os.listdir(directory))


def assert_equal(a, b):
    np.testing.assert_array_equal(a, b)
    assert a.dtype == b.dtype


def test_columns_are_one_array_a_field_with_nan_for_none():
    assert run_file.columns(RECORDS)["epoch"].tolist() == [1, 2]
    assert run_file.columns(RECORDS)["evaluations"].tolist() == [[600, 700], [610, 720]]
    assert_equal(run_file.columns(RECORDS)["accuracy"], np.full((2, 2), np.nan))
    assert_equal(run_file.columns(RECORDS)["log_lam"], np.array([[-10.0, np.nan], [-9.5, np.nan]]))


@pytest.mark.parametrize("finished", [True, False])
def test_what_is_saved_is_loaded(tmp_path, finished):
    run_file.save(tmp_path / "run.h5", RUN._replace(finished=finished))
    found = run_file.load(tmp_path / "run.h5")
    assert found[:5] == (*RUN[:4], finished)
    assert found.changes == RUN.changes
    assert found.epoch == 2
    assert found.epochs.keys() == RUN.epochs.keys()
    for field, array in RUN.epochs.items():
        assert_equal(found.epochs[field], array)
    for state, expected in zip(found.states, RUN.states, strict=True):
        assert state.keys() == expected.keys()
        for leaf, array in expected.items():
            assert_equal(state[leaf], array)
    assert_equal(found.theta, RUN.states[0]["best/theta"])
    assert_equal(found.log_lam, RUN.states[0]["best/log_lam"])
    assert names(tmp_path) == ["run.h5"]


def test_an_existing_file_is_kept_unless_overwriting(tmp_path):
    path = tmp_path / "run.h5"
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"exists: choose another name, or replace it with --force"):
        run_file.save(path, RUN)
    assert path.read_text() == "precious"
    run_file.save(path, RUN, overwrite=True)
    assert run_file.load(path).settings == RUN.settings
    assert names(tmp_path) == ["run.h5"]


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.__delitem__("states/last/state/theta"),
        lambda file: file.__delitem__("epochs"),
        lambda file: file.__delitem__("results"),
        lambda file: (file.__delitem__("results"), file.__setitem__("results", np.frombuffer(b"[]", "u1"))),
        lambda file: file.attrs.__delitem__("settings"),
        lambda file: file.attrs.modify("settings", "{"),
        lambda file: file.attrs.modify("format", "mcgc-series"),
        lambda file: file.attrs.modify("version", 8),
        lambda file: (file.__delitem__("epochs"), file.__setitem__("epochs", 1)),
    ],
)
def test_a_file_that_is_not_laid_out_as_a_run_is_refused(tmp_path, change):
    path = tmp_path / "run.h5"
    run_file.save(path, RUN)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(InputError, match=r"run file '.*run\.h5'.*: (give|copy|add)"):
        run_file.load(path)


@pytest.mark.parametrize("keep", [0, 100, 2000, None])
def test_a_truncated_missing_or_foreign_file_is_refused(tmp_path, keep):
    path = tmp_path / "run.h5"
    if keep is not None:
        run_file.save(path, RUN)
        path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"run file '.*run\.h5'") as caught:
        run_file.load(path)
    assert "\n" not in str(caught.value)


def test_versions_name_python_the_library_and_its_dependencies():
    assert {"python", "mcgc", "numpy", "h5py"} <= run_file.versions().keys()
    assert run_file.versions()["numpy"] == np.__version__


def test_a_file_of_version_6_is_read_and_none_of_its_members_is_ahead():
    found = run_file.load(Path(__file__).parents[2] / "data/run-version-6.h5")
    assert (found.epoch, found.finished, found.ahead, found.results) == (2, True, {}, {})
    assert found.epochs["train_loss"][1].tolist() == [0.22297732532024384, 0.1037314236164093]
    assert [state["state/steps"].tolist() for state in found.states] == [[4, 4], [2, 2]]
