"""Layout: every operation equals NumPy's for any shapes and axes, and its pullback is its transpose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcgc.autodiff import grad, ops, vjp
from mcgc.errors import TraceError

QUICK = settings(derandomize=True, max_examples=25, deadline=None, database=None)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=3)


def filled(shape, dtype="float64"):
    return (np.arange(np.prod(shape, dtype=int), dtype=dtype) - 2).reshape(shape)


def check(ours, theirs, shape):
    """Check values, and ⟨f(x), w⟩ = ⟨x, fᵀ(w)⟩, which integers in floats make exact."""
    for dtype in ("float32", "float64"):
        x = filled(shape, dtype)
        out, pullback = vjp(ours, x)
        np.testing.assert_array_equal(out, theirs(x))
        w = np.arange(out.size, dtype=dtype).reshape(out.shape) - 1
        (pulled,) = pullback(w)
        assert (pulled.shape, pulled.dtype, out.dtype) == (x.shape, x.dtype, x.dtype)
        assert np.sum(out * w) == np.sum(x * pulled)


@QUICK
@given(st.data(), SHAPES)
def test_reordering(data, shape):
    n = len(shape)
    order = data.draw(st.permutations(range(n)))
    axes = data.draw(hnp.valid_tuple_axes(n, min_size=1))
    to = data.draw(hnp.valid_tuple_axes(n, min_size=len(axes), max_size=len(axes)))
    shift = data.draw(st.integers(-4, 4))
    check(lambda x: ops.permute_dims(x, order), lambda x: np.permute_dims(x, order), shape)
    check(ops.transpose, np.transpose, shape)
    check(lambda x: ops.moveaxis(x, axes, to), lambda x: np.moveaxis(x, axes, to), shape)
    check(lambda x: ops.flip(x, axis=axes), lambda x: np.flip(x, axis=axes), shape)
    check(lambda x: ops.flip(x), np.flip, shape)
    check(lambda x: ops.roll(x, shift, axis=axes), lambda x: np.roll(x, shift, axis=axes), shape)
    check(lambda x: ops.roll(x, shift), lambda x: np.roll(x, shift), shape)
    if n > 1:
        check(ops.matrix_transpose, np.matrix_transpose, shape)


@QUICK
@given(st.data(), SHAPES)
def test_reshaping_repeating_and_summing(data, shape):
    n = len(shape)
    axis = data.draw(st.integers(-n, n - 1))
    place = data.draw(st.integers(-n - 1, n))
    wide = data.draw(hnp.broadcastable_shapes(shape, min_dims=n, max_dims=4, max_side=3))
    wide = np.broadcast_shapes(wide, shape)
    check(lambda x: ops.reshape(x, (-1, shape[-1])), lambda x: x.reshape(-1, shape[-1]), shape)
    check(lambda x: ops.expand_dims(x, axis=place), lambda x: np.expand_dims(x, place), shape)
    check(lambda x: ops.squeeze(ops.expand_dims(x, axis=place), place), lambda x: x, shape)
    check(lambda x: ops.broadcast_to(x, wide), lambda x: np.broadcast_to(x, wide), shape)
    check(lambda x: ops.cumulative_sum(x, axis=axis), lambda x: np.cumulative_sum(x, axis=axis), shape)
    check(lambda x: ops.sum(x, axis=axis), lambda x: np.sum(x, axis=axis), shape)


@QUICK
@given(st.data(), SHAPES)
def test_joining_and_parting(data, shape):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    cut = data.draw(st.integers(0, shape[axis]))
    sizes = (cut, shape[axis] - cut)
    check(lambda x: ops.concat([x, 2 * x, x], axis=axis), lambda x: np.concat([x, 2 * x, x], axis=axis), shape)
    check(lambda x: ops.concat([x, 2 * x], axis=None), lambda x: np.concat([x, 2 * x], axis=None), shape)
    check(lambda x: ops.stack([x, 2 * x], axis=axis), lambda x: np.stack([x, 2 * x], axis=axis), shape)
    check(lambda x: ops.split(x, sizes, axis=axis)[1], lambda x: np.split(x, [cut], axis=axis)[1], shape)
    check(lambda x: ops.unstack(x, axis=axis)[-1], lambda x: np.unstack(x, axis=axis)[-1], shape)
    check(lambda x: ops.concat(ops.split(x, sizes, axis=axis), axis=axis), lambda x: x, shape)


def test_a_cast_casts_its_cotangent_back_and_one_to_integers_is_constant():
    x = np.array([1.5, 2.5], np.float32)
    gradient = grad(lambda x: ops.sum(ops.astype(x, np.float64) ** 2))(x)
    assert gradient.dtype == np.float32
    np.testing.assert_array_equal(gradient, 2 * x)
    np.testing.assert_array_equal(grad(lambda x: ops.sum(x * ops.astype(x, np.int32)))(x), [1, 2])


def test_iterating_over_rows_costs_one_pass_over_them_not_one_each():
    gradient = grad(lambda x: sum(ops.sum(row) * i for i, row in enumerate(x)))(np.ones((3, 2)))
    np.testing.assert_array_equal(gradient, [[0, 0], [1, 1], [2, 2]])


@pytest.mark.parametrize(
    ("misuse", "sentence"),
    [
        (lambda x: ops.squeeze(x, 0), "length 1"),
        (lambda x: ops.expand_dims(x, axis=4), "axis 4 does not exist"),
        (lambda x: ops.permute_dims(x, (0, 2)), "axis 2 does not exist"),
        (lambda x: ops.cumulative_sum(x), "give axis"),
        (lambda x: ops.cumulative_sum(x, axis=2), "axis 2 does not exist"),
        (lambda x: ops.moveaxis(x, (0, 1), (0, 0)), r"axes \(0, 0\) name one of an array of 2 axes twice"),
        (lambda x: ops.prod(x, axis=(0, -2)), r"axes \(0, -2\) name one of an array of 2 axes twice"),
        (lambda x: ops.take(x, np.array([0])), "give axis"),
    ],
)
def test_misuse_is_one_sentence(misuse, sentence):
    with pytest.raises(TraceError, match=sentence) as caught:
        misuse(np.ones((2, 3)))
    assert "\n" not in str(caught.value)
