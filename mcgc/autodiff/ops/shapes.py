"""Linear operations on the layout of an array: casting, reshaping, repeating and summing, reordering.

The derivative of each is another of them: `sum` and `broadcast_to` are each other's.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from mcgc.arrays import Array, is_dtype, namespace_of
from mcgc.autodiff.engine import Primitive, Traced, strip
from mcgc.autodiff.ops.rows import countable, unary
from mcgc.errors import TraceError

COMPLEX = (
    "a complex number that depends on a traced array has no derivative here: compute with the real and the imaginary "
    "part instead"
)

# ---- shapes and dtypes of cotangents ----


def fit(cotangent: Array, like: Array) -> Array:
    """Sum a broadcast operation's cotangent down to the shape of its argument, in the argument's dtype."""
    if cotangent.dtype != like.dtype:
        cotangent = cast_back(cotangent, like.dtype)
    if cotangent.shape == like.shape:
        return cotangent
    extra = cotangent.ndim - like.ndim
    stretched = (extra + i for i, n in enumerate(like.shape) if n == 1 and cotangent.shape[extra + i] != 1)
    return reshape(_sum(cotangent, axis=(*range(extra), *stretched), keepdims=False), like.shape)


def cast_back(cotangent: Array, dtype: Any) -> Array:
    """Return a cotangent in the dtype of the argument that it belongs to.

    Raises `TraceError` if the cotangent is complex and the argument real.
    """
    if cotangent.dtype == dtype:
        return cotangent
    xp = namespace_of(strip(cotangent))
    if is_dtype(xp, cotangent.dtype, "complex floating") and not is_dtype(xp, dtype, "complex floating"):
        raise TraceError(COMPLEX)
    return astype(cotangent, dtype)


def normal_axes(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Return `axis` as a tuple of numbers in [0, ndim), all of them for None. Raises `TraceError` if out of range."""
    if axis is None:
        return tuple(range(ndim))
    given: Any = (axis,) if isinstance(axis, int) or not hasattr(axis, "__iter__") else tuple(axis)
    for a in given:
        if not -ndim <= a < ndim:
            choice = f"choose from {-ndim} to {ndim - 1}" if ndim else "it is a single number"
            raise TraceError(f"axis {a} does not exist in an array of {ndim} axes: {choice}")
    normal = tuple(a % ndim for a in given)
    if len(set(normal)) < len(normal):
        raise TraceError(f"the axes {given} name one of an array of {ndim} axes twice: name each once")
    return normal


def with_axes(reduced: Array, shape: Sequence[int], axis: Any, keepdims: bool) -> Array:
    """Return the result of reducing an array of `shape` over `axis` with the axes of length 1 that keepdims gives."""
    if keepdims:
        return reduced
    gone = normal_axes(axis, len(shape))
    return reshape(reduced, tuple(1 if i in gone else n for i, n in enumerate(shape)))


# ---- casting ----


def astype(x: Array, dtype: Any, /, *, copy: bool = True) -> Array:
    """Cast `x`; the cotangent is cast back. A cast to integers or booleans is piecewise constant: a plain array.

    Raises `TraceError` if a traced array is cast to complex numbers.
    """
    if type(x) is not Traced or is_dtype(namespace_of(strip(x)), dtype, "real floating"):
        return _astype(x, dtype=dtype)
    if is_dtype(namespace_of(strip(x)), dtype, "complex floating"):
        raise TraceError(COMPLEX)
    return _astype(strip(x), dtype=dtype)


_astype = unary(
    "astype",
    lambda out, x, dtype: lambda g: astype(g, x.dtype),
    lambda x, dtype: namespace_of(x).astype(x, dtype),
)


def zeros_like(x: Array) -> Array:
    """Return zeros of the shape, dtype and device of `x`, a constant."""
    plain = strip(x)
    return namespace_of(plain).zeros_like(plain)


def ones_like(x: Array) -> Array:
    """Return ones of the shape, dtype and device of `x`, a constant."""
    plain = strip(x)
    return namespace_of(plain).ones_like(plain)


# ---- reshaping ----

_reshape = unary(
    "reshape",
    lambda out, x, shape: lambda g: reshape(g, x.shape),
    lambda x, shape: namespace_of(x).reshape(x, shape),
)


def reshape(x: Array, shape: Sequence[int], /) -> Array:
    """Give `x` another shape with as many elements; one length may be −1, for what is left."""
    return _reshape(x, shape=tuple(shape))


def expand_dims(x: Array, /, *, axis: int) -> Array:
    """Insert an axis of length 1 at `axis`."""
    (axis,) = normal_axes(axis, x.ndim + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(x: Array, /, axis: int | Sequence[int]) -> Array:
    """Remove the axis or axes `axis`. Raises `TraceError` if one is not of length 1."""
    gone = normal_axes(axis, x.ndim)
    if any(x.shape[i] != 1 for i in gone):
        raise TraceError(f"squeeze can remove only an axis of length 1, axis {axis} of shape {x.shape} is longer")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in gone))


# ---- repeating and summing ----

_broadcast_to = unary(
    "broadcast_to",
    lambda out, x, shape: lambda g: fit(g, x),
    lambda x, shape: namespace_of(x).broadcast_to(x, shape),
)


def broadcast_to(x: Array, shape: Sequence[int], /) -> Array:
    """Repeat `x` along new or unit axes to the given shape."""
    return _broadcast_to(x, shape=tuple(shape))


def _summed(x: Array, axis: Any, keepdims: bool) -> Array:
    xp = namespace_of(x)
    return xp.sum(countable(xp, x), axis=axis, keepdims=keepdims)


_sum = unary(
    "sum",
    # a fresh array: its owner could not write to a broadcast view
    lambda out, x, axis, keepdims: lambda g: with_axes(g, x.shape, axis, keepdims) + zeros_like(x),
    _summed,
)


def sum(x: Array, /, *, axis: int | Sequence[int] | None = None, dtype: Any = None, keepdims: bool = False) -> Array:
    """Return Σ x over `axis` (all axes by default), in `dtype` if given.

    Otherwise floats stay in their dtype. Booleans and small integers are summed as the default integer, small unsigned
    integers as the default unsigned one.
    """
    if dtype is not None:
        return astype(sum(astype(x, dtype), axis=axis, keepdims=keepdims), dtype)
    return _sum(x, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=keepdims)


def _cumulated(x: Array, axis: int) -> Array:
    xp = namespace_of(x)
    return xp.cumulative_sum(countable(xp, x), axis=axis)


_cumulative_sum = unary(
    "cumulative_sum",
    lambda out, x, axis: lambda g: flip(cumulative_sum(flip(g, axis=axis), axis=axis), axis=axis),
    _cumulated,
)


def cumulative_sum(x: Array, /, *, axis: int | None = None, dtype: Any = None) -> Array:
    """Return the sums yᵢ = Σ_{j≤i} xⱼ along `axis`, which a vector need not name, in the dtype that `sum` has."""
    if axis is None and x.ndim != 1:
        raise TraceError(f"cumulative_sum of an array of {x.ndim} axes needs to be told along which: give axis")
    if dtype is not None:
        return astype(cumulative_sum(astype(x, dtype), axis=axis), dtype)
    (axis,) = normal_axes(-1 if axis is None else axis, x.ndim)
    return _cumulative_sum(x, axis=axis)


# ---- reordering ----

_permute_dims = unary(
    "permute_dims",
    lambda out, x, axes: lambda g: permute_dims(g, tuple(sorted(range(len(axes)), key=axes.__getitem__))),
    lambda x, axes: namespace_of(x).permute_dims(x, axes),
)


def permute_dims(x: Array, axes: Sequence[int], /) -> Array:
    """Reorder the axes of `x`: axis i of the result is axis `axes[i]` of `x`."""
    return _permute_dims(x, axes=normal_axes(axes, x.ndim))


def transpose(x: Array, axes: Sequence[int] | None = None, /) -> Array:
    """Reorder the axes of `x`, to their reverse by default."""
    return permute_dims(x, range(x.ndim)[::-1] if axes is None else axes)


def moveaxis(x: Array, source: int | Sequence[int], destination: int | Sequence[int], /) -> Array:
    """Move the axes `source` of `x` to the positions `destination`; the others stay in their order."""
    to = dict(zip(normal_axes(destination, x.ndim), normal_axes(source, x.ndim), strict=True))
    others = iter(i for i in range(x.ndim) if i not in to.values())
    return permute_dims(x, [to[i] if i in to else next(others) for i in range(x.ndim)])


def matrix_transpose(x: Array, /) -> Array:
    """Exchange the last two axes of `x`."""
    return permute_dims(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)) if type(x) is Traced else x.mT


_flip = unary(
    "flip",
    lambda out, x, axis: lambda g: flip(g, axis=axis),
    lambda x, axis: namespace_of(x).flip(x, axis=axis),
)


def flip(x: Array, /, *, axis: int | Sequence[int] | None = None) -> Array:
    """Reverse the order of the elements along `axis` (all axes by default)."""
    return _flip(x, axis=normal_axes(axis, x.ndim))


_roll: Primitive = unary(
    "roll",
    lambda out, x, shift, axis: lambda g: _roll(g, shift=tuple(-n for n in shift), axis=axis),
    lambda x, shift, axis: namespace_of(x).roll(x, shift, axis=axis),
)


def roll(x: Array, /, shift: int | Sequence[int], *, axis: int | Sequence[int] | None = None) -> Array:
    """Move elements by `shift` positions along `axis`, around the end; without an axis, as if `x` were flat."""
    if axis is None:
        return reshape(roll(reshape(x, (-1,)), shift, axis=0), x.shape)
    axes = normal_axes(axis, x.ndim)
    return _roll(x, shift=tuple(shift) if isinstance(shift, Iterable) else (shift,) * len(axes), axis=axes)
