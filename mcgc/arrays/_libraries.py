"""Libraries of arrays: namespaces, devices and transfers. The one file that knows NumPy from CuPy."""

from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from mcgc._shapes import Array
from mcgc.arrays import _cupy
from mcgc.errors import InputError

_SCALARS = (bool, int, float)
_namespaces: dict[type, ModuleType] = {}  # array type -> namespace; looking it up anew costs microseconds an operation


class Device(NamedTuple):
    """A device for arrays: its `name` ("cpu", "cuda:0"), the array API `namespace`, and the namespace's `handle`."""

    name: str
    namespace: ModuleType
    handle: Any


HOST = Device("cpu", np, "cpu")  # NumPy follows the standard by itself, and imports in half the time of a wrapper


def namespace_of(*arrays: Array) -> Any:
    """Return the array API namespace of the first array among `arrays`.

    Parameters
    ----------
    *arrays : arrays or numbers
        Arrays of one library. Python numbers among them are passed over, and have the namespace of the host if there is
        nothing else.

    Returns
    -------
    module
        The namespace.

    Raises
    ------
    InputError
        If the first of them that is no number is no array.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import namespace_of
    >>> namespace_of(1.0, np.ones(2)) is np
    True
    """
    for array in arrays:
        kind = type(array)
        if kind in _SCALARS:
            continue
        namespace = _namespaces.get(kind)
        if namespace is None:
            try:
                namespace = np if is_host(array) else _standard(array)
            except TypeError:
                raise InputError(f"expected an array of NumPy or CuPy, got {kind.__name__}") from None
            _namespaces[kind] = namespace
        return namespace
    return HOST.namespace


def _standard(array: Any) -> Any:
    return _cupy.namespace() if is_cupy(array) else array_api_compat.array_namespace(array)


def device_of(array: Array) -> Any:
    """Return the device handle of an array, as the creation functions of its own namespace take it.

    Parameters
    ----------
    array : array
        The array.

    Returns
    -------
    handle
        The `handle` of its `Device`.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import device_of
    >>> device_of(np.ones(2))
    'cpu'
    """
    return HOST.handle if is_host(array) else array_api_compat.device(array)


@cache
def is_dtype(namespace: Any, dtype: Any, kind: str) -> bool:
    """Tell whether a dtype is of a kind of the array API standard. It is looked up once for each.

    Parameters
    ----------
    namespace : module
        The namespace of the dtype.
    dtype : dtype
        The dtype.
    kind : str or tuple of str
        The kind, such as "real floating", or several.

    Returns
    -------
    bool
        Whether it is.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import is_dtype
    >>> is_dtype(np, np.float32, "real floating")
    True
    """
    return namespace.isdtype(dtype, kind)


def is_array(x: object) -> bool:
    """Tell whether a value is an array of a library that follows the array API standard.

    Parameters
    ----------
    x : object
        The value.

    Returns
    -------
    bool
        Whether it is.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import is_array
    >>> is_array(np.ones(2)), is_array([1.0, 1.0])
    (True, False)
    """
    return is_host(x) or array_api_compat.is_array_api_obj(x)


def is_host(array: Array) -> bool:
    """Tell whether an array is a NumPy array or scalar, which compiled CPU kernels can read where it is.

    Parameters
    ----------
    array : array
        The array.

    Returns
    -------
    bool
        Whether it is.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import is_host
    >>> is_host(np.ones(2))
    True
    """
    return isinstance(array, np.ndarray | np.generic)


def is_cupy(array: Array) -> bool:
    """Tell whether an array is a CuPy array, which compiled CUDA kernels can read where it is.

    Parameters
    ----------
    array : array
        The array.

    Returns
    -------
    bool
        Whether it is.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import is_cupy
    >>> is_cupy(np.ones(2))
    False
    """
    return array_api_compat.is_cupy_array(array)


def operand(number: float | complex, dtype: Any, like: Array) -> Any:
    """Return a number as an operand of a function, beside arrays like `like`.

    CuPy takes a number as an argument of the kernel. An array would be memory that is set first. NumPy makes a scalar
    faster than an array.

    Parameters
    ----------
    number : bool, int, float or complex
        The number.
    dtype : dtype
        Its dtype.
    like : array
        An array of the other operands.

    Returns
    -------
    NumPy scalar, or array of shape ()
        The operand, an array where the library takes no scalars of NumPy.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import operand
    >>> operand(0, np.float32, np.ones(2))
    np.float32(0.0)
    """
    if type(like) is np.ndarray or is_cupy(like):
        return np.dtype(dtype).type(number)
    return namespace_of(like).asarray(number, dtype=dtype, device=device_of(like))


def to_host(array: Array) -> np.ndarray:
    """Return an array as a NumPy array. This is the only way from a device to the host, and it waits for the device.

    Parameters
    ----------
    array : array or number
        The array. A NumPy array is returned itself.

    Returns
    -------
    NumPy array
        An array of the same shape and dtype.

    Examples
    --------
    >>> from mcgc.arrays import HOST, to_device, to_host
    >>> to_host(to_device([1.0, 2.0], HOST))
    array([1., 2.])
    """
    if is_host(array) or isinstance(array, _SCALARS):
        return np.asarray(array)
    if is_cupy(array):
        return array.get()
    host = namespace_of(array).__array_namespace_info__().default_device()
    return np.asarray(array.to_device(host))


def to_device(array: Any, device: Device, dtype: Any = None) -> Array:
    """Return a host array, or numbers, as an array on a device.

    Parameters
    ----------
    array : array or nested sequence of numbers
        The array, on the host.
    device : Device
        The device.
    dtype : dtype or str, optional
        The dtype to cast to. By default that of `array`.

    Returns
    -------
    array
        The array on the device. On the host it may share memory with `array`.

    Examples
    --------
    >>> from mcgc.arrays import HOST, to_device
    >>> to_device([1, 2], HOST, "float32")
    array([1., 2.], dtype=float32)
    """
    if dtype is not None:
        array = np.asarray(array, dtype=dtype)
    return device.namespace.asarray(array, device=device.handle)
