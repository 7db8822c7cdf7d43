"""The matrix product of the compiled nets: tiles of the result stay in registers, for any shape and any strides.

A general product is built for large matrices. With layers of fifty and a few rows its preparations cost more than its
arithmetic, so here nothing is packed or padded: the last vector of a row is masked. Vectors are written out rather
than left for the compiler to find, so the order of every sum is fixed: it runs over the inner index from first to
last. A row has the same bits alone and in any batch, and one machine gives the same bits every time; machines with and
without a fused multiply-add differ in the last bits.

`python -m bench --case kernels` measures the gain (AMD EPYC, float32; quartiles in brackets). For a layer of 50 units
and 250 rows the BLAS takes 2.06 [2.05, 2.07] times as long, and plain compiled loops 8.72 [8.66, 8.81] times. For 4
rows it is 6.39 [6.35, 6.40] and 5.75 [5.72, 5.79] times, for 512 units and 250 rows 1.79 [1.78, 1.81] and 3.76 [3.73,
3.79].
"""

# mypy: disable-error-code="call-arg"
# (an intrinsic is called without its first parameter, the typing context)

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from mcgc.kernels.compiled import compiled

_WIDE = bool(llvm.get_host_cpu_features().get("avx512f"))
REGISTER = 64 if _WIDE else 32  # bytes of a vector
VECTORS = 4 if _WIDE else 2  # vectors of a tile: with 5 rows, what 32 or 16 registers hold
FEW, MANY = 4, 5  # rows of a tile

_i1, _i32, _i64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)


def _in_every_lane(builder: Any, number: Any, vector: Any) -> Any:
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, _i32(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_i32, vector.count), [0] * vector.count))


def _literal(value: Any) -> int:
    if not isinstance(value, types.IntegerLiteral):
        raise TypeError("the number of rows and of vectors of a tile is written out where it is called")
    return value.literal_value


@intrinsic(prefer_literal=True)
def _tile(
    typing, rows, vectors, c, c_at, c_row, d, d_at, d_row, floor, a, a_at, a_row, a_step, b, b_at, b_step, m, n, k
):
    """Write the tile c = max(floor, d + a b) of `rows` × `vectors`, or less of it: m rows from 1, n columns.

    Element (i, j) of c is at c_at + i c_row + j, and likewise in d; (i, p) of a is at a_at + i a_row + p a_step, and
    (p, j) of b at b_at + p b_step + j, for 0 ≤ p < k. Rows from m on repeat the last one, and write the same bits.
    """
    num_rows, num_vectors = _literal(rows), _literal(vectors)
    lanes = REGISTER * 8 // c.dtype.bitwidth
    at = types.intp
    signature = types.void(rows, vectors, c, at, at, d, at, at, c.dtype, a, at, at, at, b, at, at, at, at, at)

    def generate(context, builder, signature, args):
        arrays = {
            number: context.make_array(signature.args[number])(context, builder, args[number]).data
            for number in (2, 5, 9, 13)
        }
        c_at, c_row, d_at, d_row, floor, a_at, a_row, a_step, b_at, b_step, m, n, k = (
            args[i] for i in (3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 17, 18)
        )
        vector = ir.VectorType(context.get_value_type(c.dtype), lanes)
        bytes_ = c.dtype.bitwidth // 8
        kind, mask_type = f"v{lanes}f{c.dtype.bitwidth}", ir.VectorType(_i1, lanes)
        pointer, zero = vector.as_pointer(), ir.Constant(vector, [0.0] * lanes)
        module = builder.module
        masked_load = get_or_insert_function(
            module, ir.FunctionType(vector, [pointer, _i32, mask_type, vector]), f"llvm.masked.load.{kind}.p0"
        )
        masked_store = get_or_insert_function(
            module, ir.FunctionType(ir.VoidType(), [vector, pointer, _i32, mask_type]), f"llvm.masked.store.{kind}.p0"
        )
        numbers = ir.VectorType(_i64, lanes)
        left = _in_every_lane(builder, builder.sub(n, _i64((num_vectors - 1) * lanes)), numbers)
        mask = builder.icmp_signed("<", ir.Constant(numbers, list(range(lanes))), left)

        def place_of(array, offset, v):
            return builder.bitcast(builder.gep(arrays[array], [builder.add(offset, _i64(v * lanes))]), pointer)

        def load(array, offset, v):
            where = place_of(array, offset, v)
            if v == num_vectors - 1:
                return builder.call(masked_load, [where, _i32(bytes_), mask, zero])
            return builder.load(where, align=bytes_)

        final = builder.sub(m, _i64(1))
        lines = [builder.select(builder.icmp_signed("<", _i64(r), m), _i64(r), final) for r in range(num_rows)]
        positions = [(line, v) for line in lines for v in range(num_vectors)]
        starts = [load(5, builder.add(d_at, builder.mul(line, d_row)), v) for line, v in positions]
        a_lines = [builder.gep(arrays[9], [builder.add(a_at, builder.mul(line, a_row))]) for line in lines]
        floors = _in_every_lane(builder, floor, vector)

        entry = builder.block
        loop, done = builder.append_basic_block("product"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed(">", k, _i64(0)), loop, done)
        builder.position_at_end(loop)
        counters = [builder.phi(_i64) for _ in range(3)]
        sums = [builder.phi(vector) for _ in starts]
        _, a_p, b_p = counters
        columns = [load(13, b_p, v) for v in range(num_vectors)]
        totals = []
        for r, line in enumerate(a_lines):
            factor = _in_every_lane(builder, builder.load(builder.gep(line, [a_p])), vector)
            for v, column in enumerate(columns):
                product = builder.fmul(factor, column, flags=("contract",))
                totals.append(builder.fadd(sums[r * num_vectors + v], product, flags=("contract",)))
        following = [builder.add(x, step) for x, step in zip(counters, (_i64(1), a_step, b_step), strict=True)]
        firsts = (_i64(0), _i64(0), b_at, *starts)
        for phi, first, next_ in zip((*counters, *sums), firsts, (*following, *totals), strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(next_, loop)
        builder.cbranch(builder.icmp_signed("<", following[0], k), loop, done)

        builder.position_at_end(done)
        results = [builder.phi(vector) for _ in starts]
        for phi, first, total in zip(results, starts, totals, strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(total, loop)
        for (line, v), result in zip(positions, results, strict=True):
            result = builder.select(builder.fcmp_ordered("<", result, floors), floors, result)  # so a NaN stays one
            where = place_of(2, builder.add(c_at, builder.mul(line, c_row)), v)
            if v == num_vectors - 1:
                builder.call(masked_store, [result, where, _i32(bytes_), mask])
            else:
                builder.store(result, where, align=bytes_)
        return context.get_dummy_value()

    return signature, generate


def _by_rows(c, c_at, c_row, d, d_at, d_row, floor, a, a_at, a_row, a_step, b, b_at, b_step, m, n, k):
    """Compute `matmul` in NumPy."""
    for i in range(m):
        total = d[d_at + i * d_row :][:n].copy()
        for p in range(k):
            total += a[a_at + i * a_row + p * a_step] * b[b_at + p * b_step :][:n]
        c[c_at + i * c_row :][:n] = np.where(total < floor, floor, total)


@compiled(interpreted=_by_rows)
def matmul(c, c_at, c_row, d, d_at, d_row, floor, a, a_at, a_row, a_step, b, b_at, b_step, m, n, k):
    """Write c = max(floor, d + a b), c and d (m, n), a (m, k), b (k, n), d = c allowed.

    c, d, a and b are vectors that hold the matrices: element (i, j) of c is at c_at + i c_row + j, of d at
    d_at + i d_row + j (so a bias has d_row = 0), of a at a_at + i a_row + j a_step, of b at b_at + i b_step + j.
    `floor`, of their dtype, is 0 for a rectifier, −∞ for none; NaN stays NaN.
    """
    lanes = REGISTER // c.itemsize
    for j in range(0, n, VECTORS * lanes):
        width = min(n - j, VECTORS * lanes)
        i = 0
        while i < m:
            r, ci, di, ai = m - i, c_at + i * c_row + j, d_at + i * d_row + j, a_at + i * a_row
            bj = b_at + j
            if r > FEW:
                if width > 3 * lanes:
                    _tile(MANY, 4, c, ci, c_row, d, di, d_row, floor, a, ai, a_row, a_step, b, bj, b_step, r, width, k)
                elif width > 2 * lanes:
                    _tile(MANY, 3, c, ci, c_row, d, di, d_row, floor, a, ai, a_row, a_step, b, bj, b_step, r, width, k)
                elif width > lanes:
                    _tile(MANY, 2, c, ci, c_row, d, di, d_row, floor, a, ai, a_row, a_step, b, bj, b_step, r, width, k)
                else:
                    _tile(MANY, 1, c, ci, c_row, d, di, d_row, floor, a, ai, a_row, a_step, b, bj, b_step, r, width, k)
                i += MANY
            else:
                if width > 3 * lanes:
                    _tile(FEW, 4, c, ci, c_row, d, di, d_row, floor, a, ai, a_row, a_step, b, bj, b_step, r, width, k)
                elif width > 2 * lanes:
                    _tile(FEW, 3, c, ci, c_row, d, di, d_row, floor, a, ai, a_row, a_step, b, bj, b_step, r, width, k)
                elif width > lanes:
                    _tile(FEW, 2, c, ci, c_row, d, di, d_row, floor, a, ai, a_row, a_step, b, bj, b_step, r, width, k)
                else:
                    _tile(FEW, 1, c, ci, c_row, d, di, d_row, floor, a, ai, a_row, a_step, b, bj, b_step, r, width, k)
                i += FEW
