"""Reductions: values against NumPy's and SciPy's for any axes, zeros in products, and how ties share."""

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcgc.autodiff import check_grads, grad, ops
from mcgc.errors import TraceError

THEIRS = {
    **{name: getattr(np, name) for name in ("sum", "mean", "var", "std", "max", "min", "prod")},
    "norm": lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)),
    "logsumexp": scipy.special.logsumexp,
}


@st.composite
def reduced(draw):
    """Draw an array of distinct numbers, an axis argument for it, and keepdims."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=3))
    size = int(np.prod(shape))
    order = draw(st.permutations(range(size)))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    x = ((np.array(order, dtype=dtype) + 1) / size - 0.4).reshape(shape)
    axes = hnp.valid_tuple_axes(len(shape), min_size=1)
    return x, draw(st.none() | st.integers(-len(shape), len(shape) - 1) | axes), draw(st.booleans())


@pytest.mark.parametrize("name", THEIRS)
@settings(derandomize=True, max_examples=20, deadline=None, database=None)
@given(reduced())
def test_values_equal_the_references_for_any_axes(name, drawn):
    x, axis, keepdims = drawn
    f = lambda x: getattr(ops, name)(x, axis=axis, keepdims=keepdims)
    expected = THEIRS[name](x, axis=axis, keepdims=keepdims)
    rtol = 1e-5 if x.dtype == "float32" else 1e-13
    assert f(x).dtype == x.dtype
    assert f(x).shape == np.shape(expected)
    np.testing.assert_allclose(f(x), expected, rtol=rtol, atol=rtol)
    gradient = grad(lambda x: ops.sum(f(x)))(x)
    assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype)
    # std of one number is at its kink, and 0 to rounding only
    if x.dtype == "float64" and not (name == "std" and np.any(expected < 1e-6)):
        check_grads(f, x, order=1)


@settings(derandomize=True, max_examples=20, deadline=None, database=None)
@given(reduced())
def test_softmax_and_log_softmax_equal_scipys_for_any_axes(drawn):
    x, axis, _ = drawn
    rtol = 1e-5 if x.dtype == "float32" else 1e-13
    np.testing.assert_allclose(ops.softmax(x, axis=axis), scipy.special.softmax(x, axis=axis), rtol=rtol)
    expected = scipy.special.log_softmax(x, axis=axis)
    np.testing.assert_allclose(ops.log_softmax(x, axis=axis), expected, rtol=rtol, atol=rtol)
    assert ops.softmax(x, axis=axis).dtype == x.dtype


@pytest.mark.parametrize("correction", [0, 1, 1.5])
def test_variance_divides_by_what_the_correction_leaves(correction):
    x = np.array([[0.1, 0.7, -0.3], [2.0, 1.0, 5.0]])
    for name in ("var", "std"):
        expected = getattr(np, name)(x, axis=1, ddof=correction)
        np.testing.assert_allclose(getattr(ops, name)(x, axis=1, correction=correction), expected, rtol=1e-14)


@pytest.mark.parametrize("zeros", [(), (1,), (0, 3), (0, 1, 2, 3, 4)])
def test_derivatives_of_a_product_with_zeros_are_the_products_of_the_others(zeros):
    x = np.array([2.0, -3.0, 0.5, 4.0, 1.5])
    x[list(zeros)] = 0
    np.testing.assert_allclose(grad(ops.prod)(x), [np.prod(np.delete(x, i)) for i in range(5)], rtol=1e-14)
    check_grads(ops.prod, x, order=3)


def test_reductions_of_nothing_are_their_neutral_elements():
    empty = np.zeros((2, 0), np.float32)
    np.testing.assert_array_equal(ops.prod(empty, axis=1), [1, 1])
    np.testing.assert_array_equal(ops.sum(empty, axis=1), [0, 0])
    assert grad(lambda x: ops.sum(ops.prod(x, axis=1)))(empty).shape == (2, 0)


def test_elements_that_tie_share_the_derivative_equally():
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(grad(lambda x: ops.sum(ops.max(x, axis=1)))(x), [[0, 0.5, 0.5], [1 / 3] * 3])
    np.testing.assert_allclose(grad(ops.min)(x), [[1, 0, 0], [0, 0, 0]])


def test_a_softmax_is_the_limit_where_elements_are_infinite():
    for x, expected in (
        ([np.inf, 0.0, np.inf], [0.5, 0, 0.5]),
        ([-np.inf, 0.0, 0.0], [0, 0.5, 0.5]),
        ([-np.inf, -np.inf], [0.5, 0.5]),
        ([np.nan, 0.0], [np.nan, np.nan]),
    ):
        np.testing.assert_array_equal(ops.softmax(np.array(x)), expected)
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(ops.log_softmax(np.array(x)), np.log(expected), rtol=1e-15)


def test_norm_and_standard_deviation_have_the_derivative_zero_at_zero():
    np.testing.assert_array_equal(grad(ops.norm)(np.zeros(3)), np.zeros(3))
    np.testing.assert_array_equal(grad(ops.std)(np.full(3, 0.5)), np.zeros(3))


def test_logsumexp_neither_overflows_nor_turns_minus_infinity_into_nan():
    assert ops.logsumexp(np.array([1000.0, 1000.0])) == pytest.approx(1000 + np.log(2))
    assert ops.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf
    assert ops.logsumexp(np.array([np.inf, -np.inf, 2000.0])) == np.inf
    assert np.isnan(ops.logsumexp(np.array([np.nan, np.inf])))


def test_questions_about_a_traced_array_have_plain_answers():
    def f(x):
        assert (ops.argmax(x), ops.argmin(x)) == (2, 1)
        assert ops.any(x > 2)
        assert not ops.all(x > 2)
        return ops.sum(x)

    grad(f)(np.array([1.0, 0.0, 3.0]))


def test_an_axis_that_is_not_there_is_reported_in_one_sentence():
    for name in ("mean", "max", "logsumexp", "prod"):
        with pytest.raises(TraceError, match="axis 2 does not exist in an array of 2 axes"):
            getattr(ops, name)(np.ones((2, 3)), axis=2)
