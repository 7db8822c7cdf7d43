"""The tape: nesting, aux, memory, exceptions, and one sentence for each misuse."""

import gc
import math
import weakref
from typing import NamedTuple

import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import (
    Body,
    GradientMismatch,
    check_grads,
    fused,
    grad,
    ops,
    primitive,
    stop_gradient,
    value_and_grad,
    vjp,
)
from mcgc.errors import TraceError


def test_nested_gradients_give_higher_derivatives_in_closed_form():
    third = grad(grad(grad(lambda x: ops.exp(x) * ops.sin(x))))
    assert third(0.3) == pytest.approx(2 * math.exp(0.3) * (math.cos(0.3) - math.sin(0.3)), rel=1e-13)


def test_nested_traces_are_not_confused():
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y * y)(2.0))(3.0) == pytest.approx(24.0)


def test_hessian_vector_product_by_reverse_over_reverse_equals_the_analytic_one():
    a = np.arange(9.0).reshape(3, 3)
    a = a @ a.T
    x, v = np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, -1.0])
    product = grad(lambda x: ops.sum(v * grad(lambda x: 0.5 * x @ (a @ x) + ops.sum(x**3))(x)))(x)
    np.testing.assert_allclose(product, a @ v + 6 * x * v, rtol=1e-13)


class Pair(NamedTuple):
    first: object
    second: object


def test_gradients_have_the_structure_of_their_pytree_argument():
    tree = {"b": [np.ones(2), 2.0], "a": Pair(np.full((2, 2), 3.0), None)}
    gradient = grad(lambda t: ops.sum(t["a"].first) * t["b"][1] + ops.sum(t["b"][0] ** 2))(tree)
    assert isinstance(gradient["a"], Pair)
    assert gradient["a"].second is None
    np.testing.assert_array_equal(gradient["a"].first, np.full((2, 2), 2.0))
    np.testing.assert_array_equal(gradient["b"][0], [2.0, 2.0])
    assert gradient["b"][1] == 12.0


def test_value_and_grad_with_several_argnums_and_aux():
    f = lambda x, n, y: (ops.sum(x * y), {"n": n, "double": 2 * x})
    (value, aux), (dx, dy) = value_and_grad(f, argnums=(0, 2), has_aux=True)(np.ones(2), 5, np.full(2, 3.0))
    assert value == 6.0
    assert aux["n"] == 5
    assert type(aux["double"]) is np.ndarray
    np.testing.assert_array_equal(dx, [3.0, 3.0])
    np.testing.assert_array_equal(dy, [1.0, 1.0])


def test_vjp_of_several_outputs_takes_a_cotangent_of_the_same_structure():
    out, pullback = vjp(lambda x: {"s": ops.sin(x), "twice": (2 * x,)}, np.array([0.5]))
    (bar,) = pullback({"s": np.array([3.0]), "twice": (np.array([10.0]),)})
    np.testing.assert_allclose(bar, 3 * np.cos(0.5) + 20)
    assert out["twice"][0] == 1.0


def test_an_argument_that_does_not_matter_has_a_zero_gradient():
    _, dy = grad(lambda x, y: ops.sum(x), (0, 1))(np.ones(2), np.ones((3, 1)))
    np.testing.assert_array_equal(dy, np.zeros((3, 1)))
    assert grad(lambda x: 3.0)(1.0) == 0.0


def test_code_written_against_the_array_namespace_differentiates_as_it_stands():
    def f(x):
        xp = x.__array_namespace__()
        return xp.sum(xp.tanh(x) ** 2)

    x = np.array([0.3, -1.0])
    np.testing.assert_allclose(grad(f)(x), 2 * np.tanh(x) * (1 - np.tanh(x) ** 2), rtol=1e-14)


def test_numpy_arrays_and_scalars_leave_operators_to_traced_arrays():
    constant = np.array([1.0, 2.0])
    f = lambda x: ops.sum(constant * x + constant @ x - np.float64(3) * x / constant)
    np.testing.assert_allclose(grad(f)(np.ones(2)), constant + 2 * constant - 3 / constant)


def test_the_tape_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        seen = []

        def f(x):
            y = ops.sin(x) * x
            seen.append(weakref.ref(y.value))
            return ops.sum(y)

        grad(f)(np.ones(1000))
        assert seen[0]() is None
    finally:
        gc.enable()


def test_an_exception_in_mid_trace_leaves_nothing_behind():
    def fails(x):
        grad(lambda y: 1 / 0)(x)

    with pytest.raises(ZeroDivisionError):
        grad(fails)(1.0)
    assert grad(lambda x: x * grad(lambda y: x * y)(1.0))(3.0) == 6.0


def test_a_deep_chain_needs_no_recursion():
    def f(x):
        for _ in range(20_000):
            x = x + 1.0
        return x

    assert grad(f)(0.0) == 1.0


@pytest.mark.parametrize(
    ("misuse", "way_out"),
    [
        (lambda x: float(ops.sum(x)), "stop_gradient"),
        (lambda x: int(x[0]), "stop_gradient"),
        (lambda x: [1, 2][x[0]], "stop_gradient"),
        (lambda x: np.asarray(x), "stop_gradient"),
        (lambda x: x if x[0] else -x, "where"),
        (lambda x: x.__setitem__(0, 1.0), "where, concat or stack"),
        (lambda x: x * 2, "sum or mean"),
        (lambda x: "loss", "scalar"),
    ],
)
def test_misuse_of_a_traced_array_is_one_sentence_with_the_way_out(misuse, way_out):
    with pytest.raises(TraceError, match=way_out) as caught:
        grad(misuse)(np.ones(3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("argument", [3, True, np.arange(3), "x", 1j])
def test_only_floats_can_be_differentiated(argument):
    with pytest.raises(TraceError, match="argnums"):
        grad(lambda x: x)(argument)


def test_argnums_must_name_an_argument():
    with pytest.raises(TraceError, match="argnums 2"):
        grad(lambda x, y: x, 2)(1.0, 2.0)


def test_a_cotangent_must_fit_the_output():
    _, pullback = vjp(lambda x: x * x, np.ones(3, np.float32))
    with pytest.raises(TraceError, match="float64"):
        pullback(np.ones(3))
    with pytest.raises(TraceError, match="structure"):
        pullback([np.ones(3, np.float32)])


def test_a_traced_array_that_outlives_its_derivative_is_reported():
    kept = []
    grad(lambda x: kept.append(x) or x * x)(1.0)
    with pytest.raises(TraceError, match="outlived"):
        # a trace begun later has a higher level, so the stale array is caught where it surfaces
        grad(lambda x: grad(lambda y: kept.append(y) or y)(x) and kept[-1])(1.0)


def test_comparisons_give_plain_booleans():
    def f(x):
        assert type(x > 0) is np.ndarray
        return ops.sum(ops.where(x > 0, x, 0 * x))

    np.testing.assert_array_equal(grad(f)(np.array([-1.0, 2.0])), [0.0, 1.0])


def test_iteration_over_a_traced_array_gives_its_rows():
    assert len(grad(lambda x: sum(ops.sum(row * row) for row in x))(np.ones((2, 3)))) == 2
    check_grads(lambda x: [row * row for row in x], np.array([[0.1, 0.2], [0.3, 0.4]]))


def test_stop_gradient_makes_a_constant():
    assert grad(lambda x: x * stop_gradient(x))(3.0) == 3.0


# ---- rules of one's own ----


def test_primitive_registers_a_rule_that_nests():
    cube = primitive("cube", lambda x: x * x * x, lambda out, x: lambda g: g * (3 * x * x))
    check_grads(cube, np.array([0.5, -1.0]))
    assert grad(grad(cube))(2.0) == 12.0


def test_primitive_with_joint_rule_and_several_outputs():
    def rule(out, x, y):
        return lambda g, h: (
            (0 if g is None else g * y) + (0 if h is None else h),
            0 * y if g is None else g * x,
        )

    product_and_first = primitive("product_and_first", lambda x, y: (x * y, x + 0), joint=rule)
    check_grads(lambda x, y: product_and_first(x, y), np.array([2.0]), np.array([3.0]))
    assert grad(lambda x: product_and_first(x, 3.0)[1])(2.0) == 1.0


def test_an_argument_without_a_rule_is_reported():
    scale = primitive("scale", lambda x, n: x * n, lambda out, x, n: lambda g: g * n, None)
    assert grad(lambda x: scale(x, 2.0))(1.0) == 2.0
    with pytest.raises(TraceError, match="scale has no derivative for argument 1"):
        grad(lambda n: scale(1.0, n))(2.0)


@pytest.mark.parametrize("error", [1.001, 0.999])
def test_the_checker_rejects_a_rule_wrong_by_a_thousandth(error):
    wrong = primitive("wrong", ops.sin, lambda out, x: lambda g: g * ops.cos(x) * error)
    with pytest.raises(GradientMismatch):
        check_grads(wrong, np.array([0.3, 0.4, -0.5]), order=1)


def test_the_checker_rejects_a_second_derivative_wrong_by_a_thousandth():
    wrong_cos = primitive("wrong_cos", np.cos, lambda out, x: lambda g: g * ops.sin(x) * -1.001)
    sine = primitive("sine", np.sin, lambda out, x: lambda g: g * wrong_cos(x))
    check_grads(sine, np.array([0.3, 0.4]), order=1)
    with pytest.raises(GradientMismatch):
        check_grads(sine, np.array([0.3, 0.4]), order=2)


def test_the_checker_rejects_a_changed_dtype():
    wrong = primitive("wrong", lambda x: x * 1, lambda out, x: lambda g: ops.astype(g, np.float32))
    with pytest.raises(GradientMismatch, match="dtype"):
        check_grads(wrong, np.ones(2), order=1)


def make_fused(calls):
    def select(x, y):
        def forward(x, y):
            calls.append("forward")
            return x * np.sin(y), (x, y)

        def backward(residuals, indices, g):
            calls.append("backward")
            x, y = residuals
            return g * np.sin(y), g * x * np.cos(y)

        return Body(forward, backward) if x.ndim == 1 else None

    return fused(lambda x, y: x * ops.sin(y), select)


def test_a_fused_function_runs_its_kernel_and_differentiates_twice_by_its_definition():
    calls = []
    f = make_fused(calls)
    x, y = np.array([1.0, 2.0]), np.array([0.3, 0.4])
    gradient = grad(lambda y: ops.sum(f(x, y)))(y)
    np.testing.assert_allclose(gradient, x * np.cos(y))
    assert calls == ["forward", "backward"]
    check_grads(f, x, y, order=2)
    second = grad(lambda y: ops.sum(grad(lambda y: ops.sum(f(x, y)))(y)))(y)
    np.testing.assert_allclose(second, -x * np.sin(y))


def test_a_fused_function_without_a_fitting_kernel_runs_its_definition():
    calls = []
    f = make_fused(calls)
    x, y = np.ones((1, 2)), np.full((1, 2), 0.5)
    np.testing.assert_allclose(grad(lambda y: ops.sum(f(x, y)))(y), np.cos(y))
    assert calls == []


def test_traced_repr_tells_shape_and_level():
    seen = []
    grad(lambda x: seen.append(repr(x)) or ops.sum(x))(np.ones(2))
    assert seen[0].startswith("Traced(shape=(2,), dtype=float64")


def test_every_transform_runs_on_a_device_without_implicit_transfers(device):
    x, a = to_device([0.5, -1.0, 2.0], device), to_device(np.arange(9.0).reshape(3, 3), device)
    cube = primitive("cube", lambda x: x * x * x, lambda out, x: lambda g: g * (3 * x * x))

    def objective(tree, unused):
        y = ops.where(tree["x"] > 0, cube(tree["x"]), tree["x"]) @ (tree["a"] @ tree["x"])
        return y, {"y": y, "plain": stop_gradient(y)}

    (value, aux), (slopes, nothing) = value_and_grad(objective, (0, 1), has_aux=True)({"x": x, "a": a}, x)
    np_x, np_a = (to_host(z) for z in (x, a))
    left, right = np.where(np_x > 0, np_x**3, np_x), np_a @ np_x
    assert to_host(value) == to_host(aux["plain"]) == pytest.approx(left @ right)
    np.testing.assert_allclose(to_host(slopes["a"]), np.outer(left, np_x))
    np.testing.assert_allclose(
        to_host(slopes["x"]), np.where(np_x > 0, 3 * np_x**2, 1) * right + np_a.T @ left, rtol=1e-14
    )
    np.testing.assert_array_equal(to_host(nothing), np.zeros(3))
    second = grad(lambda x: ops.sum(grad(lambda x: ops.sum(cube(cube(x))))(x) * x))(x)
    np.testing.assert_allclose(to_host(second), 81 * np_x**8)
