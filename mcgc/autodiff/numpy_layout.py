"""NumPy's functions that lay out, join and part traced arrays, with NumPy's arguments in NumPy's order."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from mcgc.arrays import Array, is_array, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import Traced, strip
from mcgc.errors import TraceError

Axis = int | Sequence[int] | None


# ---- arguments ----


def cast(x: Array, dtype: Any) -> Array:
    """Return `x` in `dtype`, which may be a name or a Python type, or as it is for None."""
    if dtype is None or x.dtype == dtype:
        return x
    return ops.astype(x, namespace_of(strip(x)).empty(0, dtype=dtype).dtype)


def no_out(out: Any) -> None:
    if out is not None:
        raise TraceError("a traced array is not written into another (out=): use the value that is returned")


def array_list(parts: Sequence[Any]) -> list:
    like = next(part for part in parts if is_array(part))
    return [array(part, like) for part in parts]


def array(x: Any, like: Any) -> Array:
    """Return `x` as an array of the library of `like`; a list may hold traced arrays."""
    if is_array(x):
        return x
    if isinstance(x, list | tuple) and any(type(part) is Traced for part in x):
        return ops.stack(array_list(x))
    return namespace_of(strip(like)).asarray(x)


# ---- layout ----


def cut(a: Array, axis: int, part: slice) -> Array:
    return a[(*(slice(None),) * (axis % a.ndim), part, ...)]


def ravel(a: Array, order: str = "C") -> Array:
    return reshape(a, (-1,), order)


def reshape(a: Array, shape: Any, order: str = "C", copy: Any = None) -> Array:
    shape = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
    if order == "C":
        return ops.reshape(a, shape)
    if order != "F":
        raise TraceError(f"a traced array has no order {order!r} in memory: give 'C' or 'F'")
    return ops.transpose(ops.reshape(ops.transpose(a), shape[::-1]))


def squeeze(a: Array, axis: Axis = None) -> Array:
    return ops.squeeze(a, axis=tuple(i for i, n in enumerate(a.shape) if n == 1) if axis is None else axis)


def expand_dims(a: Array, axis: int | Iterable[int]) -> Array:
    axes = tuple(axis) if isinstance(axis, Iterable) else (axis,)
    ndim = a.ndim + len(axes)
    for i in sorted(i % ndim for i in axes):
        a = ops.expand_dims(a, axis=i)
    return a


def swapaxes(a: Array, axis1: int, axis2: int) -> Array:
    order = list(range(a.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return ops.permute_dims(a, order)


def repeat(a: Array, repeats: Any, axis: int | None = None) -> Array:
    a, axis = (ravel(a), 0) if axis is None else (a, axis)
    xp = namespace_of(strip(a))
    return ops.take(a, xp.repeat(xp.arange(a.shape[axis]), repeats), axis=axis)


def tile(a: Array, reps: Any) -> Array:
    reps = tuple(reps) if hasattr(reps, "__iter__") else (reps,)
    a = ops.reshape(a, (1,) * (len(reps) - a.ndim) + a.shape)
    for axis, count in enumerate(reps, a.ndim - len(reps)):
        a = ops.concat([a] * count, axis=axis)
    return a


def take(a: Array, indices: Any, axis: int | None = None) -> Array:
    a, axis = (ravel(a), 0) if axis is None else (a, axis)
    return a[(*(slice(None),) * (axis % a.ndim), array(indices, a), ...)]


def sort(a: Array, axis: int | None = -1, kind: Any = None, stable: Any = None) -> Array:
    return ops.sort(ravel(a), axis=0) if axis is None else ops.sort(a, axis=axis)


def where(condition: Any, *choices: Any) -> Any:
    if not choices:
        return namespace_of(strip(condition)).nonzero(strip(condition))
    x, y = choices
    like = next(z for z in (x, y, condition) if is_array(z))
    return ops.where(
        array(strip(condition), like), *(array(z, like) if isinstance(z, list | tuple) else z for z in (x, y))
    )


def concatenate(arrays: Sequence[Any], axis: int | None = 0, out: Any = None) -> Array:
    no_out(out)
    return ops.concat(array_list(arrays), axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0, out: Any = None) -> Array:
    no_out(out)
    return ops.stack(array_list(arrays), axis=axis)


def at_least(ndim: int, a: Array) -> Array:
    return ops.reshape(a, (1,) * (ndim - a.ndim) + a.shape)


def vstack(tup: Sequence[Any]) -> Array:
    return ops.concat([at_least(2, part) for part in array_list(tup)], axis=0)


def hstack(tup: Sequence[Any]) -> Array:
    parts = [at_least(1, part) for part in array_list(tup)]
    return ops.concat(parts, axis=0 if parts[0].ndim == 1 else 1)


def column_stack(tup: Sequence[Any]) -> Array:
    return ops.concat([part if part.ndim > 1 else ops.reshape(part, (-1, 1)) for part in array_list(tup)], axis=1)


def split(ary: Array, indices_or_sections: Any, axis: int = 0) -> list:
    n, cuts = ary.shape[axis], indices_or_sections
    if not hasattr(cuts, "__iter__"):
        if n % cuts:
            raise TraceError(f"numpy.split cannot part an axis of length {n} into {cuts} equal pieces")
        cuts = range(n // cuts, n, n // cuts)
    ends = [0, *cuts, n]
    return [cut(ary, axis, slice(a, b)) for a, b in pairwise(ends)]


def diag(v: Array, k: int = 0) -> Array:
    if v.ndim > 1:
        return ops.diagonal(v, offset=k)
    if k == 0:
        return ops.diag(v)
    xp, n = namespace_of(strip(v)), v.shape[0] + abs(k)
    pad = xp.zeros((abs(k),), dtype=v.dtype)
    spread = ops.concat([pad, v] if k > 0 else [v, pad])  # element j of it stands in column j
    return ops.where(xp.eye(n, k=k, dtype=xp.bool), spread, 0)


def diagonal(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    return ops.diagonal(ops.moveaxis(a, (axis1, axis2), (-2, -1)), offset=offset)


def trace(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Array:
    no_out(out)
    return ops.sum(cast(diagonal(a, offset, axis1, axis2), dtype), axis=-1)


def triangle(name: str) -> Callable[..., Any]:
    def function(m: Array, k: int = 0) -> Array:
        plain = strip(m)
        ones = getattr(namespace_of(plain), name)(namespace_of(plain).ones_like(plain), k=k)
        return ops.where(ones != 0, m, 0)

    return function
