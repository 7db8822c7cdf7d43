"""Parts of compiled calls on several threads: all are called once, whoever is awake, busy, asleep or gone."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mcgc.kernels import threads
from mcgc.kernels.compiled import compiled
from mcgc.kernels.cpu_sharing import AWAKE, FREE, MAILBOX, STATE, _load, _store, sharing


@compiled
def _part(begin, until, out, factor, calls):
    for i in range(begin, until):
        if factor < 0 and i == out.size - 1:
            raise ValueError("the last is refused")
        out[i] += factor * i
        calls[i] += 1


_share = sharing(_part)


@compiled(nogil=True)
def _all(mailboxes, ends, *arguments):
    _share(mailboxes, ends, arguments)


@compiled
def _meeting(begin, until, here, met):
    """Wait for all others, for 0.1 s or so."""
    _store(here, begin, 1)
    for _ in range(10**7):
        number = 0
        for i in range(here.size):
            number += _load(here, i)
        if number == here.size:
            met[begin] = 1
            return


_share_meeting = sharing(_meeting)


@compiled(nogil=True)
def _meet(mailboxes, ends, *arguments):
    _share_meeting(mailboxes, ends, arguments)


def called(ends, mailboxes, number=1000, factor=2.0):
    """Call all parts, and assert that each element is computed once."""
    out, calls = np.ones(number), np.zeros(number, np.int64)
    _all(mailboxes, ends, out, factor, calls)
    np.testing.assert_array_equal(out, 1 + factor * np.arange(number))
    assert (calls == 1).all()


@pytest.fixture
def crew():
    crew = threads.Crew(os.getpid(), 4)
    yield crew
    crew.end()


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1e-3)


def awake(crew):
    return [bool(crew.mailboxes[i * MAILBOX + AWAKE]) for i in range(1, crew.mailboxes.size // MAILBOX)]


def test_parts_are_of_whole_units_and_cover_all(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", 3)
    assert threads.parts(1000, 16, 9).tolist() == [0, 336, 672, 1000]
    assert threads.parts(10, 16, 3).tolist() == [0, 10]
    assert threads.parts(100, 1, 0).tolist() == [0, 100]
    assert threads.parts(0, 16, 4).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "250000 100000"}, 3),
        ({"cpu.max": "max 100000"}, 64),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ({"cpu.max": "9900000 100000"}, 64),
        ({}, 64),
    ],
)
def test_there_are_as_many_threads_as_a_container_lets_compute_unless_the_user_says_how_many(
    monkeypatch, tmp_path, files, expected
):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(threads, "GROUPS", tmp_path)
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", 64)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    threads._processors.cache_clear()
    try:
        assert threads.count() == expected
    finally:
        threads._processors.cache_clear()
    monkeypatch.setenv("NUMBA_NUM_THREADS", "64")
    assert threads.count() == 64


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_all_parts_are_called_once_whether_workers_are_awake_or_not(crew, number):
    ends = threads._ends(1000, 1, number)
    called(ends, crew.mailboxes)  # nobody is there: the caller computes all
    assert not any(awake(crew))
    for _ in range(300):
        crew.wake(number - 1)
        called(ends, crew.mailboxes)
    assert (crew.mailboxes[STATE::MAILBOX] == FREE).all()


def test_all_parts_are_computed_at_the_same_time_and_workers_without_any_go_to_sleep(crew):
    for number in (4, 2):
        for _ in range(300):  # a worker may sleep again before it is offered something, while others have the processor
            crew.wake(number - 1)
            here, met = np.zeros(number, np.int64), np.zeros(number)
            _meet(crew.mailboxes, threads._ends(number, 1, number), here, met)
            if met.all():
                break
        assert met.all()
        wait_until(lambda: not any(awake(crew)))
    called(threads._ends(1000, 1, 4), crew.mailboxes)


def test_callers_in_several_threads_do_not_disturb_each_other(crew):
    def call(i):
        crew.wake(3)
        called(threads._ends(1000 + i, 1, 4), crew.mailboxes, 1000 + i, float(i))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(400)))


def test_an_error_of_a_part_is_an_error_of_the_call_after_all_parts_ended(crew):
    out, calls, ends = np.zeros(1000), np.zeros(1000, np.int64), threads._ends(1000, 1, 4)
    with pytest.raises(ValueError, match="the last is refused"):
        _all(crew.mailboxes, threads._ends(1000, 1, 1), out, -1.0, calls)
    calls[:] = 0
    for _ in range(50):
        crew.wake(3)
        with pytest.raises(RuntimeError, match="a part of a compiled call failed"):
            _all(crew.mailboxes, ends, out, -1.0, calls)
    assert calls[:-1].tolist() == [50] * 999
    called(ends, crew.mailboxes)


def test_a_process_ends_while_workers_look_for_parts_and_a_fork_has_workers_of_its_own():
    script = """
import os
import numpy as np
from mcgc.random import Key, normal
from mcgc.kernels import cpu, threads
theta = normal(Key(0), (10**6,))
expected = cpu.perturb(theta, 0.1, Key(1))[0]
child = os.fork()
again = cpu.perturb(theta, 0.1, Key(1))[0]
assert (again == expected).all()
assert len(threads._crew(os.getpid(), 3)._workers) == 2
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("both")
"""
    environment = os.environ | {"NUMBA_NUM_THREADS": "3"}
    command = [sys.executable, "-W", "ignore:.*fork:DeprecationWarning", "-c", script]
    for _ in range(3):
        found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert (found.stdout, found.returncode) == ("both\n", 0), found.stderr
