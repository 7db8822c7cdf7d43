"""Arrays for the results of compiled kernels. Memory that nothing refers to any more is used again.

A training step makes and drops a dozen arrays of the size of θ and of the net's values. Whether the allocator of C
returns their pages to the operating system each time depends on all else that a program stores.

`python -m bench --case kernels` measures the gain (AMD EPYC, Linux, float32; quartiles in brackets). With new arrays
an update by Adam takes 6.50 [6.45, 6.58] times as long for 111,160 parameters, and 1.75 [1.75, 1.76] times for ten
million. The noise takes 0.97 [0.97, 0.97] and 1.59 [1.58, 1.59] times as long. A step of the MNIST net, where the
allocator keeps the pages by itself, takes 0.98 [0.98, 1.00] times as long.
"""

import sys
import threading

import numpy as np

PER_SIZE = 16  # arrays of one size and dtype, and sizes, that are stored; more of them are ordinary memory
MAX_BYTES = 2**29  # that are stored in all
LINE = 64  # bytes of a line of the cache, and of the widest vector

_mine = threading.local()  # each thread has its own, so no array is given out twice


def _references(shelf: list[np.ndarray]) -> int:
    """Return the reference count of an array that only the shelf holds, as a loop over the shelf counts it."""
    for array in shelf:
        return sys.getrefcount(array)
    raise AssertionError("the shelf is empty")


_FREE = _references([np.empty(1)])  # versions of Python differ in it


def _bytes(shelves: dict) -> int:
    """Return the number of bytes that are stored."""
    return sum(len(held) * size * dtype.itemsize for (size, dtype), held in shelves.items())


def empty(size: int, dtype: np.dtype) -> np.ndarray:
    """Return an array of shape (size,) with any content, to which there is no other reference.

    It begins at a line of the cache. It is a view of the stored array, so changes of its flags or shape do not come
    back with the memory.
    """
    if size == 0:
        return np.empty(size, dtype)
    shelves = _mine.__dict__.setdefault("shelves", {})
    shelf = shelves.setdefault((size, dtype), [])
    for array in shelf:
        if sys.getrefcount(array) == _FREE:
            return array[:]
    memory = np.empty(size * dtype.itemsize + LINE, np.uint8)
    array = np.frombuffer(memory.data, dtype, size, -memory.__array_interface__["data"][0] % LINE)
    if len(shelf) < min(PER_SIZE, MAX_BYTES // array.nbytes):
        shelf.append(array)
    while len(shelves) > PER_SIZE or _bytes(shelves) > MAX_BYTES:
        del shelves[next(iter(shelves))]
    return array[:]
