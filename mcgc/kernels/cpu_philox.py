"""Philox for a tile of blocks on the CPU: the counters of many blocks stay in registers through all rounds.

The product of 32 × 32 bits takes every other lane of a vector. So the even and the odd lanes are multiplied apart, and
the halves of the products are put together again. A compiler that is left with `scalar.philox_round` widens and narrows
all lanes instead, which takes about twice as long.
"""

# mypy: disable-error-code="call-arg"
# (an intrinsic is called without its first parameter, the typing context)

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

from mcgc.kernels import scalar
from mcgc.kernels.compiled import compiled
from mcgc.kernels.cpu_vectors import REGISTER, in_every_lane, shuffle
from mcgc.random import LANES, MULTIPLIERS, ROUNDS, TILE, WEYL

_WIDTH = REGISTER // 4  # blocks of a vector
_TOGETHER = 4 if REGISTER == 64 else 2  # vectors of each word that stay in registers

_i32, _i64 = ir.IntType(32), ir.IntType(64)
_words, _pairs = ir.VectorType(_i32, _WIDTH), ir.VectorType(_i64, _WIDTH // 2)


@intrinsic
def _blocks(typing, words, first, low, high, k0, k1):
    """Write the words of blocks from `first` on, (4, LANES); the counter of block w is that of (low + w, high)."""
    signature = types.void(words, types.intp, types.uint32, types.uint32, types.uint32, types.uint32)

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        first, *rest = args[1:]
        low, high, k0, k1 = (in_every_lane(builder, x, _words) for x in rest)
        counters = []
        for v in range(_TOGETHER):
            at = builder.add(builder.trunc(first, _i32), _i32(v * _WIDTH))
            steps = ir.Constant(_words, list(range(_WIDTH)))
            count = builder.add(builder.add(low, in_every_lane(builder, at, _words)), steps)
            zero = ir.Constant(_words, [0] * _WIDTH)
            counters.append((count, high, zero, zero))
        for _ in range(ROUNDS):
            counters = [_round(builder, *counter, k0, k1) for counter in counters]
            k0, k1 = (
                builder.add(key, ir.Constant(_words, [step] * _WIDTH)) for key, step in zip((k0, k1), WEYL, strict=True)
            )
        for v, counter in enumerate(counters):
            for number, word in enumerate(counter):
                at = builder.add(first, _i64(number * LANES + v * _WIDTH))
                builder.store(word, builder.bitcast(builder.gep(data, [at]), _words.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, generate


def _round(builder, c0, c1, c2, c3, k0, k1):
    (high0, low0), (high1, low1) = (
        _product(builder, c, factor) for c, factor in zip((c0, c2), MULTIPLIERS, strict=True)
    )
    xor = builder.xor
    return xor(xor(high1, c1), k0), low1, xor(xor(high0, c3), k1), low0


def _product(builder, c, factor):
    """Return the high and the low words of the products of c and a number."""
    factors, word = (ir.Constant(_pairs, [x] * (_WIDTH // 2)) for x in (factor, 2**32 - 1))
    pairs = builder.bitcast(c, _pairs)
    even = builder.bitcast(builder.mul(builder.and_(pairs, word), factors), _words)
    shift = ir.Constant(_pairs, [32] * (_WIDTH // 2))
    odd = builder.bitcast(builder.mul(builder.lshr(pairs, shift), factors), _words)
    halves = [[2 * (i // 2) + part + (_WIDTH if i % 2 else 0) for i in range(_WIDTH)] for part in (1, 0)]
    return tuple(shuffle(builder, even, odd, half) for half in halves)


def _by_words(words, low, high, k0, k1):
    """Compute `philox_tile` in NumPy."""
    c0, c1, c2, c3 = words
    c0[:], c1[:], c2[:], c3[:] = low + np.arange(LANES, dtype=np.uint32), high, 0, 0
    for _ in range(ROUNDS):
        c0[:], c1[:], c2[:], c3[:] = (x.copy() for x in scalar.philox_round(c0, c1, c2, c3, k0, k1))
        k0, k1 = scalar.next_key(k0, k1)


@compiled(interpreted=_by_words)
def philox_tile(words, low, high, k0, k1):
    """Write the words of the `LANES` blocks of counters (low + w, high, 0, 0) in `words`, of shape (4, LANES).

    All are uint32, and low + w does not overflow. The meaning is `mcgc.random.philox`.
    """
    for first in range(0, LANES, _TOGETHER * _WIDTH):
        _blocks(words, first, low, high, k0, k1)


_philox_round, _next_key = map(register_jitable, (scalar.philox_round, scalar.next_key))


@compiled
def stream(out, k0, k1):
    """Write the first words of a stream, those of `mcgc.random.bits`, to `out`. The words of the key are integers."""
    k0, k1 = np.uint32(k0), np.uint32(k1)
    words = np.empty((4, LANES), np.uint32)
    for begin in range(0, out.size, TILE):
        block = np.uint64(begin // 4)
        philox_tile(words, np.uint32(block), np.uint32(block >> np.uint64(32)), k0, k1)
        count = min(TILE, out.size - begin)
        out[begin : begin + count] = words.reshape(TILE)[:count]


@compiled
def first_words(c0, c1, c2, c3, k0, k1):
    """Return the first two words of a block, as one number of 64 bits, low word first. Integers are given."""
    c0, c1, c2, c3, k0, k1 = np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3), np.uint32(k0), np.uint32(k1)
    for _ in range(ROUNDS):
        c0, c1, c2, c3 = _philox_round(c0, c1, c2, c3, k0, k1)
        k0, k1 = _next_key(k0, k1)
    return np.uint64(c0) | np.uint64(c1) << np.uint64(32)
