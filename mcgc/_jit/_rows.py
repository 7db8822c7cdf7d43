"""A program with its loop over rows, for the compiler of its arguments."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit._compile import load
from mcgc._jit._program import Program
from mcgc._jit._target import CUDA, TARGETS, Target
from mcgc.arrays import is_array
from mcgc.autodiff.pytree import Structure
from mcgc.kernels import compiler


class Compiled(NamedTuple):
    """A program with its loop over rows, and which of its arguments have rows."""

    program: Program
    structure: Structure
    source: str
    loop: Callable
    by_row: tuple[bool, ...]


def target_of(leaves: Sequence[Any]) -> Target | None:
    """Return the target of a program for these arguments, None if there is no compiler for them."""
    found = {compiler(x) for x in leaves if is_array(x)} or {compiler(np.float64())}
    return TARGETS.get(found.pop() or "") if len(found) == 1 else None


def loops(source: str, target: Target) -> Any:
    """Return what has the loops of `source` by their names, to be called as `name(begin, end, ...)`."""
    if target is CUDA:
        from mcgc._jit._cuda import Module

        return Module(source)
    return load(source, target)


def compiled(program: Program, structure: Structure, by_row: tuple[bool, ...], target: Target) -> Compiled:
    """Return the program with its loop over rows."""
    names = [f"x{i}" for i in range(len(program.inputs))], [f"y{i}" for i in range(len(program.outputs))]
    source = program.source("point", *names)
    steps = [leaf.size if row else 0 for leaf, row in zip(program.inputs, by_row, strict=True)]
    steps += [leaf.size for leaf in program.outputs]
    places = [f"{name}, r * {step}" for name, step in zip((*names[0], *names[1]), steps, strict=True)]
    loop = (
        f"def rows(begin, end, {', '.join((*names[0], *names[1]))}):\n"
        f"    for r in {target.rows}:\n        point({', '.join(places)})\n"
    )
    return Compiled(
        program, structure, source, _Lazy(f"{target.function}{source}\n\n{target.loop}{loop}", target), by_row
    )


class _Lazy:
    """The loop over the rows of a generated module, which is loaded when it is first called."""

    def __init__(self, source: str, target: Target):
        self._source, self._target = source, target
        self.function: Callable | None = None

    def __call__(self, *args: Any) -> Any:
        if self.function is None:
            self.function = loops(self._source, self._target).rows
        return self.function(*args)
