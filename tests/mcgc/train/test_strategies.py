"""Strategies: the same bits whatever their number, and no epoch lost with a process that dies."""

import os
import signal
import threading
import time

import pytest
import timed
from timed import DATA, problem

from mcgc import train
from mcgc.arrays import HOST
from mcgc.errors import InputError
from mcgc.train import Hook, Processes, WorkerError

SETTINGS = timed.SETTINGS._replace(epochs=3, members=3, continuation=False)


def result(found):
    return [
        (record._replace(seconds=0, member_seconds=()), [m.state.theta.tobytes() for m in ms]) for record, ms in found
    ]


def trained(own, strategy=None, *hooks):
    return result(train.epochs(train.bind(SETTINGS, DATA, HOST, own), strategy=strategy, hooks=hooks))


class Said(Hook):
    """Keeps messages, and calls `pause` before steps."""

    def __init__(self, pause=lambda: None):
        self.sentences, self.before_step = [], pause

    def message(self, sentence):
        self.sentences.append(sentence)


@pytest.mark.parametrize("count", [1, 2])
def test_the_bits_do_not_depend_on_the_number_of_workers(count):
    assert trained(problem(), Processes(count)) == trained(problem())


def test_members_of_a_process_that_is_killed_are_advanced_again(tmp_path):
    log, said = tmp_path / "log", Said()
    log.touch()

    def kill():
        while not log.read_text():
            time.sleep(0.01)
        os.kill(int(log.read_text().split()[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    found = trained(problem(0.02, str(log)), Processes(2), said)
    killer.join()
    assert found == trained(problem())
    assert said.sentences == ["a worker process died in epoch 1: its members go on from the epoch before"]


def test_processes_that_always_die_end_the_run(monkeypatch):
    monkeypatch.setattr("mcgc.train._strategies.MOST_DEATHS", 1)

    def die(settings):
        return lambda theta, rows: os._exit(1)

    with pytest.raises(WorkerError, match="2 worker processes died"):
        trained(problem()._replace(objective=die), Processes(1))


def test_a_hook_that_raises_ends_the_epoch_and_the_processes(tmp_path):
    log = tmp_path / "log"
    log.touch()

    def pause():
        if log.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(problem(0.2, str(log)), Processes(1), Said(pause))
    time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text().split()[0]), 0)


def test_no_workers_are_refused():
    with pytest.raises(InputError, match="number of workers"):
        trained(problem(), Processes(0))


def test_processes_are_refused_a_device(strict):
    task = train.bind(SETTINGS, DATA, strict, problem())
    with pytest.raises(InputError, match="worker processes need the CPU"):
        next(train.epochs(task, strategy=Processes(2)))
