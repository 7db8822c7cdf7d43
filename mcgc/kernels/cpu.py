"""The kernels for NumPy arrays, compiled by Numba: one pass over memory each, by several threads if it is long.

Sums are formed in a fixed order, 64 partial sums in float64 that the compiler may keep in vectors as they stand, of
parts of a fixed length. So a call repeats its bits, on any number of threads.
"""

from collections.abc import Sequence
from itertools import combinations, starmap
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from mcgc import random
from mcgc.arrays import check_alike
from mcgc.kernels import buffers, reference, scalar, threads
from mcgc.kernels.compiled import compiled, laid_out
from mcgc.kernels.cpu_philox import philox_tile
from mcgc.kernels.cpu_sharing import sharing
from mcgc.kernels.cpu_subnormal import flush, restore
from mcgc.kernels.cpu_vectors import wide
from mcgc.random import LANES, TILE, Key, Keys

PART = 32  # tiles whose sum is formed in one thread, and then added to those of other parts
WORTH = 2  # parts of noise for each thread; of an update, twice as many
_NUMBERS = (int, float, np.number)

_turns = register_jitable(scalar.quarter_turns)
_pair32 = register_jitable(scalar.normal_pair32)
_pair64 = register_jitable(scalar.normal_pair64)


def _pair(b, c, like):
    """Return two normal numbers in the dtype of `like`, from two words; this body is that of code not compiled."""
    return _pair32(b, c) if like.dtype == np.float32 else _pair64(b, c)


@overload(_pair)
def _choose_pair(b, c, like):
    if like == types.float32:
        return lambda b, c, like: _pair32(b, c)
    return lambda b, c, like: _pair64(b, c)


@compiled(error_model="numpy")
def _fill(noise, words, tile, k0, k1):
    """Make the tile's 256 normal numbers, in the order of the stream, in `noise`; both buffers have shape (4, 64)."""
    wide()
    first = np.uint64(tile) * np.uint64(LANES)
    low, high = np.uint32(first), np.uint32(first >> np.uint64(32))  # 64 divides 2³²: `low` cannot overflow
    philox_tile(words, low, high, k0, k1)
    for pair in range(2):
        b, c, x, y = words[2 * pair], words[2 * pair + 1], noise[2 * pair], noise[2 * pair + 1]
        for w in range(LANES):
            x[w], y[w] = _pair(b[w], c[w], x[w])


@compiled(error_model="numpy")
def _perturb(out, theta, scale, k0, k1, begin, until):
    """Write ϑ in the tiles from `begin` to before `until`, and return their ‖ε‖²."""
    wide()
    n = theta.size
    noise, words = np.empty((4, LANES), theta.dtype), np.empty((4, LANES), np.uint32)
    flat = noise.reshape(TILE)
    sums = np.zeros(LANES, np.float64)
    for tile in range(begin, until):
        _fill(noise, words, tile, k0, k1)
        start = tile * TILE
        count = min(TILE, n - start)
        flat[count:] = 0
        to, of = out[start : start + count], theta[start : start + count]  # so the compiler knows that no index is < 0
        for i in range(count):
            to[i] = of[i] + scale * flat[i]
        for w in range(LANES):
            a, b, c, d = noise[0, w], noise[1, w], noise[2, w], noise[3, w]
            sums[w] += a * a + b * b + (c * c + d * d)
    return sums.sum()


@compiled(error_model="numpy")
def _noise_dot(gradient, k0, k1, begin, until):
    """Return the part of ε · gradient of the tiles from `begin` to before `until`."""
    wide()
    n = gradient.size
    noise, words = np.empty((4, LANES), gradient.dtype), np.empty((4, LANES), np.uint32)
    flat = noise.reshape(TILE)
    sums = np.zeros(LANES, np.float64)
    for tile in range(begin, until):
        _fill(noise, words, tile, k0, k1)
        start = tile * TILE
        count = min(TILE, n - start)
        flat[count:] = 0
        of = gradient[start : start + count]
        for i in range(count):
            flat[i] *= of[i]
        for w in range(LANES):
            sums[w] += noise[0, w] + noise[1, w] + (noise[2, w] + noise[3, w])
    return sums.sum()


@compiled
def _perturb_parts(begin, until, sums, tiles, out, theta, scale, k0, k1):
    for part in range(begin, until):
        sums[part] = _perturb(out, theta, scale, k0, k1, part * PART, min((part + 1) * PART, tiles))


@compiled
def _noise_dot_parts(begin, until, sums, tiles, gradient, k0, k1):
    for part in range(begin, until):
        sums[part] = _noise_dot(gradient, k0, k1, part * PART, min((part + 1) * PART, tiles))


_share_perturb, _share_noise_dot = map(sharing, (_perturb_parts, _noise_dot_parts))


@compiled(nogil=True)
def _perturb_all(mailboxes, ends, tiles, *arguments):
    sums = np.empty(ends[-1])
    _share_perturb(mailboxes, ends, (sums, tiles, *arguments))
    return sums.sum()


@compiled(nogil=True)
def _noise_dot_all(mailboxes, ends, tiles, *arguments):
    sums = np.empty(ends[-1])
    _share_noise_dot(mailboxes, ends, (sums, tiles, *arguments))
    return sums.sum()


@register_jitable
def _adam_of(theta, g, mean, square, keep_mean, new_mean, keep_square, new_square, step, correction, epsilon):
    """Return θ, μ and ν of one parameter: both loops below have this body, so they have the same bits."""
    m = keep_mean * mean + new_mean * g
    v = keep_square * square + new_square * (g * g)
    return theta - step * m / (np.sqrt(v) * correction + epsilon), m, v


@compiled(error_model="numpy")
def _adam(
    theta_out, mean_out, square_out, theta, gradient, mean, square,
    keep_mean, new_mean, keep_square, new_square, step, correction, epsilon,
):  # fmt: skip
    mode = flush()
    for i in range(theta.size):
        theta_out[i], mean_out[i], square_out[i] = _adam_of(
            theta[i], gradient[i], mean[i], square[i],
            keep_mean, new_mean, keep_square, new_square, step, correction, epsilon,
        )  # fmt: skip
    restore(mode)


@compiled(error_model="numpy")
def _adam_in_place(
    theta, gradient, mean, square, keep_mean, new_mean, keep_square, new_square, step, correction, epsilon
):
    """Overwrite θ, μ and ν: `_adam` on arrays that are its results too would not be compiled to vectors."""
    mode = flush()
    for i in range(theta.size):
        theta[i], mean[i], square[i] = _adam_of(
            theta[i], gradient[i], mean[i], square[i],
            keep_mean, new_mean, keep_square, new_square, step, correction, epsilon,
        )  # fmt: skip
    restore(mode)


@compiled
def _adam_part(begin, until, new, old, numbers):
    a, b, c = new
    theta, gradient, mean, square = old
    p = slice(begin, until)
    _adam(a[p], b[p], c[p], theta[p], gradient[p], mean[p], square[p], *numbers)


@compiled
def _adam_part_in_place(begin, until, arrays, numbers):
    theta, gradient, mean, square = arrays
    p = slice(begin, until)
    _adam_in_place(theta[p], gradient[p], mean[p], square[p], *numbers)


_share_adam, _share_adam_in_place = map(sharing, (_adam_part, _adam_part_in_place))


@compiled(nogil=True)
def _adam_all(mailboxes, ends, new, old, numbers):
    _share_adam(mailboxes, ends, (new, old, numbers))


@compiled(nogil=True)
def _adam_all_in_place(mailboxes, ends, arrays, numbers):
    _share_adam_in_place(mailboxes, ends, (arrays, numbers))


def _key_words(key: Key) -> tuple[np.uint32, np.uint32]:
    low, high = random.words(key)
    return np.uint32(low), np.uint32(high)


def perturb(theta: np.ndarray, scale: Any, key: Keys) -> tuple[np.ndarray, Any]:
    """Compute `reference.perturb` without storing the noise, members one after the other."""
    reference.check_noise(theta, key, scale)
    if not isinstance(key, Key):
        scales = np.broadcast_to(scale, len(key))
        moved, sqnorms = zip(*(perturb(*each) for each in zip(theta, scales, key, strict=True)), strict=True)
        return np.stack(moved), np.stack(sqnorms)
    kind = theta.dtype.type
    out = buffers.empty(theta.size, theta.dtype)
    sqnorm = _perturb_all(*_parts(theta.size), out, laid_out(theta), kind(scale), *_key_words(key))
    return out, kind(sqnorm)


def noise_dot(gradient: np.ndarray, key: Keys) -> Any:
    """Compute `reference.noise_dot` without storing the noise, members one after the other."""
    reference.check_noise(gradient, key)
    if not isinstance(key, Key):
        return np.stack([noise_dot(*each) for each in zip(gradient, key, strict=True)])
    return gradient.dtype.type(_noise_dot_all(*_parts(gradient.size), laid_out(gradient), *_key_words(key)))


def _parts(size: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the mailboxes of workers, the ends of the parts of each thread, and the number of tiles."""
    tiles = -(-size // TILE)
    parts = max(-(-tiles // PART), 1)
    ends = threads.parts(parts, 1, parts // WORTH)
    return threads.crew(ends), ends, tiles


def _are_apart(arrays: Sequence[np.ndarray]) -> bool:
    """Return whether no array shares memory with another; those whose elements interleave count as sharing it."""
    return not any(starmap(np.may_share_memory, combinations(arrays, 2)))


def adam(
    theta: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    count: int,
    learning_rate: float,
    decay_mean: float,
    decay_square: float,
    epsilon: float,
    donate: bool = False,
) -> tuple[Any, Any, Any]:
    """Compute `reference.adam` in one pass, with zero for subnormal numbers.

    `reference.adam` computes a 0-dimensional θ, and a learning rate that is an array. Arrays that are donated are
    overwritten, unless they cannot be written or share memory with another of the arrays.
    """
    if theta.ndim == 0 or not isinstance(learning_rate, _NUMBERS):
        return reference.adam(theta, gradient, mean, square, count, learning_rate, decay_mean, decay_square, epsilon)
    check_alike("theta", theta, gradient=gradient, mean=mean, square=square)
    constants = reference.adam_constants(count, learning_rate, decay_mean, decay_square, epsilon)
    numbers = tuple(map(theta.dtype.type, constants))
    arrays = laid_out(theta), laid_out(gradient), laid_out(mean), laid_out(square)
    flat = arrays if theta.ndim == 1 else tuple(x.reshape(-1) for x in arrays)
    ends = threads.parts(theta.size, TILE, theta.size // (2 * WORTH * PART * TILE))
    if donate and arrays[0] is theta and arrays[2] is mean and arrays[3] is square and _are_apart(arrays):
        _adam_all_in_place(threads.crew(ends), ends, flat, numbers)
        return theta, mean, square
    new = tuple(buffers.empty(theta.size, theta.dtype) for _ in range(3))
    _adam_all(threads.crew(ends), ends, new, flat, numbers)
    theta, mean, square = (x.reshape(theta.shape) for x in new)
    return theta, mean, square
