"""The memory of arrays: what shares it, and sums into its elements."""

import numpy as np

from mcgc._shapes import Array
from mcgc.arrays._libraries import device_of, is_host, namespace_of


def scatter_add(values: Array, indices: Array, size: int) -> Array:
    """Return zeros with values added at indices. Values at equal indices add up.

    The order of the additions depends on `indices` alone, so equal inputs give equal bits in every run. On a device,
    where NumPy's ordered loop is not available, values are sorted by index. Neighbours of the same index are then added
    at the distances 1, 2, 4, ….

    Parameters
    ----------
    values : array of shape (k,)
        The values.
    indices : array of shape (k,)
        Where they are added: integers in [0, size).
    size : int
        The length of the result.

    Returns
    -------
    array of shape (size,)
        The sums, in the dtype of `values`.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import scatter_add
    >>> scatter_add(np.array([1.0, 2.0, 3.0]), np.array([0, 2, 0]), 4)
    array([4., 0., 2., 0.])
    """
    if is_host(values):
        out = np.zeros(size, dtype=values.dtype)
        np.add.at(out, indices, values)
        return out
    xp, k = namespace_of(values), values.shape[0]
    out = xp.zeros(size, dtype=values.dtype, device=device_of(values))
    if k == 0:
        return out
    indices = xp.astype(indices, xp.int64)
    order = xp.argsort(indices, stable=True)
    indices, sums = xp.take(indices, order), xp.take(values, order)
    for distance in (2**i for i in range((k - 1).bit_length())):
        same = indices[distance:] == indices[:-distance]
        more = xp.where(same, sums[:-distance], xp.zeros_like(sums[:-distance]))
        sums = xp.concat([sums[:distance], sums[distance:] + more])
    ends = xp.searchsorted(indices, xp.arange(size, device=device_of(values)), side="right")
    last = xp.maximum(ends - 1, xp.zeros_like(ends))  # the last of equal indices holds all of their sum
    found = xp.take(indices, last) == xp.arange(size, dtype=xp.int64, device=device_of(values))
    return xp.where(found, xp.take(sums, last), out)


def owned(array: Array, taken: set[int]) -> Array:
    """Return an array that can be written to and shares no memory with others: `array` itself, or a copy.

    A view of a part of another array is copied too, so that the whole of that is not held.

    Parameters
    ----------
    array : array
        The array.
    taken : set of int
        The `memory_of` the arrays that it must not share memory with. That of the result is added to it.

    Returns
    -------
    array
        The array or its copy.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import memory_of, owned
    >>> x = np.ones(2)
    >>> owned(x, set()) is x, owned(x, {memory_of(x)}) is x
    (True, False)
    """
    memory, base = memory_of(array), getattr(array, "base", None)
    if memory in taken or (base is not None and (getattr(base, "size", None) != array.size or not _writable(array))):
        array = namespace_of(array).asarray(array, copy=True)
        memory = id(array)
    taken.add(memory)
    return array


def memory_of(array: Array) -> int:
    """Return the identity of the object that owns the memory of an array. All views of it have the same.

    Parameters
    ----------
    array : array
        The array.

    Returns
    -------
    int
        The identity, which is valid as long as the owner lives.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import memory_of
    >>> x = np.ones(4)
    >>> memory_of(x[1:]) == memory_of(x), memory_of(x.copy()) == memory_of(x)
    (True, False)
    """
    base = getattr(array, "base", None)
    while base is not None:
        array, base = base, getattr(base, "base", None)
    return id(array)


def _writable(array: Array) -> bool:
    return getattr(array.flags, "writeable", True)  # CuPy's arrays always are
