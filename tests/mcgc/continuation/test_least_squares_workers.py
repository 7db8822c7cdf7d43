"""The processes that call residuals: order, time limits, deaths, and what a simulator started."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mcgc.continuation._least_squares._workers import Failed, Workers, attempt
from mcgc.errors import InputError

HANG = [sys.executable, "-c", "import time; time.sleep(120)"]


@pytest.fixture
def workers():
    made = []

    def make(function, number=1, timeout=60.0):
        made.append(Workers(function, number, timeout))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_results_come_in_the_order_of_the_arguments(workers):
    factor = 3

    def slow_first(x):
        time.sleep(0.3 if x == 0 else 0)
        return factor * x

    assert workers(slow_first, 2).map(range(6)) == [0, 3, 6, 9, 12, 15]


def test_an_error_of_the_function_is_told_and_the_process_goes_on(workers):
    made = workers(lambda x: (1 / x, os.getpid()))
    zero, two, four = made.map([0, 2, 4])
    assert zero == Failed("raised", "ZeroDivisionError: division by zero") == attempt(lambda x: 1 / x, 0)
    assert (two[0], four[0]) == (0.5, 0.25)
    assert two[1] == four[1] != os.getpid()


def test_a_call_beyond_the_limit_ends_with_what_it_started_and_no_other_is_lost(workers, tmp_path):
    def call(x):
        if x == 1:
            child = subprocess.Popen(HANG)
            (tmp_path / "pid").write_text(str(child.pid))
            child.wait()
        return x

    assert workers(call, 1, 2.0).map([0, 1, 2]) == [0, Failed("timed out", "no answer in 2 s"), 2]
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid):
    """Tell whether a process runs. One that has ended may wait for its parent."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip()[:1] not in ("", "Z")


def test_a_process_that_is_killed_in_a_call_or_between_calls_is_replaced(workers):
    made = workers(lambda x: os.kill(os.getpid(), signal.SIGKILL) if x == 1 else os.getpid())
    first, dead, second = made.map([0, 1, 2])
    assert dead == Failed("killed", "the process died")
    assert first != second
    os.kill(second, signal.SIGKILL)
    (third,) = made.map([3])
    assert third not in (first, second)


def test_a_function_that_cannot_be_sent_is_refused(workers):
    lock = threading.Lock()
    with pytest.raises(InputError, match="do without workers"):
        workers(lambda x: lock)
