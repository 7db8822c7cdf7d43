"""What the machine can do, measured, and what a step needs at least: operations of floats, and bytes of memory.

Operations are those of the products of a net, two for a multiplication with its addition. Bytes are those of arrays of
the size of θ, each read or written once. What else a step does is not counted: activations, losses, the control of
steps, and the words of Philox, which are integers. So a share of the limit says how much is left at most, not that it
can be had. The bandwidth is measured on arrays that fit into a cache, and on arrays that do not.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bench.timing import Side

CHAINS, TIMES = 16, 100_000  # independent chains of fused multiply-adds, and how long they are in a run
FLOAT = 4  # bytes
NOISE_BYTES = 2 * FLOAT  # θ is read, ϑ is written
ADAM_BYTES = 7 * FLOAT  # θ, both means and the gradient are read, and all but the gradient written


class Work(NamedTuple):
    """What a step needs: operations of float32, and bytes that are read or written."""

    operations: float
    bytes: float

    def seconds(self, rate: float, bandwidth: float) -> float:
        """Return how long it takes at least, where both may go on at once."""
        return max(self.operations / rate, self.bytes / bandwidth)


def weights(sizes: tuple[int, ...]) -> int:
    """Return the number of weights of a dense net, which is that of multiplications for a row."""
    return sum(a * b for a, b in pairwise(sizes))


def parameters(sizes: tuple[int, ...]) -> int:
    """Return the length of θ."""
    return weights(sizes) + sum(sizes[1:])


def net_step(sizes: tuple[int, ...], rows: float, noise: bool = True) -> Work:
    """Return the work of a step of a classifier: its inputs need no gradient, so the first layer has two products."""
    operations = 2 * rows * (3 * weights(sizes) - weights(sizes[:2]))
    return Work(operations, parameters(sizes) * (ADAM_BYTES + (NOISE_BYTES if noise else 0)))


def solved_step(sizes: tuple[int, ...], tried: float, accepted: float, optimiser: bool = True) -> Work:
    """Return the work of a solution of a net, with its gradient, and the step by it.

    `tried` are the rows whose rates are evaluated, and `accepted` those that are differentiated.
    """
    size = parameters(sizes) * (ADAM_BYTES + NOISE_BYTES) if optimiser else 0
    return Work(2 * weights(sizes) * (tried + 2 * accepted), size)


def multiply_adds() -> Side:
    """Do fused multiply-adds of float32 in registers, in the widest vectors that the core has."""
    import llvmlite.binding as llvm
    from llvmlite import ir
    from numba import njit, types
    from numba.core import cgutils
    from numba.extending import intrinsic

    width = 16 if llvm.get_host_cpu_features().get("avx512f") else 8
    vector = ir.VectorType(ir.FloatType(), width)

    @intrinsic
    def chains(typing: Any, times: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{width}f32")
            a, b = (ir.Constant(vector, [x] * width) for x in (0.5, 0.25))
            places = [cgutils.alloca_once(builder, vector) for _ in range(CHAINS)]
            for i, place in enumerate(places):
                builder.store(ir.Constant(vector, [float(i)] * width), place)
            with cgutils.for_range(builder, args[0]):
                for place in places:
                    builder.store(builder.call(fma, [builder.load(place), a, b]), place)
            total = builder.load(places[0])
            for place in places[1:]:
                total = builder.fadd(total, builder.load(place))
            return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return types.float32(types.int64), generate

    @njit
    def run(times: int) -> float:
        return chains(times)

    return Side(lambda: run(TIMES), 1, {"operations": 2 * width * CHAINS * TIMES})


def moved(elements: int) -> Side:
    """Add a multiple of one array to three others: seven numbers move for each element."""
    from numba import njit

    @njit(fastmath={"contract"})
    def add(a: Any, b: Any, c: Any, d: Any, factor: Any) -> None:
        for i in range(a.size):
            a[i] += factor * d[i]
            b[i] += factor * d[i]
            c[i] += factor * d[i]

    arrays = [np.ones(elements, np.float32) for _ in range(4)]
    return Side(lambda: add(*arrays, np.float32(0.5)), 1, {"bytes": 7 * FLOAT * elements})
