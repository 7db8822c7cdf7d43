"""Namespaces and devices of arrays: the one file that knows NumPy from CuPy.

Everything else in the library is written against the Python array API standard. Data crosses between host and
device only through `to_host` and `to_device`, so a transfer is always a line that can be read.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from mcgc.errors import DeviceError, InputError

Array = Any  # an array of any library that follows the array API standard, or a traced one

DTYPES: Mapping[str, Any] = {"float32": np.float32, "float64": np.float64}

_SCALARS = (bool, int, float)
_namespaces: dict[type, ModuleType] = {}  # array type -> namespace; looking it up anew costs microseconds an operation


class Device(NamedTuple):
    """A place for arrays: `name` ("cpu", "cuda:0"), the array API `namespace`, and that namespace's `handle` for it."""

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
    order = xp.argsort(places, stable=True)
    places, sums = xp.take(places, order), xp.take(values, order)
    for distance in (2**i for i in range((k - 1).bit_length())):
        same = places[distance:] == places[:-distance]
        more = xp.where(same, sums[:-distance], xp.zeros_like(sums[:-distance]))
        sums = xp.concat([sums[:distance], sums[distance:] + more])
    ends = xp.searchsorted(places, xp.arange(size, device=device_of(values)), side="right")
    last = xp.maximum(ends - 1, xp.zeros_like(ends))  # the place after which nothing is the same holds all of the sum
    found = xp.take(places, last) == xp.arange(size, dtype=places.dtype, device=device_of(values))
    return xp.where(found, xp.take(sums, last), out)


def quietly() -> AbstractContextManager:
    """Return a context in which NumPy does not warn of overflow or NaN, for code that looks for them itself."""
    return np.errstate(all="ignore")


def scalar(x: float) -> Array:
    """Return the Python float `x` as a 0-dimensional float64 host array."""
    return np.asarray(x, dtype=np.float64)


def select_device(name: str = "auto") -> tuple[Device, str]:
    """Choose a device by name: "auto", "cpu", "cuda" or "cuda:1".

    Returns the device and one sentence that says what was taken and, for "auto" on a machine without a usable
    GPU, why. A GPU counts as usable only after it has allocated, compiled, multiplied and read back. One that is
    taken is made the current one of this thread: for CuPy, and so for Numba, which takes the context that is current.

    Raises `DeviceError` if a GPU was asked for by name and cannot be used, or the name is not one of these.
    """
    if name == "cpu":
        return HOST, "running on the CPU (NumPy)"
    kind, _, index = name.partition(":")
    if name != "auto" and (kind != "cuda" or (":" in name and not index.isdecimal())):
        raise DeviceError(f"unknown device {name!r}: choose auto, cpu, cuda or cuda:N with N the number of the GPU")
    device, reason = _probe_cuda(int(index) if index else 0)
    if device is not None:
        return device, f"running on {device.name} ({reason})"
    if name == "auto":
        return HOST, f"running on the CPU (NumPy): no usable GPU, {reason}"
    raise DeviceError(f"device {name!r} cannot be used: {reason}; use --device cpu, or mend that")


def _probe_cuda(index: int) -> tuple[Device | None, str]:
    """Return CUDA device `index` and its description, or None and why it cannot be used."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return None, f"CuPy is not installed ({_EXTRAS})"
        return None, f"CuPy does not load: {_line(error)}"
    except ImportError as error:
        return None, f"CuPy does not load: {_line(error)}"
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
        if index >= count:
            return None, f"there is no GPU {index}, the driver lists {count}"
        if find_spec("numba_cuda") is None:
            return None, f"numba-cuda is not installed ({_EXTRAS})"
        handle = cupy.cuda.Device(index)
        with handle:
            if not _computes(cupy):
                return None, f"GPU {index} computed wrong numbers in the start-up probe"
            description = runtime.getDeviceProperties(index)["name"].decode()
        handle.use()
    except Exception as error:  # whatever the driver, the compiler or the headers lack is the user's answer
        return None, _reason(error, runtime, index)
    import array_api_compat.cupy

    return Device(f"cuda:{index}", array_api_compat.cupy, handle), description


def _computes(cupy: Any) -> bool:
    """Tell whether CuPy multiplies a matrix, and numba-cuda compiles and runs a kernel, to the right numbers."""
    from mcgc.kernels import cuda
    from mcgc.random import Key, normal

    ones = cupy.ones((16, 16), dtype=cupy.float32)
    noise, _ = cuda.perturb(cupy.zeros(1000, dtype=cupy.float32), 1.0, Key(0))
    return bool(np.all((ones @ ones).get() == 16) and np.allclose(noise.get(), normal(Key(0), (1000,)), atol=1e-5))


def _reason(error: Exception, runtime: Any, index: int) -> str:
    """Return in one sentence what an error of CuPy, numba-cuda or the libraries below them comes from."""
    line, kind = _line(error), type(error).__name__
    for marks, sentence in _REASONS:
        if any(mark in f"{kind}: {line}" for mark in marks):
            return sentence.format(index=index, line=line, extras=_EXTRAS)
    if "cudaErrorInsufficientDriver" in line:
        driver, own = runtime.driverGetVersion() // 1000, runtime.runtimeGetVersion() // 1000
        if driver == 0:
            return "there is no NVIDIA driver on this machine"
        return f"the driver is for CUDA {driver}, and the installed CuPy for CUDA {own} ({_EXTRAS})"
    return f"the start-up probe failed: {line}"


_EXTRAS = "pip install 'mcgc[cuda12]' or 'mcgc[cuda13]', as the driver has it"
# what types or messages of errors hold, and what they come from; a message is CuPy's, or that of numba-cuda after it
_REASONS = (
    (("OutOfMemoryError", "MemoryError", "cudaErrorMemoryAllocation", "ALLOC_FAILED", "OUT_OF_MEMORY"),
     "GPU {index} is out of memory: {line}"),
    (("cudaErrorNoDevice",), "the driver lists no GPU"),
    (("cudaErrorNoKernelImageForDevice", "--gpu-architecture"),
     "the installed CuPy is for a CUDA that does not know GPU {index} ({extras})"),
    (("libnvrtc", "nvrtc64", "NVRTCError", "CompileException", "NvrtcError", "NvvmSupportError", "DynamicLibNotFound",
      "CUDA headers"),
     "NVRTC or the CUDA headers are missing or do not fit ({extras}): {line}"),
    (("ImportError", "ModuleNotFoundError", "CudaSupportError"), "numba-cuda does not load ({extras}): {line}"),
)  # fmt: skip


def _line(error: Exception) -> str:
    """Return the first line of the error's message that says something, or its type."""
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
