"""CuPy's ufuncs, and its functions that call a method, differentiate traced arrays: here of NumPy's arrays."""

import numpy as np
import pytest

from mcgc.autodiff import grad, vjp
from mcgc.errors import TraceError

cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install '.[test-cuda]'", exc_type=ImportError)

X = np.array([[0.5, -0.3, 0.8], [0.2, 0.9, -0.6]])
UNARY = "sin cos tanh exp expm1 square absolute negative cbrt exp2 deg2rad rad2deg arctan arcsinh"
BINARY = "add subtract multiply true_divide divide maximum minimum hypot arctan2 logaddexp fmax fmin remainder"
METHODS = "sum mean std var max min prod ravel reshape transpose squeeze swapaxes clip diagonal trace repeat"
ARGUMENTS = {"reshape": ((3, 2),), "swapaxes": (0, 1), "clip": (-0.5, 0.5), "repeat": (2,)}


@pytest.mark.parametrize("name", f"{UNARY} {METHODS}".split())
def test_a_function_of_cupy_of_a_traced_array_is_numpys(name):
    args = ARGUMENTS.get(name, ())
    found, expected = (vjp(lambda x, xp=xp: getattr(xp, name)(x, *args) + 0 * xp.sum(x), X) for xp in (cupy, np))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1](expected[0])[0], expected[1](expected[0])[0])


@pytest.mark.parametrize("name", BINARY.split())
def test_a_ufunc_of_cupy_of_two_arrays_is_numpys(name):
    found, expected = (grad(lambda x, y, xp=xp: (getattr(xp, name)(x, y) ** 2).sum(), (0, 1)) for xp in (cupy, np))
    for left, right in zip(found(X, X + 2), expected(X, X + 2), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_function_of_cupy_without_a_counterpart_is_refused_by_name():
    with pytest.raises(TraceError, match="i0 has no counterpart"):
        grad(lambda x: cupy.i0(x).sum())(X)
