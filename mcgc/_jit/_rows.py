"""A program compiled with a loop over rows, and its run on arrays."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit._compile import DECORATOR, load
from mcgc._jit._program import Program
from mcgc.autodiff.pytree import Structure
from mcgc.errors import InputError


class Compiled(NamedTuple):
    """A program with its loop over rows, and which of its arguments have rows."""

    program: Program
    structure: Structure
    source: str
    loop: Callable
    by_row: tuple[bool, ...]


def compile_rows(program: Program, structure: Structure, by_row: tuple[bool, ...]) -> Compiled:
    """Return the program with its loop over rows."""
    names = [f"x{i}" for i in range(len(program.inputs))], [f"y{i}" for i in range(len(program.outputs))]
    source = program.source("point", *names)
    steps = [leaf.size if row else 0 for leaf, row in zip(program.inputs, by_row, strict=True)]
    steps += [leaf.size for leaf in program.outputs]
    places = [f"{name}, r * {step}" for name, step in zip((*names[0], *names[1]), steps, strict=True)]
    loop = (
        f"def rows(begin, end, {', '.join((*names[0], *names[1]))}):\n"
        f"    for r in range(begin, end):\n        point({', '.join(places)})\n"
    )
    return Compiled(program, structure, source, _Lazy(f"{DECORATOR}{source}\n\n{DECORATOR}{loop}", "rows"), by_row)


class _Lazy:
    """A function of a generated module, which is loaded when it is first called."""

    def __init__(self, source: str, name: str):
        self._source, self._name = source, name
        self._function: Callable | None = None

    def __call__(self, *args: Any) -> Any:
        if self._function is None:
            self._function = getattr(load(self._source), self._name)
        return self._function(*args)


def run(compiled: Compiled, leaves: Sequence[Any], many: bool, threads: int) -> list:
    """Return the results of the program; with `many` they have an axis of rows, as some of its arguments have."""
    program, by_row = compiled.program, compiled.by_row
    held = [np.ascontiguousarray(x, leaf.dtype) for x, leaf in zip(leaves, program.inputs, strict=True)]
    number = count([x for x, row in zip(leaves, by_row, strict=True) if row]) if many else 1
    head = (number,) if many else ()
    out = [np.empty((*head, *leaf.shape), leaf.dtype) for leaf in program.outputs]
    flat = [x.reshape(-1) for x in (*held, *out)]
    if threads > 1 and number > 1:
        from concurrent.futures import ThreadPoolExecutor

        ends = [number * i // threads for i in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(compiled.loop, a, b, *flat) for a, b in pairwise(ends)]:
                done.result()
    else:
        compiled.loop(0, number, *flat)
    return [x if x.ndim else x[()] for x in out]


def count(leaves: Sequence[Any]) -> int:
    """Return the number of rows. Raises `InputError` if arrays have different numbers, or none."""
    counts = {x.shape[0] if getattr(x, "ndim", 0) else -1 for x in leaves}
    if len(counts) != 1 or -1 in counts:
        raise InputError("arguments with rows must be arrays with the same number of rows in front")
    return counts.pop()
