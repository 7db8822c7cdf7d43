"""Random numbers as pure functions of a key: the counter-based generator Philox4x32-10 (Salmon et al. 2011).

There is no generator with a state. A `Key` names a stream of words; word number i of it depends on the key and i
alone. `fold_in` and `split` make new keys from a key on the host. The noise of sample j in optimiser step n of a run
is `normal(fold_in(fold_in(Key(seed), n), j), (m,))`, the same integers on every device.

A tuple of keys names as many streams: the members of an ensemble, one more leading axis of what is drawn.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mcgc._integers import whole
from mcgc.arrays import HOST, Array, Device
from mcgc.errors import InputError

MASK = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
LANES = 64  # blocks of a tile: a tile's 256 words come lane after lane, so that a loop over blocks writes in order
TILE = 4 * LANES

DATA, FOLD, SPLIT = 0, 1, 2  # last word of the counter: derived keys and data never share a block


class Key(NamedTuple):
    """A random stream: `bits`, an integer in [0, 2⁶⁴), is the key of Philox, low word first. `Key(seed)` makes one."""

    bits: int


Keys = Key | tuple[Key, ...]  # one stream, or one for each member


def philox(counter: Sequence[Any], key: Sequence[Any]) -> tuple:
    """Return the four output words of Philox4x32-10 for four counter words and two key words.

    Parameters
    ----------
    counter : sequence of four words
        The counter, low word first. Words are Python integers or arrays of uint64, below 2³².
    key : sequence of two words
        The key, low word first.

    Returns
    -------
    tuple of four words
        The output. Words are arrays where the counter or the key has arrays.

    References
    ----------
    Salmon et al. 2011, section 3.3.

    Examples
    --------
    >>> from mcgc.random import philox
    >>> [hex(word) for word in philox((0, 0, 0, 0), (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    (c0, c1, c2, c3), (k0, k1) = counter, key
    (m0, m1), (w0, w1), mask = MULTIPLIERS, WEYL, MASK
    for _ in range(ROUNDS):
        p0, p1 = m0 * c0, m1 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & mask, (p0 >> 32) ^ c3 ^ k1, p0 & mask
        k0, k1 = (k0 + w0) & mask, (k1 + w1) & mask
    return c0, c1, c2, c3


def words(key: Key) -> tuple[int, int]:
    """Return the two key words of Philox.

    Parameters
    ----------
    key : Key
        The key.

    Returns
    -------
    tuple of two ints
        The words, below 2³², low word first.

    Raises
    ------
    InputError
        If `key` is no `Key`, or its bits are not in [0, 2⁶⁴).

    Examples
    --------
    >>> from mcgc.random import Key, words
    >>> words(Key(2**32 + 7))
    (7, 1)
    """
    if not isinstance(key, Key):
        raise _no_key(key)
    bits = whole(key.bits, "a seed", 0, bits=64)
    return bits & MASK, bits >> 32


def _no_key(key: Any) -> InputError:
    return InputError(f"a key is made by Key(seed), or is a tuple of such for the members of an ensemble, got {key!r}")


def fold_in(key: Any, data: int) -> Any:
    """Return the key that belongs to a number under `key`: one stream for each number.

    Parameters
    ----------
    key : Key or tuple of Keys
        The key, or one for each member.
    data : int
        The number, in [0, 2⁶⁴).

    Returns
    -------
    Key or tuple of Keys
        The key, or that of each member.

    Raises
    ------
    InputError
        If `data` or the key is not in this range.

    Examples
    --------
    >>> from mcgc import Key, fold_in
    >>> fold_in(Key(0), 1) == fold_in(Key(0), 1), fold_in(Key(0), 1) == fold_in(Key(0), 2)
    (True, False)
    """
    if not isinstance(key, Key):
        _members(key)
        return tuple(fold_in(one, data) for one in key)
    return _derived(key, whole(data, "data to fold into a key", 0, bits=64), FOLD)


def split(key: Key, num: int = 2) -> tuple[Key, ...]:
    """Return keys made from `key`, independent of it, of each other, and of those that `fold_in` makes.

    Parameters
    ----------
    key : Key
        The key.
    num : int
        How many keys to make, 2 by default.

    Returns
    -------
    tuple of Keys
        The keys. A larger `num` begins with the same ones.

    Raises
    ------
    InputError
        If `key` is no key, or `num` is not an integer of at least 0.

    Examples
    --------
    >>> from mcgc import Key, split
    >>> first, second = split(Key(0))
    >>> split(Key(0), 3)[:2] == (first, second)
    True
    """
    return tuple(_derived(key, i, SPLIT) for i in range(whole(num, "the number of keys", 0)))


def _derived(key: Key, data: int, domain: int) -> Key:
    counter, both = (data & MASK, data >> 32, 0, domain), words(key)
    compiled = _compiled("first_words")
    if compiled is not None:
        return Key(int(compiled(*counter, *both)))
    low, high, _, _ = philox(counter, both)
    return Key(low | high << 32)


def _compiled(name: str) -> Any:
    """Return a function of the compiled generator, which gives the same words, where a kernel has been used already.

    To import the compiler for some words would take longer than they do.
    """
    return getattr(sys.modules.get("mcgc.kernels.cpu_philox"), name, None)


def bits(key: Keys, n: int, device: Device = HOST) -> Array:
    """Return the first words of the stream of `key`.

    Word i lies in tile ⌊i / 256⌋ at position r = i mod 256. It is output ⌊r / 64⌋ of Philox block 64 · tile + r mod 64.

    Parameters
    ----------
    key : Key or tuple of Keys
        The key, or one for each member.
    n : int
        The number of words.
    device : Device
        Where to compute. The host by default.

    Returns
    -------
    array of shape (n,) or (members, n)
        The words, uint32.

    Raises
    ------
    InputError
        If `key` is no key, or `n` is not an integer of at least 0.

    Examples
    --------
    >>> from mcgc.random import Key, bits
    >>> bits(Key(0), 3).dtype, bits((Key(0), Key(1)), 3).shape
    (dtype('uint32'), (2, 3))
    """
    xp, n = device.namespace, whole(n, "the number of words", 0)
    compiled = _compiled("stream") if device == HOST else None
    if compiled is not None and isinstance(key, Key):
        out = np.empty(n, np.uint32)
        compiled(out, *words(key))
        return out
    tiles = -(-n // TILE)
    block = xp.arange(tiles * LANES, dtype=xp.uint64, device=device.handle)
    zero = xp.zeros_like(block)
    members = _members(key)
    both = words(key) if isinstance(key, Key) else zip(*(([word] for word in words(one)) for one in key), strict=True)
    low, high = (xp.asarray(word, dtype=xp.uint64, device=device.handle) for word in both)
    output = philox((block & MASK, block >> 32, zero, zero + DATA), (low, high))
    tiled = xp.stack([xp.reshape(word, (*members, tiles, LANES)) for word in output], axis=-2)
    return xp.astype(xp.reshape(tiled, (*members, tiles * TILE))[..., :n], xp.uint32)


def _members(key: Keys) -> tuple[int, ...]:
    """Return the leading axes of what is drawn: none for one key."""
    if isinstance(key, Key):
        return ()
    if not isinstance(key, tuple | list):
        raise _no_key(key)
    return (len(key),)


def normal(key: Keys, shape: int | Sequence[int], dtype: Any = "float32", device: Device = HOST) -> Array:
    """Return standard normal numbers. Element i of the flat array depends on the key and i alone.

    Parameters
    ----------
    key : Key or tuple of Keys
        The key, or one for each member.
    shape : int or sequence of int
        The shape of the numbers of one key.
    dtype : {"float32", "float64"}
        The dtype, "float32" by default. Both come from the same words, so they agree to rounding.
    device : Device
        Where to compute. The host by default.

    Returns
    -------
    array of shape `shape` or (members, *shape)
        The numbers.

    Raises
    ------
    InputError
        If `dtype` is neither, `key` is no key, or a length is not an integer of at least 0.

    Notes
    -----
    Outputs 0 and 1 of a block, and 2 and 3, are pairs (b, c). A pair gives the two numbers r cos α and r sin α. The
    radius r is √(−2 log u) with u = (b + ½) 2⁻³². The angle α is c in units of 2π 2⁻³². It is taken as a quadrant and a
    signed remainder of at most π/4, so that nothing is lost where sine or cosine is small. All is computed in `dtype`.

    References
    ----------
    Box and Muller 1958.

    Examples
    --------
    >>> from mcgc.random import Key, normal
    >>> normal(Key(0), (2, 3)).shape, normal((Key(0), Key(1)), 3, "float64").shape
    ((2, 3), (2, 3))
    """
    xp, shape = device.namespace, _lengths(shape)
    dtype = _float(dtype, device)
    n = math.prod(shape)
    tiles = -(-n // TILE)
    members = _members(key)
    lanes = xp.reshape(bits(key, tiles * TILE, device), (*members, tiles, 2, 2, LANES))  # tile, pair, (b, c), block
    b, c = lanes[..., 0, :], lanes[..., 1, :]
    radius = xp.sqrt(-2 * xp.log((xp.astype(b, dtype) + 0.5) * 2.0**-32))
    remainder = 2 * xp.astype(c & 0x3FFFFFFF, xp.int32) + (1 - 2**30)
    angle = xp.astype(remainder, dtype) * (math.pi / 4 * 2.0**-30)
    cosine, sine = xp.cos(angle), xp.sin(angle)
    quadrant = c >> 30
    odd = (quadrant & 1) == 1
    x, y = xp.where(odd, -sine, cosine), xp.where(odd, cosine, sine)
    turned = quadrant >= 2
    x, y = xp.where(turned, -x, x), xp.where(turned, -y, y)
    pairs = xp.stack([radius * x, radius * y], axis=-2)
    return xp.reshape(xp.reshape(pairs, (*members, tiles * TILE))[..., :n], (*members, *shape))


def uniform(key: Key, shape: int | Sequence[int], dtype: Any = "float32", device: Device = HOST) -> Array:
    """Return numbers that are uniform in [0, 1): multiples of 2⁻²⁴ for "float32", of 2⁻⁵³ for "float64".

    Parameters
    ----------
    key : Key
        The key.
    shape : int or sequence of int
        The shape.
    dtype : {"float32", "float64"}
        The dtype, "float32" by default.
    device : Device
        Where to compute. The host by default.

    Returns
    -------
    array of shape `shape`
        The numbers.

    Raises
    ------
    InputError
        If `dtype` is neither, `key` is no key, or a length is not an integer of at least 0.

    Examples
    --------
    >>> from mcgc.random import Key, uniform
    >>> numbers = uniform(Key(0), 1000)
    >>> bool((numbers >= 0).all() and (numbers < 1).all()), numbers.dtype
    (True, dtype('float32'))
    """
    xp, shape = device.namespace, _lengths(shape)
    dtype = _float(dtype, device)
    n = math.prod(shape)
    if dtype == xp.float32:
        drawn = xp.astype(bits(key, n, device) >> 8, dtype) * 2.0**-24
    else:
        pairs = xp.reshape(bits(key, 2 * n, device), (n, 2))
        drawn = (xp.astype(pairs[:, 0] >> 5, dtype) * 2.0**26 + xp.astype(pairs[:, 1] >> 6, dtype)) * 2.0**-53
    return xp.reshape(drawn, shape)


def permutation(key: Keys, n: int, device: Device = HOST) -> Array:
    """Return a random order of 0 … n − 1: the order that sorts n random words of 64 bits.

    Parameters
    ----------
    key : Key or tuple of Keys
        The key, or one for each member.
    n : int
        The number of elements.
    device : Device
        Where to compute. The host by default.

    Returns
    -------
    array of shape (n,) or (members, n)
        The order, int64.

    Raises
    ------
    InputError
        If `key` is no key, or `n` is not an integer of at least 0.

    Examples
    --------
    >>> from mcgc.random import Key, permutation
    >>> sorted(permutation(Key(0), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    xp, n = device.namespace, whole(n, "the number of elements", 0)
    pairs = xp.astype(bits(key, 2 * n, device), xp.uint64)
    numbers = pairs[..., :n] << 32 | pairs[..., n:]
    if device == HOST:  # NumPy's other sort takes a third of the time, and differs for equal numbers alone
        order = xp.argsort(numbers, stable=False)
        found = xp.take_along_axis(numbers, order, axis=-1)
        if (found[..., 1:] > found[..., :-1]).all():
            return xp.astype(order, xp.int64, copy=False)
    return xp.astype(xp.argsort(numbers, stable=True), xp.int64)


def _lengths(shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return `shape`, which may be one number, as a tuple of numbers."""
    try:
        given: Any = tuple(shape)  # type: ignore[arg-type]
    except TypeError:  # one number
        given = (shape,)
    return tuple(whole(length, "the length of an axis", 0) for length in given)


def _float(dtype: Any, device: Device) -> Any:
    """Return the namespace's dtype for "float32", "float64" or a dtype that is one of them."""
    xp = device.namespace
    for name in ("float32", "float64"):
        if dtype == name or dtype == getattr(xp, name):
            return getattr(xp, name)
    raise InputError(f"random numbers are float32 or float64, not {dtype!r}")
