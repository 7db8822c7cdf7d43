"""The functions of numbers that numba-cuda does not take from NumPy, by those of the device; here is NumPy's body.

A program calls them by these names on both platforms.
"""

from collections.abc import Callable

import numpy as np
from numba.cuda import libdevice
from numba.cuda.extending import overload
from numba.cuda.types import float32


def _of_device(name: str) -> Callable:
    """Return NumPy's function of a number, for which numba-cuda takes the device's, in float32 or in float64."""
    single, double = getattr(libdevice, f"{name}f"), getattr(libdevice, name)

    def function(x):
        return getattr(np, name)(x)

    @overload(function)
    def choose(x):
        if x == float32:
            return lambda x: single(x)
        return lambda x: double(x)

    return function


cbrt, ceil, floor, log2, rint, trunc = map(_of_device, ("cbrt", "ceil", "floor", "log2", "rint", "trunc"))
