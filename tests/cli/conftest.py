"""The command in a directory of its own, and a stand-in for the training."""

from types import SimpleNamespace

import h5py
import mcgc_datasets
import numpy as np
import pytest
from click.testing import CliRunner
from mcgc_cli import main
from reactor import DYNAMICS, csv_of, reactor

from mcgc import train
from mcgc.arrays import HOST, to_device
from mcgc.continuation import State
from mcgc.random import Key
from mcgc.train import Member, Task, _run, problems


@pytest.fixture
def mcgc(tmp_path, monkeypatch):
    """Give a function that runs the command in an empty directory and returns what click's runner saw."""
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Give a directory with a small run of each kind and its table."""
    from sklearn.datasets import load_iris

    place = tmp_path_factory.mktemp("runs")
    (place / "reactor.csv").write_text(csv_of(reactor(runs=8, seed=1)))
    iris, rng = load_iris(as_frame=True).frame, np.random.default_rng(0)
    iris["target"] = iris["target"].map(lambda i: ["setosa", "versicolor <&>", "virginica"][i])
    iris.to_csv(place / "iris.csv", index=False)
    x = rng.normal(size=80)
    lines = [f"{a},{2 * a + 0.1 * b},{a * a}" for a, b in zip(x, rng.normal(size=80), strict=True)]
    (place / "line.csv").write_text("\n".join(["x,y,z", *lines]) + "\n")
    short = ("--epochs", 8, "--hidden", 8)
    tables = {
        "dynamics": ("reactor.csv", *DYNAMICS.split(), "--members", 2),
        "regression": ("line.csv", "--task", "regression", "--target", "y,z", *short, "--members", 3),
        "classification": ("iris.csv", "--task", "classification", "--target", "target", *short),
        "lorenz": ("--problem", "lorenz", "--epochs", 2, "--rtol", 1e-3, "--atol", 1e-3, "--members", 2),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name, options in tables.items():
            done = CliRunner().invoke(main, ["fit", *map(str, options), "--quiet", "-o", f"{name}.h5"])
            assert done.exit_code == 0, done.output
            done = CliRunner().invoke(main, ["report", f"{name}.h5", "-o", f"{name}.html"])
            assert done.exit_code == 0, done.output
    return place


@pytest.fixture
def contents():
    """Give a function that returns all datasets of a run file, as bytes, but those of seconds."""

    def read(path):
        found = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda name, it: found.update({name: it[()].tobytes()} if isinstance(it, h5py.Dataset) else {})
            )
        return {name: data for name, data in found.items() if "seconds" not in name}

    return read


@pytest.fixture
def data(monkeypatch):
    """Make every load give 30 series without touching the disk; return a list of what was asked for."""
    asked = []

    def load(problem, path=None):
        asked.append((problem, path))
        zeros = to_device([[0.0, 0.0]] * 30, HOST)
        return mcgc_datasets.SeriesData(
            zeros[0], zeros, zeros, path or "built in memory", ("cd" if path == "other.h5" else "ab") * 32
        )

    monkeypatch.setattr(mcgc_datasets, "load", load)
    return asked


def record(settings, epoch, loss=None):
    """Return a record with numbers that tell the epoch and the member."""
    members = range(settings.members)
    path = tuple(-10.0 - epoch if settings.continuation else None for _ in members)
    losses = tuple((loss or 100.0 / epoch) + member for member in members)
    counts = tuple(10 for _ in members)
    none, steps, zero, kept, half = (tuple(value for _ in members) for value in (None, 7 * epoch, 0, False, 0.5))
    scores = (losses, losses, none, losses, none, path, path, path)
    return train.Record(epoch, 0, *scores, counts, counts, counts, steps, zero, kept, half, 0.5)


def member(epoch):
    """Return a member whose four parameters, φ, and number of steps tell the epoch."""
    theta, log_lam = (to_device(x, HOST, "float32") for x in ([float(epoch)] * 4, -10.0 - epoch))
    state = State(theta, log_lam, (), (), 7 * epoch)
    return Member(state, Key(2**64 - 1), Key(1), state)


@pytest.fixture
def fake_fit(monkeypatch, data):
    """Replace the training by one that counts, and return it.

    `calls` are the settings it began with; `losses[n]` replaces the loss of epoch n; `fail[n]` is raised after n
    epochs; `after[n]()` is called before epoch n + 1 is.
    """

    def begin(settings, series, device, problem=None):
        begin.calls.append(settings)
        problem = (problem or problems.get(settings.problem))._replace(model={})
        method = lambda: SimpleNamespace(init=lambda theta: member(0).state)
        return Task(problem, settings, device, None, method, train=None, test=None, data=series)

    def epochs(task, members, done, strategy, hooks, ahead):
        settings = task.settings
        for epoch in range(done + 1, settings.epochs + 1):
            begin.after.get(epoch - 1, lambda: None)()
            if epoch - 1 in begin.fail:
                raise begin.fail[epoch - 1]
            found = record(settings, epoch, begin.losses.get(epoch))
            yield found, [member(epoch)] * settings.members
            for hook in hooks:
                hook.after_epoch(found)

    begin.calls, begin.fail, begin.after, begin.losses = [], {}, {}, {}
    monkeypatch.setattr(train, "bind", begin)
    monkeypatch.setattr(_run, "epochs", epochs)
    return begin
