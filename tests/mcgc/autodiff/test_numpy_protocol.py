"""NumPy's functions on traced arrays: values are NumPy's on plain arrays, derivatives finite differences of those."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from scipy import special

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import Traced, check_grads, grad, hessian, ops, vjp
from mcgc.errors import TraceError

V = np.array([0.3, -0.7, 0.55, 0.9])
W = np.array([0.6, 0.45, -0.2, 0.35])
P = np.array([0.4, 1.3, 0.8, 2.1])  # positive
B = 1 + P  # above 1
M = np.array([[0.5, -0.3, 0.8], [0.2, 0.9, -0.6]])
N = np.array([[1.1, 0.4, -0.2], [-0.7, 0.3, 0.5]])
S = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.2], [0.5, -0.3, 1.8]])
C = np.linspace(-1.0, 1.0, 24).reshape(2, 3, 4) ** 3 + 0.1

ELEMENTWISE = (
    "sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arctanh exp expm1 exp2 negative positive absolute \
fabs square deg2rad rad2deg degrees radians conj"
)
POSITIVE = "log log2 log10 log1p sqrt cbrt reciprocal"
OF_TWO = "add subtract multiply divide true_divide arctan2 hypot maximum minimum fmax fmin logaddexp logaddexp2 vecdot \
matmul"
UFUNCS = {
    **dict.fromkeys(ELEMENTWISE.split(), (V,)),
    **dict.fromkeys(POSITIVE.split(), (P,)),
    **dict.fromkeys(OF_TWO.split(), (V, W)),
    **dict.fromkeys(("power", "mod", "remainder"), (P, B)),
    "arccosh": (B,),
}
# name: the function, its arguments that are differentiated
FUNCTIONS = {
    "sum": (np.sum, M),
    "sum of an axis": (lambda x: np.sum(x, axis=-1, keepdims=True, dtype=x.dtype), M),
    "sum of axes": (lambda x: np.sum(x, (0, 2)), C),
    "prod": (lambda x: np.prod(x, axis=0), M),
    "mean": (lambda x: np.mean(x, 1), M),
    "var": (lambda x: np.var(x, axis=1, ddof=1), M),
    "var with a correction": (lambda x: np.var(x, correction=1), M),
    "std": (lambda x: np.std(x, 0), M),
    "max": (lambda x: np.max(x, axis=0), M),
    "amin": (lambda x: np.amin(x), M),
    "ptp": (lambda x: np.ptp(x, axis=1), M),
    "average": (lambda x: np.average(x, axis=1), M),
    "average with weights": (lambda x, w: np.average(x, axis=0, weights=w), M, np.array([0.2, 0.7])),
    "cumsum": (np.cumsum, M),
    "cumsum along an axis": (lambda x: np.cumsum(x, axis=1), M),
    "clip": (lambda x: np.clip(x, -0.5, 0.6), V),
    "clip by keywords": (lambda x: np.clip(x, a_min=None, a_max=0.6), V),
    "diff": (lambda x: np.diff(x, n=2, axis=0), C.T),
    "trapezoid": (lambda y, x: np.trapezoid(y, x), V, np.array([0.0, 0.4, 1.0, 1.5])),
    "trapezoid of rows": (lambda y: np.trapezoid(y, [0.0, 0.3, 1.0], axis=1), C),
    "trapezoid of equal steps": (lambda y: np.trapezoid(y, dx=0.1), M),
    "linalg.norm": (np.linalg.norm, M),
    "linalg.norm along an axis": (lambda x: np.linalg.norm(x, axis=1, keepdims=True), M),
    "linalg.norm of order 3": (lambda x: np.linalg.norm(x, 3), V),
    "linalg.norm of order infinity": (lambda x: np.linalg.norm(x, np.inf, axis=0), M),
    "linalg.norm of Frobenius": (lambda x: np.linalg.norm(x, "fro"), M),
    "linalg.vector_norm": (lambda x: np.linalg.vector_norm(x, ord=1), V),
    "linalg.inv": (np.linalg.inv, S),
    "linalg.solve": (np.linalg.solve, S, V[:3]),
    "linalg.solve of a list": (lambda a: np.linalg.solve(a, [1.0, 2.0, 3.0]), S),
    "dot": (np.dot, M, V[:3]),
    "dot of numbers": (lambda x: np.dot(x, 2.0), M),
    "dot of stacks": (np.dot, C, C[0].T),
    "vdot": (np.vdot, M, N),
    "inner": (np.inner, M, N),
    "outer": (np.outer, V, M),
    "kron": (np.kron, M, V),
    "cross": (np.cross, M, N),
    "tensordot": (lambda x, y: np.tensordot(x, y, axes=([0, 1], [0, 1])), M, N),
    "tensordot of one axis": (lambda x, y: np.tensordot(x, y, axes=(1, 1)), M, N),
    "einsum": (lambda x, y: np.einsum("ij,kj->ik", x, y, optimize=True), M, N),
    "reshape": (lambda x: np.reshape(x, (3, 2)), M),
    "reshape to one length": (lambda x: np.reshape(x, -1), M),
    "reshape in Fortran's order": (lambda x: np.reshape(x, (4, 6), order="F"), C),
    "ravel": (np.ravel, M),
    "squeeze": (lambda x: np.squeeze(x[:, None, :]), M),
    "expand_dims": (lambda x: np.expand_dims(x, (0, -1)), M),
    "transpose": (np.transpose, C),
    "transpose of axes": (lambda x: np.transpose(x, (1, 2, 0)), C),
    "permute_dims": (lambda x: np.permute_dims(x, (2, 0, 1)), C),
    "matrix_transpose": (np.matrix_transpose, C),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1), C),
    "moveaxis": (lambda x: np.moveaxis(x, 0, -1), C),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 4)), V),
    "flip": (np.flip, M),
    "flipud": (np.flipud, M),
    "fliplr": (np.fliplr, M),
    "roll": (lambda x: np.roll(x, 1, axis=0), M),
    "repeat": (lambda x: np.repeat(x, 2, axis=1), M),
    "repeat of different counts": (lambda x: np.repeat(x, [0, 2, 1, 3]), V),
    "tile": (lambda x: np.tile(x, (2, 1, 2)), M),
    "take": (lambda x: np.take(x, [[0, 2], [2, 1]], axis=1), M),
    "take of all": (lambda x: np.take(x, [5, 0]), M),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1), M),
    "sort": (lambda x: np.sort(x), M),
    "sort of all": (lambda x: np.sort(x, axis=None), M),
    "where": (lambda x, y: np.where(x > 0, x, y), M, N),
    "where of numbers": (lambda x: np.where([True, False, True, True], 0.0, x), V),
    "concatenate": (lambda x, y: np.concatenate([x, y], axis=1), M, N),
    "concatenate of all": (lambda x, y: np.concatenate((x, y), axis=None), M, V),
    "concatenate with a list": (lambda x: np.concatenate([[1.0, 2.0], x]), V),
    "stack": (lambda x, y: np.stack([x, y], axis=-1), M, N),
    "stack of numbers": (lambda x: np.stack([x[0], x[1] * x[2]]), V),
    "vstack": (lambda x, y: np.vstack([x, y]), M, V[:3]),
    "hstack": (lambda x, y: np.hstack((x, y)), V, W),
    "hstack of matrices": (lambda x, y: np.hstack((x, y)), M, N),
    "column_stack": (lambda x, y: np.column_stack([x, y]), V, W),
    "append": (lambda x: np.append(x, [1.0]), V),
    "split": (lambda x: tuple(np.split(x, [1, 3])), V),
    "split in equal pieces": (lambda x: tuple(np.split(x, 3, axis=1)), M),
    "atleast_1d": (lambda x: np.atleast_1d(x[0]), V),
    "atleast_2d": (np.atleast_2d, V),
    "diag of a vector": (lambda x: np.diag(x, 1), V),
    "diag of a vector, below": (lambda x: np.diag(x, k=-2), V),
    "diag of a matrix": (lambda x: np.diag(x, 1), S),
    "diagonal": (lambda x: np.diagonal(x, axis1=1, axis2=2), C),
    "trace": (np.trace, S),
    "tril": (lambda x: np.tril(x, -1), S),
    "triu": (np.triu, S),
    "sinc": (np.sinc, V),
    "polyval": (lambda p, x: np.polyval(p, x), W, V),
    "nan_to_num": (np.nan_to_num, V),
    "full_like": (lambda x: np.full_like(x, 2.0) * x, V),
    "copy": (np.copy, V),
    "real": (np.real, V),
    "round, a constant": (lambda x: np.round(x, 1) * x, W * 1.03),
    "floor, a constant": (lambda x: np.floor(x) * x, V),
    "add.reduce": (lambda x: np.add.reduce(x), M),
    "multiply.reduce": (lambda x: np.multiply.reduce(x, axis=1), M),
    "maximum.reduce": (lambda x: np.maximum.reduce(x, axis=None, keepdims=True), M),
    "add.accumulate": (lambda x: np.add.accumulate(x, axis=1), M),
    "subtract.outer": (lambda x, y: np.subtract.outer(x, y), M, V),
    "divmod": (lambda x, y: np.divmod(x, y)[1], P, B),
    "special.erf": (special.erf, V),
    "special.expit": (special.expit, V),
    "an array times": (lambda x: W * x + W @ x - W / (x + 2) + W ** x.shape[0], V),
    "an array to the power": (lambda x: P**x, V),
    "a NumPy number times": (lambda x: np.float64(2) * x - np.float64(3) / (x + 2), V),
    "an array modulo": (lambda x: P % x + P // x, B),
    "an array above": (lambda x: W.__ge__(x) * x, V),
}
TABLE = {**{name: (getattr(np, name), *args) for name, args in UFUNCS.items()}, **FUNCTIONS}


def leaves(out):
    return out if isinstance(out, tuple) else (out,)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", TABLE)
def test_the_value_of_a_numpy_function_is_numpys(name, dtype):
    function, *args = TABLE[name]
    args = [arg.astype(dtype) for arg in args]
    expected, (found, _) = function(*args), vjp(function, *args)
    for left, right in zip(leaves(found), leaves(expected), strict=True):
        assert type(left) is not Traced
        assert (left.shape, left.dtype) == (right.shape, right.dtype)
        np.testing.assert_allclose(left, right, rtol=20 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


@pytest.mark.parametrize("name", TABLE)
def test_the_gradient_of_a_numpy_function_is_that_of_finite_differences(name):
    function, *args = TABLE[name]
    check_grads(function, *args, order=1)


@pytest.mark.parametrize("name", ["sin", "power", "cbrt", "logaddexp2", "var", "einsum", "linalg.solve", "trapezoid"])
def test_the_second_derivative_of_a_numpy_function_is_that_of_finite_differences(name):
    function, *args = TABLE[name]
    check_grads(function, *args, order=2)


def test_the_table_has_eighty_functions_of_numpy():
    assert len({name.split(" ")[0] for name in TABLE}) >= 80


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1 - x[:-1]) ** 2.0, axis=0, dtype=x.dtype)


def test_rosenbrocks_function_as_scipy_writes_it_is_differentiated():
    from scipy.optimize import rosen_der, rosen_hess

    np.testing.assert_allclose(grad(rosenbrock)(V), rosen_der(V), rtol=1e-12)
    np.testing.assert_allclose(hessian(rosenbrock)(V), rosen_hess(V), rtol=1e-12, atol=1e-12)


CONSTANTS = {
    "argmax": lambda x: np.argmax(x, axis=1),
    "argsort": lambda x: np.argsort(x),
    "isnan": np.isnan,
    "less": lambda x: np.less(x, 0.5),
    "logical_and": lambda x: np.logical_and(x > 0, x),
    "sign": np.sign,
    "floor": np.floor,
    "rint": np.rint,
    "allclose": lambda x: np.allclose(x, M),
    "any": lambda x: np.any(x > 0.5),
    "shape": np.shape,
    "ndim": np.ndim,
    "size": np.size,
    "zeros_like": np.zeros_like,
    "ones_like": lambda x: np.ones_like(x, dtype=np.float32),
    "count_nonzero": np.count_nonzero,
    "nonzero": np.nonzero,
    "where": lambda x: np.where(x > 0),
    "logical_or.reduce": lambda x: np.logical_or.reduce(x, axis=1),
    "into an array": lambda x: np.floor(x, out=np.empty_like(x)),
    "imag": np.imag,
}


@pytest.mark.parametrize("function", CONSTANTS.values(), ids=CONSTANTS.keys())
def test_piecewise_constant_numpy_functions_give_plain_results(function):
    found = []
    grad(lambda x: found.append(function(x)) or np.sum(x))(M)
    np.testing.assert_array_equal(found[0], function(M))
    assert type(found[0]) is type(function(M))


REFUSED = {
    "without a counterpart": (lambda x: np.fft.fft(x), r"fft\.fft has no counterpart.*mcgc\.primitive"),
    "a ufunc without one": (lambda x: np.spacing(x), "spacing has no counterpart"),
    "into an array": (lambda x: np.sin(x, out=np.empty(4)), "takes no out="),
    "in place": (lambda x: np.ones(4).__iadd__(x), "takes no out="),
    "a sum into an array": (lambda x: np.sum(x, out=np.empty(())), "not written into another"),
    "where": (lambda x: np.sum(x, where=x > 0), "takes no where="),
    "where of a ufunc": (lambda x: np.add(x, x, where=x > 0), "takes no where="),
    "initial": (lambda x: np.sum(x, initial=1.0), "takes no initial="),
    "dtype of a ufunc": (lambda x: np.sin(x, dtype=np.float32), "takes no dtype="),
    "at": (lambda x: np.add.at(x, 0, 1.0), r"add\.at has no counterpart"),
    "reduceat": (lambda x: np.add.reduceat(x, [0, 2]), r"add\.reduceat has no counterpart"),
    "subtract.reduce": (lambda x: np.subtract.reduce(x), r"subtract\.reduce has no counterpart"),
    "an array of a list": (lambda x: np.array([x[0], x[1]]), r"join a list with numpy\.stack"),
    "a sum of a list": (lambda x: np.sum([x[0], x[1]]), r"join a list with numpy\.stack"),
    "a spectral norm": (lambda x: np.linalg.norm(np.outer(x, x), 2), "ord=2"),
    "unequal pieces": (lambda x: np.split(x, 3), "equal pieces"),
    "vectors in the plane": (lambda x: np.cross(x[:2], x[:2]), "length 3"),
    "copyto": (lambda x: np.copyto(np.empty(4), x), "copyto has no counterpart"),
    "a ufunc of one's own": (lambda x: np.frompyfunc(lambda x: x, 1, 1)(x), "has no counterpart"),
}


@pytest.mark.parametrize(("use", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_numpy_functions_cannot_do_with_traced_arrays_is_one_sentence(use, sentence):
    with pytest.raises(TraceError, match=sentence) as caught:
        grad(lambda x: np.sum(x) + 0 * use(x))(V)
    assert "\n" not in str(caught.value)


def test_a_ufunc_of_another_library_is_not_taken_for_numpys_of_the_same_name():
    from numba import vectorize

    @vectorize(["float64(float64)"])
    def square(x):
        return x * x + 1

    with pytest.raises(TraceError, match=r"square.* has no counterpart"):
        grad(lambda x: np.sum(square(x)))(V)


def test_a_nested_derivative_of_numpy_functions_keeps_its_levels():
    inner = lambda x: grad(lambda y: np.sum(np.sin(x * y)))(x)
    check_grads(lambda x: np.sum(inner(x) * np.exp(x)), V)


def test_numpy_functions_compute_with_the_library_of_the_wrapped_array(device):
    x = to_device(V, device)
    f = lambda x: np.sum(np.where(x > 0, np.sin(x), np.square(x)) * np.reshape(np.stack([x, x]), (2, 4))[0])
    value, pullback = vjp(f, x)
    assert type(value) is type(ops.sum(x))
    expected = np.where(V > 0, np.sin(V) + V * np.cos(V), 3 * V**2)
    np.testing.assert_allclose(to_host(pullback(ops.ones_like(value))[0]), expected, rtol=1e-14)


class Kernel(NamedTuple):
    """A ufunc of CuPy, as far as the hook looks at it."""

    name: str
    function: Callable

    def __call__(self, x):
        return x.__cupy_override_elementwise_kernel__(self, x) if type(x) is Traced else self.function(x)


def test_a_ufunc_of_cupy_finds_the_operation_by_its_name():
    for name, derivative in {"sin": np.cos(V), "square": 2 * V, "fabs": np.sign(V), "floor": 0 * V}.items():
        kernel = Kernel(f"cupy_{name}", getattr(np, name))
        np.testing.assert_allclose(grad(lambda x, kernel=kernel: np.sum(kernel(x) + 0 * x))(V), derivative)
    with pytest.raises(TraceError, match="my_kernel has no counterpart"):
        grad(Kernel("my_kernel", np.sin))(V)
