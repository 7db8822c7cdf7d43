"""The product c = d + a bᵀ of compiled nets, whose inner index lies in the lanes of vectors.

Each lane sums its own part of the inner index, from first to last, and the lanes are added in pairs at the end. So the
order of every sum is fixed, and depends on the number of terms alone. `cpu_matmul` says why no general product is used.
"""

# mypy: disable-error-code="call-arg"
# (an intrinsic is called without its first parameter, the typing context)

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mcgc.kernels.compiled import compiled
from mcgc.kernels.cpu_vectors import REGISTER, mask_of, masked_load, masked_store, shuffle

MANY, COLUMNS = (5, 5) if REGISTER == 64 else (3, 3)  # of a tile: what 32 or 16 registers hold, with the factors

_i64 = ir.IntType(64)


@intrinsic(prefer_literal=True)
def _tile(typing, rows, c, c_at, c_row, d, d_at, d_row, a, a_at, a_row, b, b_at, b_row, m, n, k):
    """Write the tile c = d + a bᵀ of `rows` × `COLUMNS`, or its first m rows and n columns.

    Rows of a, b and c beyond those repeat the last one.
    """
    if not isinstance(rows, types.IntegerLiteral):
        raise TypeError("the number of rows of a tile is written out where it is called")
    num_rows, lanes, at = rows.literal_value, REGISTER * 8 // c.dtype.bitwidth, types.intp
    signature = types.void(rows, c, at, at, d, at, at, a, at, at, b, at, at, at, at, at)

    def generate(context, builder, signature, args):
        c, d, a, b = (context.make_array(signature.args[i])(context, builder, args[i]).data for i in (1, 4, 7, 10))
        c_at, c_row, d_at, d_row, a_at, a_row, b_at, b_row, m, n, k = (
            args[i] for i in (2, 3, 5, 6, 8, 9, 11, 12, 13, 14, 15)
        )
        vector = ir.VectorType(context.get_value_type(signature.args[1].dtype), lanes)
        zero = ir.Constant(vector, [0.0] * lanes)

        def lines(number, limit):
            final = builder.sub(limit, _i64(1))
            return [builder.select(builder.icmp_signed("<", _i64(r), limit), _i64(r), final) for r in range(number)]

        def starts_of(array, at, row, chosen):
            return [builder.gep(array, [builder.add(at, builder.mul(line, row))]) for line in chosen]

        rows, columns = lines(num_rows, m), lines(COLUMNS, n)
        a_lines, b_lines = starts_of(a, a_at, a_row, rows), starts_of(b, b_at, b_row, columns)

        def products(sums, load):
            b_parts = [load(line) for line in b_lines]
            totals = []
            for r, line in enumerate(a_lines):
                a_part = load(line)
                for j, b_part in enumerate(b_parts):
                    product = builder.fmul(a_part, b_part, flags=("contract",))
                    totals.append(builder.fadd(sums[r * COLUMNS + j], product, flags=("contract",)))
            return totals

        whole = builder.mul(builder.sdiv(k, _i64(lanes)), _i64(lanes))
        entry = builder.block
        loop, rest, part, done = (builder.append_basic_block(x) for x in ("product", "rest", "part", "done"))
        builder.cbranch(builder.icmp_signed(">", whole, _i64(0)), loop, rest)
        builder.position_at_end(loop)
        p = builder.phi(_i64)
        sums = [builder.phi(vector) for _ in range(num_rows * COLUMNS)]
        totals = products(
            sums,
            lambda line: builder.load(
                builder.bitcast(builder.gep(line, [p]), vector.as_pointer()), align=REGISTER // lanes
            ),
        )
        following = builder.add(p, _i64(lanes))
        for phi, first, next_ in zip([p, *sums], [_i64(0)] + [zero] * len(sums), [following, *totals], strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(next_, loop)
        builder.cbranch(builder.icmp_signed("<", following, whole), loop, rest)

        def merge(first, first_block, other, other_block):
            phis = [builder.phi(vector) for _ in first]
            for phi, x, y in zip(phis, first, other, strict=True):
                phi.add_incoming(x, first_block)
                phi.add_incoming(y, other_block)
            return phis

        builder.position_at_end(rest)
        sums = merge([zero] * len(totals), entry, totals, loop)
        left = builder.sub(k, whole)
        builder.cbranch(builder.icmp_signed(">", left, _i64(0)), part, done)
        builder.position_at_end(part)
        mask = mask_of(builder, left, lanes)
        totals = products(sums, lambda line: masked_load(builder, vector, builder.gep(line, [whole]), mask))
        builder.branch(done)
        builder.position_at_end(done)
        sums = merge(sums, rest, totals, part)

        columns_mask = mask_of(builder, n, lanes)
        per = lanes // COLUMNS  # rows whose sums share a vector
        c_lines, d_lines = starts_of(c, c_at, c_row, rows), starts_of(d, d_at, d_row, rows)
        starts = [masked_load(builder, vector, line, columns_mask) for line in d_lines]
        for r in range(0, num_rows, per):
            group = sums[r * COLUMNS : (r + per) * COLUMNS]
            added = _added(builder, vector, group)
            for i in range(len(group) // COLUMNS):
                row = shuffle(builder, added, added, [(i * COLUMNS + j) % lanes for j in range(lanes)])
                masked_store(builder, builder.fadd(starts[r + i], row), c_lines[r + i], columns_mask)
        return context.get_dummy_value()

    return signature, generate


def _added(builder, vector, sums):
    """Return a vector with the sum over the lanes of sums[i] in lane i."""
    lanes = span = vector.count
    while span > 1:
        span //= 2
        folded = []
        for i in range(min(span, len(sums))):
            low, high = sums[i], sums[i + span] if i + span < len(sums) else sums[i]
            kept = shuffle(builder, low, high, [t if t & span == 0 else t + lanes for t in range(lanes)])
            moved = shuffle(builder, low, high, [t + span if t & span == 0 else t - span + lanes for t in range(lanes)])
            folded.append(builder.fadd(kept, moved))
        sums = folded
    return sums[0]


def _by_rows(c, c_at, c_row, d, d_at, d_row, a, a_at, a_row, b, b_at, b_row, m, n, k):
    """Compute `inner_products` in NumPy."""
    for i in range(m):
        for j in range(n):
            c[c_at + i * c_row + j] = d[d_at + i * d_row + j] + a[a_at + i * a_row :][:k] @ b[b_at + j * b_row :][:k]


@compiled(interpreted=_by_rows)
def inner_products(c, c_at, c_row, d, d_at, d_row, a, a_at, a_row, b, b_at, b_row, m, n, k):
    """Write c = d + a bᵀ, c and d (m, n), a (m, k), b (n, k), d = c allowed.

    c, d, a and b are vectors that hold the matrices: element (i, j) of c is at c_at + i c_row + j, and likewise in the
    others. d_row may be 0, for one row that is added to all.
    """
    for i in range(0, m, MANY):
        for j in range(0, n, COLUMNS):
            r, w = min(MANY, m - i), min(COLUMNS, n - j)
            ci, di, ai, bj = c_at + i * c_row + j, d_at + i * d_row + j, a_at + i * a_row, b_at + j * b_row
            if r > 1:
                _tile(MANY, c, ci, c_row, d, di, d_row, a, ai, a_row, b, bj, b_row, r, w, k)
            else:
                _tile(1, c, ci, c_row, d, di, d_row, a, ai, a_row, b, bj, b_row, r, w, k)
