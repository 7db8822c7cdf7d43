"""The compiled programs of one function: its arguments, and a program for each signature of them."""

import inspect
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

from mcgc._jit import _rows
from mcgc._jit._graph import FLOATS, is_building
from mcgc._jit._rows import Compiled, compile_rows, target_of
from mcgc._jit._target import CPU, Target
from mcgc._jit._trace import OF, Argument, argument, trace
from mcgc.arrays import namespace_of
from mcgc.autodiff.engine import observer
from mcgc.autodiff.pytree import LEAF, Structure, flatten, unflatten
from mcgc.errors import InputError, TraceError


class Programs:
    """The programs of `function`, with its static arguments, of one row or of the rows of the arguments `rows`."""

    def __init__(
        self,
        function: Callable[..., Any],
        static: tuple[int, ...] = (),
        rows: tuple[int, ...] | None = None,
        threads: int = 1,
    ):
        update_wrapper(self, function, updated=())  # type: ignore[arg-type]  # `Jitted` is called
        self.function, self._static, self._rows, self.threads = function, static, rows, threads
        self._found: dict[tuple, Compiled] = {}

    # ---- arguments ----

    def _leaves(self, args: tuple, named: dict) -> tuple[list, Structure, tuple]:
        """Return the leaves of the arguments, their structure, and the static arguments."""
        if named:
            args = self._positional(args, named)
        if not self._static:
            leaves, structure = flatten(args)
            return leaves, structure, ()
        static = tuple(args[i] for i in self._static if i < len(args))
        try:
            hash(static)
        except TypeError:
            raise TraceError("a static argument of mcgc.jit must be hashable, such as a number or a tuple") from None
        leaves, structure = flatten(tuple(None if i in self._static else arg for i, arg in enumerate(args)))
        return leaves, structure, static

    def _positional(self, args: tuple, named: dict) -> tuple:
        """Return the arguments of a call in their order, those given by name too."""
        bound = inspect.signature(self.function).bind(*args, **named)
        bound.apply_defaults()
        if bound.kwargs:
            raise InputError(
                f"mcgc.jit takes no arguments that have only a name, got {', '.join(bound.kwargs)}: "
                "make them positional, or fix them with functools.partial"
            )
        return bound.args

    def _eager(self, leaves: Sequence[Any]) -> bool:
        """Tell whether the function itself must run: there is no compiler for its arguments, or each step is watched.

        Within another jitted function it becomes part of that one's program, whatever its arguments are.
        """
        return target_of(leaves) is None or is_building() or observer.get() is not None

    def _with_static(self, static: tuple) -> Callable[..., Any]:
        """Return the function with static arguments in the place of what it is given there."""
        return (lambda *args: self.function(*self._filled(args, static))) if static else self.function

    def _filled(self, args: Sequence[Any], static: tuple) -> list:
        given = dict(zip(self._static, static, strict=False))  # the last ones may be left to their defaults
        return [given.get(i, arg) for i, arg in enumerate(args)]

    def _by_row(self, structure: Structure) -> tuple[bool, ...]:
        """Tell of each leaf of the arguments whether it has rows."""
        counts = [_count(child) for child in structure.children]
        if self._rows is None:
            return (False,) * sum(counts)
        if any(not 0 <= i < len(counts) for i in self._rows):
            raise InputError(
                f"rows names argument {max(self._rows)}, but the call has {len(counts)}: number them from 0"
            )
        return tuple([i in self._rows for i, count in enumerate(counts) for _ in range(count)])

    def _arguments(self, leaves: Sequence[Any], structure: Structure) -> tuple[tuple[bool, ...], tuple[Argument, ...]]:
        """Return which leaves have rows, and what a program, which is of one row, must know of them."""
        by_row = self._by_row(structure)
        return by_row, tuple([argument(x, row) for x, row in zip(leaves, by_row, strict=True)])

    # ---- programs ----

    def _key(
        self, of: str, arguments: tuple[Argument, ...], structure: Structure, static: tuple, target: Target
    ) -> tuple:
        return (of, self._rows, arguments, structure, target, static, *map(type, static))  # 1 == 1.0 == True

    def _program(self, of: str, leaves: Sequence[Any], structure: Structure, static: tuple) -> Compiled:
        by_row, arguments = self._arguments(leaves, structure)
        target = target_of(leaves) or CPU
        key = self._key(of, arguments, structure, static, target)
        found = self._found.get(key)
        if found is None:
            recorded = trace(OF[of](self._with_static(static)), structure, arguments)
            found = self._found[key] = compile_rows(*recorded, by_row, target)
        return found

    def _vjp_program(self, leaves: Sequence[Any], structure: Structure, static: tuple) -> Compiled:
        """Return the program of the pullback, whose arguments are (arguments, cotangents of the float results)."""
        by_row, arguments = self._arguments(leaves, structure)
        target = target_of(leaves) or CPU
        key = self._key("vjp", arguments, structure, static, target)
        if key not in self._found:
            value = self._program("value", leaves, structure, static)
            given = [Argument(*leaf) for leaf in value.program.outputs if leaf.dtype in FLOATS]
            of_rows = (self._rows is not None,) * len(given)
            joint = Structure(tuple, (), (structure, Structure(list, (), (LEAF,) * len(given))))
            recorded = trace(OF["vjp"](self._with_static(static)), joint, [*arguments, *given])
            self._found[key] = compile_rows(*recorded, (*by_row, *of_rows), target)
        return self._found[key]

    def _run(self, of: str, leaves: Sequence[Any], structure: Structure, static: tuple) -> Any:
        program = self._program(of, leaves, structure, static)
        return unflatten(program.structure, _rows.run(program, leaves, self._rows is not None, self.threads))

    def _bars(
        self, leaves: list, structure: Structure, static: tuple, out: Sequence[Any], given: Sequence[Any]
    ) -> list:
        """Return the cotangents of the leaves, None for one that is not floating-point."""
        program = self._vjp_program(leaves, structure, static)
        xp = namespace_of(*out)
        cotangents = [
            xp.zeros_like(y) if g is None else xp.asarray(g, dtype=y.dtype)
            for g, y in zip(given, out, strict=True)
            if y.dtype in FLOATS
        ]
        for g, y in zip(cotangents, (y for y in out if y.dtype in FLOATS), strict=True):
            if g.shape != y.shape:
                raise TraceError(f"the cotangent has shape {g.shape}, but the function's output has {y.shape}")
        found = iter(_rows.run(program, [*leaves, *cotangents], self._rows is not None, self.threads))
        bars: list = []
        for leaf, by_row in zip(leaves, program.by_row, strict=False):
            if argument(leaf).dtype not in FLOATS:
                bars.append(None)
                continue
            bar = next(found)
            bars.append(xp.sum(bar, axis=0) if self._rows is not None and not by_row else bar)
        return bars


def _count(structure: Structure) -> int:
    """Return the number of leaves."""
    return 1 if structure.kind is None else sum(map(_count, structure.children))
