"""Runs of the library: files, locks and bits, without the command."""

import json
import subprocess
import sys
from collections import deque

import numpy as np
import pytest
from small import decays, ode

from mcgc import train
from mcgc.arrays import HOST
from mcgc.continuation import ESTIMATORS
from mcgc.errors import InputError, OutputError, SolveError
from mcgc.optim import sgd
from mcgc.train import _run, run_file

ODE, DATA = ode(6), decays(6)
SETTINGS = ODE.recipe._replace(rtol=1e-3, atol=1e-3, epochs=3, members=2)


def task(settings=SETTINGS, **options):
    return train.bind(settings, DATA, HOST, ODE, **options)


def finish(run, **how):
    with run:
        return list(run.epochs(**how))


def same(ours, theirs):
    ours, theirs = run_file.load(ours), run_file.load(theirs)
    assert ours._replace(epochs={}, states=[]) == theirs._replace(epochs={}, states=[])
    for a, b in ((ours.epochs, theirs.epochs), *zip(ours.states, theirs.states, strict=True)):
        assert {k: v.tobytes() for k, v in a.items() if "seconds" not in k} == {
            k: v.tobytes() for k, v in b.items() if "seconds" not in k
        }


@pytest.mark.parametrize("strategy", [None, train.Serial(), train.Processes(2)])
def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(tmp_path, strategy):
    records = finish(train.Run.create(tmp_path / "whole.h5", task()))
    assert [record.epoch for record in records] == [1, 2, 3]
    with train.Run.create(tmp_path / "parts.h5", task()) as run:
        for record in run.epochs(strategy):
            if record.epoch == 2:
                break
    assert run_file.load(tmp_path / "parts.h5").epoch == 2
    assert len(finish(train.Run.resume(tmp_path / "parts.h5", task()), strategy=strategy)) == 1
    same(tmp_path / "parts.h5", tmp_path / "whole.h5")


def test_a_run_that_was_left_goes_on_without_its_file(tmp_path):
    whole = finish(train.Run.create(tmp_path / "whole.h5", task()))
    with train.Run.create(tmp_path / "parts.h5", task()) as run:
        next(iter(run.epochs()))
        assert [record.epoch for record in run.epochs()] == [2, 3]
    assert [record.train_loss for record in run.records] == [record.train_loss for record in whole]
    same(tmp_path / "parts.h5", tmp_path / "whole.h5")


SCRIPT = """
from mcgc_datasets import load
from mcgc import train
task = train.bind(train.problems.get("lotka-volterra").recipe_of("paper")._replace(epochs=2), load("lotka-volterra"))
with train.Run.create("mine.h5", task) as run:
    for record in run.epochs():
        break
with train.Run.resume("mine.h5", task) as run:
    for record in run.epochs():
        print(record.epoch)
"""


def test_a_script_of_ten_lines_has_the_bits_of_the_command(tmp_path):
    here = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300}
    command = "-m mcgc_cli fit --problem lotka-volterra --recipe paper --epochs 2 -o theirs.h5 --quiet"
    assert len(SCRIPT.strip().splitlines()) <= 10
    assert subprocess.run([sys.executable, "-c", SCRIPT], **here).stdout == "2\n"
    assert subprocess.run([sys.executable, *command.split()], **here).returncode == 0
    same(tmp_path / "mine.h5", tmp_path / "theirs.h5")


def test_a_run_is_one_process_s_and_the_task_waits_for_the_lock(tmp_path):
    asked = []
    with train.Run.create(tmp_path / "run.h5", task()):
        with pytest.raises(OutputError, match="is being written by process"):
            train.Run.create(tmp_path / "run.h5", lambda: asked.append(0))
        assert asked == []
    train.Run.create(tmp_path / "run.h5", task()).close()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_task_that_fails_frees_the_lock(tmp_path):
    with pytest.raises(InputError, match="epochs must be"):
        train.Run.create(tmp_path / "run.h5", lambda: task(SETTINGS._replace(epochs=0)))
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_run_that_fails_keeps_its_epochs_and_a_hook_may_end_it(tmp_path):
    class Ends(train.Hook):
        def after_epoch(self, record):
            if record.epoch == 2:
                raise SolveError("enough")

    with pytest.raises(SolveError, match="enough"):
        finish(train.Run.create(tmp_path / "run.h5", task(), checkpoint_every=100), hooks=[Ends()])
    assert run_file.load(tmp_path / "run.h5").epoch == 2


def test_another_run_is_refused_unless_that_is_allowed_and_then_noted(tmp_path):
    finish(train.Run.create(tmp_path / "run.h5", task()))
    other = task(SETTINGS._replace(beta=0.25, epochs=4))
    with pytest.raises(train.ChangedRunError, match=r"for the beta was 0\.01 and is 0\.25: undo that"):
        train.Run.resume(tmp_path / "run.h5", other)
    finish(train.Run.resume(tmp_path / "run.h5", other, allow_changed=True))
    assert run_file.load(tmp_path / "run.h5").changes == ["after epoch 3, the beta was 0.01 and is 0.25"]
    with pytest.raises(InputError, match="has 4 epochs already"):
        train.Run.resume(tmp_path / "run.h5", task())


def test_objects_in_place_of_names_train_and_are_named_in_the_file(tmp_path):
    plain = finish(train.Run.create(tmp_path / "plain.h5", task()))
    given = {"optimizer": sgd(1e-3), "estimator": ESTIMATORS["antithetic"]}
    ours = finish(train.Run.create(tmp_path / "run.h5", task(**given)), strategy=train.Processes(1))
    assert ours[-1].train_loss != plain[-1].train_loss
    assert ours[-1].train_loss == finish(train.Run.create(tmp_path / "again.h5", task(**given)))[-1].train_loss
    replaced = run_file.load(tmp_path / "run.h5").model["replaced"]
    assert replaced["optimizer"].startswith("mcgc.optim")
    assert "estimator" in replaced
    with pytest.raises(train.ChangedRunError, match="replaced of the model"):
        train.Run.resume(tmp_path / "run.h5", task(SETTINGS._replace(epochs=4)))


def test_the_file_says_what_the_model_is_and_is_enough_to_predict(tmp_path):
    own = ode(6)._replace(name="mine")
    settings = SETTINGS._replace(problem="mine")
    finish(train.Run.create(tmp_path / "run.h5", train.bind(settings, DATA, HOST, own)))
    found = run_file.load(tmp_path / "run.h5")
    assert found.model["kind"] == "neural-ode"
    assert found.model["sizes"] == [4, 6, 2]
    assert json.dumps(found.model)
    states = train.predict(found, DATA.series[:, 0], DATA.times, DATA.parameters)  # though no problem has this name
    assert states.shape == (2, *DATA.series.shape)


def test_what_cannot_be_saved_is_said_once_and_the_file_before_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(_run, "SECONDS", 0.0)
    path, saves = tmp_path / "run.h5", []

    def save(*args, real=run_file.save):
        saves.append(args[1].epoch)
        if args[1].epoch == 2:
            raise OutputError("output 'run.h5' cannot be written")
        real(*args)

    monkeypatch.setattr(run_file, "save", save)
    with pytest.raises(train.SaveError, match="cannot be written; the epochs up to 1 are still there"):
        finish(train.Run.create(path, task()))
    assert saves == [1, 2]
    assert run_file.load(path).epoch == 1


def test_a_file_that_someone_makes_meanwhile_is_kept(tmp_path):
    with train.Run.create(tmp_path / "run.h5", task()) as run:
        (tmp_path / "run.h5").write_text("precious")
        deque(run.epochs(), maxlen=0)
    assert (tmp_path / "run.h5").read_text() == "precious"
    assert run.path == str(tmp_path / "run-2.h5")
    assert run_file.load(run.path).finished


def test_a_regressor_learns_a_line_by_each_of_its_losses():
    class Table:
        inputs = np.linspace(-1, 1, 40)[:, None]
        targets = 0.5 * inputs - 0.25

    recipe = train.Settings("line", 0.0, -12.0, 0.02, 0.01, epochs=60, batch_size=8, continuation=False)
    for loss in ("mse", "mae", "huber"):
        own = train.problems.regressor(recipe._replace(loss=loss), (1, 8, 1), "tanh")
        *_, (record, _) = train.fit(own.recipe, Table, HOST, own)
        assert record.test_loss[0] < 0.02
    with pytest.raises(InputError, match="unknown loss of line 'cross-entropy': choose one of mse, mae, huber"):
        train.bind(recipe._replace(loss="cross-entropy"), Table, HOST, own)
    with pytest.raises(InputError, match=r"inputs must have the shape \(rows, 2\)"):
        train.bind(recipe._replace(loss="mse"), Table, HOST, train.problems.regressor(recipe, (2, 1)))
