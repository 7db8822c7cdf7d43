"""Linear algebra on stacks of matrices, whose last two axes are rows and columns: the standard's `linalg` extension."""

import math
from collections.abc import Callable
from typing import Any

from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff.engine import JointPrimitive, strip
from mcgc.autodiff.ops.elementwise import abs, where
from mcgc.autodiff.ops.indexing import diagonal
from mcgc.autodiff.ops.products import matmul, outer, tensordot, vecdot
from mcgc.autodiff.ops.reductions import Axis, max, min, norm
from mcgc.autodiff.ops.rows import named, real, unary
from mcgc.autodiff.ops.shapes import astype, expand_dims, fit, matrix_transpose, squeeze, sum

__all__ = [
    "diag",
    "diagonal",
    "inv",
    "matmul",
    "matrix_transpose",
    "outer",
    "solve",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


def _solve_rule(out: Array, a: Array, b: Array) -> Callable[..., Any]:
    def pullback(g: Array) -> tuple:
        b_bar = solve(matrix_transpose(a), g)
        return fit(-b_bar @ matrix_transpose(out), a), fit(b_bar, b)

    return pullback


_solve = JointPrimitive("solve", named("linalg.solve"), (_solve_rule,))


def solve(a: Array, b: Array, /) -> Array:
    """Return x with a x = b, for `a` of shape (..., n, n) and `b` of shape (..., n, k), or a vector (n,).

    A singular matrix raises what the array library raises.
    """
    if b.ndim == 1:
        return squeeze(_solve(a, expand_dims(b, axis=1)), axis=-1)
    return _solve(a, b)


inv = unary(
    "inv",
    lambda out, x: lambda g: -(matrix_transpose(out) @ g @ matrix_transpose(out)),
    named("linalg.inv"),
)


def trace(x: Array, /, *, offset: int = 0) -> Array:
    """Return Σᵢ xᵢᵢ of matrices of shape (..., n, m), on the diagonal `offset` above the main one."""
    return sum(diagonal(x, offset=offset), axis=-1)


def diag(x: Array, /) -> Array:
    """Return the matrix with the vector `x` on its diagonal, or the diagonal of the matrix `x`, as NumPy's `diag`."""
    if x.ndim != 1:
        return diagonal(x)
    plain = strip(x)
    xp = namespace_of(plain)
    return where(xp.eye(x.shape[0], dtype=xp.bool, device=device_of(plain)), expand_dims(x, axis=1), 0)


def vector_norm(x: Array, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Array:
    """Return (Σ |x|ᵖ)^(1/p) over `axis` (all axes by default) for p = `ord`; max |x| or min |x| for p = ±∞.

    For p = 0 it is how many elements are not 0, which has no derivative. An element that is 0 has the derivative 0,
    and so has every element where the norm is 0, as it is for p < 0 with a 0 among them.
    """
    x = real("vector_norm", x)
    if ord == 2:
        return norm(x, axis=axis, keepdims=keepdims)
    if math.isinf(ord):
        return (max if ord > 0 else min)(abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return sum(astype(strip(x) != 0, x.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(abs(x), axis=axis, keepdims=keepdims)
    total = sum(_power(abs(x), ord, 0 if ord > 0 else math.inf), axis=axis, keepdims=keepdims)
    return _power(total, 1 / ord, 0 if ord > 0 else math.inf)


def _power(x: Array, exponent: float, at_zero: float) -> Array:
    """Return x to the power `exponent`, and `at_zero` for x = 0, where the derivative is 0."""
    zero = strip(x) == 0
    return where(zero, at_zero, where(zero, 1, x) ** exponent)
