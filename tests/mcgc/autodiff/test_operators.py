"""Every attribute, method and operator of a NumPy array is the same on a traced one, or absent with a sentence."""

import copy
import operator

import array_api_strict
import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import Traced, check_grads, grad, ops, vjp
from mcgc.errors import TraceError

M = np.array([[0.5, -0.3, 0.8], [0.2, 0.9, -0.6]])
S = M[:, :2]
C = np.linspace(-1.0, 1.0, 24).reshape(2, 3, 4) ** 3 + 0.1
V = C[0, 0]
P = 0.5 + M**2

# name of what it uses: the use, and the array it is used on; what depends on the array has a derivative
SMOOTH = {
    "T of two axes": (lambda x: x.T, M),
    "T of three axes": (lambda x: x.T, C),
    "T of one axis": (lambda x: x.T, V),
    "T of none": (lambda x: x.T, np.array(0.3)),
    "mT": (lambda x: x.mT, C),
    "real": (lambda x: x.real, M),
    "astype": (lambda x: x.astype("float64"), M),
    "astype to a Python type": (lambda x: x.astype(float, copy=False), M),
    "clip": (lambda x: x.clip(-0.5, 0.6), M),
    "clip with keywords": (lambda x: x.clip(max=0.6), M),
    "conj": (lambda x: x.conj(), M),
    "conjugate": (lambda x: x.conjugate(), M),
    "copy": (lambda x: x.copy(), M),
    "cumsum": (lambda x: x.cumsum(), M),
    "cumsum along an axis": (lambda x: x.cumsum(axis=0), M),
    "diagonal": (lambda x: x.diagonal(1), M),
    "dot": (lambda x: x.dot(M.T), M),
    "flatten": (lambda x: x.flatten(), C),
    "flatten in Fortran's order": (lambda x: x.flatten("F"), C),
    "max": (lambda x: x.max(), M),
    "max along an axis": (lambda x: x.max(axis=1, keepdims=True), M),
    "mean": (lambda x: x.mean(0), M),
    "min": (lambda x: x.min(axis=-1), M),
    "prod": (lambda x: x.prod(), M),
    "ravel": (lambda x: x.ravel(), C),
    "repeat": (lambda x: x.repeat(2, axis=0), M),
    "reshape": (lambda x: x.reshape(3, 2), M),
    "reshape by a tuple": (lambda x: x.reshape((3, -1), order="C"), M),
    "reshape by one number": (lambda x: x.reshape(-1), M),
    "squeeze": (lambda x: x[:, None].squeeze(), M),
    "std": (lambda x: x.std(axis=1, ddof=1), M),
    "sum": (lambda x: x.sum(), M),
    "sum as CuPy calls it": (lambda x: x.sum(0, None, None, True), M),
    "swapaxes": (lambda x: x.swapaxes(0, 2), C),
    "take": (lambda x: x.take([2, 0], axis=1), M),
    "trace": (lambda x: x.trace(), S),
    "transpose": (lambda x: x.transpose(), C),
    "transpose of axes": (lambda x: x.transpose(1, 2, 0), C),
    "transpose of a tuple": (lambda x: x.transpose((2, 0, 1)), C),
    "var": (lambda x: x.var(), M),
    "neg": (lambda x: -x, M),
    "pos": (lambda x: +x, M),
    "abs": (lambda x: abs(x), M),
    "add": (lambda x: x + M, M),
    "add of a list": (lambda x: x.__add__([1.0, 2.0, 3.0]), M),
    "radd": (lambda x: 2 + x + (M + x), M),
    "sub": (lambda x: x - M, M),
    "rsub": (lambda x: (2 - x) * (M - x), M),
    "mul": (lambda x: x * M * x, M),
    "rmul": (lambda x: np.float64(2) * x * np.float64(3), M),
    "truediv": (lambda x: x / 3 / P, M),
    "rtruediv": (lambda x: 2 / x + M / x, P),
    "mod": (lambda x: x % P, M),
    "rmod": (lambda x: M % x + 2.3 % x, P),
    "floordiv": (lambda x: x // 0.7 * x, M),
    "rfloordiv": (lambda x: 3.1 // x * x, P),
    "divmod": (lambda x: divmod(x, 0.7)[1], M),
    "rdivmod": (lambda x: divmod(M, x)[1] + divmod(2.3, x)[1], P),
    "pow": (lambda x: x**3 + x**2.0, M),
    "rpow": (lambda x: 2**x + P**x, M),
    "matmul": (lambda x: x @ M.T, M),
    "rmatmul": (lambda x: M.T @ x, M),
    "iadd": (lambda x: operator.iadd(x, M), M),
    "isub": (lambda x: operator.isub(x, 2), M),
    "imul": (lambda x: operator.imul(x, M), M),
    "itruediv": (lambda x: operator.itruediv(x, P), M),
    "ipow": (lambda x: operator.ipow(x, 3), M),
    "getitem": (lambda x: x[1] * x[-1, 0] + x[:, 1:].sum(), M),
    "getitem of a mask": (lambda x: x[x > 0], M),
    "iteration": (lambda x: list(x)[1], C),
    "unpacking": (lambda x: (lambda a, b: a * b)(*x), M),
    "copy.copy": (lambda x: copy.copy(x) * x, M),
    "copy.deepcopy": (lambda x: copy.deepcopy(x) * x, M),
}
CONSTANT = {
    "shape": lambda x: x.shape,
    "ndim": lambda x: x.ndim,
    "size": lambda x: x.size,
    "dtype": lambda x: x.dtype,
    "device": lambda x: x.device,
    "itemsize": lambda x: x.itemsize,
    "nbytes": lambda x: x.nbytes,
    "strides": lambda x: x.strides,
    "flags": lambda x: x.flags.c_contiguous,
    "imag": lambda x: x.imag,
    "all": lambda x: x.all(),
    "any": lambda x: x.any(axis=0),
    "argmax": lambda x: x.argmax(),
    "argmin": lambda x: x.argmin(axis=1),
    "argpartition": lambda x: x.argpartition(1),
    "argsort": lambda x: x.argsort(),
    "nonzero": lambda x: x.nonzero(),
    "round": lambda x: x.round(1),
    "searchsorted": lambda x: x[0].searchsorted(0.1),
    "astype to integers": lambda x: x.astype(int),
    "len": len,
    "contains": lambda x: (0.9 in x, 7.0 in x),
    "lt": lambda x: x < 0.5,
    "le": lambda x: x <= M,
    "gt": lambda x: x > M,
    "ge": lambda x: x >= 0,
    "eq": lambda x: x == M,
    "ne": lambda x: x != 0.9,
    "eq of None": lambda x: x == None,  # noqa: E711
    "rlt": lambda x: P.__lt__(x),
    "rge": lambda x: P.__ge__(x),
    "floordiv": lambda x: x // 0.4,
    "rfloordiv": lambda x: M // x,
}
ABSENT = {
    "stop_gradient": "base byteswap ctypes data dump dumps getfield item to_device tobytes tofile tolist view",
    "in place": "fill partition put resize setfield setflags sort",
    "ravel": "flat",
    "mcgc.ops": "choose compress cumprod",
}
RAISING = {  # as NumPy's arrays of floats do
    "hash": (hash, M, TypeError),
    "len of no axes": (len, np.array(0.3), TypeError),
    "iteration over no axes": (list, np.array(0.3), TypeError),
    "mT of one axis": (lambda x: x.mT, V, ValueError),
    "invert": (operator.invert, M, TypeError),
    "and": (lambda x: x & x, M, TypeError),
    "rand": (lambda x: (M > 0) & x, M, TypeError),
    "lshift": (lambda x: x << 1, M, TypeError),
    "pow modulo": (lambda x: pow(x, 2, 3), M, TypeError),
    "an index": (lambda x: [1, 2][x], V, TypeError),
    "int": (int, V, TypeError),
    "bool": (bool, V, ValueError),
    "format": (lambda x: f"{x:.3f}", M, TypeError),
    "item assignment beyond": (lambda x: x.__setitem__(7, 1.0), M, IndexError),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", SMOOTH)
def test_what_a_traced_array_has_is_the_wrapped_arrays(name, dtype):
    use, x = SMOOTH[name]
    x = x.astype(dtype)
    expected, (found, _) = use(x.copy()), vjp(use, x)
    assert found.shape == expected.shape
    if not name.startswith(("astype", "i")):  # in place NumPy keeps the dtype of its left
        assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=20 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


@pytest.mark.parametrize("name", SMOOTH)
def test_its_derivative_is_that_of_finite_differences(name):
    use, x = SMOOTH[name]
    check_grads(lambda x: use(x.copy()), x, order=1)


@pytest.mark.parametrize("use", CONSTANT.values(), ids=CONSTANT.keys())
def test_what_is_piecewise_constant_is_the_wrapped_arrays_and_plain(use):
    found = []
    grad(lambda x: found.append(use(x)) or ops.sum(x))(M)
    np.testing.assert_array_equal(found[0], use(M))
    assert type(found[0]) is type(use(M))


@pytest.mark.parametrize(("way_out", "name"), [(way, name) for way, names in ABSENT.items() for name in names.split()])
def test_what_a_traced_array_lacks_is_an_attribute_error_with_the_way_out(way_out, name):
    def f(x):
        assert not hasattr(x, name)
        with pytest.raises(AttributeError, match=f"a traced array has no '{name}'; .*{way_out}") as caught:
            getattr(x, name)
        assert "\n" not in str(caught.value)
        return ops.sum(x)

    grad(f)(M)


@pytest.mark.parametrize(("use", "x", "error"), RAISING.values(), ids=RAISING.keys())
def test_what_raises_on_a_numpy_array_raises_on_a_traced_one(use, x, error):
    with pytest.raises(error):
        use(x.copy())
    with pytest.raises((error, TraceError)) as caught:
        vjp(use, x)
    assert "\n" not in str(caught.value)


def test_every_public_attribute_of_numpys_arrays_is_in_one_of_the_tables():
    known = {name.split(" ")[0] for name in (*SMOOTH, *CONSTANT)} | {
        n for names in ABSENT.values() for n in names.split()
    }
    array = np.zeros((1, 1))  # older versions of NumPy list attributes that they no longer have
    assert {name for name in dir(array) if not name.startswith("_") and hasattr(array, name)} <= known
    strict = {name for name in dir(array_api_strict.zeros(1)) if not name.startswith("_")}
    assert strict <= known


def test_every_special_method_of_numpys_arrays_is_there_but_for_those_of_integers_storage_and_change_in_place():
    integers = {f"__{r}{name}__" for name in ("and", "or", "xor", "lshift", "rshift") for r in ("", "r", "i")}
    in_place = {f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")}
    storage = "array_finalize array_interface array_priority array_struct array_wrap dlpack dlpack_device setstate \
        buffer class_getitem delitem"
    absent = {name for name in dir(np.ndarray) if name.startswith("__") and not hasattr(Traced, name)}
    assert absent <= {*integers, *in_place, "__invert__", *(f"__{name}__" for name in storage.split())}


ONE = np.int64(1)
AXES = {
    "sum": lambda x: x.sum(axis=ONE),
    "max": lambda x: np.max(x, axis=ONE, keepdims=True),
    "norm": lambda x: np.linalg.norm(x, axis=ONE),
    "cumsum": lambda x: x.cumsum(ONE),
    "swapaxes": lambda x: x.swapaxes(0, ONE),
    "transpose": lambda x: x.transpose(ONE, np.int64(0)),
    "moveaxis": lambda x: np.moveaxis(x, ONE, 0),
    "reshape": lambda x: x.reshape(np.int64(3), np.int64(2)),
    "reshape to one": lambda x: x.reshape(np.int64(6)),
    "expand_dims": lambda x: np.expand_dims(x, ONE),
    "squeeze": lambda x: x[:, :1].squeeze(ONE),
    "flip": lambda x: np.flip(x, ONE),
    "roll": lambda x: np.roll(x, ONE, axis=ONE),
    "concatenate": lambda x: np.concatenate([x, x], axis=ONE),
    "tensordot": lambda x: np.tensordot(x, x.T, axes=ONE),
    "take": lambda x: x.take(ONE, axis=ONE),
    "tile": lambda x: np.tile(x, ONE + 1),
    "split": lambda x: np.split(x, np.int64(3), axis=ONE)[1],
    "getitem": lambda x: x[ONE],
    "power": lambda x: x ** (ONE + 1),
}


@pytest.mark.parametrize("use", AXES.values(), ids=AXES.keys())
def test_axes_and_lengths_may_be_numpys_integers(use):
    np.testing.assert_array_equal(vjp(use, M)[0], use(M))
    check_grads(use, M, order=1)


def test_an_in_place_operator_makes_a_new_array_and_leaves_other_names_alone():
    def f(x):
        y = x
        y += 1.0
        return ops.sum(x * y)

    np.testing.assert_array_equal(grad(f)(M), M + (M + 1.0))


def test_a_sum_begun_with_a_number_may_be_added_to_in_place():
    def f(x):
        total = 0.0
        for row in x:
            total += row @ row
        return total

    np.testing.assert_array_equal(grad(f)(M), 2 * M)


def test_attributes_of_arrays_of_another_library_are_those_of_numpy(away):
    x = to_device(C, away, "float64")
    f = lambda x: (x.T * 2.0).reshape(6, 4).sum(axis=0)[1:].mean() + x.var()
    value, pullback = vjp(f, x)
    expected, back = vjp(f, C)
    np.testing.assert_allclose(to_host(value), expected, rtol=1e-14)
    np.testing.assert_allclose(to_host(pullback(ops.ones_like(value))[0]), back(np.ones(()))[0], rtol=1e-14)
