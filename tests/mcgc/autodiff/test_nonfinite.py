"""The debugging mode: it names the first operation at fault, and is gone when its context is."""

import numpy as np
import pytest

from mcgc.arrays import quietly, to_device
from mcgc.autodiff import Body, NonFiniteError, checkpoint, debug_nonfinite, fused, grad, ops, primitive
from mcgc.errors import McgcError


def fault(function, *args):
    with quietly(), debug_nonfinite(), pytest.raises(NonFiniteError) as caught:
        grad(function)(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_first_value_that_is_not_finite_is_named_with_its_operation_and_shapes():
    said = fault(lambda x: ops.sum(ops.exp(ops.log(x - 1) * 2)), np.ones((2, 3)))
    assert said.startswith("log, of traced arguments of shape (2, 3), gave a value")
    assert "was finite" in said


def test_a_cotangent_that_is_not_finite_is_named_with_the_operation_it_came_back_through():
    said = fault(lambda x: ops.sum(ops.sqrt(x - 1) * 2), np.ones(4))
    assert said.startswith("the derivative of sqrt, of traced arguments of shape (4,), gave a cotangent")


def test_an_operation_is_told_from_one_that_was_given_bad_numbers():
    said = fault(lambda x: ops.sum(x * 2), np.array([1.0, np.inf]))
    assert said.startswith("multiply")
    assert "not finite either" in said


def test_it_works_on_every_device(device):
    said = fault(lambda x: ops.sum(1 / x), to_device([1.0, 0.0], device, "float32"))
    assert said.startswith("divide")


def test_it_sees_through_checkpoints_and_second_derivatives():
    assert fault(lambda x: ops.sum(checkpoint(lambda x: ops.log(x) * 2)(x)), np.zeros(2)).startswith("log")
    third_power = lambda x: ops.sum(grad(lambda x: ops.sum(x**1.5))(x))
    assert "the derivative of pow" in fault(third_power, np.zeros(1))


def test_it_sees_the_outputs_and_cotangents_of_fused_and_joint_operations():
    kernel = fused(lambda x: x * 1, lambda x: Body(lambda x: (x * np.inf, None), lambda residuals, places, g: (g,)))
    assert "value" in fault(lambda x: ops.sum(kernel(x)), np.ones(2))
    pair = primitive("pair", lambda x: (x, x * 1), joint=lambda out, x: lambda g, h: (g * np.nan,))
    assert fault(lambda x: ops.sum(pair(x)[0]), np.ones(2)).startswith("the derivative of pair")


def test_finite_computations_pass_and_nothing_stays_behind():
    f = lambda x: ops.sum(ops.where(x > 0, x, 0) ** 2)
    with debug_nonfinite():
        np.testing.assert_array_equal(grad(f)(np.array([-1.0, 2.0])), [0.0, 4.0])
    with quietly():
        with pytest.raises(McgcError), debug_nonfinite():
            grad(ops.log)(0.0)
        assert grad(ops.log)(0.0) == np.inf
