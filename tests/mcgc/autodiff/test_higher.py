"""Jacobians, Hessians, products with them, and checkpointing, against closed forms and against each other."""

import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import check_grads, checkpoint, flatten, grad, hessian, hvp, jacobian, ops, value_and_grad
from mcgc.errors import TraceError

A = np.array([[2.0, 1.0, 0.5], [-1.0, 3.0, 0.0]])


def test_jacobian_of_a_linear_map_is_its_matrix(device):
    a = to_device(A, device)
    found = jacobian(lambda x: a @ x)(to_device([0.1, 0.2, 0.3], device, "float64"))
    np.testing.assert_array_equal(to_host(found), A)


def test_jacobian_has_the_shapes_of_output_and_argument_joined():
    x = np.arange(6.0).reshape(2, 3)
    found = jacobian(lambda x: ops.permute_dims(x, (1, 0)) ** 2)(x)
    assert found.shape == (3, 2, 2, 3)
    np.testing.assert_array_equal(found, np.einsum("ki,lj,lk->ijlk", np.eye(3), np.eye(2), 2 * x))


def test_jacobian_keeps_float32():
    assert jacobian(ops.sin)(np.ones(2, np.float32)).dtype == np.float32


class Pair(NamedTuple):
    first: object
    second: object


def test_jacobian_of_pytrees_nests_the_arguments_in_the_output():
    f = lambda p, y: {"out": (p.first * y, ops.sum(p.second))}
    x, y, z = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.ones((2, 2))
    ((by_pair, by_y), (sum_by_pair, sum_by_y)) = jacobian(f, (0, 1))(Pair(x, z), y)["out"]
    np.testing.assert_array_equal(by_pair.first, np.diag(y))
    np.testing.assert_array_equal(by_pair.second, np.zeros((2, 2, 2)))
    np.testing.assert_array_equal(by_y, np.diag(x))
    np.testing.assert_array_equal(sum_by_pair.first, np.zeros(2))
    np.testing.assert_array_equal(sum_by_pair.second, np.ones((2, 2)))
    np.testing.assert_array_equal(sum_by_y, np.zeros(2))


def test_jacobian_of_a_scalar_function_is_its_gradient():
    f = lambda x: ops.sum(ops.exp(x) * x)
    x = np.array([0.3, -0.4])
    np.testing.assert_array_equal(jacobian(f)(x), grad(f)(x))


def test_jacobian_is_itself_differentiable():
    check_grads(jacobian(lambda x: ops.sin(x) * ops.sum(x)), np.array([0.3, -0.4]))


def test_argnums_of_a_jacobian_must_name_an_argument():
    with pytest.raises(TraceError, match="argnums 1"):
        jacobian(lambda x: x, 1)(1.0)


def cubic(x):
    return 0.5 * ops.sum((A @ x) ** 2) + ops.sum(x**3) / 3


def test_hessian_equals_its_closed_form():
    x = np.array([0.1, -0.2, 0.3])
    np.testing.assert_allclose(hessian(cubic)(x), A.T @ A + np.diag(2 * x), rtol=1e-14, atol=1e-15)


def test_hessian_by_several_arguments_is_a_tuple_of_tuples():
    f = lambda x, y: x**2 * y**3
    (xx, xy), (yx, yy) = hessian(f, (0, 1))(2.0, 3.0)
    np.testing.assert_allclose([[xx, xy], [yx, yy]], [[2 * 27, 2 * 2 * 27], [2 * 2 * 27, 4 * 6 * 3]])


def test_hvp_is_the_hessian_times_the_vector_without_the_hessian():
    x, v = np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, -1.0])
    np.testing.assert_allclose(hvp(cubic, x, v), hessian(cubic)(x) @ v, rtol=1e-14)


def test_hvp_of_pytrees_and_numbers():
    f = lambda p: p["a"] ** 2 * ops.sum(p["b"])
    product = hvp(f, {"a": 3.0, "b": np.array([1.0, 2.0])}, {"a": 1.0, "b": np.array([10.0, 20.0])})
    assert product["a"] == 2 * 3.0 + 6.0 * 30.0
    np.testing.assert_array_equal(product["b"], [6.0, 6.0])


def test_hvp_needs_a_vector_like_the_argument():
    with pytest.raises(TraceError, match="shape"):
        hvp(cubic, np.ones(3), np.ones(2))


# ---- checkpoint ----


def block(p, x):
    for _ in range(20):
        x = ops.tanh(x * p["w"]) + p["b"]
    return {"x": x, "norm": (ops.sum(x * x),)}


def arguments(n=3):
    return {"w": np.linspace(0.5, 1.0, n), "b": np.full(n, 0.1)}, np.linspace(-1.0, 1.0, n)


def test_a_checkpointed_function_has_the_same_values_and_gradients_to_third_order():
    p, x = arguments()
    short = lambda p, x: ops.sum(p["w"] * ops.sin(x)) * x
    gradient = lambda f: grad(lambda p, x: sum(ops.sum(ops.sin(leaf)) for leaf in flatten(f(p, x))[0]), (0, 1))
    reference, derived = short, checkpoint(short)
    for _ in range(3):
        reference, derived = gradient(reference), gradient(derived)
        for left, right in zip(flatten(reference(p, x))[0], flatten(derived(p, x))[0], strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-12)
    check_grads(checkpoint(block), p, x)


def test_a_checkpointed_function_is_run_once_forward_and_once_backward():
    runs = []
    f = checkpoint(lambda x: runs.append(type(x)) or ops.sin(x))
    value_and_grad(lambda x: ops.sum(f(x)))(np.ones(2))
    assert [kind.__name__ for kind in runs] == ["ndarray", "Traced"]


def test_a_checkpointed_function_of_plain_arrays_is_the_function():
    p, x = arguments()
    np.testing.assert_array_equal(checkpoint(block)(p, x)["x"], block(p, x)["x"])
    assert checkpoint(block).__name__ == "block"


def peak(function, x):
    grad(function)(x)
    tracemalloc.start()
    grad(function)(x)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / x.nbytes


@pytest.mark.parametrize("order", [1, 2])
def test_checkpointing_takes_the_memory_of_one_block_instead_of_all(order):
    blocks, depth = 12, 12

    def segment(x):
        for _ in range(depth):
            x = ops.sin(x)
        return x

    def chain(step):
        def f(x):
            for _ in range(blocks):
                x = step(x)
            return ops.sum(x)

        return f if order == 1 else lambda x: ops.sum(grad(f)(x))

    x = np.linspace(0.1, 0.2, 20_000)
    stored, recomputed = peak(chain(segment), x), peak(chain(checkpoint(segment)), x)
    assert stored > blocks * depth  # in arrays like x: one an operation, at the least
    assert recomputed < stored / 3
    np.testing.assert_allclose(grad(chain(segment))(x), grad(chain(checkpoint(segment)))(x), rtol=1e-13)


def test_an_output_of_a_checkpointed_function_may_go_unused():
    p, x = arguments()
    np.testing.assert_allclose(
        grad(lambda x: checkpoint(block)(p, x)["norm"][0])(x), grad(lambda x: block(p, x)["norm"][0])(x)
    )


def test_integers_pass_through_a_checkpointed_function():
    f = checkpoint(lambda x, n, scale: x**n * scale)
    assert grad(lambda x: f(x, 3, scale=2.0))(2.0) == 24.0


def test_a_traced_array_that_a_checkpointed_function_closes_over_is_reported():
    with pytest.raises(TraceError, match="not among its arguments"):
        grad(lambda w: ops.sum(checkpoint(lambda x: w * x)(w)))(np.ones(2))
