"""`mcgc fit` where the memory does not suffice: one sentence, the epochs so far saved, and exit status 1."""

import numpy as np
import pytest
from mcgc_datasets import write_series

from mcgc import arrays, devices
from mcgc.train import _epoch, _strategies, problems, run_file


class OutOfMemoryError(MemoryError):
    """As CuPy names an allocation that fails."""


PROBLEM = problems.get("lotka-volterra")
COMMAND = "fit --problem lotka-volterra --dataset data.h5 --rtol 1e-2 --atol 1e-2 --epochs 3 --members 2 --quiet"


@pytest.fixture
def command():
    """Give a command that trains on a small dataset, which is there."""
    times, states = np.linspace(0.0, 0.5, 4), np.random.default_rng(0).normal(size=(6, 4, 2))
    write_series("data.h5", "lotka-volterra", times, np.ones((6, 2)), states)
    return [*COMMAND.split(), "-o", "run.h5"]


def failing(monkeypatch, epoch, error):
    run_epoch = _epoch.run_epoch

    def short(study, member, at, *args, **options):
        if at == epoch:
            raise error
        return run_epoch(study, member, at, *args, **options)

    for module in (_epoch, _strategies):
        monkeypatch.setattr(module, "run_epoch", short)


ENOUGH = MemoryError("Unable to allocate 8. TiB")
ON_GPU = OutOfMemoryError("Out of memory allocating 4,096 bytes (allocated so far: 512 bytes).")


@pytest.mark.parametrize(("name", "error"), [("cpu", ENOUGH), ("cuda", ON_GPU)])
def test_the_epochs_so_far_are_saved_and_the_sentence_names_the_option(mcgc, command, strict, monkeypatch, name, error):
    place = arrays.HOST if name == "cpu" else strict._replace(name="cuda:0")
    monkeypatch.setattr(devices, "select_device", lambda name, *run: (place, "there"))
    failing(monkeypatch, 3, error)
    result = mcgc(*command, "--device", name)
    assert result.exit_code == 1
    fewer = ", or --members, now 2" if name == "cuda" else ""
    assert result.stderr == (
        f"mcgc: out of memory on {place.name}: give a smaller --batch-size, now 4{fewer}; "
        "the epochs so far are saved in run.h5: mcgc fit --resume run.h5 goes on\n"
    )
    assert run_file.load("run.h5").epochs["epoch"].tolist() == [1, 2]


def test_in_the_first_epoch_nothing_is_saved(mcgc, command, monkeypatch, tmp_path):
    failing(monkeypatch, 1, ENOUGH)
    result = mcgc(*command, "--device", "cpu")
    assert result.exit_code == 1
    assert result.stderr.endswith("; nothing was saved\n")
    assert not (tmp_path / "run.h5").exists()


def test_data_that_do_not_fit_are_a_sentence(mcgc, command, monkeypatch):
    def load(*args):
        raise ENOUGH

    monkeypatch.setattr("mcgc_datasets.load", load)
    result = mcgc(*command)
    assert (result.exit_code, result.stderr) == (1, "mcgc: out of memory: Unable to allocate 8. TiB\n")
