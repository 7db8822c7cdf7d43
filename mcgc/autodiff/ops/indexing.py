"""Selecting elements: indexing, taking by numbers or masks, sorting.

What selects elements also selects their positions. So one rule serves every selection: select among the numbers
0 … n − 1 instead of the n elements, and add each cotangent at the position that was found.
"""

from collections.abc import Callable
from typing import Any

from mcgc.arrays import Array, device_of, namespace_of, scatter_add
from mcgc.autodiff.engine import Primitive, strip
from mcgc.autodiff.ops.rows import constant, unary
from mcgc.autodiff.ops.shapes import normal_axes
from mcgc.errors import TraceError


def selection(name: str, select: Callable[..., Any]) -> Primitive:
    """Make the operation `select(x, **options)`, which returns some of the elements of `x`, in any order and number."""

    def add_up(g: Array, shape: tuple[int, ...], options: dict) -> Array:
        xp = namespace_of(g)
        size = xp.zeros(shape, dtype=g.dtype, device=device_of(g)).size
        indices = select(xp.reshape(xp.arange(size, device=device_of(g)), shape), **options)
        return xp.reshape(scatter_add(xp.reshape(g, (-1,)), xp.reshape(indices, (-1,)), size), shape)

    back = unary(f"{name}_back", lambda out, g, shape, options: lambda h: operation(h, **options), add_up)
    operation = unary(name, lambda out, x, **options: lambda g: back(g, shape=x.shape, options=options), select)
    return operation


# ---- by a key ----


def getitem(x: Array, key: Any, /) -> Array:
    """Return `x[key]`, for any key that the arrays' own library takes.

    With integers, slices, None and an ellipsis this is a view, as there. Arrays of integers may repeat a position,
    and the derivative adds up; arrays of booleans are masks.
    """
    key = key if isinstance(key, tuple) else (key,)
    for entry in key:
        if not (entry is None or entry is ... or isinstance(entry, int | slice)):
            return _gather(x, key=key)
    return _getitem(x, key=key if ... in key else (*key, ...))


def _embed(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    out = namespace_of(g).zeros(shape, dtype=g.dtype, device=device_of(g))
    if None in key:  # assignment takes no new axes
        key = tuple(entry for entry in key if entry is not None)
        g = namespace_of(g).reshape(g, out[key].shape)
    out[key] = g
    return out


_getitem = unary(
    "getitem", lambda out, x, key: lambda g: _getitem_back(g, key=key, shape=x.shape), lambda x, key: x[key]
)
_getitem_back: Primitive = unary("getitem_back", lambda out, g, key, shape: lambda h: _getitem(h, key=key), _embed)
_gather = selection("getitem", lambda x, key: x[key])

# ---- by number ----

_take = selection("take", lambda x, indices, axis: namespace_of(x).take(x, indices, axis=axis))
_take_along_axis = selection(
    "take_along_axis", lambda x, indices, axis: namespace_of(x).take_along_axis(x, indices, axis=axis)
)


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """Return the elements at `indices`, integers of shape (k,), along `axis`, which a vector need not name."""
    if axis is None and x.ndim != 1:
        raise TraceError(f"take from an array of {x.ndim} axes needs to be told along which: give axis")
    return _take(x, indices=indices, axis=0 if axis is None else axis)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """Return the elements at `indices` along `axis`, which differ along the other axes, as those of `argsort` do."""
    return _take_along_axis(x, indices=indices, axis=axis)


_diagonal = selection("diagonal", lambda x, offset: namespace_of(x).linalg.diagonal(x, offset=offset))


def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    """Return xᵢᵢ of matrices of shape (..., n, m), on the diagonal `offset` above the main one."""
    return _diagonal(x, offset=offset)


# ---- in order ----

_argsort = constant("argsort")


def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """Return the integers that sort `x` along `axis`; equal elements stay in their order, ascending and descending.

    NaN counts as larger than every number: it is last, or with `descending` first.
    """
    x = strip(x)
    (axis,) = normal_axes(axis, x.ndim)
    if not descending:
        return _argsort(x, axis=axis, stable=stable)
    xp = namespace_of(x)
    backwards = xp.argsort(xp.flip(x, axis=axis), axis=axis, stable=stable)  # −x would overflow, or wrap around
    return xp.flip(x.shape[axis] - 1 - backwards, axis=axis)


def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """Return `x` sorted along `axis`; of equal elements the derivative is that of the one that came first, first."""
    return take_along_axis(x, argsort(x, axis=axis, descending=descending, stable=stable), axis=axis)
