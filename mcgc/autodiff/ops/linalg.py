"""Linear algebra on stacks of matrices, whose last two axes are rows and columns: the standard's `linalg` extension."""

import math
from collections.abc import Callable

from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff.engine import JointPrimitive, strip
from mcgc.autodiff.ops.elementwise import abs, where
from mcgc.autodiff.ops.indexing import diagonal
from mcgc.autodiff.ops.products import matmul, outer, tensordot, vecdot
from mcgc.autodiff.ops.reductions import Axis, max, min, norm
from mcgc.autodiff.ops.rows import named, unary
from mcgc.autodiff.ops.shapes import expand_dims, fit, matrix_transpose, squeeze, sum

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


def _solve_rule(out: Array, a: Array, b: Array) -> Callable:
    def pull(g: Array) -> tuple:
        b_bar = solve(matrix_transpose(a), g)
        return fit(-b_bar @ matrix_transpose(out), a), fit(b_bar, b)

    return pull


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
    """Return Σᵢ xᵢᵢ of matrices of shape (..., n, m), on the diagonal `offset` places above the main one."""
    return sum(diagonal(x, offset=offset), axis=-1)


def diag(x: Array, /) -> Array:
    """Return the matrix with the vector `x` on its diagonal, or the diagonal of the matrix `x`, as NumPy's `diag`."""
    if x.ndim != 1:
        return diagonal(x)
    plain = strip(x)
    xp = namespace_of(plain)
    return where(xp.eye(x.shape[0], dtype=xp.bool, device=device_of(plain)), expand_dims(x, axis=1), 0)


def vector_norm(x: Array, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Array:
    """Return (Σ |x|ᵖ)^(1/p) over `axis` (all axes by default) for p = `ord`; max |x| or min |x| for p = ±∞."""
    if ord == 2:
        return norm(x, axis=axis, keepdims=keepdims)
    if math.isinf(ord):
        return (max if ord > 0 else min)(abs(x), axis=axis, keepdims=keepdims)
    return sum(abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)
