"""Derivatives of nothing: no elements, no leaves, no arguments, no outputs; and of what is no float scalar."""

import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import check_grads, checkpoint, grad, hessian, hvp, jacobian, ops, value_and_grad, vjp
from mcgc.errors import InputError, TraceError

X = np.ones(2)
NONE = np.zeros((3, 0), np.float32)
square_sum = lambda x: ops.sum(x**2)

SHAPES = {
    "a Jacobian of no rows": (lambda: jacobian(lambda x: x[:0])(X), (0, 2), "float64"),
    "a Jacobian of no rows by a number": (lambda: jacobian(lambda x: x * np.zeros(0))(2.0), (0,), "float64"),
    "a Jacobian of no columns": (lambda: jacobian(square_sum)(NONE), (3, 0), "float32"),
    "a Jacobian of neither": (lambda: jacobian(lambda x: 2 * x)(NONE), (3, 0, 3, 0), "float32"),
    "a Jacobian of stacks of no rows": (
        lambda: jacobian(lambda x: ops.reshape(x[:0], (4, 0)))(X),
        (4, 0, 2),
        "float64",
    ),
    "a Hessian": (lambda: hessian(square_sum)(NONE), (3, 0, 3, 0), "float32"),
    "a gradient": (lambda: grad(square_sum)(NONE), (3, 0), "float32"),
    "a gradient of a constant": (lambda: grad(lambda x: 3.0)(NONE), (3, 0), "float32"),
    "a product with a Hessian": (lambda: hvp(square_sum, NONE, NONE), (3, 0), "float32"),
    "a pullback": (lambda: vjp(lambda x: x.T, NONE)[1](NONE.T)[0], (3, 0), "float32"),
    "a checkpointed gradient": (lambda: grad(checkpoint(square_sum))(NONE), (3, 0), "float32"),
    "a third derivative": (lambda: jacobian(hessian(square_sum))(NONE[0]), (0, 0, 0), "float32"),
}


@pytest.mark.parametrize(("find", "shape", "dtype"), SHAPES.values(), ids=SHAPES.keys())
def test_a_derivative_of_no_elements_has_its_shape_and_dtype(find, shape, dtype):
    found = find()
    assert (found.shape, found.dtype) == (shape, dtype)


def test_jacobians_of_no_rows_stay_on_the_device(device):
    found = jacobian(lambda x: x[:0])(to_device(X, device, "float32"))
    assert (to_host(found).shape, to_host(found).dtype) == ((0, 2), "float32")
    assert type(found) is type(to_device(X, device))


def test_a_jacobian_of_no_rows_has_the_structure_of_its_arguments():
    found = jacobian(lambda p, y: {"rows": p["a"][:0], "sum": ops.sum(y)}, (0, 1))({"b": 1.0, "a": X}, X)
    (by_p, by_y), (sum_by_p, sum_by_y) = found["rows"], found["sum"]
    assert list(by_p) == ["b", "a"]
    assert (by_p["a"].shape, by_p["b"].shape, by_y.shape) == ((0, 2), (0,), (0, 2))
    np.testing.assert_array_equal(sum_by_y, [1.0, 1.0])
    np.testing.assert_array_equal(sum_by_p["a"], [0.0, 0.0])


@pytest.mark.parametrize("nothing", [{}, [], (), None, {"a": None, "b": ()}])
def test_derivatives_by_trees_without_leaves_are_like_them(nothing):
    constant = lambda tree: 3.0
    for derivative in (grad(constant), jacobian(constant), hessian(constant)):
        assert derivative(nothing) == nothing
    assert value_and_grad(constant)(nothing) == (3.0, nothing)
    assert hvp(constant, nothing, nothing) == nothing
    assert vjp(constant, nothing)[1](1.0) == (nothing,)
    check_grads(constant, nothing)


@pytest.mark.parametrize("nothing", [{}, [], (), None])
def test_the_derivatives_of_trees_without_leaves_are_like_them(nothing):
    assert jacobian(lambda x: nothing)(X) == nothing
    np.testing.assert_array_equal(vjp(lambda x: nothing, X)[1](nothing)[0], [0.0, 0.0])
    np.testing.assert_array_equal(grad(lambda x: (checkpoint(lambda x: nothing)(x), square_sum(x))[1])(X), [2.0, 2.0])
    check_grads(lambda x: nothing, X)


def test_without_arguments_there_are_no_derivatives():
    assert vjp(lambda: 3.0)[1](1.0) == ()
    assert grad(lambda x: 3.0 * ops.sum(x), ())(X) == ()
    assert jacobian(lambda x: 3.0 * x, ())(X) == ()
    check_grads(lambda: 3.0)


def test_what_does_not_depend_on_the_arguments_comes_out_of_a_checkpointed_function_as_it_is():
    def f(x):
        y, n, half, names = checkpoint(lambda x, n: (x * n, n, 0.5, ["a"]))(x, 3)
        assert (n, half, names) == (3, 0.5, ["a"])
        return half * ops.sum(y)

    np.testing.assert_array_equal(grad(f)(X), [1.5, 1.5])


REFUSED = {
    "no output": (lambda: grad(lambda x: None)(X), "got a value of type NoneType"),
    "an empty tuple": (lambda: grad(lambda x: ())(X), "got a value of type tuple"),
    "no elements": (lambda: grad(lambda x: x[:0])(X), r"got one of shape \(0,\)"),
    "a comparison": (lambda: grad(lambda x: x[0] > 0)(X), "dtype bool"),
    "a whole number": (lambda: grad(lambda x: ops.argmax(x))(X), "dtype int64"),
    "no array": (lambda: jacobian(lambda x: "loss")(X), "got str"),
    "keywords alone": (lambda: grad(ops.sum)(x=X), "has 0 positional ones"),
    "a whole cotangent": (lambda: vjp(ops.sum, X)[1](1), "a value of type int"),
    "a word as cotangent": (lambda: vjp(lambda x: x, X)[1]("x"), "a value of type str"),
    "a whole vector": (lambda: hvp(lambda x: x**3, 2.0, 1), "a value of type int"),
}


@pytest.mark.parametrize(("use", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_derivative_is_one_sentence(use, sentence):
    with pytest.raises((TraceError, InputError), match=sentence) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_argnums_may_be_a_numpy_integer():
    np.testing.assert_array_equal(grad(lambda x, y: ops.sum(x * y), np.int64(1))(X, 2 * X), X)
    np.testing.assert_array_equal(jacobian(lambda x, y: x * y, np.int32(1))(X, 2 * X), np.diag(X))
