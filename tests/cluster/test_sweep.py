"""Sweeps on a Dask cluster: the bits of one process, also when a worker is killed; and what is refused."""

import json
import os

import pytest
from click.testing import CliRunner
from mcgc_cli import main
from outside import Outside
from swept import HOW, SPACE, TABLE, Stop, bits

import mcgc
from mcgc._cluster import client_of
from mcgc.errors import InputError
from mcgc.sweeps import read

SPEC = """
table = "line.csv"
task = "regression"
target = "y"
trials = 3
[settings]
epochs = 2
hidden = "4"
[space]
lr = { low = 1e-4, high = 1e-1, log = true }
"""


class Killer(Stop):
    """Kills a process when so many trials are done."""

    def __init__(self, after, process):
        super().__init__()
        self.after, self.process, self.traffic = after, process, None

    def after_trial(self, trial):
        super().after_trial(trial)
        if len(self.told) == self.after:
            self.process.kill()

    def after_cluster(self, traffic):
        self.traffic = traffic


def test_twenty_trials_of_which_a_worker_is_killed_are_twenty_results_and_none_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = HOW | {"trials": 20, "epochs": 60, "hidden": "16,16"}
    space = {"learning_rate": SPACE["learning_rate"]}
    with Outside(tmp_path) as cluster:
        first, _ = cluster.work(), cluster.work()
        with client_of(cluster.address) as client:
            client.wait_for_workers(2, timeout=60)
        hook = Killer(5, first)
        found = mcgc.sweep(TABLE, "regression", space, client=cluster.address, output="sweep.h5", hooks=[hook], **how)
        assert sorted(trial.number for trial in hook.told) == list(range(20))
        assert len({trial.key for trial in found.trials}) == 20
        assert hook.traffic["lost"] == 1
        assert hook.traffic["calls"] >= 20
        assert 0 < hook.traffic["sent_bytes"] < 20 * 1000
        assert read("sweep.h5") == found
        (tmp_path / "line.csv").write_text("\n".join(["x,y", *(f"{i},{i * i}" for i in range(40))]))
        (tmp_path / "line.toml").write_text(SPEC)
        done = CliRunner().invoke(main, ["sweep", "line.toml", "--dask", cluster.address, "--json"])
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert (told["finished"], told["cluster"]["calls"], told["cluster"]["lost"]) == (3, 3, 0)
        os.remove("line-sweep.h5")
        alone = json.loads(CliRunner().invoke(main, ["sweep", "line.toml", "--json"]).stdout)
        assert [trial["train_loss"] for trial in told["trials"]] == [trial["train_loss"] for trial in alone["trials"]]
    assert bits(found.trials) == bits(mcgc.sweep(TABLE, "regression", space, **how).trials)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"workers": 2}, "workers are for this machine, not for a cluster"),
        ({"runs": "runs"}, "runs is for this machine, not for a cluster"),
        ({"method": "optuna", "prune": True}, "prune on a cluster needs a storage that its workers reach"),
        ({"client": "tcp://"}, "the address of a Dask cluster is tcp://HOST:PORT"),
    ],
)
def test_what_a_cluster_cannot_do_is_one_sentence(how, sentence):
    with pytest.raises(InputError, match=sentence):
        mcgc.sweep(TABLE, "regression", SPACE, trials=2, **HOW | {"client": "tcp://127.0.0.1:1"} | how)


def test_a_cluster_and_workers_are_refused_together(tmp_path):
    done = CliRunner().invoke(main, ["sweep", "x.toml", "--dask", "local:2", "--workers", "2"])
    assert (done.exit_code, done.stderr) == (2, "mcgc: --dask gives the trials to a cluster: leave out --workers\n")
