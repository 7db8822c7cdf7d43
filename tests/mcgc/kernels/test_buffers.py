"""Arrays of kernels' results: used again when nobody refers to them, and never before."""

import threading

import numpy as np

from mcgc.kernels import buffers

F4 = np.dtype("float32")
SIZE = 12_345


def address(array):
    return array.__array_interface__["data"][0]


def test_arrays_in_use_are_distinct_and_one_that_is_dropped_is_used_again():
    first, second = buffers.empty(SIZE, F4), buffers.empty(SIZE, F4)
    assert address(first) != address(second)
    assert (first.shape, first.dtype) == ((SIZE,), F4)
    place = address(first)
    del first
    assert address(buffers.empty(SIZE, F4)) == place


def test_what_a_holder_makes_of_an_array_does_not_come_back_with_the_memory():
    array = buffers.empty(SIZE + 20, F4)
    place = address(array)
    array.flags.writeable = False
    del array
    again = buffers.empty(SIZE + 20, F4)
    assert address(again) == place
    assert again.flags.carray


def test_a_view_or_a_memoryview_keeps_its_array_in_use():
    for hold in (lambda array: array[3:].reshape(2, -1), memoryview):
        array = buffers.empty(SIZE + 10, F4)
        place, held = address(array), hold(array)
        del array
        others = [buffers.empty(SIZE + 10, F4) for _ in range(2 * buffers.PER_SIZE)]
        assert place not in {address(other) for other in others}
        assert len({address(other) for other in others}) == len(others)
        del held


def test_sizes_dtypes_and_threads_do_not_share_arrays():
    kept = [buffers.empty(SIZE, F4), buffers.empty(SIZE, np.dtype("float64")), buffers.empty(SIZE + 1, F4)]
    there = []
    thread = threading.Thread(target=lambda: there.append(buffers.empty(SIZE, F4)))
    thread.start()
    thread.join()
    assert len({address(array) for array in (*kept, *there)}) == 4


def test_what_is_kept_is_bounded():
    buffers._mine.__dict__.clear()
    for size in range(1, 10 * buffers.PER_SIZE):
        arrays = [buffers.empty(size, F4) for _ in range(2 * buffers.PER_SIZE)]
    shelves = buffers._mine.shelves
    assert len(shelves) <= buffers.PER_SIZE
    assert all(len(shelf) <= buffers.PER_SIZE for shelf in shelves.values())
    assert len(arrays) == 2 * buffers.PER_SIZE
    assert buffers.empty(0, F4).shape == (0,)


def test_the_memory_that_is_kept_is_bounded(monkeypatch):
    buffers._mine.__dict__.clear()
    monkeypatch.setattr(buffers, "MAX_BYTES", 4000)
    arrays = [buffers.empty(300, F4) for _ in range(5)]
    assert [len(shelf) for shelf in buffers._mine.shelves.values()] == [3]
    arrays += [buffers.empty(500, F4), buffers.empty(1001, F4)]
    assert {size: len(shelf) for (size, _), shelf in buffers._mine.shelves.items()} == {500: 1, 1001: 0}
    assert len({address(array) for array in arrays}) == len(arrays)


def test_a_result_that_was_made_read_only_is_not_written_to():
    size = 1234567
    array = buffers.empty(size, np.dtype("float32"))
    array.flags.writeable = False
    del array
    assert buffers.empty(size, np.dtype("float32")).flags.writeable


def test_arrays_begin_with_a_line_of_the_cache():
    for size in (1, 100, 1001, SIZE):
        for dtype in (F4, np.dtype("float64")):
            assert address(buffers.empty(size, dtype)) % 64 == 0
