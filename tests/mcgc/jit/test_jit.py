"""Compiled programs: calls, derivatives, rows, static arguments, errors, and the cache."""

import re
import subprocess
import sys

import numpy as np
import pytest
from everything import everything

import mcgc
from mcgc import ops
from mcgc._jit import _compile
from mcgc.errors import InputError, TraceError


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_values_and_derivatives_are_those_of_the_engine(dtype):
    x, p = np.linspace(-1.9, 1.8, 3).astype(dtype), np.array([0.3, -0.2, 0.7], dtype)
    tolerance = {"rtol": 3e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    jitted = mcgc.jit(everything)
    (y, pullback), (expected, expected_pullback) = jitted.vjp(x, p), mcgc.vjp(everything, x, p)
    assert y.dtype == expected.dtype == dtype
    np.testing.assert_allclose(y, expected, **tolerance)
    cotangent = np.array([1.0, -2.0, 0.5], dtype)
    for bar, right in zip(pullback(cotangent), expected_pullback(cotangent), strict=True):
        assert bar.dtype == dtype
        np.testing.assert_allclose(bar, right, **tolerance)


@pytest.mark.parametrize("of", ["value", "vjp"])
def test_a_program_of_float32_has_no_float64(of):
    x, p = np.ones(2, np.float32), np.ones(3, np.float32)
    text = mcgc.jit(everything).source(x, p, of=of)
    assert "float64" not in text
    numbers = [line for line in text.splitlines() if re.search(r"\d\.\d", line)]
    assert numbers
    assert all("float32(" in line for line in numbers)  # a number of Python alone would be one of float64


def rosenbrock(x):
    return ops.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


X = np.array([0.3, -1.2, 0.8])


@pytest.mark.parametrize("of", ["value_and_grad", "grad", "jacobian"])
def test_methods_return_what_the_transforms_do(of):
    found, expected = getattr(mcgc.jit(rosenbrock), of)(X), getattr(mcgc, of)(rosenbrock)(X)
    if of != "value_and_grad":
        found, expected = [found], [expected]
    for x, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, right, rtol=1e-13)


def test_hvp_is_that_of_the_engine():
    v = np.array([1.0, 0.5, -2.0])
    np.testing.assert_allclose(mcgc.jit(rosenbrock).hvp(X, v), mcgc.hvp(rosenbrock, X, v), rtol=1e-13)


def test_the_engine_differentiates_a_jitted_function_to_second_order():
    jitted = mcgc.jit(rosenbrock)
    np.testing.assert_allclose(mcgc.grad(jitted)(X), mcgc.grad(rosenbrock)(X), rtol=1e-13)
    np.testing.assert_allclose(mcgc.hessian(jitted)(X), mcgc.hessian(rosenbrock)(X), rtol=1e-13)
    joint = lambda x: jitted(2 * x) ** 2
    np.testing.assert_allclose(mcgc.grad(joint)(X), mcgc.grad(lambda x: rosenbrock(2 * x) ** 2)(X), rtol=1e-13)


def test_pytrees_integers_and_constants_pass_through():
    def function(tree, n, flag):
        return {"sum": tree["a"] * n + ops.where(flag, tree["b"], 0.0), "n": n + 1, "constant": 2.5}

    args = {"a": np.ones((2, 2)), "b": np.float64(3)}, np.array([[1], [2]]), np.bool_(True)
    found, expected = mcgc.jit(function)(*args), function(*args)
    assert found.keys() == expected.keys()
    for key in found:
        np.testing.assert_array_equal(found[key], expected[key])
    bars = mcgc.jit(function).vjp(*args)[1]({**found, "sum": np.ones((2, 2))})
    np.testing.assert_array_equal(bars[0]["a"], [[1, 1], [2, 2]])
    assert bars[0]["b"] == 4
    assert bars[1] is None


def test_static_arguments_decide_what_is_computed():
    power = mcgc.jit(lambda x, n: x * power_of(x, n - 1) if n else x, static_argnums=1)
    power_of = lambda x, n: x**n
    assert [float(power(3.0, n)) for n in (0, 1, 2, 3)] == [3.0, 3.0, 9.0, 27.0]
    with pytest.raises(TraceError, match="must be hashable"):
        power(3.0, [1])


def field(y, p):
    return ops.stack([p[0] * y[0] - p[1] * y[0] * y[1], p[2] * y[0] * y[1] - p[3] * y[1]])


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_computed_each_by_itself_and_shared_arguments_add_up(threads):
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=(7, 2)), rng.normal(size=4)
    rows = mcgc.jit(field).rows(0, threads)
    by_hand = lambda y, p: ops.stack([field(y[i, :], p) for i in range(7)])
    (found, pullback), (expected, right) = rows.vjp(y, p), mcgc.vjp(by_hand, y, p)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    for bar, bar_by_hand in zip(pullback(found), right(expected), strict=True):
        np.testing.assert_allclose(bar, bar_by_hand, rtol=1e-12)
    np.testing.assert_allclose(rows.jacobian(y, p), [mcgc.jacobian(field)(row, p) for row in y], rtol=1e-12)
    scalar = lambda y, p: ops.sum(rows(y, p) ** 2)
    np.testing.assert_allclose(mcgc.grad(scalar, 1)(y, p), mcgc.grad(lambda y, p: ops.sum(by_hand(y, p) ** 2), 1)(y, p))


def test_each_row_may_have_parameters_of_its_own():
    rng = np.random.default_rng(1)
    y, p = rng.normal(size=(5, 2)), rng.normal(size=(5, 4))
    found = mcgc.jit(field).rows((0, 1))(y, p)
    np.testing.assert_allclose(found, [field(*row) for row in zip(y, p, strict=True)], rtol=1e-13)
    with pytest.raises(InputError, match="the same number of rows"):
        mcgc.jit(field).rows((0, 1))(y, p[:4])
    with pytest.raises(InputError, match="rows names argument 2"):
        mcgc.jit(field).rows(2)(y, p)


def test_memory_order_and_read_only_arrays_change_nothing():
    x = np.arange(12.0).reshape(3, 4)
    jitted, expected = mcgc.jit(lambda x: ops.sum(x * x, axis=0)), (x * x).sum(axis=0)
    x.flags.writeable = False
    for given in (x, np.asfortranarray(x), x[:, ::-1][:, ::-1], x.astype(">f8").astype("f8")):
        np.testing.assert_array_equal(jitted(given), expected)


STORED = []


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: x if x[0] > 0 else -x, "cannot take the truth .* mcgc.ops.where, or declare .* static_argnums"),
        (lambda x: x[x > 0], "cannot select elements by a value .* mcgc.ops.where"),
        (lambda x: ops.sort(x), "cannot sort values"),
        (lambda x: ops.zeros_like(x)[: ops.argmax(x)], "cannot take an index or a shape"),
        (lambda x: x * float(x[0] > 0), r"cannot take float\(\)"),
        (lambda x: x + STORED[0], "outlived"),
        (lambda x: "text", "returns arrays and numbers, got a str"),
        (lambda x: ops.sum(ops.sin(x[:, None] + np.arange(30_000.0))), "more than 20000 operations"),
    ],
)
def test_what_cannot_be_traced_is_refused_in_a_sentence(function, sentence):
    mcgc.jit(lambda x: STORED.append(x) or x)(X)
    with pytest.raises(TraceError, match=sentence):
        mcgc.jit(function)(X)
    STORED.clear()


def test_a_branch_on_a_shape_or_a_dtype_is_no_branch_on_a_value():
    jitted = mcgc.jit(lambda x: x * 2 if x.shape[0] > 1 and x.dtype == np.float64 else x)
    np.testing.assert_array_equal(jitted(X), 2 * X)
    np.testing.assert_array_equal(jitted(X[:1]), X[:1])


@pytest.mark.parametrize("argument", [np.ones(2, np.int8), np.ones(2, np.complex128), "text", object()])
def test_other_arguments_are_refused(argument):
    with pytest.raises(TraceError, match="takes NumPy arrays of float32, float64, int64 and bool, and numbers"):
        mcgc.jit(lambda x: x)(argument)


def test_something_else_than_a_function_is_refused():
    with pytest.raises(InputError, match="jit takes a function"):
        mcgc.jit(3)


def test_the_cotangent_must_fit():
    _, pullback = mcgc.jit(rosenbrock).vjp(X)
    with pytest.raises(TraceError, match="the cotangent has shape"):
        pullback(np.ones(2))
    with pytest.raises(TraceError, match="structure"):
        pullback([1.0])


def test_the_source_is_read_and_unknown_programs_are_refused():
    text = mcgc.jit(lambda x: ops.sin(x) ** 2).source(1.0)
    assert text == (
        "def point(x0, at_x0, y0, at_y0):\n    v0 = x0[at_x0]\n    v1 = math.sin(v0)\n    v2 = v1 * v1\n"
        "    y0[at_y0] = v2\n"
    )
    with pytest.raises(InputError, match="the source is of value, vjp"):
        mcgc.jit(rosenbrock).source(X, of="jvp")


SCRIPT = """
import time, numpy as np, mcgc
from mcgc import ops
from mcgc.kernels import when_compiling
when_compiling(lambda: print("compiling"))
mcgc.jit(lambda x: ops.sum(ops.sin(x) * 3)).value_and_grad(np.ones(2))
"""


def test_a_second_process_finds_the_machine_code(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    run = lambda: subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert run() == "compiling\n"
    assert run() == ""


def test_without_a_directory_to_write_programs_compile_all_the_same(monkeypatch, caplog):
    monkeypatch.setattr(_compile, "_from_file", lambda name, text: None)
    assert mcgc.jit(lambda x: x * 1.2345)(2.0) == 2.469


def test_with_numba_switched_off_the_function_runs_itself(monkeypatch):
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    assert mcgc.jit(lambda x: x * 2.5)(2.0) == 5.0
    np.testing.assert_allclose(mcgc.jit(rosenbrock).grad(X), mcgc.grad(rosenbrock)(X))
