"""`jit`: a function written with operations, as one compiled program of operations on numbers."""

from mcgc._jit._compile import DECORATOR, load
from mcgc._jit._field import FieldPrograms, field_programs
from mcgc._jit._jitted import Jitted, jit
from mcgc._jit._program import Program
from mcgc._jit._trace import Argument, argument

__all__ = ["DECORATOR", "Argument", "FieldPrograms", "Jitted", "Program", "argument", "field_programs", "jit", "load"]
