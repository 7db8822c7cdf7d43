"""One row for every operation that has a derivative: a function of it, and the shapes and range of its arguments."""

from typing import NamedTuple
from zlib import crc32

from mcgc.arrays import device_of, namespace_of, to_device
from mcgc.autodiff import ops, stop_gradient
from mcgc.random import Key, fold_in, uniform


class Row(NamedTuple):
    function: object
    shapes: tuple
    low: float = -2.0  # arguments are drawn from here
    high: float = 2.0  # to here


def numbers(x, integers):
    """Return the integers as an array beside `x`."""
    plain = stop_gradient(x)
    return namespace_of(plain).asarray(integers, device=device_of(plain))


def dominant(a):
    """Return the matrices `a` plus a multiple of the identity that keeps them well away from singular ones."""
    plain = stop_gradient(a)
    return a + 6 * namespace_of(plain).eye(a.shape[-1], dtype=a.dtype, device=device_of(plain))


TABLE = {
    # ---- elementwise, two arguments ----
    "add": Row(lambda x, y: x + y, ((2, 3), (2, 3))),
    "add, broadcast": Row(lambda x, y: x + y, ((2, 1, 3), (4, 1))),
    "add, number": Row(lambda x: 2 + x + 1.5, ((3,),)),
    "subtract, broadcast": Row(lambda x, y: x - y, ((3,), (2, 1))),
    "subtract, number": Row(lambda x: 2 - x, ((3,),)),
    "multiply": Row(lambda x, y: x * y, ((2, 3), (2, 3))),
    "multiply, broadcast": Row(lambda x, y: x * y, ((), (2, 3))),
    "divide": Row(lambda x, y: x / y, ((2, 3), (2, 3)), 0.5),
    "divide, broadcast": Row(lambda x, y: x / y, ((2, 1), (3,)), 0.5),
    "divide, number": Row(lambda x: 1 / x, ((3,),), 0.5),
    "remainder": Row(lambda x, y: x % y, ((2, 3), (3,)), 0.7),
    "remainder, number": Row(lambda x: x % 0.7, ((4,),)),
    "pow": Row(lambda x, y: x**y, ((2, 3), (2, 3)), 0.5),
    "pow, number": Row(lambda x: x**3 + x**2 + x**1 + x**0, ((4,),)),
    "pow, of a number": Row(lambda x: 2.0**x, ((4,),)),
    "pow, broadcast": Row(lambda x, y: x**y, ((3,), (2, 1)), 0.5),
    "atan2": Row(ops.atan2, ((3, 4), (4,))),
    "hypot": Row(ops.hypot, ((3, 4), (3, 1))),
    "logaddexp": Row(ops.logaddexp, ((3, 4), (4,))),
    "maximum": Row(ops.maximum, ((3, 4), (4,))),
    "maximum, number": Row(lambda x: ops.maximum(x, 0.3), ((9,),)),
    "minimum": Row(ops.minimum, ((3, 4), (3, 1))),
    "clip": Row(lambda x, low, high: ops.clip(x, low - 2, high + 1), ((9,), (9,), ())),
    "clip, numbers": Row(lambda x: ops.clip(x, -1, max=0.5), ((9,),)),
    "where": Row(lambda x, y: ops.where(x > y, x * y, y), ((3, 4), (4,))),
    "where, number": Row(lambda x: ops.where(x > 0, x * x, 1), ((9,),)),
    # ---- elementwise, one argument ----
    "negative": Row(lambda x: -x, ((3,),)),
    "positive": Row(lambda x: +x * x, ((3,),)),
    "square": Row(ops.square, ((3,),)),
    "reciprocal": Row(ops.reciprocal, ((3,),), 0.5),
    "sqrt": Row(ops.sqrt, ((3,),), 0.5),
    "abs": Row(lambda x: abs(x), ((9,),)),
    "exp": Row(ops.exp, ((3,),)),
    "expm1": Row(ops.expm1, ((3,),)),
    "log": Row(ops.log, ((3,),), 0.5),
    "log1p": Row(ops.log1p, ((3,),), -0.5),
    "log2": Row(ops.log2, ((3,),), 0.5),
    "log10": Row(ops.log10, ((3,),), 0.5),
    "sin": Row(ops.sin, ((3,),)),
    "cos": Row(ops.cos, ((3,),)),
    "tan": Row(ops.tan, ((3,),), -1.0, 1.0),
    "asin": Row(ops.asin, ((3,),), -0.8, 0.8),
    "acos": Row(ops.acos, ((3,),), -0.8, 0.8),
    "atan": Row(ops.atan, ((3,),)),
    "sinh": Row(ops.sinh, ((3,),)),
    "cosh": Row(ops.cosh, ((3,),)),
    "tanh": Row(ops.tanh, ((3,),)),
    "asinh": Row(ops.asinh, ((3,),)),
    "acosh": Row(ops.acosh, ((3,),), 1.5, 3.0),
    "atanh": Row(ops.atanh, ((3,),), -0.8, 0.8),
    "relu": Row(ops.relu, ((9,),)),
    "sigmoid": Row(ops.sigmoid, ((9,),)),
    "softplus": Row(ops.softplus, ((9,),)),
    "erf": Row(ops.erf, ((9,),)),
    "silu": Row(ops.silu, ((9,),)),
    "gelu": Row(ops.gelu, ((9,),)),
    # ---- reductions ----
    "sum": Row(ops.sum, ((2, 3, 4),)),
    "sum, axis": Row(lambda x: ops.sum(x, axis=1), ((2, 3, 4),)),
    "sum, axes": Row(lambda x: ops.sum(x, axis=(0, -1)), ((2, 3, 4),)),
    "sum, keepdims": Row(lambda x: ops.sum(x, axis=-2, keepdims=True), ((2, 3, 4),)),
    "mean": Row(ops.mean, ((2, 3),)),
    "mean, axis": Row(lambda x: ops.mean(x, axis=0), ((2, 3),)),
    "var": Row(ops.var, ((2, 3),)),
    "var, axes": Row(lambda x: ops.var(x, axis=(0, 2), correction=1), ((2, 3, 4),)),
    "std": Row(lambda x: ops.std(x, axis=1, keepdims=True), ((2, 3),)),
    "max": Row(ops.max, ((2, 3),)),
    "max, axes": Row(lambda x: ops.max(x, axis=(0, -1)), ((2, 3, 4),)),
    "min": Row(lambda x: ops.min(x, axis=1, keepdims=True), ((2, 3),)),
    "prod": Row(ops.prod, ((2, 3),)),
    "prod, axes": Row(lambda x: ops.prod(x, axis=(0, 2), keepdims=True), ((2, 2, 3),)),
    "norm": Row(lambda x: ops.norm(x, axis=-1), ((2, 3),)),
    "logsumexp": Row(ops.logsumexp, ((2, 3),)),
    "logsumexp, axes": Row(lambda x: ops.logsumexp(x, axis=(0, 1), keepdims=True), ((2, 3),)),
    "softmax": Row(ops.softmax, ((2, 3),)),
    "softmax, axes": Row(lambda x: ops.softmax(x, axis=None), ((2, 3),)),
    "log_softmax": Row(lambda x: ops.log_softmax(x, axis=0), ((2, 3),)),
    # ---- shapes ----
    "astype": Row(lambda x: ops.astype(x, x.dtype), ((3,),)),
    "reshape": Row(lambda x: ops.reshape(x, (3, 4)), ((2, 6),)),
    "permute_dims": Row(lambda x: ops.permute_dims(x, (2, 0, -2)), ((2, 3, 4),)),
    "transpose": Row(ops.transpose, ((2, 3, 4),)),
    "moveaxis": Row(lambda x: ops.moveaxis(x, (0, 1), (-1, 0)), ((2, 3, 4),)),
    "matrix_transpose": Row(lambda x: x.mT @ x, ((2, 3),)),
    "broadcast_to": Row(lambda x: ops.broadcast_to(x, (2, 3, 4)), ((3, 1),)),
    "expand_dims": Row(lambda x: ops.expand_dims(x, axis=1), ((2, 3),)),
    "squeeze": Row(lambda x: ops.squeeze(x, (0, -1)), ((1, 2, 1),)),
    "flip": Row(lambda x: ops.flip(x, axis=(0, -1)) * ops.flip(x), ((2, 3, 2),)),
    "roll": Row(lambda x: ops.roll(x, (1, -2), axis=(0, 1)) * x, ((2, 3),)),
    "roll, flat": Row(lambda x: ops.roll(x, 2) * x, ((2, 3),)),
    "cumulative_sum": Row(lambda x: ops.cumulative_sum(x, axis=-1), ((2, 3),)),
    "concat": Row(lambda x, y: ops.concat([x, y], axis=1), ((2, 1), (2, 3))),
    "concat, flat": Row(lambda x, y: ops.concat([x, y], axis=None), ((2, 1), (3,))),
    "stack": Row(lambda x, y: ops.stack([x, y], axis=1), ((2, 3), (2, 3))),
    "split": Row(lambda x: ops.split(x, (1, 3), axis=1), ((2, 4),)),
    "split, one piece used": Row(lambda x: ops.split(x, (1, 3))[1], ((4,),)),
    "unstack": Row(lambda x: ops.unstack(x, axis=-1), ((2, 3),)),
    # ---- indexing ----
    "getitem, integer": Row(lambda x: ops.getitem(x, 1) * x[-1, ...], ((3, 2),)),
    "getitem, slice": Row(lambda x: x[::2, 1:], ((3, 4),)),
    "getitem, new axis": Row(lambda x: x[:, None, ..., -1], ((3, 4),)),
    "getitem, integers": Row(lambda x: x[numbers(x, [0, 2, 2, -1]), 1], ((3, 2),)),
    "getitem, mask": Row(lambda x: x[x > 0], ((3, 4),)),
    "take": Row(lambda x: ops.take(x, numbers(x, [2, 0, 2]), axis=1), ((2, 3),)),
    "take_along_axis": Row(lambda x: ops.take_along_axis(x, ops.argsort(x, axis=0), axis=0), ((3, 2),)),
    "sort": Row(ops.sort, ((2, 5),)),
    "sort, descending": Row(lambda x: ops.sort(x, axis=0, descending=True), ((5, 2),)),
    "diagonal": Row(lambda x: ops.diagonal(x, offset=1), ((2, 3, 4),)),
    # ---- products and linear algebra ----
    "matmul": Row(lambda x, y: x @ y, ((2, 3), (3, 4))),
    "matmul, row": Row(lambda x, y: x @ y, ((3,), (3, 4))),
    "matmul, column": Row(lambda x, y: x @ y, ((2, 3), (3,))),
    "matmul, vectors": Row(lambda x, y: x @ y, ((3,), (3,))),
    "matmul, stacks": Row(lambda x, y: x @ y, ((5, 2, 3), (5, 3, 4))),
    "matmul, broadcast stacks": Row(lambda x, y: x @ y, ((2, 3), (5, 3, 4))),
    "vecdot": Row(ops.vecdot, ((2, 3), (2, 3))),
    "outer": Row(ops.outer, ((2,), (3,))),
    "dot": Row(ops.dot, ((2, 3), (4, 3, 2))),
    "dot, vectors": Row(ops.dot, ((3,), (3,))),
    "tensordot": Row(ops.tensordot, ((2, 3, 4), (3, 4, 5))),
    "tensordot, axes": Row(lambda x, y: ops.tensordot(x, y, axes=((0, 2), (-1, 0))), ((2, 3, 4), (4, 5, 2))),
    "einsum": Row(lambda x, y: ops.einsum("bij,bjk->bik", x, y), ((2, 3, 2), (2, 2, 3))),
    "einsum, three operands": Row(lambda x, y, z: ops.einsum("i,ij,j", x, y, z), ((2,), (2, 3), (3,))),
    "einsum, ellipsis": Row(lambda x, y: ops.einsum("...ii,...i->i...", x, y), ((2, 3, 3), (4, 1, 3))),
    "solve": Row(lambda a, b: ops.solve(dominant(a), b), ((3, 3), (3, 2))),
    "solve, vector": Row(lambda a, b: ops.solve(dominant(a), b), ((3, 3), (3,))),
    "solve, broadcast stacks": Row(lambda a, b: ops.solve(dominant(a), b), ((2, 2), (3, 2, 1))),
    "inv": Row(lambda a: ops.inv(dominant(a)), ((2, 3, 3),)),
    "trace": Row(lambda x: ops.trace(x, offset=-1), ((2, 3, 3),)),
    "diag": Row(ops.diag, ((3,),)),
    "diag, of a matrix": Row(ops.diag, ((2, 3),)),
    "linalg.vector_norm": Row(lambda x: ops.linalg.vector_norm(x, axis=0, ord=3), ((2, 3),)),
    "linalg.vector_norm, extremes": Row(
        lambda x: [ops.linalg.vector_norm(x, ord=p) for p in (float("inf"), -float("inf"))], ((2, 3),)
    ),
}


def arguments(name, dtype, device):
    row = TABLE[name]
    key = fold_in(Key(11), crc32(name.encode()))
    draw = lambda i, shape: row.low + (row.high - row.low) * uniform(fold_in(key, i), shape, "float64")
    return [to_device(draw(i, shape), device, dtype) for i, shape in enumerate(row.shapes)]
