"""`jit`: a function written with operations, as one compiled program of operations on numbers."""

from mcgc._jit._field import FieldPrograms, field_programs
from mcgc._jit._formula import Formula, formula_of
from mcgc._jit._jitted import Jitted, jit
from mcgc._jit._program import Program
from mcgc._jit._rows import loops, split
from mcgc._jit._target import CPU, TARGETS, Target
from mcgc._jit._trace import Argument, argument

__all__ = [
    "CPU",
    "TARGETS",
    "Argument",
    "FieldPrograms",
    "Formula",
    "Jitted",
    "Program",
    "Target",
    "argument",
    "field_programs",
    "formula_of",
    "jit",
    "loops",
    "split",
]
