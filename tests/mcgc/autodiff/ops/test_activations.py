"""Activation functions: values against SciPy's, in the tails too, and any shapes."""

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcgc.autodiff import check_grads, grad, ops

THEIRS = {
    "relu": lambda x: np.where(x > 0, x, 0),
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(x, 0),
    "erf": scipy.special.erf,
    "silu": lambda x: x * scipy.special.expit(x),
    "gelu": lambda x: x * scipy.special.ndtr(x),
}


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-14), ("float32", 1e-6)])
def test_values_equal_scipys_from_tail_to_tail(name, dtype, rtol):
    x = np.concatenate([np.linspace(-50, 50, 2001), np.geomspace(1e-30, 1, 61), -np.geomspace(1e-30, 1, 61)])
    x = x.astype(dtype)
    ours = getattr(ops, name)(x)
    assert ours.dtype == dtype
    # gelu is made of erf, whose tail is 1 to rounding: there it is accurate relative to x, not to itself
    atol = 50 * np.finfo(dtype).eps if name == "gelu" else np.finfo(dtype).tiny
    np.testing.assert_allclose(ours, THEIRS[name](x.astype("float64")), rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", THEIRS)
@settings(derandomize=True, max_examples=12, deadline=None, database=None)
@given(
    x=hnp.arrays(
        st.sampled_from(["float32", "float64"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        elements=st.floats(0.25, 3, width=32) | st.floats(-3, -0.25, width=32),
    )
)
def test_gradients_are_like_the_argument_and_right(name, x):
    gradient = grad(lambda x: ops.sum(getattr(ops, name)(x)))(x)
    assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype)
    if x.dtype == "float64":
        check_grads(getattr(ops, name), x, order=1)


def test_infinities_go_to_the_limits():
    x = np.array([-np.inf, np.inf])
    np.testing.assert_allclose(ops.erf(x), [-1, 1], rtol=1e-15)
    np.testing.assert_array_equal(ops.sigmoid(x), [0, 1])
    np.testing.assert_array_equal(ops.softplus(x), [0, np.inf])


def test_the_slope_of_a_sigmoid_keeps_its_relative_accuracy_where_the_value_is_one():
    assert grad(ops.sigmoid)(40.0) == pytest.approx(np.exp(-40), rel=1e-12)
    assert grad(lambda x: ops.relu(x))(0.0) == 0
