"""The loops of a generated module as CUDA kernels, one thread a row, on CuPy's current stream.

numba-cuda compiles them to PTX, nvJitLink that to the machine's code, which is kept beside the module. CuPy loads and
launches it: the arguments of a kernel are bare addresses and numbers.
"""

import re
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np

from mcgc import files
from mcgc._jit._compile import directory, load
from mcgc._jit._target import CUDA
from mcgc.errors import OutputError

THREADS = 128  # of a block: a thread of a whole solution may take 255 registers, of which there are 65,536


class Module:
    """The loops of a generated module: `module.name(begin, end, *arguments)` goes through its rows on the device."""

    def __init__(self, source: str):
        self._python = load(source, CUDA)

    def __getattr__(self, name: str) -> Any:
        loop = getattr(self._python, name)

        def launched(begin: int, end: int, *arguments: Any) -> None:
            launch(loop, begin, end, *arguments)

        setattr(self, name, launched)
        return launched


def launch(loop: Any, begin: int, end: int, *arguments: Any) -> None:
    """Run the loop over the rows from `begin` to `end`, one thread each, on CuPy's current stream."""
    import cupy

    if end > begin:
        numbers = tuple(_number(x) for x in (begin, end, *arguments))
        kernel = _kernel(loop, tuple(map(kind, numbers)), cupy.cuda.Device().compute_capability)
        kernel((-(-(end - begin) // THREADS),), (THREADS,), numbers)


def _number(x: Any) -> Any:
    """Return an argument as the kernel takes it: an array, a float64 or an int64."""
    return x if hasattr(x, "shape") else np.float64(x) if isinstance(x, float) else np.int64(x)


def kind(x: Any) -> str:
    """Return the type of an argument: the name of its dtype, with a star where it is an address."""
    if isinstance(x, np.generic):
        return str(x.dtype)
    return "uint8*" if x.dtype == bool else f"{x.dtype}*"  # numba-cuda cannot load a truth value


@cache
def _kernel(loop: Any, kinds: tuple[str, ...], processor: str) -> Any:
    """Return a kernel of CuPy, which loads it on each device when it is first launched there."""
    import cupy
    import numba_cuda

    version = sha256(f"{numba_cuda.__version__} {kinds}".encode()).hexdigest()[:8]
    name = f"{loop.__module__.partition('.')[2]}_{loop.__name__}_{version}_sm{processor}.cubin"
    path = directory() / name
    if not path.is_file():
        code = machine_code(to_ptx(loop, kinds, (int(processor[:-1]), int(processor[-1]))), processor)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, code)
        except (OSError, OutputError) as error:
            raise OutputError(
                f"the kernels of mcgc.jit cannot be kept in {str(directory())!r}: set XDG_CACHE_HOME to a directory "
                "that can be written"
            ) from error
    return cupy.RawModule(path=str(path)).get_function(loop.__name__)


def to_ptx(loop: Any, kinds: tuple[str, ...], processor: tuple[int, int]) -> str:
    """Return the PTX of the kernel, which has the name of the loop, for arguments of these types."""
    from numba import cuda

    ptx, _ = cuda.compile(loop, signature(kinds), cc=processor, device=False, abi="numba", output="ptx")
    entry = re.search(r"\.entry (\S+)\(", ptx)
    assert entry is not None
    return ptx.replace(entry[1], loop.__name__)


def signature(kinds: tuple[str, ...]) -> Any:
    """Return the signature of a kernel with arguments of these types."""
    from numba.cuda import types

    of = lambda name: types.CPointer(getattr(types, name[:-1])) if name[-1] == "*" else getattr(types, name)
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
