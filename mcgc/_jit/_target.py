"""Targets of generated modules: the functions are the same text, the header and the loops are not."""

from typing import NamedTuple


class Target(NamedTuple):
    """How generated modules are written for one compiler.

    `function` and `loop` are the decorators of a function of numbers and of a loop over rows, which calls it. `empty`
    makes scratch memory of a loop, of a size and a dtype. `rows` are those that one call of a loop, or one thread of
    its kernel, goes through.
    """

    header: str
    function: str
    loop: str
    empty: str
    rows: str


_INNER = '@inner(nogil=True, error_model="numpy", forceinline=True)\n'
_COMPILED = '@compiled(nogil=True, error_model="numpy")\n'

CPU = Target(
    '''"""Written by mcgc.jit."""

import math
from math import inf, nan

import numpy as np
from numpy import cbrt, ceil, float32, float64, floor, int64, log2, rint, trunc

from mcgc.kernels.compiled import compiled, inner

''',
    _INNER,
    _COMPILED,
    "np.empty",
    "range(begin, end)",
)

CUDA = Target(
    '''"""Written by mcgc.jit, for CUDA."""

import math
from math import inf, nan

import numpy as np
from numba import cuda
from numba.cuda.extending import register_jitable
from numpy import float32, float64, int64

from mcgc._jit._cuda_math import cbrt, ceil, floor, log2, rint, trunc

''',
    "@register_jitable\n",
    "",
    "cuda.local.array",
    "range(begin + cuda.grid(1), end, cuda.gridsize(1))",
)

TARGETS = {"cpu": CPU, "cuda": CUDA}
