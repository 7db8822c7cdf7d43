"""A program compiled with a loop over rows, for the compiler of its arguments, and its run on arrays."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit._compile import load
from mcgc._jit._program import Program
from mcgc._jit._target import CUDA, TARGETS, Target
from mcgc.arrays import is_array, namespace_of
from mcgc.autodiff.pytree import Structure
from mcgc.errors import InputError
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


def compile_rows(program: Program, structure: Structure, by_row: tuple[bool, ...], target: Target) -> Compiled:
    """Return the program with its loop over rows."""
    names = [f"x{i}" for i in range(len(program.inputs))], [f"y{i}" for i in range(len(program.outputs))]
    source = program.source("point", *names)
    steps = [leaf.size if row else 0 for leaf, row in zip(program.inputs, by_row, strict=True)]
    steps += [leaf.size for leaf in program.outputs]
    arguments = [f"{name}, r * {step}" for name, step in zip((*names[0], *names[1]), steps, strict=True)]
    loop = (
        f"def rows(begin, end, {', '.join((*names[0], *names[1]))}):\n"
        f"    for r in {target.rows}:\n        point({', '.join(arguments)})\n"
    )
    text = f"{target.function}{source}\n\n{target.loop}{loop}"
    return Compiled(program, structure, source, _Lazy(text, target), by_row)


class _Lazy:
    """The loop over the rows of a generated module, which is loaded when it is first called."""

    def __init__(self, source: str, target: Target):
        self._source, self._target = source, target
        self._function: Callable | None = None

    def __call__(self, *args: Any) -> Any:
        if self._function is None:
            self._function = loops(self._source, self._target).rows
        return self._function(*args)


def run(compiled: Compiled, leaves: Sequence[Any], many: bool, threads: int) -> list:
    """Return the results of the program; with `many` they have an axis of rows, as some of its arguments have."""
    program, by_row = compiled.program, compiled.by_row
    xp = namespace_of(*leaves)
    held = [xp.ascontiguousarray(x, leaf.dtype) for x, leaf in zip(leaves, program.inputs, strict=True)]
    number = count([x for x, row in zip(leaves, by_row, strict=True) if row]) if many else 1
    head = (number,) if many else ()
    out = [xp.empty((*head, *leaf.shape), dtype=leaf.dtype) for leaf in program.outputs]
    flat = [x.reshape(-1) for x in (*held, *out)]
    split(threads, number, compiled.loop, *flat)
    return [x if x.ndim or xp is not np else x[()] for x in out]


def split(threads: int, number: int, loop: Callable, *args: Any) -> list:
    """Call `loop(begin, end, *args)` for all rows, by as many threads as asked for; return the results."""
    parts = min(threads, number)
    if parts <= 1:
        return [loop(0, number, *args)]
    from concurrent.futures import ThreadPoolExecutor

    ends = [number * i // parts for i in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        return [done.result() for done in [pool.submit(loop, a, b, *args) for a, b in pairwise(ends)]]


def count(leaves: Sequence[Any]) -> int:
    """Return the number of rows. Raises `InputError` if arrays have different numbers, or none."""
    counts = {x.shape[0] if getattr(x, "ndim", 0) else -1 for x in leaves}
    if len(counts) != 1 or -1 in counts:
        raise InputError("arguments with rows must be arrays with the same number of rows in front")
    return counts.pop()
