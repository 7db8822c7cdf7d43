"""Least squares on a cluster: the bits of one machine, whatever simulators do to their processes and workers."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from residuals import linear, wave

import mcgc
from mcgc.continuation._least_squares._cluster import ClusterWorkers
from mcgc.continuation._least_squares._workers import Failed
from mcgc.errors import InputError

HOW = {"x_scale": 1.0, "steps": 8, "seed": 3}


@pytest.fixture
def workers(client):
    made = []

    def make(function, timeout=60.0, repeat=None):
        made.append(ClusterWorkers(function, client, timeout, repeat))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_fit_has_the_bits_of_one_machine(client):
    here = mcgc.least_squares(wave, [2.2, 0.5], **HOW)
    there = mcgc.least_squares(wave, [2.2, 0.5], client=client, **HOW)
    assert there.x.tobytes() == here.x.tobytes()
    assert (there.nfev, there.cost) == (here.nfev, here.cost)


def test_points_of_a_batched_function_are_divided_among_the_workers(client):
    rows = lambda points: np.stack([linear(x) for x in points])
    here = mcgc.least_squares(rows, [0.0, 0.0, 0.0], batched=True, **HOW)
    there = mcgc.least_squares(rows, [0.0, 0.0, 0.0], batched=True, client=client, **HOW)
    assert there.x.tobytes() == here.x.tobytes()
    jitted = mcgc.jit(lambda x: mcgc.ops.stack([x[0] - 1.0, 10 * (x[1] - x[0] ** 2)]))
    assert mcgc.least_squares(jitted, [3.0, 3.0], client=client, **HOW).x == pytest.approx([1.0, 1.0])


def test_results_come_in_order_and_errors_are_told(workers):
    def call(x):
        time.sleep(0.2 if x == 0 else 0)
        return "text" if x == 4 else np.full(2, 1 / (x - 3))

    found = workers(call).map(range(6))
    assert [row.tolist() for row in found[:3]] == [[-1 / 3] * 2, [-1 / 2] * 2, [-1.0] * 2]
    assert found[3] == Failed("raised", "ZeroDivisionError: division by zero")
    assert found[4].sentence.startswith("the residuals are no numbers")


def test_a_call_that_hangs_or_kills_its_process_is_failed_and_no_worker_is_lost(workers):
    def call(x):
        if x == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60 if x == 2 else 0)
        return [x]

    made = workers(call, 1.0)
    found = made.map(range(5))
    assert found[1:3] == [Failed("killed", "the process died"), Failed("timed out", "no answer in 1 s")]
    assert [found[i].tolist() for i in (0, 3, 4)] == [[0.0], [3.0], [4.0]]
    assert made.traffic.lost == 0


def test_a_simulator_that_kills_its_worker_is_failed_and_the_others_go_on(workers):
    def call(x):
        if x == 1 and b"multiprocessing" in Path(f"/proc/{os.getppid()}/cmdline").read_bytes():
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return [x]

    found = workers(call).map(range(4))
    assert found[1] == Failed("killed", "the worker died")
    assert [found[i].tolist() for i in (0, 2, 3)] == [[0.0], [2.0], [3.0]]


def test_a_fit_goes_on_where_a_simulator_crashes(client):
    def crashing(x):
        if x[0] < 0.5:
            os.kill(os.getpid(), signal.SIGSEGV)
        return linear(x)

    found = mcgc.least_squares(crashing, [0.9, 0.0, 0.0], client=client, max_nfev=30, **HOW)
    assert found.failures["killed"] > 0
    assert np.isfinite(found.cost)
    assert found.x[0] >= 0.5


def test_a_call_that_takes_long_is_repeated_and_the_first_answer_counts(workers, tmp_path):
    def call(x):
        try:
            (tmp_path / f"{x}").touch(exist_ok=x != 7)
        except FileExistsError:
            return [-x]
        time.sleep(60 if x == 7 else 0.1)
        return [x]

    made = workers(call, repeat=5.0)
    began = time.monotonic()
    assert [row.tolist() for row in made.map(range(8))] == [[float(x)] for x in range(7)] + [[-7.0]]
    assert time.monotonic() - began < 50
    assert made.traffic.repeated == 1


def test_what_cannot_be_used_is_refused(client):
    lock = threading.Lock()
    with pytest.raises(InputError, match="do without a client"):
        mcgc.least_squares(lambda x: lock, [1.0], client=client, **HOW)
    with pytest.raises(InputError, match="leave out workers"):
        mcgc.least_squares(linear, [1.0] * 3, client=client, workers=2, **HOW)
    with pytest.raises(InputError, match="repeat is for a cluster"):
        mcgc.least_squares(linear, [1.0] * 3, repeat=3.0, **HOW)
    with pytest.raises(InputError, match="repeat must be above 1"):
        mcgc.least_squares(linear, [1.0] * 3, client=client, repeat=1.0, **HOW)
    with pytest.raises(InputError, match="timeout must be a positive"):
        mcgc.least_squares(linear, [1.0] * 3, client=client, timeout=0.0, **HOW)


def test_an_estimate_has_the_bits_of_one_machine(client):
    times = np.linspace(0, 4, 15)
    decay = lambda t, y, p: [-p["rate"] * y[0]]
    values = 2 * np.exp(-0.5 * times) + 0.01 * np.random.default_rng(0).normal(size=15)
    start, how = {"rate": mcgc.Parameter(3.0, 0.01, 10.0)}, {"method": "continuation", "seed": 1}
    here = mcgc.estimate(decay, (times, values), start, **how)
    there = mcgc.estimate(decay, (times, values), start, client=client, timeout=60.0, **how)
    assert there.x.tobytes() == here.x.tobytes()
    assert there.traffic["calls"] > 10
    with pytest.raises(InputError, match="timeout is for a cluster"):
        mcgc.estimate(decay, (times, values), start, timeout=60.0)
