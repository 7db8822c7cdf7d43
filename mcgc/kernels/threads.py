"""Threads for the compiled kernels: parts of one call at the same time, each outside Python's global lock.

Their number is Numba's, `NUMBA_NUM_THREADS`: as many as processors by default, and one in the workers of an ensemble.
What a kernel computes is cut so that every sum is in one part, so the bits do not depend on the number of threads.

To wake a thread and to wait for it takes about 0.1 ms (two cores of an Intel Xeon, a virtual machine), as Python's lock
changes hands. So a call of less than a millisecond or two stays in one thread.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

from numba import config

_mine = threading.local()  # the threads of the pool start none themselves


def count() -> int:
    """Return how many threads a call may use."""
    return 1 if getattr(_mine, "inside", False) else config.NUMBA_NUM_THREADS


def parts(number: int, unit: int, most: int) -> list[tuple[int, int]]:
    """Cut `number` things into at most `most` parts of whole units, as equal as that goes; return their ends."""
    units = -(-number // unit)
    most = min(most, units)
    if most <= 1:
        return [(0, number)]
    return list(pairwise([min(units * i // most * unit, number) for i in range(most + 1)]))


def run(part: Callable[[int, int], Any], ends: Sequence[tuple[int, int]]) -> None:
    """Call `part(begin, end)` for all parts, the first in this thread."""
    waiting = [_pool(os.getpid()).submit(part, *others) for others in ends[1:]]
    part(*ends[0])
    for other in waiting:
        other.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of a process: those of another one do not live after a fork."""
    return ThreadPoolExecutor(max(config.NUMBA_NUM_THREADS - 1, 1), "mcgc", initializer=_begin)


def _begin() -> None:
    _mine.inside = True
