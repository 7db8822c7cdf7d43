"""The kernels for CuPy arrays, compiled by numba-cuda: one pass over memory each, on CuPy's current stream.

A thread makes the four numbers of a Philox block, and goes on by the size of the grid; which thread makes a number
does not change it. Sums are formed in a fixed order, without atomics: of a thread, then of its block in shared
memory, then of the blocks, in the dtype of the arrays; so a call repeats its bits. The number of blocks depends on m
alone, and each has one member: a member's numbers and sums have the bits that it would have by itself.

A launch costs the host the same whatever it does, so there are few, and none waits for the device. Here are functions
of addresses and numbers; `mcgc.kernels.launching` makes kernels of them.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda.extending import overload, register_jitable
from numba.cuda.types import float32, float64

from mcgc import random
from mcgc.arrays import Array, check_alike, device_of, namespace_of
from mcgc.kernels import launching, reference, scalar
from mcgc.random import LANES, ROUNDS, TILE, Key

THREADS = 256  # of a block, a power of two
BLOCKS = 1024  # at most, of one member: about as many as fill the largest processors
MEMBERS = 16  # at most, of one launch: their keys are arguments of it, one key or this many

_round = register_jitable(scalar.philox_round)
_next_key = register_jitable(scalar.next_key)
_turns = register_jitable(scalar.quarter_turns)
_pair32 = register_jitable(scalar.normal_pair32)
_pair64 = register_jitable(scalar.normal_pair64)


def _pair(b, c, like):
    """Return two normal numbers in the dtype of the number `like`, from two words; this body is the simulator's."""
    return _pair32(b, c) if type(like) is np.float32 else _pair64(b, c)


@overload(_pair)
def _choose_pair(b, c, like):
    if like == float32:
        return lambda b, c, like: _pair32(b, c)
    return lambda b, c, like: _pair64(b, c)


@register_jitable
def _words(block, key):
    """Return the words of Philox block number `block`, int64, for a key of 64 bits."""
    c0, c1 = np.uint32(block & np.int64(0xFFFFFFFF)), np.uint32(block >> np.int64(32))
    c2, c3 = np.uint32(0), np.uint32(0)
    k0, k1 = np.uint32(key & np.uint64(0xFFFFFFFF)), np.uint32(key >> np.uint64(32))
    for _ in range(ROUNDS):
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
        k0, k1 = _next_key(k0, k1)
    return c0, c1, c2, c3


@register_jitable
def _noise(block, key, like):
    """Return the four normal numbers of a Philox block, whose indices are `LANES` apart."""
    c0, c1, c2, c3 = _words(block, key)
    x0, y0 = _pair(c0, c1, like)
    x1, y1 = _pair(c2, c3, like)
    return x0, y0, x1, y1


@register_jitable
def _first_index(block):
    """Return the index of the first number of a Philox block in the order of the stream."""
    return block // np.int64(LANES) * np.int64(TILE) + block % np.int64(LANES)


def _storing(dtype):
    """Return a function that sums numbers of a dtype over a block, in memory that its threads share."""

    @register_jitable
    def store(out, index, value):
        shared = cuda.shared.array(THREADS, dtype)
        thread = cuda.threadIdx.x
        shared[thread] = value
        cuda.syncthreads()
        half = THREADS // 2
        while half > 0:
            if thread < half:
                shared[thread] += shared[thread + half]
            cuda.syncthreads()
            half //= 2
        if thread == 0:
            out[index] = shared[0]

    return store


_store32, _store64 = _storing(float32), _storing(float64)


def _store_sum(out, index, value):
    """Write the sum of the block's values to out[index], the halves of the block added up again and again."""
    (_store32 if type(value) is np.float32 else _store64)(out, index, value)


@overload(_store_sum)
def _choose_store(out, index, value):
    if value == float32:
        return lambda out, index, value: _store32(out, index, value)
    return lambda out, index, value: _store64(out, index, value)


@register_jitable
def _square_and_move(out, theta, scale, start, index, m, eps):
    """Move one parameter, if there is one at this index, and return what it adds to ‖ε‖²."""
    if index >= m:
        return type(eps)(0)
    out[start + index] = theta[start + index] + scale * eps
    return eps * eps


@register_jitable
def _product(gradient, start, index, m, eps):
    """Return what one element adds to ε·∇f."""
    return eps * gradient[start + index] if index < m else type(eps)(0)


def _perturb(sums, out, theta, scale, m, first, blocks, keys):
    """Perturb the members from `first` on, one a key; sums has an element for every block of every member."""
    member, block = np.int64(cuda.blockIdx.x) // blocks, np.int64(cuda.blockIdx.x) % blocks
    key, row = keys[member], np.int64(first + member)
    start, s = row * m, scale[row]
    total = type(s)(0)
    philox = block * np.int64(THREADS) + np.int64(cuda.threadIdx.x)
    index = _first_index(philox)
    while index < m:
        e0, e1, e2, e3 = _noise(philox, key, s)
        total += _square_and_move(out, theta, s, start, index, m, e0)
        total += _square_and_move(out, theta, s, start, index + LANES, m, e1)
        total += _square_and_move(out, theta, s, start, index + 2 * LANES, m, e2)
        total += _square_and_move(out, theta, s, start, index + 3 * LANES, m, e3)
        philox += blocks * np.int64(THREADS)
        index = _first_index(philox)
    _store_sum(sums, row * blocks + block, total)


def _noise_dot(sums, gradient, m, first, blocks, keys):
    """Form ε·∇f of the members from `first` on, as `_perturb` forms ‖ε‖²."""
    member, block = np.int64(cuda.blockIdx.x) // blocks, np.int64(cuda.blockIdx.x) % blocks
    key, row = keys[member], np.int64(first + member)
    start = row * m
    total = type(gradient[start])(0)
    philox = block * np.int64(THREADS) + np.int64(cuda.threadIdx.x)
    index = _first_index(philox)
    while index < m:
        e0, e1, e2, e3 = _noise(philox, key, total)
        total += _product(gradient, start, index, m, e0)
        total += _product(gradient, start, index + LANES, m, e1)
        total += _product(gradient, start, index + 2 * LANES, m, e2)
        total += _product(gradient, start, index + 3 * LANES, m, e3)
        philox += blocks * np.int64(THREADS)
        index = _first_index(philox)
    _store_sum(sums, row * blocks + block, total)


def _total(out, sums, blocks):
    """Add up the sums of each member's blocks, by one block a member."""
    row = np.int64(cuda.blockIdx.x)
    total, i = type(sums[row])(0), np.int64(cuda.threadIdx.x)
    while i < blocks:
        total += sums[row * blocks + i]
        i += np.int64(THREADS)
    _store_sum(out, row, total)


def _adam(
    theta_out, mean_out, square_out, theta, gradient, mean, square, m,
    keep_mean, new_mean, keep_square, new_square, step, correction, epsilon,
):  # fmt: skip
    i = np.int64(cuda.blockIdx.x) * np.int64(THREADS) + np.int64(cuda.threadIdx.x)
    while i < m:
        g = gradient[i]
        u = keep_mean * mean[i] + new_mean * g
        v = keep_square * square[i] + new_square * (g * g)
        mean_out[i], square_out[i] = u, v
        theta_out[i] = theta[i] - step * u / (math.sqrt(v) * correction + epsilon)
        i += np.int64(cuda.gridDim.x) * np.int64(THREADS)


def _launch(kernel: Any, blocks: int, *arguments: Any) -> None:
    launching.launch(kernel, blocks, THREADS, *[np.int64(x) if type(x) is int else x for x in arguments])


def empty(shape: Any, like: Array) -> Array:
    return namespace_of(like).empty(shape, dtype=like.dtype, device=device_of(like))


def _sums(kernel: Any, key: Key | Sequence[Key], like: Array, *arrays: Array) -> Array:
    """Launch a kernel that sums for all keys, and return the sums, shape () for one key and (members,) for several."""
    keys = (key,) if isinstance(key, Key) else tuple(key)
    words = [random.words(member) for member in keys]
    rows, m = len(keys), like.size // len(keys)
    shape = () if isinstance(key, Key) else (rows,)
    if m == 0:  # an array without elements has no address that the driver would know
        return namespace_of(like).zeros(shape, dtype=like.dtype, device=device_of(like))
    blocks = min(-(-m // (4 * THREADS)), BLOCKS)
    sums = empty((rows * blocks,), like)
    width = MEMBERS if rows > 1 else 1  # keys of a launch, some unused: each number of them would compile anew
    for first in range(0, rows, MEMBERS):
        some = [np.uint64(low | high << 32) for low, high in words[first : first + MEMBERS]]
        padded = (*some, *[np.uint64(0)] * (width - len(some)))
        _launch(kernel, len(some) * blocks, sums, *arrays, m, first, blocks, padded)
    if blocks > 1:
        partial, sums = sums, empty((rows,), like)
        _launch(_total, rows, sums, partial, blocks)
    return sums.reshape(shape)


def perturb(theta: Array, scale: Array | float, key: Key | Sequence[Key]) -> tuple[Array, Array]:
    """Compute `reference.perturb` without storing the noise; `scale` is read on the device."""
    reference.check_noise(theta, key, scale)
    xp, rows = namespace_of(theta), 1 if isinstance(key, Key) else len(key)
    if isinstance(scale, int | float):
        scale = xp.full((rows,), scale, dtype=theta.dtype, device=device_of(theta))
    scales = xp.astype(scale, theta.dtype, copy=False).ravel()
    out = empty((theta.size,), theta)
    sqnorm = _sums(_perturb, key, theta, out, theta.ravel(), scales)
    return out.reshape(theta.shape), sqnorm


def noise_dot(gradient: Array, key: Key | Sequence[Key]) -> Array:
    """Compute `reference.noise_dot` without storing the noise."""
    reference.check_noise(gradient, key)
    return _sums(_noise_dot, key, gradient, gradient.ravel())


def adam(
    theta: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    count: int,
    learning_rate: float,
    decay_mean: float,
    decay_square: float,
    epsilon: float,
    donate: bool = False,
) -> tuple[Array, Array, Array]:
    """Compute `reference.adam` in one pass, into new arrays; a learning rate that is an array is left to that."""
    if not isinstance(learning_rate, int | float | np.number):
        return reference.adam(theta, gradient, mean, square, count, learning_rate, decay_mean, decay_square, epsilon)
    check_alike("theta", theta, gradient=gradient, mean=mean, square=square)
    constants = reference.adam_constants(count, learning_rate, decay_mean, decay_square, epsilon)
    m = theta.size
    new = [empty((m,), theta) for _ in range(3)]
    if m > 0:
        arrays = (x.ravel() for x in (theta, gradient, mean, square))
        # numbers of the arrays' dtype: a Python float would be an argument in float64
        numbers = (theta.dtype.type(constant) for constant in constants)
        _launch(_adam, min(-(-m // THREADS), BLOCKS), *new, *arrays, m, *numbers)
    theta, mean, square = (x.reshape(theta.shape) for x in new)
    return theta, mean, square
