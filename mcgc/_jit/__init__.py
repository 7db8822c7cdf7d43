"""`jit`: a function written with operations, as one compiled program of operations on numbers."""

from mcgc._jit._jitted import Jitted, jit

__all__ = ["Jitted", "jit"]
