"""What a caller gave, as floats: arrays of float32 or float64, and options."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from numbers import Real
from typing import Any

import numpy as np

from mcgc._shapes import Array
from mcgc.arrays._libraries import Device, device_of, is_array, is_host, namespace_of, to_device
from mcgc.errors import InputError, McgcError

DTYPES: Mapping[str, Any] = {"float32": np.float32, "float64": np.float64}

_floats: set[tuple] = set()  # what `is_float` has found: the types of an array and its dtype, and the dtype


def as_number(value: Any) -> float:
    """Return an option as a float.

    Parameters
    ----------
    value : Any
        What the caller gave.

    Returns
    -------
    float
        The number. It is NaN, which is in no range, if `value` is not one real number that a float can hold.

    Examples
    --------
    >>> from mcgc.arrays import as_number
    >>> as_number(2), as_number("2")
    (2.0, nan)
    """
    if not (isinstance(value, float | Real) or (is_host(value) and value.ndim == 0 and value.dtype.kind in "iuf")):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def is_float(array: Any) -> bool:
    """Tell whether a value is an array of float32 or float64 in the byte order of the machine, without a mask.

    Parameters
    ----------
    array : Any
        An array, a traced array or another value.

    Returns
    -------
    bool
        Whether it is.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import is_float
    >>> is_float(np.ones(2, "float32")), is_float(np.ones(2, "int64")), is_float(1.0)
    (True, False, False)
    """
    dtype = getattr(array, "dtype", None)
    kind = type(array), type(dtype), dtype
    if kind in _floats:
        return True
    found = is_array(array) and _name(dtype) in DTYPES and getattr(dtype, "isnative", True)
    if not found or (is_host(array) and hasattr(array, "mask")):
        return False
    _floats.add(kind)
    return True


def _name(dtype: Any) -> str:
    """Return the name of a dtype of any library."""
    return getattr(dtype, "name", None) or str(dtype).rpartition(".")[2]


def as_floats(x: Any, name: str, like: Any = None, dtype: str | None = None) -> Array:
    """Return what a caller gave as an array of float32 or float64 in the byte order of the machine.

    Parameters
    ----------
    x : array or nested sequence of numbers
        What the caller gave. Arrays of such floats, and traced ones, are returned themselves, with any strides.
        Integers and booleans are cast.
    name : str
        What errors call it.
    like : array, optional
        An array of the dtype that integers and sequences get, if it is one of the two. Sequences go to its device.
    dtype : {"float32", "float64"}, optional
        The dtype that integers and sequences get. By default that of `like`, else float64.

    Returns
    -------
    array
        The array.

    Raises
    ------
    InputError
        For anything else. float16 and long double are refused too: the caller has to choose one of the two dtypes.

    Examples
    --------
    >>> from mcgc.arrays import as_floats
    >>> as_floats([1, 2], "x")
    array([1., 2.])
    """
    if is_float(x):
        return x
    if not is_array(x):
        return _from_sequence(x, name, like, dtype)
    if is_host(x) and hasattr(x, "mask"):  # of NumPy alone: other libraries have none
        raise InputError(f"{name} is a masked array, whose mask would be lost: fill it")
    kind = _name(x.dtype)
    if kind.startswith(("int", "uint", "bool")):
        kind = dtype or _dtype_of(like)
    if kind not in DTYPES:
        raise InputError(f"{name} is an array of {x.dtype}: convert it to float32 or float64")
    xp = namespace_of(x)
    return xp.astype(x, getattr(xp, kind))


def _from_sequence(x: Any, name: str, like: Any, dtype: str | None) -> Array:
    """Return numbers that are no array as an array of dtype and device of `like`."""
    try:
        array = np.asarray(x)
    except McgcError:
        raise
    except Exception:  # whatever a library has against it
        array = np.asarray(None)
    if array.dtype.kind not in "biu" and array.dtype not in ("float32", "float64"):
        given = " ".join(repr(x).split())
        raise InputError(f"{name} must be an array or a sequence of numbers, its rows of one length, got {given:.60}")
    if is_float(array) and hasattr(x, "dtype"):
        return array  # such as a column of a table, which has its own dtype
    dtype, plain = dtype or _dtype_of(like), getattr(like, "__plain_array__", like)
    if not is_array(plain):
        return array.astype(dtype)
    return to_device(array, Device("", namespace_of(plain), device_of(plain)), dtype)


def _dtype_of(like: Any) -> str:
    """Return the name of the dtype of `like`, or "float64" if it has none or another."""
    name = _name(getattr(like, "dtype", None))
    return name if name in DTYPES else "float64"


def check_alike(name: str, like: Array, **others: Array) -> None:
    """Raise an error unless arrays have one shape and one dtype.

    Parameters
    ----------
    name : str
        What the error calls `like`.
    like : array
        The array that the others are compared with.
    **others : arrays
        The others, by what the error calls them.

    Raises
    ------
    InputError
        If one of the others has another shape or dtype than `like`.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import check_alike
    >>> check_alike("theta", np.zeros(2), gradient=np.ones(2))
    """
    shape, dtype = like.shape, like.dtype
    for other, array in others.items():
        if array.shape != shape or array.dtype != dtype:
            raise InputError(
                f"the {other} is {array.dtype} of shape {tuple(array.shape)}, but {name} is {dtype} of shape "
                f"{tuple(shape)}: give one like {name}"
            )


def scalar(x: float) -> Array:
    """Return a number as a 0-dimensional float64 array on the host.

    Parameters
    ----------
    x : float
        The number.

    Returns
    -------
    array of shape ()
        The array.

    Examples
    --------
    >>> from mcgc.arrays import scalar
    >>> scalar(2.0)
    array(2.)
    """
    return np.asarray(x, dtype=np.float64)


def quietly() -> AbstractContextManager:
    """Return a context in which NumPy does not warn of overflow or NaN, for code that looks for them itself.

    Returns
    -------
    context manager
        The context. It gives nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import quietly
    >>> with quietly():
    ...     float(np.float64(1.0) / np.float64(0.0))
    inf
    """
    return np.errstate(all="ignore")
