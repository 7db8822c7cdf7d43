"""What users hand to jitted functions, where they call them, and what they do with the results."""

from dataclasses import dataclass
from functools import partial
from threading import Barrier, Thread

import numpy as np
import pytest

import mcgc
from mcgc import ops
from mcgc.errors import InputError, TraceError

X = np.array([0.3, -1.2, 0.8])
A = np.array([[2.0, 0.5, 0.0], [0.5, 3.0, 1.0], [0.0, 1.0, 4.0]])

NUMPY = {
    "sin": lambda x: np.sum(np.sin(x) * np.exp(x)),
    "where": lambda x: np.sum(np.where(x > 0, x, 2 * x)),
    "norm": np.linalg.norm,
    "dot": lambda x: np.dot(np.dot(A, x), x),
    "clip": lambda x: np.sum(np.clip(x, -0.5, 0.5)),
    "outer": lambda x: np.sum(np.outer(x, x) * A),
    "concatenate": lambda x: np.sum(np.concatenate([x, x[::-1]]) ** 3),
    "einsum": lambda x: np.einsum("i,ij,j", x, A, x),
    "cumsum": lambda x: np.sum(np.cumsum(x) ** 2),
    "solve": lambda x: np.sum(np.linalg.solve(A, x) * x),
    "inv": lambda x: np.sum(np.linalg.inv(A + np.outer(x, x))),
    "cbrt": lambda x: np.sum(np.cbrt(x)),
    "repeat": lambda x: np.sum(np.repeat(x, 2)[1:4] ** 2),
    "tril": lambda x: np.sum(np.tril(np.outer(x, x)) * A) + np.sum(np.triu(np.outer(x, x), 1) * A),
    "round": lambda x: np.sum(np.round(x, 1) * x + np.round(100 * x, -1) * x + x.round() * x),
    "argmax": lambda x: np.sum(np.argmax(np.outer(x, x), 1) * x) * np.ndim(x) * np.size(x),
    "astype": lambda x: np.sum(x.astype(np.float32).astype(np.float64)),
    "constants first": lambda x: np.sum(ops.concat([A[0], x]) ** 2) + np.sum(ops.where(A[0] > 0, A[0], x) * x),
    "iteration": lambda x: sum(y**2 for y in x),
}


@pytest.mark.parametrize("name", NUMPY)
def test_functions_of_numpy_and_closures_over_arrays_are_compiled(name):
    function, jitted = NUMPY[name], mcgc.jit(NUMPY[name])
    np.testing.assert_allclose(jitted(X), function(X), rtol=1e-13)
    np.testing.assert_allclose(jitted.grad(X), mcgc.grad(function)(X), rtol=1e-12)


def test_integers_and_truth_values_have_the_functions_and_methods_of_numpy_s_arrays():
    def function(n, b):
        sums = [n.sum(), n.sum(0), np.sum(n, 1), n.mean(), n.max(axis=0), n.prod(), b.sum(), b.any(), np.all(b, 0)]
        moved = [
            n.T,
            n.reshape(6),
            n.reshape((3, -1)),
            n.ravel(),
            n.copy(),
            n.take([0, 1]),
            np.repeat(n, 2),
            n.cumsum(),
        ]
        joined = [
            np.concatenate([np.ones((1, 3), int), n]),
            np.where(b, n, 7),
            np.dot(n, n.T),
            n.clip(0, 2),
            n.argmax(),
        ]
        return sums, moved, joined, [n**2, 2.0**n, np.exp2(n), np.cbrt(n), n // 2, n % 2, ~b, b & True, b + 1]

    args = np.arange(-2, 4).reshape(2, 3), np.array([True, False, True])
    found, expected = (mcgc.autodiff.pytree.flatten(f(*args))[0] for f in (mcgc.jit(function), function))
    for x, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, right, rtol=1e-15)
        assert x.dtype == right.dtype


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda n, b: n**-1, ValueError),
        (lambda n, b: n**n, TraceError),
        (lambda n, b: b - b, TypeError),
        (lambda n, b: -b, TypeError),
        (lambda n, b: n & 1, TraceError),
    ],
)
def test_what_numpy_refuses_of_integers_and_truth_values_is_refused(function, error):
    with pytest.raises(error):
        mcgc.jit(function)(np.arange(3), np.ones(3, bool))


@dataclass
class Pair:
    """Two parameters."""

    a: np.ndarray
    b: float


class Scaled:
    """A callable object, with a method."""

    rows = 5.0

    def __init__(self):
        self.grad = 3.0

    def __call__(self, x):
        return self.grad * x

    def method(self, x, scale=2.0):
        return self.rows * x * scale

    @partial(mcgc.jit, static_argnums=0)
    def decorated(self, x):
        return self.grad * x + self.rows


def test_callable_objects_partial_functions_methods_and_dataclasses_are_compiled():
    np.testing.assert_array_equal(mcgc.jit(Scaled())(X), 3 * X)
    np.testing.assert_array_equal(mcgc.jit(partial(lambda a, x: a * x, A))(X), A * X)
    np.testing.assert_array_equal(mcgc.jit(Scaled().method)(X), 10 * X)
    np.testing.assert_array_equal(mcgc.jit(lambda p: p.a * p.b)(Pair(X, 2.0)), 2 * X)
    np.testing.assert_array_equal(Scaled().decorated(X), 3 * X + 5)


def test_arguments_may_be_given_by_name():
    jitted = mcgc.jit(Scaled().method)
    np.testing.assert_array_equal(jitted(X, scale=3.0), 15 * X)
    np.testing.assert_array_equal(jitted.jacobian(scale=3.0, x=X), 15 * np.eye(3))
    with pytest.raises(InputError, match=r"only a name, got scale: make them positional, or fix them with functools"):
        mcgc.jit(lambda x, *, scale: x * scale)(X, scale=2.0)


def test_static_arguments_may_be_left_to_their_defaults_and_their_types_count():
    jitted = mcgc.jit(lambda x, n=2, m=5: x * n + m, static_argnums=(2, 1))
    assert [jitted(3, 7), jitted(3), jitted(3, 7, 1)] == [26, 11, 22]
    assert jitted(3, 7.0).dtype == np.float64
    assert jitted(3, 7).dtype == np.int64
    rows = mcgc.jit(lambda x, n: ops.sum(x**n), static_argnums=1).rows()
    np.testing.assert_allclose(mcgc.grad(lambda x: ops.sum(rows(x, 3) ** 2))(A), 6 * A**2 * (A**3).sum(1)[:, None])
    with pytest.raises(InputError, match="a static argument's number"):
        mcgc.jit(lambda x: x, static_argnums=-1)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0)])
def test_arrays_without_axes_and_without_elements_are_arguments_and_results(shape):
    x = np.full(shape, 2.0)
    function = lambda x: (x * x, ops.sum(x), ops.concat([ops.reshape(x, (-1,)), np.ones(1)]))
    for found, expected in zip(mcgc.jit(function)(x), function(x), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert type(found) is type(expected)


@pytest.mark.parametrize("given", [A[:, 1], A[::2, ::-1], A.astype(">f8"), np.broadcast_to(X, (2, 3))])
def test_no_order_in_memory_or_of_bytes_changes_the_numbers(given):
    np.testing.assert_array_equal(mcgc.jit(lambda x: x * 2)(given), given * 2)
    assert mcgc.jit(lambda x: ops.sum(x * x)).grad(given).dtype == np.float64


def test_the_mask_of_an_array_is_not_lost():
    with pytest.raises(TraceError, match="takes NumPy arrays"):
        mcgc.jit(lambda x: x)(np.ma.masked_array([1.0, 2.0], [True, False]))


@pytest.mark.parametrize("x", [np.float32(2), np.ones(3, np.float32)])
def test_dtypes_are_promoted_as_numpy_does(x):
    for function in (lambda x: x * 2.5 + np.pi, lambda x: x * np.float64(2.5), lambda x: x * np.arange(3), lambda x: x):
        assert mcgc.jit(function)(x).dtype == np.asarray(function(x)).dtype


def test_nan_and_infinity_pass_through():
    x = np.array([np.nan, np.inf, -np.inf, 1.0])
    for function in (lambda x: ops.maximum(x, 0.0) - ops.minimum(x, 2.0), lambda x: ops.where(x > 0, np.inf, np.nan)):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(mcgc.jit(function)(x), function(x))


def test_results_share_no_memory_with_arguments_constants_or_each_other():
    x = X.copy()
    jitted = mcgc.jit(lambda x: (x, x, A, ops.reshape(x, (3, 1))))
    results = [*jitted(x), *jitted(x), *jitted.vjp(x)[0], jitted.vjp(x)[1](jitted(x))[0]]
    for i, result in enumerate(results):
        result[...] = 100 + i
    assert [result.flat[0] for result in results] == list(range(100, 100 + len(results)))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(jitted(x)[2], A)
    np.testing.assert_array_equal(A[0], [2, 0.5, 0])


def test_one_array_may_be_two_arguments():
    bars = mcgc.jit(lambda x, y: ops.sum(x * x * y)).vjp(X, X)[1](1.0)
    np.testing.assert_allclose(bars, [2 * X * X, X * X])


def inner(x):
    return ops.sum(ops.sin(x) * x**2)


CUBE = mcgc.primitive("cube", lambda x: x * x * x, lambda out, x: lambda g: g * (3 * x * x))
WITHIN = {
    "jit": lambda x: mcgc.jit(inner)(2 * x) + mcgc.jit(inner)(X),
    "its rows": lambda x: ops.sum(mcgc.jit(inner).rows()(ops.stack([x, 2 * x])) ** 2),
    "its grad": lambda x: ops.sum(mcgc.jit(inner).grad(x) ** 2),
    "the grad of its rows": lambda x: ops.sum(mcgc.jit(inner).rows().grad(ops.stack([x, 2 * x])) ** 2),
    "its vjp": lambda x: ops.sum(mcgc.jit(inner).vjp(x)[1](ops.sum(x))[0]),
    "its Hessian product": lambda x: ops.sum(mcgc.jit(inner).hvp(x, 2 * x)),
    "grad": lambda x: ops.sum(mcgc.grad(inner)(x) ** 2),
    "a primitive": lambda x: ops.sum(CUBE(x)),
    "checkpoint": lambda x: mcgc.checkpoint(inner)(x) ** 2,
    "stop_gradient": lambda x: ops.sum(mcgc.stop_gradient(x) * x),
}
PLAIN = WITHIN | {
    "jit": lambda x: inner(2 * x) + inner(X),
    "its rows": lambda x: inner(x) ** 2 + inner(2 * x) ** 2,
    "its grad": lambda x: ops.sum(mcgc.grad(inner)(x) ** 2),
    "the grad of its rows": lambda x: ops.sum(mcgc.grad(inner)(x) ** 2) + ops.sum(mcgc.grad(inner)(2 * x) ** 2),
    "its vjp": lambda x: ops.sum(mcgc.vjp(inner, x)[1](ops.sum(x))[0]),
    "its Hessian product": lambda x: ops.sum(mcgc.hvp(inner, x, 2 * x)),
}


@pytest.mark.parametrize("name", WITHIN)
def test_what_is_called_within_jit_becomes_part_of_the_program_and_of_its_derivatives(name):
    function, plain = WITHIN[name], PLAIN[name]
    np.testing.assert_allclose(mcgc.jit(function)(X), plain(X), rtol=1e-12)
    for found in (mcgc.jit(function).grad, mcgc.grad(mcgc.jit(function)), mcgc.grad(function)):
        np.testing.assert_allclose(found(X), mcgc.grad(plain)(X), rtol=1e-12)


def test_a_jitted_function_may_close_over_what_the_one_around_it_traces():
    nested = lambda a, n: mcgc.jit(lambda x: a * x * n)(2.0) + mcgc.jit(lambda m: m * n)(3) * a
    jitted = mcgc.jit(nested)
    assert jitted(5.0, 7) == nested(5.0, 7) == 175
    assert jitted.grad(5.0, 7) == 35


@pytest.mark.parametrize("of", ["__call__", "grad", "vjp"])
def test_a_traced_array_from_outside_is_refused_in_a_sentence(of):
    within = lambda a: getattr(mcgc.jit(lambda x: a * x), of)(2.0)
    with pytest.raises(TraceError, match="not among its arguments: pass it"):
        mcgc.grad(within)(3.0)


@pytest.mark.parametrize("function", [lambda n: OUTSIDE[0] * n, lambda n: (OUTSIDE[0], n)])
def test_an_integer_array_of_an_earlier_trace_is_refused_in_a_sentence(function):
    mcgc.jit(lambda m, n: OUTSIDE.append(n) or n)(2, 3)
    with pytest.raises(TraceError, match="outlived the call that traced it"):
        mcgc.jit(function)(5)
    OUTSIDE.clear()


OUTSIDE = []


def test_a_pullback_takes_traced_cotangents():
    of_cotangent = lambda c: ops.sum(mcgc.jit(lambda x: x**3).vjp(X)[1](c)[0])
    np.testing.assert_allclose(mcgc.grad(of_cotangent)(np.ones(3)), 3 * X**2, rtol=1e-13)


def test_a_number_has_no_rows():
    with pytest.raises(InputError, match="must be arrays with the same number of rows"):
        mcgc.jit(lambda x: x * 2).rows()(2.0)


def test_derivatives_of_a_jitted_function_nest():
    third = lambda f: mcgc.grad(mcgc.grad(mcgc.grad(f)))(0.7)
    np.testing.assert_allclose(third(mcgc.jit(inner)), third(inner), rtol=1e-12)
    found = mcgc.jit(mcgc.jit(inner).grad).jacobian(X)
    np.testing.assert_allclose(found, mcgc.hessian(inner)(X), rtol=1e-12)


def test_integer_results_and_arguments_stay_themselves_under_derivatives():
    jitted = mcgc.jit(lambda x, n: (ops.sum(x) * 2, n + 1))
    (value, count), slope = mcgc.value_and_grad(jitted, has_aux=True)(X, np.arange(2))
    assert value == 2 * X.sum()
    np.testing.assert_array_equal(count, [1, 2])
    np.testing.assert_array_equal(slope, [2, 2, 2])


def test_debug_nonfinite_finds_the_operation_in_a_jitted_function():
    jitted = mcgc.jit(lambda x: ops.sum(ops.log(x)))
    with np.errstate(all="ignore"), mcgc.debug_nonfinite(), pytest.raises(mcgc.autodiff.NonFiniteError, match="log"):
        mcgc.grad(jitted)(np.zeros(2))


def test_rows_made_again_and_other_numbers_of_them_take_the_same_program():
    calls = []
    jitted = mcgc.jit(lambda x: calls.append(x) or ops.sum(x))
    for number in (3, 2, 1):
        jitted.rows(0)(A[:number])
    assert len(calls) == 1
    np.testing.assert_allclose(jitted(A), A.sum())


def test_threads_may_call_at_once():
    jitted, start, found = mcgc.jit(lambda x: ops.sum(ops.cos(x) * x)), Barrier(4), {}

    def call(i):
        start.wait()
        found[i] = [float(jitted.value_and_grad(X + i)[1][0]), float(jitted(A[i % 3]))]

    threads = [Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {
        i: [np.cos(X[0] + i) - np.sin(X[0] + i) * (X[0] + i), np.sum(np.cos(A[i % 3]) * A[i % 3])] for i in range(4)
    }
    for i in range(4):
        np.testing.assert_allclose(found[i], expected[i], rtol=1e-12)


def test_assigning_to_an_element_within_jit_is_seen():
    def function(n):
        m = n + 0
        m[0] = m[1] + 5
        m[1:] = 7
        return m

    np.testing.assert_array_equal(mcgc.jit(function)(np.arange(3)), [6, 7, 7])


@pytest.mark.parametrize("of", ["value_and_grad", "grad", "jacobian"])
def test_with_numba_switched_off_the_engine_differentiates_every_row(of, monkeypatch):
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    found = getattr(mcgc.jit(inner).rows(), of)(A)
    found = found if of == "value_and_grad" else (None, found)
    np.testing.assert_allclose(found[1], [mcgc.grad(inner)(row) for row in A], rtol=1e-13)
    bars = mcgc.jit(lambda x, n: inner(x) * n).rows().vjp(A, 2)[1](np.ones(3))
    np.testing.assert_allclose(bars[0], [2 * mcgc.grad(inner)(row) for row in A], rtol=1e-13)
    assert bars[1] is None


def test_arrays_of_another_library_are_computed_and_differentiated_by_the_function_itself(strict):
    x = mcgc.arrays.to_device(A, strict, "float64")
    rows = mcgc.jit(inner).rows()
    for found, expected in zip(rows.value_and_grad(x), rows.value_and_grad(A), strict=True):
        assert type(found) is type(x)
        np.testing.assert_allclose(mcgc.arrays.to_host(found), expected, rtol=1e-13)
