"""Dtypes: integers, booleans, complex and other floats give NumPy's values and dtypes, or are refused in a sentence."""

import numpy as np
import pytest
import scipy.special

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import grad, ops, vjp
from mcgc.errors import InputError, TraceError

EXTREMES = {
    dtype: np.array([[np.iinfo(dtype).max, 1, np.iinfo(dtype).min], [100, 3, 3]], dtype)
    for dtype in ("int8", "uint8", "int16", "int32", "int64", "uint64")
}
INTEGERS = {"bool": np.array([[True, True, False], [False, True, True]]), **EXTREMES}
X = np.array([[1.5, -0.25, 3.0], [0.5, 2.0, -1.0]])
FLOATS = {dtype: X.astype(dtype) for dtype in ("float16", "float32", "float64", "longdouble")}
COMPLEX = {dtype: (X + 1j * X[::-1]).astype(dtype) for dtype in ("complex64", "complex128")}
REAL = {**INTEGERS, **FLOATS}

# what NumPy computes with the same dtype of result
SAME = {
    **{name: (getattr(ops, name), getattr(np, name)) for name in ("sum", "prod", "trace", "max", "min", "any", "all")},
    **{name: (getattr(ops, name), getattr(np, name)) for name in ("argmax", "argmin", "mean", "var", "std", "square")},
    "sum, axis": (lambda x: ops.sum(x, axis=1, keepdims=True), lambda x: np.sum(x, axis=1, keepdims=True)),
    "sum, dtype": (lambda x: ops.sum(x, axis=1, dtype=np.int16), lambda x: np.sum(x, axis=1, dtype=np.int16)),
    "mean, axis": (lambda x: ops.mean(x, axis=0), lambda x: np.mean(x, axis=0)),
    "var, correction": (lambda x: ops.var(x, correction=1), lambda x: np.var(x, ddof=1)),
    "prod, axis": (lambda x: ops.prod(x, axis=0, keepdims=True), lambda x: np.prod(x, axis=0, keepdims=True)),
    "prod, dtype": (lambda x: ops.prod(x, dtype=np.float64), lambda x: np.prod(x, dtype=np.float64)),
    "cumulative_sum": (lambda x: ops.cumulative_sum(x, axis=1), lambda x: np.cumulative_sum(x, axis=1)),
    "cumulative_sum, dtype": (
        lambda x: ops.cumulative_sum(x, axis=-1, dtype=np.float32),
        lambda x: np.cumulative_sum(x, axis=-1, dtype=np.float32),
    ),
    "norm": (ops.norm, np.linalg.vector_norm),
    **{
        f"vector_norm, {p}": (lambda x, p=p: ops.linalg.vector_norm(x, ord=p), lambda x, p=p: vector_norm(x, p))
        for p in (0, 0.5, 1, 2, 3, -1, np.inf, -np.inf)
    },
    "matmul": (lambda x: x @ x.T, lambda x: x @ x.T),
    "matmul, function": (lambda x: ops.matmul(x, x[0]), lambda x: np.matmul(x, x[0])),
    "vecdot": (lambda x: ops.vecdot(x, x), lambda x: np.vecdot(x, x)),
    "tensordot": (lambda x: ops.tensordot(x, x, axes=2), lambda x: np.tensordot(x, x, axes=2)),
    "einsum": (lambda x: ops.einsum("ij,kj->ik", x, x), lambda x: np.einsum("ij,kj->ik", x, x)),
    "einsum, sum": (lambda x: ops.einsum("ij->j", x), lambda x: np.einsum("ij->j", x)),
    "einsum, trace": (lambda x: ops.einsum("ii", x[:, 1:]), lambda x: np.einsum("ii", x[:, 1:])),
    "outer": (lambda x: ops.outer(x[0], x[1]), lambda x: np.outer(x[0], x[1])),
    "dot": (lambda x: ops.dot(x, x[0]), lambda x: np.dot(x, x[0])),
    "where, float": (lambda x: ops.where(x > 1, 0.5, x), lambda x: np.where(x > 1, 0.5, x)),
    "where, integer": (lambda x: ops.where(x > 1, x, 1), lambda x: np.where(x > 1, x, 1)),
    "where, boolean": (lambda x: ops.where(x > 1, x, True), lambda x: np.where(x > 1, x, True)),
    "clip": (lambda x: ops.clip(x, 1, 2), lambda x: np.clip(x, 1, 2)),
    "clip, floats": (lambda x: ops.clip(x, 0.5, 1.5), lambda x: np.clip(x, 0.5, 1.5)),
    "maximum": (lambda x: ops.maximum(x, x[0]), lambda x: np.maximum(x, x[0])),
    "sort": (ops.sort, np.sort),
    "sort, descending": (lambda x: ops.sort(x, descending=True), lambda x: np.flip(np.sort(x), axis=-1)),
    "argsort": (ops.argsort, lambda x: np.argsort(x, stable=True)),
    "flip": (ops.flip, np.flip),
    "roll": (lambda x: ops.roll(x, 1), lambda x: np.roll(x, 1)),
    "concat": (lambda x: ops.concat([x, x > 1]), lambda x: np.concat([x, x > 1])),
    "stack": (lambda x: ops.stack([x, x > 1]), lambda x: np.stack([x, x > 1])),
    "take": (lambda x: ops.take(x, x.argmax(1), axis=1), lambda x: np.take(x, x.argmax(1), axis=1)),
    "diag": (ops.diag, np.diag),
}

# functions that the standard has for floats alone: integers count as float64
AS_FLOATS = {
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(x, 0),
    "erf": scipy.special.erf,
    "silu": lambda x: x * scipy.special.expit(x),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "logsumexp": lambda x: scipy.special.logsumexp(x, axis=-1),
    "softmax": lambda x: scipy.special.softmax(x, axis=-1),
    "log_softmax": lambda x: scipy.special.log_softmax(x, axis=-1),
}


def vector_norm(x, p):
    """Return NumPy's, of complex128 or float64 for integers, whose absolute values may overflow."""
    with np.errstate(divide="ignore"):
        return np.linalg.vector_norm(x if x.dtype.kind in "fc" else x.astype("float64"), ord=p)


def tolerance(dtype):
    return 1e-12 if np.dtype(dtype).kind not in "fc" else max(1e-15, 40 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("name", SAME)
def test_an_operation_on_any_real_dtype_has_numpys_value_and_dtype(name, dtype):
    ours, theirs = SAME[name]
    with np.errstate(over="ignore"):  # integers to the power of two wrap around alike
        found, expected = np.asarray(ours(REAL[dtype])), np.asarray(theirs(REAL[dtype]))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance(dtype))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", AS_FLOATS)
def test_functions_of_floats_take_integers_as_float64(name, dtype):
    x = INTEGERS[dtype]
    found = getattr(ops, name)(x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, AS_FLOATS[name](x.astype("float64")), rtol=1e-12)


REFUSING = ("norm", "var", "std", "sigmoid", "softplus", "erf", "silu", "gelu", "logsumexp", "softmax", "log_softmax")


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("name", REFUSING)
def test_what_has_no_complex_meaning_here_is_refused_in_one_sentence(name, dtype):
    with pytest.raises(InputError, match=f"^{name} takes real numbers, got {dtype}: .*") as caught:
        getattr(ops, name)(COMPLEX[dtype])
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="vector_norm takes real numbers"):
        ops.linalg.vector_norm(COMPLEX[dtype])
    with pytest.raises(InputError, match="vecdot takes real numbers"):
        ops.vecdot(COMPLEX[dtype], COMPLEX[dtype])


LINEAR = (
    "sum",
    "mean",
    "prod",
    "cumulative_sum",
    "matmul",
    "tensordot",
    "einsum",
    "outer",
    "dot",
    "trace",
    "where, float",
)


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("name", [*LINEAR, "sort", "sort, descending", "flip", "concat", "stack", "square", "argmax"])
def test_what_takes_complex_numbers_has_numpys_value_and_dtype(name, dtype):
    ours, theirs = SAME[name]
    found, expected = np.asarray(ours(COMPLEX[dtype])), np.asarray(theirs(COMPLEX[dtype]))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance(dtype))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.sum(abs(x * (1 + 2j))),
        lambda x: ops.sum(abs(x + np.array([1j, 2j]))),
        lambda x: ops.sum(abs(np.array([1j, 2j]) / x)),
        lambda x: ops.sum(abs((1 + 2j) ** x)),
        lambda x: ops.sum(abs(x**2j)),
        lambda x: ops.sum(abs(np.array([1j, 2j]) ** x)),
        lambda x: abs(x @ np.array([1j, 2j])),
        lambda x: ops.sum(abs(ops.where(np.array([True, False]), x, 1j))),
        lambda x: ops.sum(abs(ops.concat([x, np.array([1j])]))),
        lambda x: ops.sum(abs(ops.stack([x, np.array([1j, 2j])]))),
        lambda x: ops.sum(abs(ops.astype(x, np.complex128))),
        lambda x: abs(ops.einsum("i,i", x, np.array([1j, 2j]))),
    ],
)
def test_complex_numbers_that_depend_on_a_traced_array_are_refused_in_one_sentence(function):
    with pytest.raises(TraceError, match=r"^a complex number that depends on a traced array has no derivative"):
        grad(function)(np.array([1.0, 2.0]))


def test_integers_are_summed_as_the_default_integer_on_every_device(device):
    xp = device.namespace
    small = to_device(np.full((2, 3), 100), device, "int8")
    mask = to_device(np.array([[True, True, False], [True, False, False]]), device)
    for x, total in ((small, 600), (mask, 3)):
        for found in (ops.sum(x), ops.cumulative_sum(ops.reshape(x, (-1,)))[-1], ops.sum(x, keepdims=True)[0, 0]):
            assert (found.dtype, int(to_host(found))) == (xp.int64, total)
    assert ops.prod(small, axis=1).dtype == ops.prod(mask).dtype == xp.int64
    np.testing.assert_array_equal(to_host(ops.prod(small, axis=1)), [10**6, 10**6])
    assert int(to_host(ops.prod(mask))) == 0
    unsigned = to_device(np.full(3, 200), device, "uint8")
    assert (ops.sum(unsigned).dtype, int(to_host(ops.sum(unsigned)))) == (xp.uint64, 600)
    assert ops.sum(small, dtype=xp.int8).dtype == xp.int8


def test_moments_of_integers_are_float64_on_every_device(device):
    large = to_device(np.full(3, 2**30), device, "int32")
    mask = to_device(np.array([True, True, True, False]), device)
    for x, name, expected in (
        *((large, "mean", 2.0**30), (large, "norm", 3**0.5 * 2**30), (large, "std", 0.0)),
        *((mask, "mean", 0.75), (mask, "var", 0.1875), (mask, "norm", 3**0.5), (mask, "softplus", None)),
        *((mask, "softmax", None), (large, "sigmoid", None)),
    ):
        found = getattr(ops, name)(x)
        assert found.dtype == device.namespace.float64
        if expected is not None:
            assert float(to_host(found)) == pytest.approx(expected, rel=1e-14)


def test_where_gives_a_number_the_dtype_of_arithmetic_on_every_device(device):
    xp, c = device.namespace, to_device(np.array([True, False]), device)
    for x, number, dtype, expected in (
        *(("int8", 0.5, "float64", [0.5, 3]), ("int8", 2, "int8", [2, 3]), ("bool", 2, "int64", [2, 1])),
        *(("bool", True, "bool", [1, 1]), ("float32", 0.5, "float32", [0.5, 3]), ("float32", 2, "float32", [2, 3])),
    ):
        found = ops.where(c, number, to_device(np.array([3, 3]), device, x))
        assert found.dtype == getattr(xp, dtype)
        np.testing.assert_array_equal(to_host(found), expected)
    for numbers, dtype in (((1, 0), "int64"), ((1, 0.0), "float64"), ((True, False), "bool"), ((1j, 0), "complex128")):
        assert ops.where(c, *numbers).dtype == getattr(xp, dtype)


def test_an_exponent_of_small_integers_does_not_wrap_around():
    x = np.array([2.0, 3.0])
    for dtype in ("bool", "uint8", "int8", "int64"):
        np.testing.assert_array_equal(grad(lambda x, d=dtype: ops.sum(x ** np.array([0, 1], d)))(x), [0.0, 1.0])


@pytest.mark.parametrize("dtype", ["float16", "longdouble"])
def test_floats_of_other_widths_keep_their_dtype_and_have_derivatives(dtype):
    x = FLOATS[dtype]
    for f in (ops.softmax, ops.gelu, ops.sqrt, ops.norm, ops.var, lambda x: x / 3, lambda x: ops.einsum("ij->j", x)):
        out, pullback = vjp(f, abs(x))
        assert out.dtype == pullback(np.ones_like(out))[0].dtype == dtype


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "norm", "logsumexp", "max", "min", "any", "all"])
def test_reductions_of_a_single_number_are_its_own(name, device):
    x = to_device(np.asarray(3.0), device, "float32")
    options = {"axis": None} if name == "logsumexp" else {}
    found = getattr(ops, name)(x, **options)
    assert found.shape == ()
    assert float(to_host(found)) == {"var": 0, "any": 1, "all": 1}.get(name, 3)
    with pytest.raises(TraceError, match="axis 0 does not exist in an array of 0 axes: it is a single number"):
        ops.mean(x, axis=0)
