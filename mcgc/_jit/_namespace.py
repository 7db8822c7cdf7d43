"""The functions of the array API standard on symbolic arrays, as far as `mcgc.ops` and its rules use them."""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from math import e, inf, nan, pi
from typing import Any

import numpy as np
from numpy import bool, finfo, float32, float64, int64, isdtype  # noqa: F401 (names of the standard)

from mcgc._jit import _array
from mcgc._jit._array import Symbolic, as_nodes, known, mapped, symbolic
from mcgc._jit._graph import BOOL, FLOATS, INT, Node, graph
from mcgc.errors import TraceError

__all__ = ["e", "inf", "nan", "pi"]

Axis = int | Sequence[int] | None


def common(args: Sequence[Any]) -> np.dtype:
    """Return the dtype of arithmetic with `args`; numbers of Python take that of the arrays, if it holds them."""
    return np.result_type(*(_WEAK[x.dtype] if _is_weak(x) else getattr(x, "dtype", x) for x in args))


_WEAK: dict = {**dict.fromkeys(FLOATS, 0.0), INT: 0, BOOL: False}


def _is_weak(x: Any) -> Any:
    return type(x) is Symbolic and x.weak


def _weak(args: Sequence[Any]) -> list:
    """Tell whether all of `args` are numbers of Python, and one of them is not known yet."""
    strong = [x for x in args if not _is_weak(x) and type(x) not in (int, float)]
    return [] if strong else [x for x in args if _is_weak(x)]


def _operation(name: str, result: Callable[[np.dtype], np.dtype] | None = None, floats: Any = False) -> Callable:
    """Make an elementwise function: `result` is its dtype from that of its operands, which `floats` makes float."""

    def function(*args: Any) -> Symbolic:
        dtype = common(args)
        if floats and dtype not in FLOATS:
            dtype = FLOATS[1]
        out, apply = result(dtype) if result else dtype, graph().apply
        nodes = mapped(lambda *nodes: apply(name, out, *nodes), *(symbolic(x, dtype).nodes for x in args))
        return Symbolic(nodes, out, weak=len(_weak(args)) > 0)

    function.__name__ = name
    return function


def _truth(dtype: np.dtype) -> np.dtype:
    return BOOL


def _number(dtype: np.dtype) -> np.dtype:
    return INT if dtype == BOOL else dtype


def _no_truth(dtype: np.dtype) -> np.dtype:
    if dtype == BOOL:
        raise TypeError("truth values are not subtracted: choose by mcgc.ops.where, or compare with ^ and ~")
    return dtype


add, multiply = _operation("add"), _operation("multiply")
subtract, negative = _operation("subtract", _no_truth), _operation("negative", _no_truth)
divide = _operation("divide", floats=True)
remainder, floor_divide = _operation("remainder"), _operation("floor_divide")
atan2, hypot = _operation("atan2", floats=True), _operation("hypot", floats=True)
maximum, minimum = _operation("maximum"), _operation("minimum")
equal, not_equal = _operation("equal", _truth), _operation("not_equal", _truth)
less, less_equal = _operation("less", _truth), _operation("less_equal", _truth)
greater, greater_equal = _operation("greater", _truth), _operation("greater_equal", _truth)
abs, sign = _operation("abs"), _operation("sign")
sqrt, exp, expm1 = (_operation(name, floats=True) for name in ("sqrt", "exp", "expm1"))
log, log1p, log2, log10 = (_operation(name, floats=True) for name in ("log", "log1p", "log2", "log10"))
sin, cos, tan = (_operation(name, floats=True) for name in ("sin", "cos", "tan"))
asin, acos, atan = (_operation(name, floats=True) for name in ("asin", "acos", "atan"))
erf, cbrt = _operation("erf", floats=True), _operation("cbrt", floats=True)
sinh, cosh, tanh = (_operation(name, floats=True) for name in ("sinh", "cosh", "tanh"))
asinh, acosh, atanh = (_operation(name, floats=True) for name in ("asinh", "acosh", "atanh"))


_power = _operation("power", _number)


def pow(x: Any, y: Any) -> Symbolic:
    if common((x, y)) not in FLOATS:
        exponents = known(symbolic(y))
        if exponents is None:
            raise TraceError(
                "mcgc.jit takes no integer to the power of an integer that is not known while it traces, since it may "
                "be negative: make one a float, or declare the argument in static_argnums"
            )
        if (exponents < 0).any():
            raise ValueError("integers have no negative powers: make them floats")
    return _power(x, y)


power = pow


def _whole(name: str) -> Callable:
    apply = _operation(name)

    def function(x: Any) -> Symbolic:
        x = symbolic(x)
        return apply(x) if x.dtype in FLOATS else x

    return function


floor, ceil, trunc, _nearest = map(_whole, ("floor", "ceil", "trunc", "round"))


def round(x: Any, decimals: int = 0) -> Symbolic:
    """Round as NumPy does, whose decimals are those of a multiple."""
    scale = 10.0**decimals if decimals else 1
    return divide(_nearest(multiply(x, scale)), scale) if decimals else _nearest(x)


def positive(x: Any) -> Symbolic:
    return symbolic(x)


def square(x: Any) -> Symbolic:
    return multiply(x, x)


def reciprocal(x: Any) -> Symbolic:
    return divide(1, x)


def isnan(x: Any) -> Symbolic:
    return not_equal(x, x)


def isinf(x: Any) -> Symbolic:
    return equal(abs(x), inf) if symbolic(x).dtype in FLOATS else zeros(symbolic(x).shape, dtype=BOOL)


def isfinite(x: Any) -> Symbolic:
    return less(abs(x), inf) if symbolic(x).dtype in FLOATS else ones(symbolic(x).shape, dtype=BOOL)


def logaddexp(x: Any, y: Any) -> Symbolic:
    """Return log(eˣ + eʸ); equal infinities have no difference."""
    top = maximum(x, y)
    gap = where(equal(x, y), 0, negative(abs(subtract(x, y))))
    return add(top, log1p(exp(gap)))


def _logical(name: str) -> Callable:
    apply = _operation(name, _truth)

    def function(*args: Any) -> Symbolic:
        given = [symbolic(x) for x in args]
        if [x for x in given if x.dtype != BOOL]:
            raise TraceError(f"mcgc.jit takes {name} of truth values alone: compare with 0 first")
        return apply(*given)

    return function


logical_and, logical_or, logical_not = map(_logical, ("and", "or", "not"))


def logical_xor(x: Any, y: Any) -> Symbolic:
    return not_equal(x, y)


def clip(x: Any, min: Any = None, max: Any = None) -> Symbolic:
    x = x if min is None else maximum(x, min)
    return x if max is None else minimum(x, max)


def where(condition: Any, x: Any, y: Any) -> Symbolic:
    condition, dtype, apply = astype(symbolic(condition), BOOL), common((x, y)), graph().apply
    choose = lambda c, a, b: apply("where", dtype, c, a, b)
    return Symbolic(mapped(choose, condition.nodes, symbolic(x, dtype).nodes, symbolic(y, dtype).nodes), dtype)


# ---- making ----


def asarray(x: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Symbolic:
    made = symbolic(x, dtype)
    return Symbolic(made.nodes.copy(), made.dtype) if copy else made


def full(shape: Any, value: Any, *, dtype: Any = None, device: Any = None) -> Symbolic:
    one = symbolic(value, dtype)
    nodes = np.empty(shape, object)
    nodes[...] = one.nodes
    return Symbolic(nodes, one.dtype)


def zeros(shape: Any, *, dtype: Any = FLOATS[1], device: Any = None) -> Symbolic:
    return full(shape, 0, dtype=dtype)


empty = zeros


def ones(shape: Any, *, dtype: Any = FLOATS[1], device: Any = None) -> Symbolic:
    return full(shape, 1, dtype=dtype)


def full_like(x: Symbolic, value: Any, *, dtype: Any = None, device: Any = None) -> Symbolic:
    return full(x.shape, value, dtype=dtype or x.dtype)


def zeros_like(x: Symbolic, *, dtype: Any = None, device: Any = None) -> Symbolic:
    return full_like(x, 0, dtype=dtype)


empty_like = zeros_like


def ones_like(x: Symbolic, *, dtype: Any = None, device: Any = None) -> Symbolic:
    return full_like(x, 1, dtype=dtype)


def eye(n: int, m: int | None = None, *, k: int = 0, dtype: Any = FLOATS[1], device: Any = None) -> Symbolic:
    return symbolic(np.eye(n, m, k, dtype=dtype))


def arange(start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Symbolic:
    return symbolic(np.arange(*((start,) if stop is None else (start, stop, step)), dtype=dtype))


def linspace(start: Any, stop: Any, num: int, *, dtype: Any = None, device: Any = None) -> Symbolic:
    return symbolic(np.linspace(start, stop, num, dtype=dtype))


def astype(x: Any, dtype: Any, /, *, copy: Any = True) -> Symbolic:
    return symbolic(x, np.dtype(dtype))


# ---- layout ----


def _layout(name: str) -> Callable:
    move = getattr(np, name)
    return lambda x, *args, **options: Symbolic(as_nodes(move(symbolic(x).nodes, *args, **options)), symbolic(x).dtype)


reshape, broadcast_to, permute_dims, repeat = map(_layout, ("reshape", "broadcast_to", "transpose", "repeat"))
flip, roll, squeeze, expand_dims = map(_layout, ("flip", "roll", "squeeze", "expand_dims"))
moveaxis, matrix_transpose = map(_layout, ("moveaxis", "matrix_transpose"))


def _joined(join: Callable) -> Callable:
    def function(parts: Sequence[Any], /, *, axis: int = 0) -> Symbolic:
        dtype = common(parts)
        return Symbolic(join([symbolic(part, dtype).nodes for part in parts], axis=axis), dtype)

    return function


concat, stack = _joined(np.concatenate), _joined(np.stack)


def _chosen(indices: Any) -> np.ndarray:
    found = known(indices)
    if found is None:
        raise TraceError(
            "mcgc.jit cannot take elements by numbers that are not known while it traces: choose by mcgc.ops.where"
        )
    return found


def nonzero(x: Any, /) -> tuple[Symbolic, ...]:
    return tuple(map(symbolic, np.nonzero(_chosen(x))))


def tril(x: Any, /, *, k: int = 0) -> Symbolic:
    return where(np.tri(x.shape[-2], x.shape[-1], k, BOOL), x, 0)


def triu(x: Any, /, *, k: int = 0) -> Symbolic:
    return where(np.tri(x.shape[-2], x.shape[-1], k - 1, BOOL), 0, x)


def take(x: Symbolic, indices: Any, /, *, axis: int | None = None) -> Symbolic:
    return Symbolic(as_nodes(np.take(x.nodes, _chosen(indices), axis=axis)), x.dtype)


def take_along_axis(x: Symbolic, indices: Any, /, *, axis: int = -1) -> Symbolic:
    return Symbolic(np.take_along_axis(x.nodes, _chosen(indices), axis), x.dtype)


def argsort(x: Any, /, *, axis: int = -1, descending: Any = False, stable: Any = True) -> Symbolic:
    found = known(x)
    if found is None:
        raise TraceError("mcgc.jit cannot sort values that are not known while it traces: sort outside of it")
    return symbolic(np.argsort(-found if descending else found, axis=axis, stable=True))


def searchsorted(x: Any, values: Any, /, *, side: Any = "left") -> Symbolic:
    return symbolic(np.searchsorted(_chosen(x), _chosen(values), side=side))


# ---- reductions ----


def _folded(x: Symbolic, axis: Axis, keepdims: Any, op: Callable[[Node, Node], Node], start: Node | None) -> np.ndarray:
    """Fold the elements of `x` over `axis`, from the first to the last."""
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis) % x.ndim) if x.ndim else ()
    rest = [i for i in range(x.ndim) if i not in axes]
    rows = np.transpose(x.nodes, (*rest, *axes)).reshape((*(x.shape[i] for i in rest), -1))
    count = math.prod(x.shape[i] for i in axes)
    if count == 0 and start is None:
        raise ValueError("zero-size array to reduction operation which has no identity")
    out = np.empty(rows.shape[:-1], object)
    for index in np.ndindex(out.shape):
        row = list(rows[index])
        out[index] = reduce(op, row) if row else start
    return out.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else out


def _reduction(name: str, start: Any = None, result: Callable[[np.dtype], np.dtype] | None = None) -> Callable:
    def function(x: Any, /, axis: Axis = None, *, keepdims: Any = False, dtype: Any = None) -> Symbolic:
        x = symbolic(x, dtype)
        out = result(x.dtype) if result else x.dtype
        x, apply = symbolic(x, out), graph().apply
        first = None if start is None else graph().constant(start, out)
        return Symbolic(_folded(x, axis, keepdims, lambda a, b: apply(name, out, a, b), first), out)

    return function


sum, prod = _reduction("add", 0, _number), _reduction("multiply", 1, _number)
max, min = _reduction("maximum"), _reduction("minimum")
all, any = _reduction("and", True, _truth), _reduction("or", False, _truth)


def mean(x: Any, /, *, axis: Axis = None, keepdims: Any = False) -> Symbolic:
    total = sum(x, axis=axis, keepdims=keepdims)
    return divide(total, symbolic(x).size // total.size)


def cumulative_sum(x: Any, /, *, axis: int | None = None) -> Symbolic:
    x, apply = symbolic(x), graph().apply
    out = np.moveaxis(x.nodes.copy(), -1 if axis is None else axis, 0)
    for i in range(1, len(out)):
        out[i, ...] = mapped(lambda a, b: apply("add", x.dtype, a, b), out[i - 1], out[i])
    return Symbolic(np.moveaxis(out, 0, -1 if axis is None else axis), x.dtype)


def _extreme(better: Callable) -> Callable:
    def function(x: Any, /, axis: int | None = None, *, keepdims: Any = False) -> Symbolic:
        x = symbolic(x)
        flat = reshape(x, (-1,)) if axis is None else moveaxis(x, axis, 0)
        best, index = flat[0], zeros(flat.shape[1:], dtype=INT)
        for i in range(1, flat.shape[0]):
            wins = logical_and(logical_or(better(flat[i], best), isnan(flat[i])), logical_not(isnan(best)))
            best, index = where(wins, flat[i], best), where(wins, i, index)
        if not keepdims:
            return index
        return reshape(index, (1,) * x.ndim) if axis is None else expand_dims(index, axis)

    return function


argmax, argmin = _extreme(greater), _extreme(less)

# ---- products ----


def matmul(x: Any, y: Any) -> Symbolic:
    x, y = symbolic(x), symbolic(y)
    row, column = x.ndim == 1, y.ndim == 1
    a, b = x[None, :] if row else x, y[:, None] if column else y
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul: shapes {x.shape} and {y.shape} do not fit")
    out = sum(multiply(a[..., :, :, None], b[..., None, :, :]), axis=-2)
    out = out[..., 0] if column else out
    return out[..., 0, :] if row and not column else out[..., 0] if row else out


class _Info:
    @staticmethod
    def default_device() -> str:
        return "cpu"


def __array_namespace_info__() -> _Info:
    return _Info()


_array.install(__import__("sys").modules[__name__])
