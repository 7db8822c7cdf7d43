"""The few loops that matter, each with one meaning and several bodies.

`generic` is the meaning, in plain array-API code; `cpu` holds Numba bodies for NumPy arrays. All bodies have the same
functions: `perturb`, `noise_dot`, `adam`.
"""

from functools import cache
from types import ModuleType
from typing import Any

from mcgc.arrays import Array, is_host
from mcgc.kernels import generic


def kernels_for(array: Array) -> ModuleType:
    """Return the module whose bodies fit `array`: a fast one where there is one, else the generic meaning."""
    kind: Any = type(array)  # dtypes of different libraries may hash alike, and are not to be compared
    return _kernels(kind, is_host(array), array.dtype)


@cache
def _kernels(kind: type, host: bool, dtype: Any) -> ModuleType:
    if host and dtype in ("float32", "float64"):
        from mcgc.kernels import cpu

        return cpu
    return generic
