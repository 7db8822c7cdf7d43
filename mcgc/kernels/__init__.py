"""The few loops that matter, each with one meaning and several bodies.

`reference` is the meaning, in plain array-API code. `cpu` holds Numba bodies for NumPy arrays, and `cuda` those for
CuPy arrays where numba-cuda is installed. All bodies have the same functions: `perturb`, `noise_dot`, `adam`.
"""

from functools import cache
from importlib.util import find_spec
from types import ModuleType

from mcgc.arrays import Array, is_cupy, is_host
from mcgc.kernels import reference
from mcgc.kernels.announce import when_compiling

__all__ = ["cache_directory", "kernels_for", "when_compiling"]

_found: dict[tuple, ModuleType] = {}  # by type and dtype: to choose anew costs microseconds a call


def cache_directory() -> str | None:
    """Return the directory where Numba keeps the CPU kernels, or None if it keeps none."""
    from mcgc.kernels.cpu_matmul import matmul

    return matmul.stats.cache_path if hasattr(matmul, "stats") else None


def kernels_for(array: Array) -> ModuleType:
    """Return the module whose bodies fit `array`: a fast one where there is one, else the generic meaning."""
    kind = (type(array), array.dtype)
    if kind not in _found:
        _found[kind] = _choose(array)
    return _found[kind]


def _choose(array: Array) -> ModuleType:
    if array.dtype in ("float32", "float64"):
        if is_host(array):
            from numba import config

            from mcgc.kernels import cpu

            return reference if config.DISABLE_JIT else cpu  # in Python the loops would take a thousand times as long
        if is_cupy(array) and _has_numba_cuda():
            from mcgc.kernels import cuda

            return cuda
    return reference


@cache
def _has_numba_cuda() -> bool:
    return find_spec("numba_cuda") is not None
