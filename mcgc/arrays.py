"""Namespaces and devices of arrays: the one file that knows NumPy from CuPy.

Everything else in the library is written against the Python array API standard. Data crosses between host and
device only through `to_host` and `to_device`, so a transfer is always a line that can be read.
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from numbers import Real
from types import ModuleType
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from mcgc._shapes import Array as Array
from mcgc.errors import InputError, McgcError

DTYPES: Mapping[str, Any] = {"float32": np.float32, "float64": np.float64}

_SCALARS = (bool, int, float)
_floats: set[tuple] = set()  # what `is_float` has found: the types of an array and its dtype, and the dtype
_namespaces: dict[type, ModuleType] = {}  # array type -> namespace; looking it up anew costs microseconds an operation


class Device(NamedTuple):
    """A device for arrays: its `name` ("cpu", "cuda:0"), the array API `namespace`, and the namespace's `handle`."""

    name: str
    namespace: ModuleType
    handle: Any


HOST = Device("cpu", np, "cpu")  # NumPy follows the standard by itself, and imports in half the time of a wrapper


def namespace_of(*arrays: Array) -> Any:
    """Return the array API namespace of the first array among `arrays` (Python scalars are passed over).

    Raises `InputError` if none of them is an array.
    """
    for array in arrays:
        kind = type(array)
        if kind in _SCALARS:
            continue
        namespace = _namespaces.get(kind)
        if namespace is None:
            try:
                namespace = np if is_host(array) else array_api_compat.array_namespace(array)
            except TypeError:
                raise InputError(f"expected an array of NumPy or CuPy, got {kind.__name__}") from None
            _namespaces[kind] = namespace
        return namespace
    return HOST.namespace


def device_of(array: Array) -> Any:
    """Return the device handle of `array`, as its own namespace's creation functions take it."""
    return HOST.handle if is_host(array) else array_api_compat.device(array)


@cache
def is_dtype(namespace: Any, dtype: Any, kind: str) -> bool:
    """Tell whether `dtype` is of a kind of the standard, such as "real floating"; looked up once for each."""
    return namespace.isdtype(dtype, kind)


def is_array(x: object) -> bool:
    """Tell whether `x` is an array of a library that follows the array API standard."""
    return is_host(x) or array_api_compat.is_array_api_obj(x)


def is_host(array: Array) -> bool:
    """Tell whether `array` is a NumPy array or scalar, which compiled CPU kernels can read in place."""
    return isinstance(array, np.ndarray | np.generic)


def is_cupy(array: Array) -> bool:
    """Tell whether `array` is a CuPy array, which compiled CUDA kernels can read in place."""
    return array_api_compat.is_cupy_array(array)


def as_number(value: Any) -> float:
    """Return an option as a float; NaN, which no range holds, if it is not one real number that is a float's."""
    if not (isinstance(value, float | Real) or (is_host(value) and value.ndim == 0 and value.dtype.kind in "iuf")):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def is_float(array: Any) -> bool:
    """Tell whether this is an array, or a traced one, of float32 or float64 in the machine's byte order, unmasked."""
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
    """Return what a caller gave as `name` as an array of float32 or float64 in the machine's byte order.

    Arrays that are so, and traced ones, are returned themselves, in whatever order they lie in memory. Other byte
    orders are turned. Integers, truth values and Python numbers, as arrays or as nested sequences, become `dtype`, by
    default that of the array `like` if it is float32 or float64, else float64. Sequences go to the device of `like`.

    Raises `InputError` for anything else. float16 and long double are refused too: which precision is meant in their
    place is for the caller to say.
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
    """Raise `InputError` unless all `others` have the shape and dtype of `like`, which is called `name`."""
    shape, dtype = like.shape, like.dtype
    for other, array in others.items():
        if array.shape != shape or array.dtype != dtype:
            raise InputError(
                f"the {other} is {array.dtype} of shape {tuple(array.shape)}, but {name} is {dtype} of shape "
                f"{tuple(shape)}: give one like {name}"
            )


def to_host(array: Array) -> np.ndarray:
    """Copy `array` to a NumPy array: the only way from a device to the host, and it waits for the device."""
    if is_host(array) or isinstance(array, _SCALARS):
        return np.asarray(array)
    if is_cupy(array):
        return array.get()
    host = namespace_of(array).__array_namespace_info__().default_device()
    return np.asarray(array.to_device(host))


def to_device(array: Any, device: Device, dtype: Any = None) -> Array:
    """Place a host array, or a nested sequence of numbers, on `device`, cast to `dtype` where one is given."""
    if dtype is not None:
        array = np.asarray(array, dtype=dtype)
    return device.namespace.asarray(array, device=device.handle)


def scatter_add(values: Array, places: Array, size: int) -> Array:
    """Return zeros of shape (size,) with `values` added at `places`, both of shape (k,); repeated places add up.

    Places are integers in [0, size). The order of the additions depends on `places` alone, so that equal inputs give
    equal bits in every run: without NumPy's ordered loop, values are sorted by place, and neighbours of the same place
    are added at distances 1, 2, 4, ….
    """
    if is_host(values):
        out = np.zeros(size, dtype=values.dtype)
        np.add.at(out, places, values)
        return out
    xp, k = namespace_of(values), values.shape[0]
    out = xp.zeros(size, dtype=values.dtype, device=device_of(values))
    if k == 0:
        return out
    places = xp.astype(places, xp.int64)
    order = xp.argsort(places, stable=True)
    places, sums = xp.take(places, order), xp.take(values, order)
    for distance in (2**i for i in range((k - 1).bit_length())):
        same = places[distance:] == places[:-distance]
        more = xp.where(same, sums[:-distance], xp.zeros_like(sums[:-distance]))
        sums = xp.concat([sums[:distance], sums[distance:] + more])
    ends = xp.searchsorted(places, xp.arange(size, device=device_of(values)), side="right")
    last = xp.maximum(ends - 1, xp.zeros_like(ends))  # the place after which nothing is the same holds all of the sum
    found = xp.take(places, last) == xp.arange(size, dtype=xp.int64, device=device_of(values))
    return xp.where(found, xp.take(sums, last), out)


def owned(array: Array, taken: set[int]) -> Array:
    """Return `array`, or a copy of it where writing to it would write to something else, or is not possible.

    `taken` holds the `memory_of` arrays that it must not share memory with, and takes its own in. A view of a part of
    another array is copied too, so that the whole of that is not held.
    """
    memory, base = memory_of(array), getattr(array, "base", None)
    if memory in taken or (base is not None and (getattr(base, "size", None) != array.size or not _writable(array))):
        array = namespace_of(array).asarray(array, copy=True)
        memory = id(array)
    taken.add(memory)
    return array


def memory_of(array: Array) -> int:
    """Return the identity of what owns the memory of `array`, so long as that lives: its views have the same."""
    base = getattr(array, "base", None)
    while base is not None:
        array, base = base, getattr(base, "base", None)
    return id(array)


def _writable(array: Array) -> bool:
    return getattr(array.flags, "writeable", True)  # CuPy's arrays always are


def quietly() -> AbstractContextManager:
    """Return a context in which NumPy does not warn of overflow or NaN, for code that looks for them itself."""
    return np.errstate(all="ignore")


def scalar(x: float) -> Array:
    """Return the Python float `x` as a 0-dimensional float64 host array."""
    return np.asarray(x, dtype=np.float64)
