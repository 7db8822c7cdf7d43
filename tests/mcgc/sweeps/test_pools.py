"""Trials in worker processes: the same bits, also when workers are killed; and one that kills them has failed."""

import os
import signal

import numpy as np
import pytest
from swept import TABLE, Stop, bits

import mcgc
from mcgc import ops, train
from mcgc.sweeps import Range, _pools, read

SPACE = {"learning_rate": Range(1e-4, 1e-1, log=True)}


class Killer(Stop):
    """Kills the process of a trial when so many are done."""

    def __init__(self, after, pools):
        super().__init__()
        self.after, self.pools, self.killed = after, pools, []

    def before_step(self):
        if len(self.told) >= self.after and not self.killed:
            (pool,) = self.pools
            one = pool._working[-1]  # which was begun just now
            self.killed.append(one.job.number)
            (pid,) = one.executor._processes
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def pools(monkeypatch):
    """Give a list of the pools of processes that are made."""
    made, init = [], _pools.InProcesses.__init__

    def noted(self, *args):
        made.append(self)
        init(self, *args)

    monkeypatch.setattr(_pools.InProcesses, "__init__", noted)
    return made


def test_twenty_trials_of_which_a_worker_is_killed_are_twenty_results_and_none_twice(tmp_path, pools):
    how = {"trials": 20, "target": "y", "epochs": 20, "hidden": "16,16"}
    hook = Killer(5, pools)
    found = mcgc.sweep(TABLE, "regression", SPACE, workers=2, output=tmp_path / "sweep.h5", hooks=[hook], **how)
    assert hook.sentences == [f"a worker process died: trial {hook.killed[0]} goes on in another"]
    assert sorted(trial.number for trial in hook.told) == list(range(20))
    assert len({trial.key for trial in found.trials}) == 20
    assert read(tmp_path / "sweep.h5") == found
    assert bits(found.trials) == bits(mcgc.sweep(TABLE, "regression", SPACE, **how).trials)


def deadly():
    """Return a problem whose trials end their process where the learning rate is above 1."""

    def objective(settings):
        def loss(theta, rows):
            if settings.learning_rate > 1:
                os._exit(9)
            return ops.mean(ops.square(rows - theta)), None

        return loss

    recipe = train.Settings("mean", 0.01, -8.0, 0.1, 0.01, epochs=3, batch_size=9, continuation=False)
    place = lambda data, dtype, device: mcgc.arrays.to_device(data, device, dtype)
    init = lambda key, dtype, device: place([0.0], dtype, device)
    return train.Problem("mean", "the mean of numbers", recipe, place, init, objective)


def test_a_trial_that_kills_its_workers_has_failed_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(_pools, "MOST_DEATHS", 2)
    hook = Stop()
    rates = {"learning_rate": [0.1, 2.0, 0.2, 0.3]}
    found = mcgc.sweep(np.full(10, 2.0), deadly(), rates, method="grid", workers=2, hooks=[hook])
    assert [trial.status for trial in found.trials] == ["finished", "failed", "finished", "finished"]
    assert found.trials[1].sentence == "2 worker processes died with it: see if memory is short"
    assert hook.sentences == ["a worker process died: trial 1 goes on in another"]


def test_optuna_prunes_in_workers_and_has_each_trial_once(tmp_path):
    how = {"trials": 7, "target": "y", "epochs": 4, "hidden": "4", "prune": True, "metric": "train"}
    output = tmp_path / "sweep.h5"
    found = mcgc.sweep(TABLE, "regression", SPACE, method="optuna", workers=2, output=output, **how)
    assert [trial.number for trial in found.trials] == list(range(7))
    hook = Stop()
    assert mcgc.sweep(TABLE, "regression", SPACE, method="optuna", output=output, hooks=[hook], **how) == found
    assert hook.told == []
