"""Linear algebra on stacks of matrices: values against NumPy's, derivatives against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcgc.autodiff import check_grads, grad, ops

QUICK = settings(derandomize=True, max_examples=15, deadline=None, database=None)
SOLVE = hnp.mutually_broadcastable_shapes(signature="(n,n),(n,k)->(n,k)", max_dims=2, max_side=3)


def drawn(shape, dtype="float64"):
    return np.sin(np.arange(1, 1 + np.prod(shape, dtype=int)) ** 2).reshape(shape).astype(dtype)


@QUICK
@given(SOLVE, st.sampled_from(["float32", "float64"]))
def test_solve_broadcasts_stacks_as_numpys_does(shapes, dtype):
    a, b = (drawn(shape, dtype) for shape in shapes.input_shapes)
    a = a + 4 * np.eye(a.shape[-1], dtype=dtype)
    np.testing.assert_allclose(a @ ops.solve(a, b) - b, 0, atol=1e-6 if dtype == "float32" else 1e-14)
    da, db = grad(lambda a, b: ops.sum(ops.solve(a, b)), (0, 1))(a, b)
    assert (da.shape, da.dtype, db.shape, db.dtype) == (a.shape, a.dtype, b.shape, b.dtype)
    if dtype == "float64":
        check_grads(ops.solve, a, b, order=1)
        np.testing.assert_allclose(ops.inv(a), np.linalg.inv(a))
        check_grads(ops.inv, a, order=1)


def test_solve_takes_a_vector_for_a_matrix_or_a_stack_of_them():
    a, b = drawn((2, 3, 3)) + 4 * np.eye(3), drawn((3,))
    np.testing.assert_allclose(ops.solve(a, b), np.linalg.solve(a, b))
    check_grads(ops.solve, a, b)


def test_the_gradient_of_the_trace_of_the_inverse_is_minus_the_transpose_of_its_square():
    a = drawn((3, 3)) + 4 * np.eye(3)
    gradient = grad(lambda a: ops.trace(ops.inv(a)))(a)
    np.testing.assert_allclose(gradient, -np.linalg.matrix_power(np.linalg.inv(a), 2).T, rtol=1e-12)


@QUICK
@given(hnp.array_shapes(max_dims=3, max_side=3), st.sampled_from([1, 2, 3, 2.5, np.inf, -np.inf]), st.booleans())
def test_vector_norms_equal_numpys(shape, order, keepdims):
    x = drawn(shape)
    ours = ops.linalg.vector_norm(x, axis=-1, ord=order, keepdims=keepdims)
    np.testing.assert_allclose(ours, np.linalg.vector_norm(x, axis=-1, ord=order, keepdims=keepdims), rtol=1e-13)
    ours = ops.linalg.vector_norm(x, ord=order)
    np.testing.assert_allclose(ours, np.linalg.vector_norm(x, ord=order), rtol=1e-13)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (3, 3)])
def test_diag_equals_numpys_and_leaves_infinity_out_of_the_zeros(shape):
    x = drawn(shape)
    np.testing.assert_array_equal(ops.diag(x), np.diag(x))
    np.testing.assert_array_equal(ops.diag(np.array([np.inf, 1.0])), [[np.inf, 0], [0, 1]])
