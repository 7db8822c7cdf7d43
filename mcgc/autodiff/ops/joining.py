"""Joining arrays and parting them: the derivative of each is the other."""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff.engine import JointPrimitive
from mcgc.autodiff.ops.shapes import cast_back, normal_axes, reshape, squeeze, zeros_like


def _concat_rule(out: Array, *parts: Array, axis: int) -> Callable[..., Any]:
    sizes, dtypes = tuple(part.shape[axis] for part in parts), [part.dtype for part in parts]
    return lambda g: [cast_back(piece, dtype) for piece, dtype in zip(split(g, sizes, axis=axis), dtypes, strict=True)]


_concat = JointPrimitive("concat", lambda *parts, axis: namespace_of(*parts).concat(parts, axis=axis), (_concat_rule,))


def concat(parts: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """Join arrays along an existing axis, or flattened for the axis None."""
    if axis is None:
        return _concat(*(reshape(part, (-1,)) for part in parts), axis=0)
    return _concat(*parts, axis=axis)


def _stack_rule(out: Array, *parts: Array, axis: int) -> Callable[..., Any]:
    head, dtypes = (slice(None),) * (axis % out.ndim), [part.dtype for part in parts]
    return lambda g: [cast_back(g[(*head, i, ...)], dtype) for i, dtype in enumerate(dtypes)]


_stack = JointPrimitive("stack", lambda *parts, axis: namespace_of(*parts).stack(parts, axis=axis), (_stack_rule,))


def stack(parts: Sequence[Array], /, *, axis: int = 0) -> Array:
    """Join arrays of one shape along a new axis."""
    return _stack(*parts, axis=axis)


def _cut(x: Array, sizes: tuple[int, ...], axis: int) -> tuple:
    head = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*head, slice(a, b), ...)] for a, b in pairwise(accumulate(sizes, initial=0)))


def _split_rule(out: tuple, x: Array, sizes: tuple[int, ...], axis: int) -> Callable[..., Any]:
    def pullback(*cotangents: Any) -> tuple:
        filled = [zeros_like(part) if g is None else g for g, part in zip(cotangents, out, strict=True)]
        return (concat(filled, axis=axis),)

    return pullback


_split = JointPrimitive("split", _cut, (_split_rule,))


def split(x: Array, sizes: Sequence[int], /, *, axis: int = 0) -> tuple:
    """Part `x` along `axis` into pieces of the given sizes, which add up to its length: the inverse of `concat`."""
    return _split(x, sizes=tuple(sizes), axis=axis)


def unstack(x: Array, /, *, axis: int = 0) -> tuple:
    """Part `x` into its elements along `axis`: the inverse of `stack`."""
    (axis,) = normal_axes(axis, x.ndim)
    return tuple(squeeze(part, axis) for part in split(x, (1,) * x.shape[axis], axis=axis))
