"""The product of matrices whose rows are padded to whole vectors, as a solver takes it of a few rows, again and again.

`cpu_matmul` takes matrices as they are, and masks the last vector of a row. Here the weights were copied once into
rows of whole vectors, which begin where a line of the cache does. So no load has a mask, or crosses two lines. Each
number is the same sum, in the same order.
"""

# mypy: disable-error-code="call-arg"
# (an intrinsic is called without its first parameter, the typing context)

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic, register_jitable

from mcgc.kernels.cpu_matmul import VECTORS
from mcgc.kernels.cpu_vectors import REGISTER, in_every_lane

PLAIN, RECTIFIED, GATED = range(3)  # what is done to a sum: nothing, max(0, sum), 0 unless the gate is positive
_ROWS = 5  # of a tile, at most
_i32, _i64 = ir.IntType(32), ir.IntType(64)


@register_jitable
def padded(n, itemsize):
    """Return n, or the next larger number that fills whole vectors."""
    lanes = REGISTER // itemsize
    return (n + lanes - 1) // lanes * lanes


def _tile(module: Any, name: str, number: Any, rows: int, vectors: int) -> Any:
    """Return a function of LLVM that computes a tile of `rows` × `vectors`; see `_product` for what it is given."""
    lanes = REGISTER * 8 // (32 if isinstance(number, ir.FloatType) else 64)
    vector, of_numbers = ir.VectorType(number, lanes), number.as_pointer()
    pointer, itemsize = vector.as_pointer(), REGISTER // lanes
    kinds = (of_numbers, _i64, of_numbers, _i64, of_numbers, _i64, _i64, of_numbers, _i64, _i64, of_numbers, _i64, _i64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), f"{name}_{rows}_{vectors}")
    function.linkage = "linkonce_odr"
    function.attributes.add("alwaysinline")
    c, c_row, d, d_row, gate, gate_row, mode, a, a_row, a_step, b, b_step, k = function.args
    entry = function.append_basic_block("entry")
    builder = ir.IRBuilder(entry)
    tile = [(r, v) for r in range(rows) for v in range(vectors)]

    def place(base: Any, row: Any, r: int, v: int) -> Any:
        offset = builder.add(builder.mul(_i64(r), row), _i64(v * lanes))
        return builder.bitcast(builder.gep(base, [offset]), pointer)

    def load(base: Any, row: Any, r: int, v: int) -> Any:
        return builder.load(place(base, row, r, v), align=itemsize)

    starts = [load(d, d_row, r, v) for r, v in tile]
    lines = [builder.gep(a, [builder.mul(_i64(r), a_row)]) for r in range(rows)]
    loop, done = builder.append_basic_block("product"), builder.append_basic_block("done")
    builder.branch(loop)  # k is at least 1
    builder.position_at_end(loop)
    p, a_at, b_at = (builder.phi(_i64) for _ in range(3))
    sums = [builder.phi(vector) for _ in tile]
    columns = [load(builder.gep(b, [b_at]), _i64(0), 0, v) for v in range(vectors)]
    totals = []
    for r, line in enumerate(lines):
        factor = in_every_lane(builder, builder.load(builder.gep(line, [a_at])), vector)
        for v, column in enumerate(columns):
            product = builder.fmul(factor, column, flags=("contract",))
            totals.append(builder.fadd(sums[r * vectors + v], product, flags=("contract",)))
    after = builder.add(p, _i64(1)), builder.add(a_at, a_step), builder.add(b_at, b_step)
    firsts = _i64(0), _i64(0), _i64(0), *starts
    for phi, first, next_ in zip((p, a_at, b_at, *sums), firsts, (*after, *totals), strict=True):
        phi.add_incoming(first, entry)
        phi.add_incoming(next_, loop)
    builder.cbranch(builder.icmp_signed("<", after[0], k), loop, done)

    builder.position_at_end(done)
    zero, whole = ir.Constant(vector, [0.0] * lanes), ir.VectorType(ir.IntType(8 * itemsize), lanes)
    blocks = [builder.append_basic_block(kind) for kind in ("plain", "rectified", "gated")]
    choice = builder.switch(mode, blocks[PLAIN])
    for kind in (RECTIFIED, GATED):
        choice.add_case(_i64(kind), blocks[kind])
    for kind, block in enumerate(blocks):
        builder.position_at_end(block)
        for (r, v), total in zip(tile, totals, strict=True):
            if kind == RECTIFIED:
                total = builder.select(builder.fcmp_ordered("<", total, zero), zero, total)  # so a NaN stays one
            elif kind == GATED:  # as integers, so that a subnormal gate is open where such numbers count as zeros
                opens = builder.bitcast(load(gate, gate_row, r, v), whole)
                total = builder.select(builder.icmp_signed(">", opens, ir.Constant(whole, [0] * lanes)), total, zero)
            builder.store(total, place(c, c_row, r, v), align=itemsize)
        builder.ret_void()
    return function


def _whole(module: Any, number: Any) -> Any:
    """Return the function of LLVM that goes over a matrix in tiles."""
    name = f"mcgc_product_{number}_{REGISTER}"
    if name in module.globals:
        return module.globals[name]
    of_numbers = number.as_pointer()
    kinds = (of_numbers, _i64, of_numbers, _i64, of_numbers, _i64, _i64, of_numbers, _i64, _i64, of_numbers, _i64, _i64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), (*kinds, _i64, _i64)), name)
    function.linkage = "linkonce_odr"
    function.attributes.update(("noinline", "optsize"))  # its loops are written out already
    c, c_row, d, d_row, gate, gate_row, mode, a, a_row, a_step, b, b_step, k, m, vectors = function.args
    lanes = REGISTER * 8 // (32 if isinstance(number, ir.FloatType) else 64)
    entry, columns, rows, ended, end = (
        function.append_basic_block(n) for n in ("entry", "columns", "rows", "ended", "end")
    )
    builder = ir.IRBuilder(entry)
    some = builder.and_(builder.icmp_signed(">", m, _i64(0)), builder.icmp_signed(">", vectors, _i64(0)))
    builder.cbranch(some, columns, end)

    builder.position_at_end(columns)
    v = builder.phi(_i64)
    v.add_incoming(_i64(0), entry)
    left = builder.sub(vectors, v)
    width = builder.select(builder.icmp_signed("<", left, _i64(VECTORS)), left, _i64(VECTORS))
    shift = builder.mul(v, _i64(lanes))
    builder.branch(rows)

    builder.position_at_end(rows)
    i = builder.phi(_i64)
    i.add_incoming(_i64(0), columns)
    rest = builder.sub(m, i)  # tiles of 5 rows, at the end 4 or the rest; 6 to 8 rows are 4 and the rest
    few = builder.select(builder.icmp_signed("<", rest, _i64(4)), rest, _i64(4))
    five = builder.or_(builder.icmp_signed("==", rest, _i64(_ROWS)), builder.icmp_signed(">", rest, _i64(8)))
    height = builder.select(five, _i64(_ROWS), few)
    placed = (c, c_row, shift), (d, d_row, shift), (gate, gate_row, shift), (a, a_row, _i64(0))
    base = [builder.gep(x, [builder.add(builder.mul(i, row), by)]) for x, row, by in placed]
    b_here = builder.gep(b, [shift])
    which = builder.add(builder.mul(builder.sub(height, _i64(1)), _i64(VECTORS)), builder.sub(width, _i64(1)))
    tiles = [(r, w) for r in range(1, _ROWS + 1) for w in range(1, VECTORS + 1)]
    blocks = [function.append_basic_block(f"tile_{r}_{w}") for r, w in tiles]
    choice = builder.switch(which, blocks[-1])
    for number_of, block in enumerate(blocks[:-1]):
        choice.add_case(_i64(number_of), block)
    for (r, w), block in zip(tiles, blocks, strict=True):
        builder.position_at_end(block)
        given = base[0], c_row, base[1], d_row, base[2], gate_row, mode, base[3], a_row, a_step, b_here, b_step, k
        builder.call(_tile(module, name, number, r, w), given)
        builder.branch(ended)

    builder.position_at_end(ended)
    following, next_v = builder.add(i, height), builder.add(v, width)
    i.add_incoming(following, ended)
    more = function.append_basic_block("more")
    builder.cbranch(builder.icmp_signed("<", following, m), rows, more)
    builder.position_at_end(more)
    v.add_incoming(next_v, more)
    builder.cbranch(builder.icmp_signed("<", next_v, vectors), columns, end)
    builder.position_at_end(end)
    builder.ret_void()
    return function


@intrinsic
def _product(
    typing, c, c_at, c_row, d, d_at, d_row, gate, gate_at, gate_row, mode, a, a_at, a_row, a_step, b, b_at, b_step, m,
    n, k,
):  # fmt: skip
    at = types.intp
    signature = types.void(c, at, at, d, at, at, gate, at, at, at, a, at, at, at, b, at, at, at, at, at)

    def generate(context, builder, signature, args):
        pointers = []
        for place in (0, 3, 6, 10, 14):
            data = context.make_array(signature.args[place])(context, builder, args[place]).data
            pointers.append(builder.gep(data, [args[place + 1]]))
        (c, d, gate, a, b), lanes = pointers, REGISTER * 8 // signature.args[0].dtype.bitwidth
        (c_row, d_row, gate_row, mode, a_row, a_step, b_step, m, n, k) = (
            args[i] for i in (2, 5, 8, 9, 12, 13, 16, 17, 18, 19)
        )
        function = _whole(builder.module, context.get_value_type(signature.args[0].dtype))
        vectors = builder.sdiv(n, _i64(lanes))
        builder.call(function, (c, c_row, d, d_row, gate, gate_row, mode, a, a_row, a_step, b, b_step, k, m, vectors))
        return context.get_dummy_value()

    return signature, generate


def _by_rows(
    c, c_at, c_row, d, d_at, d_row, gate, gate_at, gate_row, mode, a, a_at, a_row, a_step, b, b_at, b_step, m, n, k
):
    """Compute `product` in NumPy."""
    for i in range(m):
        total = d[d_at + i * d_row :][:n].copy()
        for p in range(k):
            total += a[a_at + i * a_row + p * a_step] * b[b_at + p * b_step :][:n]
        if mode == RECTIFIED:
            total = np.where(total < 0, 0, total)
        elif mode == GATED:
            total = np.where(gate[gate_at + i * gate_row :][:n] > 0, total, 0)
        c[c_at + i * c_row :][:n] = total


product: Any = _by_rows if config.DISABLE_JIT else _product
"""Write c = d + a b, with what `mode` says done to it: c, d and the gate (m, n), a (m, k), b (k, n), d = c allowed.

n is a multiple of the lanes of a vector, and k at least 1. All are vectors that hold the matrices: element (i, j) of c
is at c_at + i c_row + j, and likewise in d (a bias has d_row = 0) and in the gate; (i, p) of a is at a_at + i a_row +
p a_step, (p, j) of b at b_at + p b_step + j. A sum runs over p from first to last, whatever m is. NaN passes max.
"""
