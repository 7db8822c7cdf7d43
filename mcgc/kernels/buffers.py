"""Arrays for the results of compiled kernels: memory that nobody refers to any more is used again.

A training step makes a dozen arrays of the size of θ and of the net's values, and drops as many. Handed back to the
operating system and taken anew each time, their pages cost more than the arithmetic of a small net.
"""

import sys
import threading

import numpy as np

KEPT = 16  # arrays of one size and dtype, and sizes, that are kept; what is over is ordinary memory
MOST = 2**29  # bytes that are kept in all

_mine = threading.local()  # each thread has its own, so no array is given out twice


def _references(shelf: list[np.ndarray]) -> int:
    """Return how many references there are to an array that nobody but the shelf holds, as a loop over it counts."""
    for array in shelf:
        return sys.getrefcount(array)
    raise AssertionError("the shelf is empty")


_FREE = _references([np.empty(1)])  # versions of Python differ in it


def empty(size: int, dtype: np.dtype) -> np.ndarray:
    """Return an array of shape (size,) with any content, to which there is no other reference.

    It is a view of what is kept, so whatever its holder makes of its flags or shape does not come back with the memory.
    """
    if size == 0:
        return np.empty(size, dtype)
    shelves = _mine.__dict__.setdefault("shelves", {})
    shelf = shelves.setdefault((size, dtype), [])
    for array in shelf:
        if sys.getrefcount(array) == _FREE:
            return array[:]
    array = np.empty(size, dtype)
    if len(shelf) < min(KEPT, MOST // array.nbytes):
        shelf.append(array)
    while len(shelves) > KEPT or sum(len(held) * n * kind.itemsize for (n, kind), held in shelves.items()) > MOST:
        del shelves[next(iter(shelves))]
    return array[:]
