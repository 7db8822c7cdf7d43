"""Runs on a cluster that are stopped: what members did is found again, whoever goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest
from mcgc_cli.watch import _line, _look
from timed import DATA, SETTINGS, problem

from mcgc import train
from mcgc.errors import InputError, SolveError
from mcgc.train import Cluster, Processes, Run, Serial, run_file
from mcgc.train._resume import unpack_ahead

COMMAND = [sys.executable, "-m", "mcgc_cli", "fit"]


class Stop(Exception):
    """Ends a run."""


def bound(*args, **changes):
    return train.bind(SETTINGS._replace(**changes), DATA, problem=problem(*args))


def finish(run, strategy=None, *hooks):
    with run:
        for _ in run.epochs(strategy, hooks):
            pass


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Give the file of the run on one machine."""
    path = tmp_path_factory.mktemp("alone") / "run.h5"
    finish(Run.create(path, bound()))
    return path


def stop_after(members, epoch=SETTINGS.epochs):
    """Return a hook's function that ends a run once so many members have done an epoch."""
    seen = set()

    def after_member(advanced, done):
        seen.update({advanced.number} if done >= epoch else ())
        if len(seen) >= members:
            raise Stop

    return after_member


@pytest.fixture
def stopped(client, tmp_path, said):
    """Give a file of a run in which some members are finished and others have not begun."""
    with pytest.raises(Stop):
        finish(Run.create(tmp_path / "run.h5", bound()), Cluster(client, 60.0, 1), said(stop_after(5)))
    return tmp_path / "run.h5"


def test_a_file_in_which_no_epoch_is_complete_holds_what_members_did(stopped):
    with pytest.raises(InputError, match="no epoch yet that all members have done"):
        run_file.load(stopped)
    found = run_file.load(stopped, begun=True)
    assert (found.epoch, found.finished) == (0, False)
    assert sorted(found.ahead["done"])[-5:] == [SETTINGS.epochs] * 5
    assert {len(rows) for rows in unpack_ahead(found).values()} == {SETTINGS.epochs}
    assert found.theta.shape == (SETTINGS.members, 1)  # those that have not begun are as they are drawn


def test_a_run_is_watched_before_an_epoch_is_complete(stopped, alone):
    done = run_file.load(stopped, begun=True).ahead["done"].sum()
    assert _line(_look(stopped)) == f"epoch 0 of 6: members have done {done} of 72 epochs"
    assert _look(stopped).head("run.h5").startswith("run.h5: epoch 0 of 6, saved ")
    assert _line(_look(alone)).endswith(", finished")


@pytest.mark.parametrize("strategy", [Serial(), Processes(2), "cluster"], ids=["serial", "processes", "cluster"])
def test_finished_members_are_not_trained_again_by_any_strategy(stopped, alone, same, said, client, strategy):
    trained = []
    hook = said(lambda advanced, epoch: trained.append(advanced.number))
    done = {i for i, n in enumerate(run_file.load(stopped, begun=True).ahead["done"]) if n}
    finish(Run.resume(stopped, bound()), Cluster(client) if strategy == "cluster" else strategy, hook)
    assert {*trained} == {*range(SETTINGS.members)} - done
    same(stopped, alone)


def test_members_that_are_ahead_by_some_epochs_go_on_from_there(client, tmp_path, alone, same, said):
    path = tmp_path / "run.h5"
    with pytest.raises(Stop):
        finish(Run.create(path, bound()), Cluster(client, 0.0, 1), said(stop_after(3, 3)))
    assert 0 < run_file.load(path, begun=True).ahead["done"].sum() < SETTINGS.members * SETTINGS.epochs
    finish(Run.resume(path, bound()), Cluster(client, 0.0, 5))
    same(path, alone)


def test_a_damaged_account_of_members_ahead_is_found(stopped, tmp_path):
    found = run_file.load(stopped, begun=True)
    for change, sentence in [
        ({"done": found.ahead["done"][1:]}, "does not say for each member"),
        ({"train_loss": found.ahead["train_loss"][1:]}, "'train_loss' of members ahead"),
        ({"else": found.ahead["done"]}, "holds of members ahead"),
        ({"done": found.ahead["done"][::-1].copy()}, "epochs"),
    ]:
        run_file.save(tmp_path / "damaged.h5", found._replace(ahead=dict(found.ahead) | change), overwrite=True)
        with pytest.raises(InputError, match=sentence):
            Run.resume(tmp_path / "damaged.h5", bound())


def test_a_patience_ends_where_it_ends_on_one_machine(client, tmp_path, same):
    changes = {"patience": 2, "epochs": 40, "learning_rate": 3.0, "members": 3}
    finish(Run.create(tmp_path / "alone.h5", bound(**changes)))
    finish(Run.create(tmp_path / "run.h5", bound(**changes)), Cluster(client))
    assert 3 < run_file.load(tmp_path / "run.h5").epoch < 40
    same(tmp_path / "run.h5", tmp_path / "alone.h5")


def test_a_member_that_fails_ends_the_run_and_what_the_others_did_is_kept(client, tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(SolveError, match=r"member \d+, epoch 1: the loss of a step"):
        finish(Run.create(path, bound(learning_rate=1e30, on_divergence="stop")), Cluster(client, chunk=1))
    assert not path.exists() or run_file.load(path, begun=True).epoch == 0


def test_a_caller_that_is_killed_or_interrupted_goes_on_with_resume(tmp_path, alone, same, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("from timed import problem\nslow = problem(0.03)\n")
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    how = {"env": env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    args = [*COMMAND, "--problem", "own.py:slow", "--dask", "local:2", "-o", "run.h5", "--quiet", "--json"]
    for number in (signal.SIGKILL, signal.SIGINT):
        before = os.stat("run.h5").st_mtime_ns if os.path.exists("run.h5") else 0
        with subprocess.Popen(args, start_new_session=True, **how) as process:
            while not os.path.exists("run.h5") or os.stat("run.h5").st_mtime_ns == before:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.01)
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # as a terminal does: workers are left to the caller
            else:
                process.send_signal(number)
            _, told = process.communicate(timeout=60)
        args = [*COMMAND, "--resume", "run.h5", "--dask", "local:2", "--quiet", "--json"]
    assert process.returncode == 130
    assert told.endswith("continue with mcgc fit --resume run.h5 --dask local:2\n")
    done = run_file.load("run.h5", begun=True).ahead["done"]
    assert 0 < done.sum() < SETTINGS.members * SETTINGS.epochs
    finished = subprocess.run([*args, "--log", "log"], timeout=120, check=True, **how)
    assert '"cluster": {"workers": 2, "lost": 0' in finished.stdout
    assert len((tmp_path / "log").read_text().splitlines()) == SETTINGS.members * SETTINGS.epochs - done.sum()
    one, other = run_file.load("run.h5"), run_file.load(alone)
    run_file.save("run.h5", one._replace(settings=other.settings), overwrite=True)  # which name another problem
    same("run.h5", alone)


def test_a_second_caller_is_refused_the_output(client, tmp_path):
    with Run.create(tmp_path / "run.h5", bound()), pytest.raises(InputError, match="is being written by process"):
        Run.create(tmp_path / "run.h5", bound())
