"""Arrays for the results of compiled kernels: memory that nobody refers to any more is used again.

A training step makes a dozen arrays of the size of θ and of the net's values, and drops as many. Handed back to the
operating system and taken anew each time, their pages cost more than the arithmetic of a small net.
"""

import sys
import threading

import numpy as np

LARGEST = 2**25  # bytes of an array that is kept for later
KEPT = 16  # arrays of one size and dtype, and sizes, that are kept; what is over is ordinary memory

_mine = threading.local()  # each thread has its own, so no array is given out twice
_FREE = 3  # references to an array that only the list, the loop and the question hold


def empty(size: int, dtype: np.dtype) -> np.ndarray:
    """Return an array of shape (size,) with any content, to which there is no other reference."""
    if not 0 < size * dtype.itemsize <= LARGEST:
        return np.empty(size, dtype)
    shelves = _mine.__dict__.setdefault("shelves", {})
    shelf = shelves.setdefault((size, dtype), [])
    for array in shelf:
        if sys.getrefcount(array) == _FREE:
            return array
    array = np.empty(size, dtype)
    if len(shelf) < KEPT:
        shelf.append(array)
    if len(shelves) > KEPT:
        del shelves[next(iter(shelves))]
    return array
