"""Selecting elements: values equal NumPy's for any key, and cotangents add up where a key repeats a place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcgc.arrays import scatter_add, to_device, to_host
from mcgc.autodiff import check_grads, grad, ops, vjp
from mcgc.errors import TraceError

QUICK = settings(derandomize=True, max_examples=40, deadline=None, database=None)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)


def keys(shape):
    """Draw slices and integers, arrays of integers that may repeat, or a mask, of `shape` or of its first axes."""
    integers = hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4))
    masks = st.integers(1, len(shape)).flatmap(lambda n: hnp.arrays(bool, shape[:n]))
    return hnp.basic_indices(shape, allow_newaxis=True) | integers | masks


def check(ours, theirs, x):
    """Check the value, and the pullback against NumPy's own sum over the indices that the selection finds."""
    out, pullback = vjp(ours, x)
    np.testing.assert_array_equal(out, theirs(x))
    g = np.arange(1, np.size(out) + 1, dtype=x.dtype).reshape(np.shape(out))
    expected = np.zeros_like(x)
    np.add.at(expected.reshape(-1), theirs(np.arange(x.size).reshape(x.shape)), g)
    (pulled,) = pullback(g)
    assert pulled.dtype == x.dtype
    np.testing.assert_array_equal(pulled, expected)


@QUICK
@given(st.data(), SHAPES, st.sampled_from(["float32", "float64"]))
def test_any_key_gives_numpys_elements_and_adds_up_their_cotangents(data, shape, dtype):
    key = data.draw(keys(shape))
    x = np.linspace(-1, 1, int(np.prod(shape)), dtype=dtype).reshape(shape)
    check(lambda x: x[key], lambda x: x[key], x)


@QUICK
@given(st.data(), SHAPES)
def test_taking_along_an_axis(data, shape):
    x = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    chosen = data.draw(hnp.arrays(np.int64, st.integers(0, 5), elements=st.integers(0, shape[axis] - 1)))
    each = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, shape[axis] - 1)))
    check(lambda x: ops.take(x, chosen, axis=axis), lambda x: np.take(x, chosen, axis=axis), x)
    along = lambda xp: lambda x: xp.take_along_axis(x, each, axis=axis)
    check(along(ops), along(np), x)


@QUICK
@given(st.data(), hnp.array_shapes(min_dims=2, max_dims=4, max_side=3), st.integers(-3, 3))
def test_diagonals(data, shape, offset):
    x = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    diagonal = lambda x: np.linalg.diagonal(x, offset=offset)
    check(lambda x: ops.diagonal(x, offset=offset), diagonal, x)
    np.testing.assert_allclose(ops.trace(x, offset=offset), diagonal(x).sum(-1), rtol=1e-14, atol=1e-14)


@QUICK
@given(st.data(), SHAPES, st.booleans())
def test_sorting(data, shape, descending):
    x = data.draw(hnp.arrays(np.float64, shape, elements=st.integers(-2, 2)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    ordered = np.flip(np.sort(x, axis=axis), axis=axis) if descending else np.sort(x, axis=axis)
    order = ops.argsort(x, axis=axis, descending=descending)
    np.testing.assert_array_equal(np.take_along_axis(x, order, axis=axis), ordered)
    check(
        lambda x: ops.sort(x, axis=axis, descending=descending),
        lambda z: np.take_along_axis(z, order, axis=axis),
        x,
    )


def test_equal_elements_keep_their_order_when_sorted_either_way():
    x = np.array([1.0, 0.0, 1.0, 0.0])
    np.testing.assert_array_equal(ops.argsort(x), [1, 3, 0, 2])
    np.testing.assert_array_equal(ops.argsort(x, descending=True), [0, 2, 1, 3])


def test_sorting_downwards_is_right_for_every_integer_and_boolean_and_keeps_the_order_of_equals():
    for x in (
        *(np.array([0, 255, 7, 255], np.uint8), np.array([-128, 127, -128, 0], np.int8)),
        *(np.array([-(2**63), 5, 2**63 - 1, 5]), np.array([0, 2**64 - 1, 1, 1], np.uint64)),
        *(np.array([False, True, True, False]), np.array([-np.inf, 1.0, np.inf, 1.0])),
    ):
        expected = sorted(range(4), key=lambda i: x[i], reverse=True)
        np.testing.assert_array_equal(ops.argsort(x, descending=True), expected)
        np.testing.assert_array_equal(ops.sort(x, descending=True), x[expected])


def test_nan_counts_as_larger_than_every_number_on_every_device(device):
    x = to_device(np.array([np.nan, 1.0, np.inf, np.nan, -1.0]), device)
    np.testing.assert_array_equal(to_host(ops.argsort(x)), [4, 1, 2, 0, 3])
    np.testing.assert_array_equal(to_host(ops.argsort(x, descending=True)), [0, 3, 2, 1, 4])


def test_sorting_an_array_without_elements_or_axes(device):
    for descending in (False, True):
        assert ops.sort(to_device(np.zeros((2, 0)), device), descending=descending).shape == (2, 0)
        with pytest.raises(TraceError, match="axis -1 does not exist in an array of 0 axes: it is a single number"):
            ops.sort(to_device(np.asarray(1.0), device), descending=descending)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint64"])
def test_indices_of_any_integers_select_among_more_elements_than_they_could_count(dtype, device):
    x = to_device(np.arange(400.0), device)
    indices = np.array([3, 100, 3], dtype)
    for take in (ops.take, ops.take_along_axis):
        gradient = grad(lambda x, take=take: ops.sum(take(x, to_device(indices, device))))(x)
        expected = np.zeros(400)
        expected[[3, 100]] = 2, 1
        np.testing.assert_array_equal(to_host(gradient), expected)
    added = scatter_add(to_device(np.ones(3), device), to_device(indices, device), 400)
    np.testing.assert_array_equal(to_host(added), expected)


def test_selections_differentiate_to_third_order_on_every_device(device):
    x = to_device(np.linspace(-1, 1, 6).reshape(2, 3), device)
    columns = to_device([2, 0, 2, 2], device)
    check_grads(lambda x: ops.take(ops.sin(x), columns, axis=1) * ops.take(x, columns, axis=1), x, order=3)


def test_repeated_indices_add_up_on_every_device(device):
    x = to_device([1.0, 2.0, 3.0], device, "float32")
    indices = to_device([2, 0, 2, 2, 0], device)
    weights = to_device([1.0, 10.0, 100.0, 1000.0, 10000.0], device, "float32")
    gradient = grad(lambda x: ops.sum(x[indices] * weights))(x)
    np.testing.assert_array_equal(to_host(gradient), [10010.0, 0.0, 1101.0])


def test_a_position_that_is_not_there_is_the_librarys_index_error():
    with pytest.raises(IndexError):
        grad(lambda x: x[np.array([3])][0])(np.ones(3))
