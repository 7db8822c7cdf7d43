"""What a cluster may do to a run: it loses its scheduler, has workers that hang, or of another version."""

import os
import signal
import threading

import pytest
from outside import Outside
from timed import DATA, SETTINGS, problem

from mcgc import train
from mcgc._cluster import client_of, parse
from mcgc.errors import ClusterError, InputError
from mcgc.train import Cluster, Run

SMALL = {"members": 6}


def bound(*args):
    return train.bind(SETTINGS._replace(**SMALL), DATA, problem=problem(*args))


def trained(path, strategy=None, hook=None, task=None):
    with Run.create(path, task or bound(), overwrite=True) as run:
        for _ in run.epochs(strategy, [hook] if hook else []):
            pass
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Give the file of the run on one machine."""
    return trained(tmp_path_factory.mktemp("alone") / "run.h5")


def once(count, act):
    """Return a hook's function that calls `act` when so many members have come."""
    seen = []

    def after_member(advanced, epoch):
        seen.append(advanced.number)
        if len(seen) == count:
            act()

    return after_member


def test_a_scheduler_that_is_killed_and_started_again_costs_nothing(tmp_path, alone, same, said):
    with Outside(tmp_path) as outside:
        workers = [outside.work(), outside.work()]

        def restart():
            outside.scheduler.kill()
            for process in (outside.scheduler, *workers):  # workers end without their scheduler
                process.wait(timeout=60)
            outside.schedule()
            outside.work()

        hook = said(once(4, lambda: threading.Thread(target=restart).start()))
        with client_of(outside.address) as client:
            client.wait_for_workers(2, 60)  # so that both have the data
            strategy = Cluster(client, 0.1, 1)
            same(trained(tmp_path / "run.h5", strategy, hook, bound(0.02)), alone)
    assert "the Dask scheduler is gone: waiting for it to come back" in hook.sentences
    assert "the Dask scheduler is back: what was in flight goes on from its last state" in hook.sentences
    assert strategy.traffic.again > 0


def test_a_worker_that_hangs_is_given_up_by_dask_and_its_members_go_on_elsewhere(tmp_path, alone, same, said):
    with Outside(tmp_path, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s") as outside:
        workers = [outside.work(), outside.work()]
        hook = said(once(4, lambda: workers[0].send_signal(signal.SIGSTOP)))
        with client_of(outside.address) as client:
            client.wait_for_workers(2, 60)  # so that both have the data
            strategy = Cluster(client, 0.1, 1)
            same(trained(tmp_path / "run.h5", strategy, hook, bound(0.05)), alone)
    assert strategy.traffic.lost == 1
    assert len([sentence for sentence in hook.sentences if "what it had goes on elsewhere" in sentence]) == 1


def test_what_a_worker_that_hangs_has_is_repeated_where_that_is_wanted(tmp_path, alone, same, said):
    with Outside(tmp_path) as outside:
        workers = [outside.work(), outside.work()]
        hook = said(once(8, lambda: workers[0].send_signal(signal.SIGSTOP)))
        with client_of(outside.address) as client:
            client.wait_for_workers(2, 60)  # so that both have the data
            strategy = Cluster(client, 0.05, 1, repeat=5.0)
            same(trained(tmp_path / "run.h5", strategy, hook, bound(0.05)), alone)
    assert strategy.traffic.repeated >= 1
    assert strategy.traffic.lost == 0


def test_a_worker_of_another_version_is_refused_with_one_sentence(tmp_path, alone, same, said):
    with Outside(tmp_path) as outside:
        outside.work(other=True)
        with client_of(outside.address) as client:
            client.wait_for_workers(1, 60)
            with pytest.raises(InputError) as caught:
                trained(tmp_path / "run.h5", Cluster(client))
            assert "has mcgc 0.0.1 in place of" in str(caught.value)
            assert not (tmp_path / "run.h5").exists()
            outside.work()
            client.wait_for_workers(2, 60)
            hook, strategy = said(), Cluster(client, 0.0, 1)
            same(trained(tmp_path / "run.h5", strategy, hook), alone)
    assert strategy.traffic.refused == 1
    (sentence,) = hook.sentences
    assert sentence.endswith("install the same version there; it is given nothing")


def test_two_runs_share_a_cluster(client, tmp_path, alone, same):
    threads = [threading.Thread(target=trained, args=(tmp_path / f"{i}.h5", Cluster(client, 0.0, 2))) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(2):
        same(tmp_path / f"{i}.h5", alone)


def test_an_objective_that_always_kills_its_worker_ends_the_run(tmp_path, monkeypatch):
    def killing(settings):  # of this function, so that it is sent by value
        return lambda theta, rows: os.kill(os.getpid(), signal.SIGKILL)

    task = train.bind(SETTINGS._replace(members=1), DATA, problem=problem()._replace(objective=killing))
    monkeypatch.setattr("mcgc.train._cluster.MOST_DEATHS", 2)
    with client_of("local:2") as client, pytest.raises(ClusterError, match="3 workers died over one call: see if"):
        trained(tmp_path / "run.h5", Cluster(client), task=task)


@pytest.mark.parametrize("address", ["local:0", "local:x", "host:80", "tcp://host", "tcp:///x:1", "http://h:1"])
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(
        InputError, match="the address of a Dask cluster is tcp://HOST:PORT, tls://HOST:PORT or local:N"
    ):
        parse(address)


def test_a_scheduler_that_is_not_there_and_what_is_no_client_are_refused(monkeypatch):
    monkeypatch.setattr("mcgc._cluster._client.PATIENCE", 0.5)
    with (
        pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        client_of("tcp://127.0.0.1:9"),
    ):
        pass
    with pytest.raises(InputError, match=r"client must be a distributed\.Client"), client_of(7.0):
        pass


def test_an_encrypted_cluster_needs_certificates():
    with pytest.raises(InputError, match="needs certificates"), client_of("tls://127.0.0.1:9"):
        pass


def test_a_local_cluster_listens_on_loopback_alone(client):
    import psutil

    me = psutil.Process()
    processes = [me, *me.children(recursive=True)]
    heard = {c.laddr.ip for p in processes for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert heard == {"127.0.0.1"}
