"""Kernels of CUDA made of Python functions: compiled by numba-cuda, stored on disk, launched by CuPy.

numba-cuda compiles a function to PTX, and nvJitLink that to the code of the processor, which is stored. CuPy loads and
launches it on its current stream. The arguments of a kernel are bare addresses and numbers, so a launch costs the host
a few microseconds. It waits for nothing.
"""

import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mcgc import files
from mcgc._version import __version__
from mcgc.errors import OutputError

_kernels: dict[tuple, Callable[..., None]] = {}  # by the function, the device, and the types of the arguments


def launch(function: Callable, blocks: int, threads: int, *arguments: Any) -> None:
    """Run `function` as a kernel of so many blocks of threads, on CuPy's current stream.

    An argument is an array of CuPy, whose elements follow each other in memory, a NumPy scalar, or a tuple of NumPy
    scalars of one dtype. Raises `OutputError` if the kernel is not stored yet and cannot be.
    """
    key = (function, device(), *map(type, arguments), *[getattr(x, "dtype", None) or len(x) for x in arguments])
    kernel = _kernels.get(key)
    if kernel is None:
        kernel = _kernels[key] = load(function, tuple(map(kind, arguments)), processor())
    flat = arguments if type(arguments[-1]) is not tuple else (*arguments[:-1], *arguments[-1])
    kernel((blocks,), (threads,), flat)


def device() -> int:
    """Return the number of the current device."""
    import cupy

    return cupy.cuda.runtime.getDevice()


def processor() -> str:
    """Return the compute capability of the current device, such as "90"."""
    import cupy

    return cupy.cuda.Device().compute_capability


def kind(x: Any) -> str:
    """Return the type of an argument: the name of its dtype, with a star where it is an address, or a count."""
    if isinstance(x, tuple):
        return f"{x[0].dtype}*{len(x)}"
    if isinstance(x, np.generic):
        return str(x.dtype)
    return "uint8*" if x.dtype == bool else f"{x.dtype}*"  # numba-cuda cannot load a truth value


def load(function: Callable, kinds: tuple[str, ...], processor: str) -> Callable[..., None]:
    """Return a kernel of CuPy, which loads it on each device when it is first launched there."""
    import cupy

    path = directory() / f"{_name(function)}_{_version(function, kinds)}_sm{processor}.cubin"
    if not path.is_file():
        code = machine_code(to_ptx(function, kinds, (int(processor[:-1]), int(processor[-1]))), processor)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, code)
        except (OSError, OutputError) as error:
            raise OutputError(
                f"the kernels of CUDA cannot be stored in {str(directory())!r}: set XDG_CACHE_HOME to a directory "
                "that can be written"
            ) from error
    return cupy.RawModule(path=str(path)).get_function(_name(function))


def directory() -> Path:
    """Return the directory of the machine's code, in the user's cache directory."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("mcgc", appauthor=False), "cuda")


def _name(function: Callable) -> str:
    return function.__name__.strip("_")


def _version(function: Callable, kinds: tuple[str, ...]) -> str:
    """Return a hash of all that the machine's code depends on, but for the processor.

    A generated module has the hash of its source in its name.
    """
    import numba_cuda

    text = f"{numba_cuda.__version__} {__version__} {function.__module__} {function.__name__} {kinds}"
    return sha256(text.encode() + _sources()).hexdigest()[:20]


@cache
def _sources() -> bytes:
    """Return a hash of the sources of all kernels, and of what they are made of."""
    packages = (Path(__file__).parents[1] / name for name in ("kernels", "ode", "_jit"))
    return sha256(b"".join(path.read_bytes() for package in packages for path in sorted(package.glob("*.py")))).digest()


def to_ptx(function: Callable, kinds: tuple[str, ...], processor: tuple[int, int]) -> str:
    """Return the PTX of the kernel, which has the name of the function, for arguments of these types."""
    from numba import cuda

    ptx, _ = cuda.compile(function, signature(kinds), cc=processor, device=False, abi="numba", output="ptx")
    entry = re.search(r"\.entry (\S+)\(", ptx)
    assert entry is not None
    return ptx.replace(entry[1], _name(function))


def signature(kinds: tuple[str, ...]) -> Any:
    """Return the signature of a kernel with arguments of these types."""
    from numba.cuda import types

    def of(kind: str) -> Any:
        name, star, count = kind.partition("*")
        dtype = getattr(types, name)
        return types.UniTuple(dtype, int(count)) if count else types.CPointer(dtype) if star else dtype

    return types.void(*map(of, kinds))


def machine_code(ptx: str, processor: str) -> bytes:
    """Return the processor's code, which drivers older than the compiler take too."""
    from cuda.bindings import nvjitlink

    text = ptx.encode()
    linker = nvjitlink.create(1, [f"-arch=sm_{processor}"])
    try:
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, text, len(text), "kernel")
        nvjitlink.complete(linker)
        code = bytearray(nvjitlink.get_linked_cubin_size(linker))
        nvjitlink.get_linked_cubin(linker, code)
    finally:
        nvjitlink.destroy(linker)
    return bytes(code)
