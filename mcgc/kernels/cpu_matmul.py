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

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mcgc.kernels.compiled import compiled
from mcgc.kernels.cpu_vectors import REGISTER, in_every_lane, mask_of, masked_load, masked_store

VECTORS = 4 if REGISTER == 64 else 2  # vectors of a tile: with 5 rows, what 32 or 16 registers hold
FEW, MANY, TALL = 4, 5, 8  # rows of a tile; TALL where the columns are narrow, so that enough sums go on at once
NARROW = 2 if REGISTER == 64 else 1  # vectors
DEEP = 128  # terms of a sum, for which the columns of b stay in the first cache while all rows of a pass

_i64 = ir.IntType(64)


@intrinsic(prefer_literal=True)
def _tile(
    typing, rows, most, c, c_at, c_row, d, d_at, d_row, d_step, floor, a, a_at, a_row, a_step, b, b_at, b_step, m, n, k,
    gate, gate_at,
):  # fmt: skip
    """Write the tile c = max(floor, d + a b) of `rows` rows, or the first m of them, and of n columns, at most `most`
    vectors of them.

    Element (i, j) of c is at c_at + i c_row + j, and of d at d_at + i d_row + j d_step, where d_step is 1 or 0; (i, p)
    of a is at a_at + i a_row + p a_step, and (p, j) of b at b_at + p b_step + j, for 0 ≤ p < k.
    Rows from m on repeat the last one, and write the same bits. If gate_at is not < 0, c is zero unless the gate is
    positive, whose element (i, j) is at gate_at + i c_row + j.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(most, types.IntegerLiteral)):
        raise TypeError("the numbers of rows and of vectors of a tile are written out where it is called")
    num_rows, num_most, lanes, at = rows.literal_value, most.literal_value, REGISTER * 8 // c.dtype.bitwidth, types.intp
    signature = types.void(
        rows, most, c, at, at, d, at, at, at, c.dtype, a, at, at, at, b, at, at, at, at, at, gate, at
    )

    def generate(context, builder, signature, args):
        args = args[1:]
        pointers = [
            context.make_array(kind)(context, builder, given).data
            for kind, given in ((signature.args[number + 1], args[number]) for number in (1, 4, 9, 13, 19))
        ]
        numbers = [args[i] for i in (2, 3, 5, 6, 7, 8, 10, 11, 12, 14, 15, 16, 17, 18, 20)]
        needed = builder.sdiv(builder.add(args[17], _i64(lanes - 1)), _i64(lanes))
        end, unknown = builder.append_basic_block("end"), builder.append_basic_block("wider")
        choice = builder.switch(needed, unknown)
        for num_vectors in range(1, num_most + 1):
            choice.add_case(_i64(num_vectors), builder.append_basic_block(f"vectors{num_vectors}"))
            builder.position_at_end(choice.cases[-1][1])
            vector = ir.VectorType(context.get_value_type(c.dtype), lanes)
            _write(builder, vector, num_rows, num_vectors, *pointers, *numbers)
            builder.branch(end)
        builder.position_at_end(unknown)
        builder.unreachable()
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, generate


def _write(
    builder, vector, num_rows, num_vectors, c, d, a, b, gate, c_at, c_row, d_at, d_row, d_step, floor, a_at, a_row,
    a_step, b_at, b_step, m, n, k, gate_at,
):  # fmt: skip
    """Write the instructions of a tile of `num_rows` × `num_vectors`."""
    lanes, bytes_ = vector.count, REGISTER // vector.count
    left = builder.sub(n, _i64((num_vectors - 1) * lanes))
    first = mask_of(builder, left, lanes)

    def load(array, offset, v):
        where = builder.gep(array, [builder.add(offset, _i64(v * lanes))])
        if v == num_vectors - 1:
            return masked_load(builder, vector, where, first)
        return builder.load(builder.bitcast(where, vector.as_pointer()), align=bytes_)

    final = builder.sub(m, _i64(1))
    lines = [builder.select(builder.icmp_signed("<", _i64(r), m), _i64(r), final) for r in range(num_rows)]
    positions = [(line, v) for line in lines for v in range(num_vectors)]
    d_lines = [builder.add(d_at, builder.mul(line, d_row)) for line in lines]
    across, along, begin = (builder.append_basic_block(name) for name in ("across", "along", "begin"))
    builder.cbranch(builder.icmp_signed("==", d_step, _i64(0)), across, along)
    builder.position_at_end(across)
    same = [in_every_lane(builder, builder.load(builder.gep(d, [line])), vector) for line in d_lines]
    builder.branch(begin)
    builder.position_at_end(along)
    different = [load(d, line, v) for line in d_lines for v in range(num_vectors)]
    builder.branch(begin)
    builder.position_at_end(begin)
    starts = [builder.phi(vector) for _ in positions]
    for number, phi in enumerate(starts):
        phi.add_incoming(same[number // num_vectors], across)
        phi.add_incoming(different[number], along)
    a_lines = [builder.gep(a, [builder.add(a_at, builder.mul(line, a_row))]) for line in lines]
    floors = in_every_lane(builder, floor, vector)

    entry = builder.block
    loop, done = builder.append_basic_block("product"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", k, _i64(0)), loop, done)
    builder.position_at_end(loop)
    counters = [builder.phi(_i64) for _ in range(3)]
    sums = [builder.phi(vector) for _ in starts]
    _, a_p, b_p = counters
    columns = [load(b, b_p, v) for v in range(num_vectors)]
    totals = []
    for r, line in enumerate(a_lines):
        factor = in_every_lane(builder, builder.load(builder.gep(line, [a_p])), vector)
        for v, column in enumerate(columns):
            product = builder.fmul(factor, column, flags=("contract",))
            totals.append(builder.fadd(sums[r * num_vectors + v], product, flags=("contract",)))
    following = [builder.add(x, step) for x, step in zip(counters, (_i64(1), a_step, b_step), strict=True)]
    firsts = (_i64(0), _i64(0), b_at, *starts)
    for phi, start, next_ in zip((*counters, *sums), firsts, (*following, *totals), strict=True):
        phi.add_incoming(start, entry)
        phi.add_incoming(next_, loop)
    builder.cbranch(builder.icmp_signed("<", following[0], k), loop, done)

    builder.position_at_end(done)
    results = [builder.phi(vector) for _ in starts]
    for phi, start, total in zip(results, starts, totals, strict=True):
        phi.add_incoming(start, entry)
        phi.add_incoming(total, loop)
    # so a NaN stays one
    results = [builder.select(builder.fcmp_ordered("<", x, floors), floors, x) for x in results]

    gated, store = builder.append_basic_block("gated"), builder.append_basic_block("store")
    builder.cbranch(builder.icmp_signed("<", gate_at, _i64(0)), store, gated)
    builder.position_at_end(gated)
    zero, passed = ir.Constant(vector, [0.0] * lanes), []
    for (line, v), result in zip(positions, results, strict=True):
        slope = load(gate, builder.add(gate_at, builder.mul(line, c_row)), v)
        passed.append(builder.select(builder.fcmp_ordered(">", slope, zero), result, zero))
    builder.branch(store)
    builder.position_at_end(store)
    ends = [builder.phi(vector) for _ in results]
    for phi, result, through in zip(ends, results, passed, strict=True):
        phi.add_incoming(result, done)
        phi.add_incoming(through, gated)
    for (line, v), result in zip(positions, ends, strict=True):
        where = builder.gep(c, [builder.add(builder.add(c_at, builder.mul(line, c_row)), _i64(v * lanes))])
        if v == num_vectors - 1:
            masked_store(builder, result, where, first)
        else:
            builder.store(result, builder.bitcast(where, vector.as_pointer()), align=bytes_)


def _by_rows(
    c, c_at, c_row, d, d_at, d_row, d_step, floor, a, a_at, a_row, a_step, b, b_at, b_step, m, n, k, gate, gate_at
):
    """Compute `matmul` in NumPy."""
    for i in range(m):
        start = d[d_at + i * d_row :]
        total = start[:n].copy() if d_step else np.full(n, start[0])
        for p in range(k):
            total += a[a_at + i * a_row + p * a_step] * b[b_at + p * b_step :][:n]
        total = np.where(total < floor, floor, total)
        if gate_at >= 0:
            total = np.where(gate[gate_at + i * c_row :][:n] > 0, total, 0)
        c[c_at + i * c_row :][:n] = total


@compiled(interpreted=_by_rows)
def matmul(
    c, c_at, c_row, d, d_at, d_row, d_step, floor, a, a_at, a_row, a_step, b, b_at, b_step, m, n, k, gate, gate_at
):
    """Write c = max(floor, d + a b), c and d (m, n), a (m, k), b (k, n), d = c allowed.

    c, d, a and b are vectors that hold the matrices: element (i, j) of c is at c_at + i c_row + j, of d at
    d_at + i d_row + j d_step, of a at a_at + i a_row + j a_step, of b at b_at + i b_step + j. d_step is 1, or 0 for one
    number a row. So a bias has d_row = 0 where rows are examples, and d_step = 0 where columns are. `floor`, of their
    dtype, is 0 for a rectifier, −∞ for none; NaN stays NaN. c is zero where `gate` is not positive, as the slope of a
    rectifier; its element (i, j) is at gate_at + i c_row + j, and gate_at is < 0 for none.
    """
    most = VECTORS * (REGISTER // c.itemsize)
    for p in range(0, max(k, 1), DEEP):
        if p > 0:  # go on with the sums so far
            d, d_at, d_row, d_step = c, c_at, c_row, 1
        deep, ends = min(DEEP, k - p), p + DEEP >= k
        low, gated = floor if ends else c.dtype.type(-np.inf), ends and gate_at >= 0
        for j in range(0, n, most):
            w, bj = min(n - j, most), b_at + p * b_step + j
            i, tall = 0, w <= NARROW * most // VECTORS
            while i < m:
                r, ci, di, ai = (
                    m - i,
                    c_at + i * c_row + j,
                    d_at + i * d_row + j * d_step,
                    a_at + i * a_row + p * a_step,
                )
                gate_i = gate_at + i * c_row + j if gated else -1
                if tall and r > MANY:
                    _tile(
                        TALL, NARROW, c, ci, c_row, d, di, d_row, d_step, low, a, ai, a_row, a_step, b, bj, b_step,
                        r, w, deep, gate, gate_i,
                    )  # fmt: skip
                    i += TALL
                elif r > FEW:
                    _tile(
                        MANY, VECTORS, c, ci, c_row, d, di, d_row, d_step, low, a, ai, a_row, a_step, b, bj, b_step,
                        r, w, deep, gate, gate_i,
                    )  # fmt: skip
                    i += MANY
                else:
                    _tile(
                        FEW, VECTORS, c, ci, c_row, d, di, d_row, d_step, low, a, ai, a_row, a_step, b, bj, b_step,
                        r, w, deep, gate, gate_i,
                    )  # fmt: skip
                    i += FEW
