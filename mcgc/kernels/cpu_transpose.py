"""The transpose of a matrix in compiled code, in square blocks that are turned within registers."""

# mypy: disable-error-code="call-arg"
# (an intrinsic is called without its first parameter, the typing context)

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mcgc.kernels.compiled import compiled
from mcgc.kernels.cpu_vectors import REGISTER, mask_of, masked_load, masked_store, shuffle

_i64 = ir.IntType(64)


@intrinsic
def _block(typing, c, c_at, c_row, a, a_at, a_row, m, n):
    """Write the first n rows and m columns of cᵀ = a, a square block of as many rows as a vector has lanes."""
    lanes, at = REGISTER * 8 // c.dtype.bitwidth, types.intp
    signature = types.void(c, at, at, a, at, at, at, at)

    def generate(context, builder, signature, args):
        c, a = (context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 3))
        c_at, c_row, a_at, a_row, m, n = (args[i] for i in (1, 2, 4, 5, 6, 7))
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), lanes)
        final, across = builder.sub(m, _i64(1)), mask_of(builder, n, lanes)
        rows = []
        for r in range(lanes):
            line = builder.select(builder.icmp_signed("<", _i64(r), m), _i64(r), final)
            where = builder.gep(a, [builder.add(a_at, builder.mul(line, a_row))])
            rows.append(masked_load(builder, vector, where, across))
        span = 1
        while span < lanes:
            turned = list(rows)
            for r in range(lanes):
                if r & span == 0:
                    one, other = rows[r], rows[r + span]
                    turned[r] = shuffle(
                        builder, one, other, [t if t & span == 0 else t - span + lanes for t in range(lanes)]
                    )
                    turned[r + span] = shuffle(
                        builder, one, other, [t + span if t & span == 0 else t + lanes for t in range(lanes)]
                    )
            rows, span = turned, 2 * span
        whole, nothing = mask_of(builder, m, lanes), mask_of(builder, _i64(0), lanes)
        for r in range(lanes):
            mask = builder.select(builder.icmp_signed("<", _i64(r), n), whole, nothing)
            masked_store(builder, rows[r], builder.gep(c, [builder.add(c_at, builder.mul(_i64(r), c_row))]), mask)
        return context.get_dummy_value()

    return signature, generate


def _by_rows(c, c_at, c_row, a, a_at, a_row, m, n):
    """Compute `transpose` in NumPy."""
    for j in range(n):
        for i in range(m):
            c[c_at + j * c_row + i] = a[a_at + i * a_row + j]


@compiled(interpreted=_by_rows)
def transpose(c, c_at, c_row, a, a_at, a_row, m, n):
    """Write c = aᵀ, a (m, n), c (n, m), both without an element in common.

    They are vectors that hold the matrices: element (i, j) of a is at a_at + i a_row + j, and likewise in c.
    """
    lanes = REGISTER // c.itemsize
    for i in range(0, m, lanes):
        for j in range(0, n, lanes):
            _block(c, c_at + j * c_row + i, c_row, a, a_at + i * a_row + j, a_row, min(lanes, m - i), min(lanes, n - j))
