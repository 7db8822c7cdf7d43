"""Threads for the compiled kernels: parts of one call at the same time, each outside Python's global lock.

Their number is `NUMBA_NUM_THREADS`: as many as processors by default, and one in the workers of an ensemble. What a
kernel computes is cut so that every sum is in one part, so the bits do not depend on the number of threads.

To hand a part to a worker that is awake takes about a microsecond, where a pool of Python's threads takes 0.1 ms. A
worker that has had nothing to do for two milliseconds goes to sleep, and the next call that needs it wakes it.
"""

import atexit
import os
import threading
import time
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numba import config

from mcgc.kernels.cpu_sharing import AWAKE, MAILBOX, work

PATIENCE = 2e-3  # seconds in which a worker looks for the next offer: longer than the Python between two kernels
GROUPS = Path("/sys/fs/cgroup")  # where Linux tells the quota of a container
LOOKS = 2000  # that are timed to find how long a look takes
_NO_MAILBOXES = np.zeros(MAILBOX, np.int64)


def count() -> int:
    """Return how many threads a call may use: what `NUMBA_NUM_THREADS` says, or as many as there are processors.

    Processors are those that the process may use, also by the quota of a container.
    """
    if config.DISABLE_JIT:
        return 1
    return config.NUMBA_NUM_THREADS if "NUMBA_NUM_THREADS" in os.environ else _processors()


@cache
def _processors() -> int:
    """Return the number of processors where the process may run, or the quota of its container if that is less."""
    for names in ("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"):  # of both versions of control groups
        with suppress(OSError, ValueError):  # without a quota, a file is missing or says "max"
            quota, period = map(int, " ".join((GROUPS / name).read_text() for name in names).split())
            if quota > 0:
                return min(-(-quota // period), config.NUMBA_NUM_THREADS)
    return config.NUMBA_NUM_THREADS


def parts(number: int, unit: int, most: int) -> np.ndarray:
    """Cut `number` things into parts of whole units, as equal as that goes, and return their ends.

    There is one for each thread, and at most `most`.
    """
    return _ends(number, unit, min(most, count()) if most > 1 else 1)


@lru_cache(maxsize=256)
def _ends(number: int, unit: int, most: int) -> np.ndarray:
    units = -(-number // unit)
    most = max(min(most, units), 1)
    return np.array([min(units * i // most * unit, number) for i in range(most)] + [number], np.int64)


class Crew:
    """The workers of a process, for calls in `number` parts. Each begins when it is first needed."""

    def __init__(self, process: int, number: int) -> None:
        self.mailboxes, self._process = np.zeros(number * MAILBOX, np.int64), process
        self._lock = threading.Lock()
        self._workers: list[tuple[threading.Thread, threading.Event]] = []
        self._ends = False
        seconds = []
        for _ in range(4):  # the first may compile
            begin = time.perf_counter()
            work(self.mailboxes, 0, LOOKS)
            seconds.append(time.perf_counter() - begin)
        self._looks = int(LOOKS * PATIENCE / min(seconds))

    def wake(self, number: int) -> None:
        """Let so many workers look for offers."""
        for i in range(number):
            if not self.mailboxes[(i + 1) * MAILBOX + AWAKE]:
                if i >= len(self._workers):
                    self._begin(number)
                self._workers[i][1].set()

    def _begin(self, number: int) -> None:
        with self._lock:
            while len(self._workers) < number:
                i, called = len(self._workers) + 1, threading.Event()
                thread = threading.Thread(target=self._wait, args=(i, called), name=f"mcgc-{i}", daemon=True)
                self._workers.append((thread, called))
                thread.start()

    def _wait(self, i: int, called: threading.Event) -> None:
        while called.wait() and not self._ends:
            called.clear()
            work(self.mailboxes, i * MAILBOX, self._looks)

    def end(self) -> None:
        """End all workers: none may be in compiled code when Python ends."""
        self._ends = True
        for thread, called in self._workers if os.getpid() == self._process else ():  # a fork has none of them
            called.set()
            thread.join()


@cache
def _crew(process: int, number: int) -> Crew:
    """Return the workers of a process: those of another one do not live after a fork."""
    crew = Crew(process, number)
    atexit.register(crew.end)
    return crew


def crew(ends: np.ndarray) -> np.ndarray:
    """Wake workers for all of these parts but the first, and return the mailboxes where they look for them."""
    if ends.size <= 2:
        return _NO_MAILBOXES
    crew = _crew(os.getpid(), count())
    crew.wake(ends.size - 2)
    return crew.mailboxes
