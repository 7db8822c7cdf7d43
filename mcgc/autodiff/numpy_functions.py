"""NumPy's functions of traced arrays, with NumPy's arguments in NumPy's order, by operations of `mcgc.ops`.

`FUNCTIONS` has them by name. The methods of traced arrays are some of these. Values are NumPy's, and derivatives are
those of the operations. Where a value depends on the arrays alone by comparisons, as `numpy.argmax` does, nothing is
needed here: `CONSTANT` names the functions that are called with plain arrays.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff import numpy_layout as layout
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.autodiff.numpy_layout import Axis, array, array_list, cast, cut, no_out, ravel
from mcgc.errors import TraceError


def _reduction(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def function(a: Array, axis: Axis = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Array:
        no_out(out)
        return reduce(cast(a, dtype), axis=axis, keepdims=keepdims)

    return function


def _moment(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def function(
        a: Array,
        axis: Axis = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        correction: float | None = None,
    ) -> Array:
        no_out(out)
        return reduce(
            cast(a, dtype), axis=axis, correction=ddof if correction is None else correction, keepdims=keepdims
        )

    return function


def _extreme(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def function(a: Array, axis: Axis = None, out: Any = None, keepdims: bool = False) -> Array:
        no_out(out)
        return reduce(a, axis=axis, keepdims=keepdims)

    return function


def _average(a: Array, axis: Axis = None, weights: Any = None) -> Array:
    if weights is None:
        return ops.mean(a, axis=axis)
    a, weights = array(a, weights), array(weights, a)
    if weights.shape != a.shape:
        weights = ops.reshape(weights, [n if i == axis % a.ndim else 1 for i, n in enumerate(a.shape)])
    spread = ops.broadcast_to(weights, a.shape)
    return ops.sum(a * spread, axis=axis) / ops.sum(spread, axis=axis)


def _cumsum(a: Array, axis: int | None = None, dtype: Any = None, out: Any = None) -> Array:
    no_out(out)
    return ops.cumulative_sum(cast(ravel(a) if axis is None else a, dtype), axis=0 if axis is None else axis)


def _clip(a: Array, a_min: Any = None, a_max: Any = None, out: Any = None, min: Any = None, max: Any = None) -> Array:
    no_out(out)
    return ops.clip(a, a_min if min is None else min, a_max if max is None else max)


def _diff(a: Array, n: int = 1, axis: int = -1) -> Array:
    for _ in range(n):
        a = cut(a, axis, slice(1, None)) - cut(a, axis, slice(None, -1))
    return a


def _trapezoid(y: Array, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Array:
    y = array(y, x)
    if x is not None:
        dx = array(x, y)
        dx = _diff(dx, axis=axis if dx.ndim > 1 else -1)
        if dx.ndim == 1:
            dx = ops.reshape(dx, (-1, *(1,) * (y.ndim - 1 - axis % y.ndim)))
    return ops.sum(dx * (cut(y, axis, slice(1, None)) + cut(y, axis, slice(None, -1))) / 2, axis=axis)


def _norm(x: Array, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Array:
    vector = x.ndim == 1 if axis is None else not isinstance(axis, Sequence)
    if ord is None or (ord == "fro" and not vector):
        return ops.norm(x, axis=axis, keepdims=keepdims)
    if not vector or isinstance(ord, str) or ord == 0:
        raise TraceError(f"numpy.linalg.norm of a traced array takes ord={ord!r} of no matrix: write it with mcgc.ops")
    return ops.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


def _inner(a: Array, b: Array) -> Array:
    a, b = array(a, b), array(b, a)
    return a * b if not a.ndim or not b.ndim else ops.tensordot(a, b, axes=((-1,), (-1,)))


def _dot(a: Array, b: Array, out: Any = None) -> Array:
    no_out(out)
    a, b = array(a, b), array(b, a)
    return a * b if not a.ndim or not b.ndim else ops.dot(a, b)


def _outer(a: Array, b: Array, out: Any = None) -> Array:
    no_out(out)
    return ops.outer(ravel(array(a, b)), ravel(array(b, a)))


def _tensordot(a: Array, b: Array, axes: Any = 2) -> Array:
    if hasattr(axes, "__iter__"):
        axes = tuple(pair if hasattr(pair, "__iter__") else (pair,) for pair in axes)
    return ops.tensordot(array(a, b), array(b, a), axes=axes)


def _kron(a: Array, b: Array) -> Array:
    a, b = array(a, b), array(b, a)
    ndim = max(a.ndim, b.ndim)
    x, y = ((1,) * (ndim - z.ndim) + z.shape for z in (a, b))
    apart = ops.reshape(a, [n for m in x for n in (m, 1)]) * ops.reshape(b, [n for m in y for n in (1, m)])
    return ops.reshape(apart, [m * n for m, n in zip(x, y, strict=True)])


def _cross(a: Array, b: Array, axis: int = -1) -> Array:
    a, b = array(a, b), array(b, a)
    if a.shape[axis] != 3 or b.shape[axis] != 3:
        raise TraceError(f"numpy.cross of traced arrays needs axes of length 3, got {a.shape} and {b.shape}")
    turned = lambda x, shift: ops.roll(x, shift, axis=axis)
    return turned(a, -1) * turned(b, 1) - turned(a, 1) * turned(b, -1)


def _sinc(x: Array) -> Array:
    y = math.pi * ops.where(strip(x) == 0, 1e-20, x)  # as NumPy does
    return ops.sin(y) / y


def _polyval(p: Any, x: Any) -> Array:
    x = array(x, p)
    total = ops.zeros_like(x)
    for coefficient in p:
        total = total * x + coefficient
    return total


def _nan_to_num(x: Array, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    plain = strip(x)
    xp, limits = namespace_of(plain), namespace_of(plain).finfo(plain.dtype)
    for met, value in (
        (xp.isnan(plain), nan),
        (plain == math.inf, limits.max if posinf is None else posinf),
        (plain == -math.inf, limits.min if neginf is None else neginf),
    ):
        x = ops.where(met, float(value), x)
    return x


def _einsum(*operands: Any, out: Any = None, optimize: Any = False) -> Array:
    no_out(out)
    if not isinstance(operands[0], str):
        raise TraceError("numpy.einsum of traced arrays needs its subscripts as a string")
    return ops.einsum(operands[0], *array_list(operands[1:]))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sum": _reduction(ops.sum),
    "prod": _reduction(ops.prod),
    "mean": _reduction(ops.mean),
    "var": _moment(ops.var),
    "std": _moment(ops.std),
    "max": _extreme(ops.max),
    "min": _extreme(ops.min),
    "amax": _extreme(ops.max),
    "amin": _extreme(ops.min),
    "ptp": _extreme(lambda a, **options: ops.max(a, **options) - ops.min(a, **options)),
    "average": _average,
    "cumsum": _cumsum,
    "clip": _clip,
    "diff": _diff,
    "trapezoid": _trapezoid,
    "linalg.norm": _norm,
    "linalg.vector_norm": lambda x, axis=None, keepdims=False, ord=2: ops.linalg.vector_norm(
        x, axis=axis, keepdims=keepdims, ord=ord
    ),
    "linalg.inv": ops.inv,
    "linalg.solve": lambda a, b: ops.solve(array(a, b), array(b, a)),
    "dot": _dot,
    "vdot": lambda a, b: ops.dot(ravel(array(a, b)), ravel(array(b, a))),
    "inner": _inner,
    "outer": _outer,
    "kron": _kron,
    "cross": _cross,
    "tensordot": _tensordot,
    "einsum": _einsum,
    "reshape": layout.reshape,
    "ravel": layout.ravel,
    "squeeze": layout.squeeze,
    "expand_dims": layout.expand_dims,
    "transpose": lambda a, axes=None: ops.transpose(a, axes),
    "linalg.matrix_transpose": ops.matrix_transpose,
    "matrix_transpose": ops.matrix_transpose,
    "swapaxes": layout.swapaxes,
    "moveaxis": lambda a, source, destination: ops.moveaxis(a, source, destination),
    "broadcast_to": ops.broadcast_to,
    "flip": lambda m, axis=None: ops.flip(m, axis=axis),
    "flipud": lambda m: ops.flip(m, axis=0),
    "fliplr": lambda m: ops.flip(m, axis=1),
    "roll": lambda a, shift, axis=None: ops.roll(a, shift, axis=axis),
    "repeat": layout.repeat,
    "tile": layout.tile,
    "take": layout.take,
    "take_along_axis": lambda arr, indices, axis=-1: ops.take_along_axis(arr, indices, axis=axis),
    "sort": layout.sort,
    "where": layout.where,
    "concatenate": layout.concatenate,
    "stack": layout.stack,
    "vstack": layout.vstack,
    "hstack": layout.hstack,
    "column_stack": layout.column_stack,
    "append": lambda arr, values, axis=None: ops.concat(array_list([arr, values]), axis=axis),
    "split": layout.split,
    "atleast_1d": lambda a: layout.at_least(1, a),
    "atleast_2d": lambda a: layout.at_least(2, a),
    "diag": layout.diag,
    "diagonal": layout.diagonal,
    "trace": layout.trace,
    "tril": layout.triangle("tril"),
    "triu": layout.triangle("triu"),
    "sinc": _sinc,
    "polyval": _polyval,
    "nan_to_num": _nan_to_num,
    "full_like": lambda a, fill_value: cast(ops.zeros_like(a) + fill_value, a.dtype),
    "copy": lambda a, order="K": a,
    "real": lambda val: val,
    "imag": ops.zeros_like,
}
CONSTANT = (  # their values do not change with small changes of the arrays, so that no derivative is lost
    "all any allclose argmax argmin argpartition argsort argwhere array_equal array_equiv count_nonzero empty_like fix "
    "flatnonzero iscomplex iscomplexobj isclose isneginf isposinf isreal isrealobj lexsort ndim nonzero ones_like "
    "result_type round searchsorted shape size zeros_like array_repr array_str array2string"
)
