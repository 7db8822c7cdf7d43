"""`Kernel`: one meaning and several compiled bodies. Whatever has a compiled body is chosen here, and nowhere else."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from mcgc.arrays import Array, is_cupy, is_host


class Body(NamedTuple):
    """A compiled body of a differentiable function.

    Attributes
    ----------
    forward : callable
        `forward(*args, **options)` returns the output, an array or a tuple of arrays, and residuals.
    vjp : callable
        `vjp(residuals, indices, *cotangents)` returns one cotangent for each positional argument. Only those at
        `indices` are used. Where there are several outputs, a cotangent may be None, which stands for zero.
    """

    forward: Callable[..., tuple[Any, Any]]
    vjp: Callable[..., Any]


class Kernel:
    """A function with one meaning and several compiled bodies, which is called like its meaning.

    The first argument is an array. Its type and dtype choose the body. The meaning runs for arrays without a body, and
    where the body does not fit the arguments.

    Parameters
    ----------
    meaning : callable
        The function in array-API code, with which tests compare every body.
    fits : callable, optional
        `fits(*args, **options)` tells whether a body takes these arguments.
    cpu, cuda : str, optional
        The bodies for NumPy and for CuPy arrays, as "module:name". A module is imported when its body is first used.
    """

    def __init__(
        self,
        meaning: Callable[..., Any],
        fits: Callable[..., bool] | None = None,
        *,
        cpu: str | None = None,
        cuda: str | None = None,
    ):
        self.__name__ = self.__qualname__ = meaning.__name__
        self.__doc__ = meaning.__doc__
        self.meaning = meaning
        self._fits = fits
        self._bodies = {"cpu": cpu, "cuda": cuda}
        self._found: dict[tuple, tuple | None] = {}  # by type and dtype: choosing costs microseconds a call

    def __repr__(self) -> str:
        return f"<kernel {self.__name__}>"

    def body(self, array: Array, *args: Any, **options: Any) -> Any:
        """Return the compiled body for these arguments, or None where the meaning is to run."""
        kind = type(array), array.dtype
        if kind not in self._found:
            self._found[kind] = self._load(array)
        found = self._found[kind]
        if found is None or (self._fits is not None and not self._fits(array, *args, **options)):
            return None
        names, name = found
        return names[name]

    def __call__(self, array: Array, *args: Any, **options: Any) -> Any:
        return (self.body(array, *args, **options) or self.meaning)(array, *args, **options)

    def _load(self, array: Array) -> tuple[dict, str] | None:
        """Return the names of the module that has the body for arrays like `array`, and the body's name in it."""
        path = self._bodies.get(platform(array) or "")
        if path is None:
            return None
        module, name = path.split(":")
        return vars(import_module(module)), name


def platform(array: Array) -> str | None:
    """Return the platform whose compiled bodies take arrays like this one.

    Bodies take float32 and float64. Those for NumPy arrays need Numba's compiler, those for CuPy arrays numba-cuda.

    Parameters
    ----------
    array : array
        The array.

    Returns
    -------
    {"cpu", "cuda"} or None
        The platform, or None if no body takes it.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.kernels import platform
    >>> print(platform(np.ones(2, "int64")))
    None
    """
    return compiler(array) if array.dtype in ("float32", "float64") else None


def compiler(array: Array) -> str | None:
    """Return the compiler of loops over arrays like this one, of any dtype.

    Parameters
    ----------
    array : array
        The array.

    Returns
    -------
    {"cpu", "cuda"} or None
        "cpu" for Numba's and NumPy arrays, "cuda" for numba-cuda and CuPy arrays, None where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.kernels import compiler
    >>> print(compiler(np.ones(2, "int64")))
    cpu
    """
    if is_host(array):
        from numba import config

        return None if config.DISABLE_JIT else "cpu"  # in Python the loops would take a thousand times as long
    return "cuda" if is_cupy(array) and _has_numba_cuda() else None


@cache
def _has_numba_cuda() -> bool:
    return find_spec("numba_cuda") is not None
