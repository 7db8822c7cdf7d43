"""The standard's linear algebra on symbolic arrays, of small matrices."""

import numpy as np

from mcgc._jit import _namespace
from mcgc._jit._array import Symbolic, symbolic
from mcgc._jit._namespace import (
    abs,
    broadcast_to,
    common,
    concat,
    divide,
    eye,
    greater,
    multiply,
    stack,
    subtract,
    where,
)


class linalg:
    """The standard's linear algebra, of small matrices."""

    @staticmethod
    def diagonal(x: Symbolic, /, *, offset: int = 0) -> Symbolic:
        return Symbolic(np.diagonal(x.nodes, offset, -2, -1), x.dtype)

    @staticmethod
    def solve(a: Symbolic, b: Symbolic, /) -> Symbolic:
        """Solve by Gaussian elimination: the row with the largest pivot is exchanged by choice, element by element."""
        dtype = common((a, b))
        rows = [concat(broadcast_rows(a, b, i, dtype), axis=-1) for i in range(a.shape[-1])]
        n = len(rows)
        for k in range(n):
            for i in range(k + 1, n):
                larger = greater(abs(rows[i][..., k : k + 1]), abs(rows[k][..., k : k + 1]))
                rows[k], rows[i] = where(larger, rows[i], rows[k]), where(larger, rows[k], rows[i])
            for i in range(k + 1, n):
                factor = divide(rows[i][..., k : k + 1], rows[k][..., k : k + 1])
                rows[i] = subtract(rows[i], multiply(factor, rows[k]))
        found: list = [None] * n
        for k in reversed(range(n)):
            total = rows[k][..., n:]
            for j in range(k + 1, n):
                total = subtract(total, multiply(rows[k][..., j : j + 1], found[j]))
            found[k] = divide(total, rows[k][..., k : k + 1])
        return stack(found, axis=-2)

    @staticmethod
    def inv(x: Symbolic, /) -> Symbolic:
        return linalg.solve(x, eye(x.shape[-1], dtype=x.dtype))


def broadcast_rows(a: Symbolic, b: Symbolic, i: int, dtype: np.dtype) -> list[Symbolic]:
    """Return row i of both matrices, for stacks that broadcast."""
    head = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return [broadcast_to(symbolic(x, dtype)[..., i, :], (*head, x.shape[-1])) for x in (a, b)]


_namespace.linalg = linalg  # type: ignore[attr-defined]  # where the standard has it
