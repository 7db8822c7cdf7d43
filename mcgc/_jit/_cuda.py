"""The loops of a generated module as CUDA kernels, one thread a row (see `mcgc.kernels.launching`)."""

from typing import Any

import numpy as np

from mcgc._jit._compile import load
from mcgc._jit._target import CUDA
from mcgc.kernels import launching

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
    if end > begin:
        launching.launch(loop, -(-(end - begin) // THREADS), THREADS, *map(number, (begin, end, *arguments)))


def number(x: Any) -> Any:
    """Return an argument as the kernel takes it: an array, a float64 or an int64."""
    return x if hasattr(x, "shape") else np.float64(x) if isinstance(x, float) else np.int64(x)
