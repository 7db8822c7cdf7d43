"""Elementwise operations: values against NumPy's, any broadcastable shapes, and the conventions at kinks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcgc.autodiff import check_grads, grad, ops, value_and_grad

QUICK = settings(derandomize=True, max_examples=12, deadline=None, database=None)

UNARY = {  # the names that NumPy shares, and where to evaluate them
    **dict.fromkeys(["negative", "positive", "square", "abs", "sin", "cos", "tan", "atan"], (-1.4, 1.4)),
    **dict.fromkeys(["exp", "expm1", "sinh", "cosh", "tanh", "asinh"], (-2.0, 2.0)),
    **dict.fromkeys(["reciprocal", "sqrt", "log", "log1p", "log2", "log10"], (0.5, 2.0)),
    **dict.fromkeys(["asin", "acos", "atanh"], (-0.8, 0.8)),
    "acosh": (1.5, 3.0),
}
BINARY = ("add", "subtract", "multiply", "divide", "pow", "atan2", "hypot", "logaddexp", "maximum", "minimum")
ROUNDED = ("sign", "floor", "ceil", "round", "trunc")
ASKED = ("isfinite", "isinf", "isnan")
COMPARED = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "floor_divide")
DTYPES = st.sampled_from(["float32", "float64"])


def arrays(data, shape, low, high, dtype):
    elements = st.floats(low, high, width=32)
    return data.draw(hnp.arrays(dtype, shape, elements=elements))


@pytest.mark.parametrize("name", UNARY)
@QUICK
@given(data=st.data(), shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), dtype=DTYPES)
def test_a_function_of_one_array_has_numpys_value_and_a_gradient_like_its_argument(name, data, shape, dtype):
    x = arrays(data, shape, *np.float32(UNARY[name]).tolist(), dtype)
    ours = getattr(ops, name)
    value, gradient = value_and_grad(lambda x: ops.sum(ours(x)))(x)
    np.testing.assert_array_equal(ours(x), getattr(np, name)(x))
    np.testing.assert_allclose(value, np.sum(getattr(np, name)(x)), rtol=1e-5, atol=1e-5)
    assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype)
    if dtype == "float64" and name != "abs":  # whose kink the drawn numbers like to hit
        check_grads(ours, x, order=1)


@pytest.mark.parametrize("name", BINARY)
@QUICK
@given(
    data=st.data(),
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3),
    dtype=DTYPES,
)
def test_a_function_of_two_arrays_broadcasts_as_numpys_does(name, data, shapes, dtype):
    # apart from each other, for no ties: maximum and minimum have kinks there
    x = arrays(data, shapes.input_shapes[0], 0.5, 1.0, dtype)
    y = arrays(data, shapes.input_shapes[1], 1.0, 2.0, dtype) + 0.25
    ours = getattr(ops, name)
    gradients = grad(lambda x, y: ops.sum(ours(x, y)), (0, 1))(x, y)
    expected = getattr(np, name)(x, y)
    assert expected.shape == shapes.result_shape
    np.testing.assert_array_equal(ours(x, y), expected)
    assert [(g.shape, g.dtype) for g in gradients] == [(x.shape, x.dtype), (y.shape, y.dtype)]
    if dtype == "float64":
        check_grads(ours, x, y, order=1)


@QUICK
@given(data=st.data(), shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3), dtype=DTYPES)
def test_where_broadcasts_its_three_arguments_and_treats_the_first_as_constant(data, shapes, dtype):
    c = data.draw(hnp.arrays(bool, shapes.input_shapes[0]))
    x, y = (arrays(data, shape, -1, 1, dtype) for shape in shapes.input_shapes[1:])
    np.testing.assert_array_equal(ops.where(c, x, y), np.where(c, x, y))
    dx, dy = grad(lambda x, y: ops.sum(ops.where(c, x, y)), (0, 1))(x, y)
    assert (dx.shape, dx.dtype, dy.shape, dy.dtype) == (x.shape, x.dtype, y.shape, y.dtype)
    assert np.sum(dx) + np.sum(dy) == np.prod(shapes.result_shape)


@QUICK
@given(data=st.data(), dtype=DTYPES)
def test_clip_has_numpys_values_with_either_bound_or_both(data, dtype):
    x = arrays(data, (2, 3), -2, 2, dtype)
    low, high = data.draw(st.sampled_from([(None, None), (-1.0, None), (None, 0.5), (-1.0, 0.5)]))
    np.testing.assert_array_equal(ops.clip(x, low, high), np.clip(x, low, high))
    assert ops.clip(x, low, high).dtype == x.dtype


@pytest.mark.parametrize("name", [*ROUNDED, *ASKED])
def test_piecewise_constant_functions_give_plain_arrays_and_no_gradient(name):
    x = np.array([-1.5, -0.2, 0.0, 2.5])
    special = np.array([np.nan, np.inf, -np.inf, 1.0]) if name in ASKED else x
    np.testing.assert_array_equal(getattr(ops, name)(special), getattr(np, name)(special))

    def f(x):
        constant = getattr(ops, name)(x)
        assert type(constant) is np.ndarray
        return ops.sum(x * constant)

    np.testing.assert_array_equal(grad(f)(x), getattr(np, name)(x))


@pytest.mark.parametrize("name", COMPARED)
def test_comparisons_give_plain_arrays(name):
    x, y = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])
    seen = []
    grad(lambda x: seen.append(getattr(ops, name)(x, y)) or ops.sum(x))(x)
    np.testing.assert_array_equal(seen[0], getattr(np, name)(x, y))


def test_traced_operators_on_either_side_of_numbers_and_arrays_are_those_of_arrays():
    x, y = np.array([1.5, 2.5]), np.array([0.4, 0.7])
    for f in (
        lambda x: 7 % x + x % 0.7 + y % x,
        lambda x: 7 // x + x // 0.7 + y // x,
        lambda x: 2**x + x**2 + y**x - abs(-x) + +x,
        lambda x: 1 / x - x / 2 + (3 - x) * (x - 3),
    ):
        found = []
        grad(lambda x: found.append(stripped(f(x))) or ops.sum(x))(x)  # noqa: B023
        np.testing.assert_array_equal(found[0], f(x))


def stripped(x):
    return getattr(x, "value", x)


def test_derivative_conventions_at_kinks():
    assert grad(lambda x: abs(x))(0.0) == 0
    assert grad(lambda x: ops.maximum(x, 0.0))(0.0) == 0.5
    assert grad(lambda x: ops.clip(x, 0, 1))(1.0) == 0.5
    assert grad(lambda x: x % 2)(4.0) == 1
    assert grad(lambda x: x**2)(0.0) == 0
    assert grad(lambda x: x**0)(0.0) == 0


def test_logaddexp_does_not_overflow():
    value, slope = value_and_grad(lambda x: ops.logaddexp(x, 999.0))(1000.0)
    np.testing.assert_allclose([value, slope], [1000 + np.log1p(np.exp(-1)), 1 / (1 + np.exp(-1))], rtol=1e-12)
