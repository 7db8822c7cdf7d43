"""The command in a directory of its own, and a stand-in for the training."""

import mcgc_datasets
import pytest
from click.testing import CliRunner
from mcgc_cli import main

from mcgc import training
from mcgc.arrays import HOST, to_device


@pytest.fixture
def mcgc(tmp_path, monkeypatch):
    """Give a function that runs the command in an empty directory and returns what click's runner saw."""
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def data(monkeypatch):
    """Make every load give 30 series without touching the disk; return a list of what was asked for."""
    asked = []

    def load(problem, path=None):
        asked.append((problem, path))
        zeros = to_device([[0.0, 0.0]] * 30, HOST)
        return mcgc_datasets.SeriesData(zeros[0], zeros, zeros, path or "built in memory", "ab" * 32)

    monkeypatch.setattr(mcgc_datasets, "load", load)
    return asked


def record(settings, epoch):
    """Return a record with numbers that tell the epoch and the member."""
    members = range(settings.members)
    path = tuple(-10.0 - epoch if settings.continuation else None for _ in members)
    losses = tuple(100.0 / epoch + member for member in members)
    counts = tuple(10 for _ in members)
    none = tuple(None for _ in members)
    return training.Record(
        epoch, losses, losses, losses, none, path, path, counts, counts, counts, tuple(False for _ in members), 0.5
    )


@pytest.fixture
def fake_fit(monkeypatch, data):
    """Replace the training by one that counts; return its calls. It raises `fail[n]` after n epochs."""
    calls = []

    def fit(settings, series, device):
        calls.append(settings)

        def epochs():
            for epoch in range(1, settings.epochs + 1):
                if epoch - 1 in fit.fail:
                    raise fit.fail[epoch - 1]
                yield (
                    record(settings, epoch),
                    to_device([[float(epoch)] * 4] * settings.members, HOST, "float32"),
                )

        return epochs()

    fit.fail = {}
    fit.calls = calls
    monkeypatch.setattr(training, "fit", fit)
    return fit
