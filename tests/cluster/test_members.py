"""Members on workers of a cluster: the bits of one machine, whatever happens to the workers."""

import os
import signal
import time

import numpy as np
import pytest
from timed import DATA, SETTINGS, problem

import mcgc
from mcgc import train
from mcgc._cluster import client_of
from mcgc.train import Cluster, Run


def trained(path, task, strategy=None, *hooks):
    with Run.create(path, task, overwrite=True) as run:
        for _ in run.epochs(strategy, hooks):
            pass
    return path


def bound(*args, **changes):
    return train.bind(SETTINGS._replace(**changes), DATA, problem=problem(*args))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Give the file of the run on one machine."""
    return trained(tmp_path_factory.mktemp("alone") / "run.h5", bound())


@pytest.mark.parametrize("how", [{"seconds": 0.0}, {"seconds": 60.0}, {"chunk": 5, "seconds": 0.02}])
def test_the_bits_do_not_depend_on_workers_nor_on_how_members_are_divided(client, tmp_path, alone, same, how):
    strategy = Cluster(client, **how)
    same(trained(tmp_path / "run.h5", bound(), strategy), alone)
    assert (strategy.traffic.workers, strategy.traffic.lost) == (2, 0)


def test_messages_are_counted_with_their_sizes(client, tmp_path):
    strategy = Cluster(client, seconds=60.0, chunk=6)
    trained(tmp_path / "run.h5", bound(), strategy)
    traffic = strategy.traffic
    assert (traffic.calls, traffic.again, traffic.repeated) == (2, 0, 0)
    assert 1000 < traffic.data_bytes < 10_000
    assert 2000 < traffic.sent_bytes < traffic.received_bytes < 60_000  # which has records and two states


@pytest.mark.parametrize(
    ("members", "workers", "sleep", "every", "most"),
    [(12, 2, 0.05, 1.5, 4), pytest.param(100, 4, 0.05, 3.0, 10, marks=pytest.mark.long)],
)
def test_workers_that_are_killed_cost_no_member_and_no_bit(
    tmp_path, alone, same, said, members, workers, sleep, every, most
):
    log, killed, last = tmp_path / "log", [], [time.monotonic()]
    log.touch()

    def kill(advanced, epoch):
        if len(killed) < most and time.monotonic() - last[0] > every:
            alive = [pid for pid in map(int, log.read_text().split()[-8:]) if pid not in killed]
            if alive:
                os.kill(alive[-1], signal.SIGKILL)
                killed.append(alive[-1])
                last[0] = time.monotonic()

    hook = said(kill)
    if members != SETTINGS.members:
        alone = trained(tmp_path / "alone.h5", bound(members=members))
    with client_of(f"local:{workers}") as client:
        strategy = Cluster(client, seconds=0.1, chunk=1)
        same(trained(tmp_path / "run.h5", bound(sleep, str(log), members=members), strategy, hook), alone)
    assert len(killed) >= 3
    assert strategy.traffic.lost >= len(killed) - 1  # the last one may be seen after the end
    assert sum("is gone: what it had goes on elsewhere" in sentence for sentence in hook.sentences) >= len(killed) - 1
    print(f"\nworkers killed: {len(killed)} of {workers}, members lost: 0 of {members}")


def test_a_table_is_trained_on_a_cluster_to_the_same_bits(client, tmp_path):
    x = np.linspace(-1, 1, 40)
    table, how = {"x": x, "y": x**2, "z": np.roll(x, 3)}, {"target": "y", "members": 3, "epochs": 3, "hidden": 4}
    here = mcgc.fit(table, "regression", **how)
    there = mcgc.fit(table, "regression", client=client, **how)
    saved = mcgc.fit(table, "regression", client=client, output=tmp_path / "run.h5", **how)
    for found in (there, saved):
        assert found.file.theta.tobytes() == here.file.theta.tobytes()
        assert found.results["scores"] == here.results["scores"]
