"""Every operation with its derivative: one short row each, named as in the Python array API standard.

A row is a forward function of plain arrays and, for each argument, a rule that takes the output and the arguments
and returns the map from the output's cotangent to the argument's. Rules use operators and these same operations,
so they can be differentiated again. Functions work alike on plain and on traced arrays, which makes this module
the array namespace of traced arrays: code written against the standard differentiates as it stands.
"""

import math
import operator
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff.engine import JointPrimitive, Primitive, Traced, strip
from mcgc.errors import TraceError

# ---- shapes and dtypes of cotangents ----


def _fit(cotangent: Array, like: Array) -> Array:
    """Sum a broadcast operation's cotangent down to the shape of its argument, in the argument's dtype."""
    if cotangent.dtype != like.dtype:
        cotangent = astype(cotangent, like.dtype)
    if cotangent.shape == like.shape:
        return cotangent
    extra = cotangent.ndim - like.ndim
    stretched = (extra + i for i, n in enumerate(like.shape) if n == 1 and cotangent.shape[extra + i] != 1)
    return reshape(sum(cotangent, axis=(*range(extra), *stretched)), like.shape)


def _named(name: str) -> Callable:
    """Return the forward function that calls the standard's function `name` of the arrays' own namespace."""
    return lambda *args, **options: getattr(namespace_of(*args), name)(*args, **options)


def _unary(name: str, rule: Callable, forward: Callable | None = None) -> Primitive:
    return Primitive(name, forward or _named(name), (rule,))


def _binary(name: str, forward: Callable, rule_x: Callable, rule_y: Callable) -> Primitive:
    """Make an elementwise operation of two arguments; its rules map (g, out, x, y) to the unsummed cotangent."""
    return Primitive(
        name,
        forward,
        (
            lambda out, x, y: lambda g: _fit(rule_x(g, out, x, y), x),
            lambda out, x, y: lambda g: _fit(rule_y(g, out, x, y), y),
        ),
    )


def _constant(name: str) -> Callable:
    """Return a piecewise constant function: plain arrays in and out, traced ones stripped."""
    forward = _named(name)
    return lambda *args, **options: forward(*(strip(arg) for arg in args), **options)


# ---- elementwise, two arguments ----

add = _binary("add", operator.add, lambda g, out, x, y: g, lambda g, out, x, y: g)
subtract = _binary("subtract", operator.sub, lambda g, out, x, y: g, lambda g, out, x, y: -g)
multiply = _binary("multiply", operator.mul, lambda g, out, x, y: g * y, lambda g, out, x, y: g * x)
divide = _binary("divide", operator.truediv, lambda g, out, x, y: g / y, lambda g, out, x, y: -g * out / y)
pow = _binary(
    "pow",
    operator.pow,
    lambda g, out, x, y: g * y * x ** _where_nonzero(y, y - 1, 1),
    lambda g, out, x, y: g * out * _log_positive(x),
)
maximum = _binary(
    "maximum",
    _named("maximum"),
    lambda g, out, x, y: g * _share(x, y, operator.gt),
    lambda g, out, x, y: g * _share(y, x, operator.gt),
)
minimum = _binary(
    "minimum",
    _named("minimum"),
    lambda g, out, x, y: g * _share(x, y, operator.lt),
    lambda g, out, x, y: g * _share(y, x, operator.lt),
)


def _where_nonzero(y: Any, then: Any, otherwise: float) -> Any:
    """Return `then` where the exponent `y` is not zero: x⁰ has derivative 0, not 0/0, at x = 0."""
    if isinstance(y, int | float):
        return then if y != 0 else otherwise
    return where(strip(y) != 0, then, otherwise)


def _log_positive(x: Any) -> Any:
    """Return log x, or 0 where the base x of a power is not positive: there the exponent has no derivative."""
    if isinstance(x, int | float):
        return math.log(x) if x > 0 else 0.0
    return log(where(strip(x) > 0, x, 1))


def _share(x: Any, y: Any, wins: Callable) -> Array:
    """Return 1 where `x` beats `y`, ½ where they tie, 0 elsewhere, in the floating dtype of the two."""
    x, y = strip(x), strip(y)
    xp = namespace_of(x, y)
    dtype = next(z.dtype for z in (x, y) if not isinstance(z, int | float))
    return (xp.astype(wins(x, y), dtype) + xp.astype(wins(x, y) | (x == y), dtype)) / 2


# ---- elementwise, one argument ----

negative = _unary("negative", lambda out, x: lambda g: -g, operator.neg)
square = _unary("square", lambda out, x: lambda g: g * (2 * x), lambda x: x * x)
exp = _unary("exp", lambda out, x: lambda g: g * out)
expm1 = _unary("expm1", lambda out, x: lambda g: g * (out + 1))
log = _unary("log", lambda out, x: lambda g: g / x)
log1p = _unary("log1p", lambda out, x: lambda g: g / (1 + x))
sqrt = _unary("sqrt", lambda out, x: lambda g: g / (2 * out))
abs = _unary("abs", lambda out, x: lambda g: g * sign(x))
sin = _unary("sin", lambda out, x: lambda g: g * cos(x))
cos: Primitive = _unary("cos", lambda out, x: lambda g: -g * sin(x))
tanh = _unary("tanh", lambda out, x: lambda g: g * (1 - out * out))
relu = _unary("relu", lambda out, x: lambda g: where(strip(x) > 0, g, 0), lambda x: namespace_of(x).maximum(x, 0))

sign: Callable = _constant("sign")
isfinite = _constant("isfinite")
argmax = _constant("argmax")


def astype(x: Array, dtype: Any, /, *, copy: bool = True) -> Array:
    """Cast `x`; the cotangent is cast back. A cast to integers or booleans is piecewise constant: a plain array."""
    if type(x) is not Traced or namespace_of(strip(x)).isdtype(dtype, "real floating"):
        return _astype(x, dtype=dtype)
    return _astype(strip(x), dtype=dtype)


_astype = Primitive(
    "astype",
    lambda x, dtype: namespace_of(x).astype(x, dtype),
    (lambda out, x, dtype: lambda g: astype(g, x.dtype),),
)


def where(condition: Array, x: Array, y: Array, /) -> Array:
    """Choose elements of `x` where `condition` holds, of `y` elsewhere; `condition` is a constant."""
    return _where(strip(condition), x, y)


def _choose(condition: Array, x: Any, y: Any) -> Array:
    xp = namespace_of(condition)
    dtype = next((z.dtype for z in (x, y) if hasattr(z, "dtype")), None)
    return xp.where(condition, *(_filled(z, dtype, condition) if isinstance(z, int | float) else z for z in (x, y)))


def _filled(value: float, dtype: Any, condition: Array) -> Array:
    return namespace_of(condition).asarray(value, dtype=dtype, device=device_of(condition))


_where = Primitive(
    "where",
    _choose,
    (
        None,
        lambda out, c, x, y: lambda g: _fit(where(c, g, 0), x),
        lambda out, c, x, y: lambda g: _fit(where(c, 0, g), y),
    ),
)


# ---- reductions ----


def _axes(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in ((axis,) if isinstance(axis, int) else axis))


def _spread(g: Array, x: Array, axis: Any, keepdims: bool) -> Array:
    """Give every element of `x` the cotangent of the reduction it went into."""
    if not keepdims:
        reduced = _axes(axis, x.ndim)
        g = reshape(g, tuple(1 if i in reduced else n for i, n in enumerate(x.shape)))
    return g + zeros_like(x)  # a fresh array: its owner could not write to a broadcast view


_sum = Primitive(
    "sum",
    lambda x, axis, keepdims: namespace_of(x).sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype),
    (lambda out, x, axis, keepdims: lambda g: _spread(g, x, axis, keepdims),),
)


def sum(x: Array, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """Sum over `axis` (all axes by default), in the dtype of `x`."""
    return _sum(x, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=keepdims)


def mean(x: Array, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """Average over `axis` (all axes by default)."""
    count = math.prod(x.shape[i] for i in _axes(axis, x.ndim))
    return sum(x, axis=axis, keepdims=keepdims) / count


def _logsumexp_forward(x: Array, axis: int) -> Array:
    xp = namespace_of(x)
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    return xp.log(xp.sum(xp.exp(x - top), axis=axis)) + xp.squeeze(top, axis=axis)


_logsumexp = Primitive(
    "logsumexp",
    _logsumexp_forward,
    (lambda out, x, axis: lambda g: expand_dims(g, axis=axis) * softmax(x, axis=axis),),
)


def logsumexp(x: Array, /, *, axis: int = -1) -> Array:
    """Return log Σ exp x along `axis`, without overflow."""
    return _logsumexp(x, axis=axis)


def log_softmax(x: Array, /, *, axis: int = -1) -> Array:
    """Return x − log Σ exp x along `axis`."""
    return x - expand_dims(logsumexp(x, axis=axis), axis=axis)


def softmax(x: Array, /, *, axis: int = -1) -> Array:
    """Return exp x / Σ exp x along `axis`."""
    return exp(log_softmax(x, axis=axis))


# ---- products ----

_matmul = Primitive(
    "matmul",
    operator.matmul,
    (
        lambda out, x, y: lambda g: _fit(g @ matrix_transpose(y), x),
        lambda out, x, y: lambda g: _fit(matrix_transpose(x) @ g, y),
    ),
)


def matmul(x: Array, y: Array, /) -> Array:
    """Multiply matrices, or stacks of them; a vector is a row on the left and a column on the right."""
    row, column = x.ndim == 1, y.ndim == 1
    out = _matmul(expand_dims(x, axis=0) if row else x, expand_dims(y, axis=1) if column else y)
    if column:
        out = squeeze(out, axis=-1)
    return squeeze(out, axis=out.ndim - (1 if column else 2)) if row else out


def vecdot(x: Array, y: Array, /, *, axis: int = -1) -> Array:
    """Return Σ x y along `axis`."""
    return sum(x * y, axis=axis)


# ---- shapes ----

_reshape = Primitive(
    "reshape",
    lambda x, shape: namespace_of(x).reshape(x, shape),
    (lambda out, x, shape: lambda g: reshape(g, x.shape),),
)


def reshape(x: Array, shape: Sequence[int], /) -> Array:
    """Give `x` another shape with as many elements."""
    return _reshape(x, shape=tuple(shape))


_permute_dims = Primitive(
    "permute_dims",
    lambda x, axes: namespace_of(x).permute_dims(x, axes),
    (lambda out, x, axes: lambda g: permute_dims(g, _inverse(axes)),),
)


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=lambda i: axes[i] % len(axes)))


def permute_dims(x: Array, axes: Sequence[int], /) -> Array:
    """Reorder the axes of `x`."""
    return _permute_dims(x, axes=tuple(axes))


def matrix_transpose(x: Array, /) -> Array:
    """Exchange the last two axes of `x`."""
    return permute_dims(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)) if type(x) is Traced else x.mT


_broadcast_to = Primitive(
    "broadcast_to",
    lambda x, shape: namespace_of(x).broadcast_to(x, shape),
    (lambda out, x, shape: lambda g: _fit(g, x),),
)


def broadcast_to(x: Array, shape: Sequence[int], /) -> Array:
    """Repeat `x` along new or unit axes to the given shape."""
    return _broadcast_to(x, shape=tuple(shape))


def expand_dims(x: Array, /, *, axis: int) -> Array:
    """Insert an axis of length 1 at `axis`."""
    place = axis % (x.ndim + 1)
    return reshape(x, (*x.shape[:place], 1, *x.shape[place:]))


def squeeze(x: Array, /, axis: int) -> Array:
    """Remove the axis `axis`, of length 1."""
    place = axis % x.ndim
    if x.shape[place] != 1:
        raise TraceError(f"squeeze can remove only an axis of length 1, axis {axis} of shape {x.shape} is longer")
    return reshape(x, (*x.shape[:place], *x.shape[place + 1 :]))


# ---- joining and parting ----


def _concat_rule(out: Array, *parts: Array, axis: int) -> Callable:
    sizes = tuple(part.shape[axis] for part in parts)
    return lambda g: split(g, sizes, axis=axis)


_concat = JointPrimitive("concat", lambda *parts, axis: namespace_of(*parts).concat(parts, axis=axis), (_concat_rule,))


def concat(parts: Sequence[Array], /, *, axis: int = 0) -> Array:
    """Join arrays along an existing axis."""
    return _concat(*parts, axis=axis)


def stack(parts: Sequence[Array], /, *, axis: int = 0) -> Array:
    """Join arrays of one shape along a new axis."""
    return concat([expand_dims(part, axis=axis) for part in parts], axis=axis)


def _cut(x: Array, sizes: tuple[int, ...], axis: int) -> tuple:
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    head = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*head, slice(a, b), ...)] for a, b in pairwise(starts))


def _split_rule(out: tuple, x: Array, sizes: tuple[int, ...], axis: int) -> Callable:
    def pull(*cotangents: Any) -> tuple:
        filled = [zeros_like(part) if g is None else g for g, part in zip(cotangents, out, strict=True)]
        return (concat(filled, axis=axis),)

    return pull


_split = JointPrimitive("split", _cut, (_split_rule,))


def split(x: Array, sizes: Sequence[int], /, *, axis: int = 0) -> tuple:
    """Part `x` along `axis` into pieces of the given sizes, which add up to its length: the inverse of `concat`."""
    return _split(x, sizes=tuple(sizes), axis=axis)


def zeros_like(x: Array) -> Array:
    """Return zeros of the shape, dtype and device of `x`, a constant."""
    plain = strip(x)
    return namespace_of(plain).zeros_like(plain)


def ones_like(x: Array) -> Array:
    """Return ones of the shape, dtype and device of `x`, a constant."""
    plain = strip(x)
    return namespace_of(plain).ones_like(plain)


# ---- indexing ----


def _is_basic(key: tuple) -> bool:
    return all(entry is None or entry is ... or isinstance(entry, int | slice) for entry in key)


def getitem(x: Array, key: Any, /) -> Array:
    """Return `x[key]` for a key of integers, slices, None and an ellipsis."""
    key = key if isinstance(key, tuple) else (key,)
    if not _is_basic(key):
        raise TraceError("a traced array can be indexed with integers, slices, None and ...; for others use where")
    return _getitem(x, key=key if ... in key else (*key, ...))


def _embed(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    out = namespace_of(g).zeros(shape, dtype=g.dtype, device=device_of(g))
    place = tuple(entry for entry in key if entry is not None)  # assignment takes no new axes
    out[place] = namespace_of(g).reshape(g, out[place].shape)
    return out


_getitem = Primitive(
    "getitem",
    lambda x, key: x[key],
    (lambda out, x, key: lambda g: _scatter(g, key=key, shape=x.shape),),
)
_scatter: Primitive = Primitive(
    "scatter",
    _embed,
    (lambda out, g, key, shape: lambda h: _getitem(h, key=key),),
)

# ---- the operators of traced arrays ----


def _install_operators() -> None:
    for symbol, function in {
        "add": add,
        "sub": subtract,
        "mul": multiply,
        "truediv": divide,
        "pow": pow,
        "matmul": matmul,
    }.items():
        setattr(Traced, f"__{symbol}__", lambda self, other, f=function: f(self, other))
        setattr(Traced, f"__r{symbol}__", lambda self, other, f=function: f(other, self))
    for symbol in ("lt", "le", "gt", "ge", "eq", "ne"):  # piecewise constant: plain arrays of booleans
        compare = getattr(operator, symbol)
        setattr(Traced, f"__{symbol}__", lambda self, other, f=compare: f(strip(self), strip(other)))
    for name, unary in {"__neg__": negative, "__pos__": lambda x: x, "__abs__": abs}.items():
        setattr(Traced, name, lambda self, f=unary: f(self))
    for name, member in {
        "__getitem__": getitem,
        "T": property(matrix_transpose),
        "mT": property(matrix_transpose),
    }.items():
        setattr(Traced, name, member)


_install_operators()
