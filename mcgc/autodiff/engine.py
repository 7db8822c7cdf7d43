"""The traced array, the tape and the backward pass: the whole of reverse-mode differentiation.

While a function is being differentiated, its inputs are `Traced`: arrays that carry a node of the tape. Each
operation on them computes its value and records a node. The node knows its parents and its *pullback*, the linear map
from the cotangent of its output to the cotangents of its parents. `backward` walks the nodes from newest to oldest.

Nested differentiation needs one number. Every trace gets a level, larger than that of all traces begun before it. An
operation belongs to the highest level among its arguments, and unwraps only the arguments of that level. So values of
outer traces flow through it, and through its pullback, as traced arrays of their own.

Nodes point to their parents and to nothing newer. So the tape has no cycles, and its memory is freed when the last
result is dropped. Levels and node numbers only count up.

A level is open while the function under differentiation runs, and closed when it returns or raises. Nothing is recorded
on a closed level. A traced array that was stored and is used after its trace has ended is refused.

This file does not import the operations. `mcgc.autodiff.ops` is written in terms of it, and gives `Traced` its
operators and its namespace.
"""

import itertools
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from heapq import heappop, heappush
from typing import Any

from mcgc.arrays import Array, device_of
from mcgc.errors import TraceError

_levels = itertools.count(1)
_numbers = itertools.count()
_open: set[int] = set()  # the levels of the traces whose functions are running, in every thread

Pullback = Callable[..., Sequence[Any]]  # cotangents of the outputs -> cotangents of the traced arguments, in order
Rule = Callable[..., Callable[..., Any]]  # (output, *arguments, **options) -> the map of cotangents

# sees every operation that is recorded in this context, may raise, and returns the pullback to record
observer: ContextVar[Callable[[str, Sequence["Traced"], Any, Pullback], Pullback] | None] = ContextVar(
    "observer", default=None
)


class Node:
    """One operation on the tape: its number in time, its parents, and its pullback."""

    __slots__ = ("number", "outputs", "parents", "pullback")

    def __init__(self, parents: Sequence["Traced"] = (), pullback: Pullback | None = None, outputs: int = 1):
        self.number = next(_numbers)
        self.parents = [(parent.node, parent.slot) for parent in parents] if parents else ()
        self.pullback = pullback
        self.outputs = outputs


class Traced:
    """An array under differentiation: it behaves like its `value`, and knows the operation that made it."""

    __slots__ = ("level", "node", "slot", "value")

    def __init__(self, value: Array, level: int, node: Node, slot: int = 0):
        self.value = value
        self.level = level
        self.node = node
        self.slot = slot  # which output of `node` this is

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    device = property(lambda self: device_of(strip(self)))
    __plain_array__ = property(lambda self: strip(self))  # by which `mcgc.arrays` finds its device

    def __repr__(self) -> str:
        return f"Traced(shape={self.shape}, dtype={self.dtype}, level={self.level})"


def strip(x: Any) -> Any:
    """Return the plain array inside a traced one, through every level; return anything else as it is."""
    while type(x) is Traced:
        x = x.value
    return x


def open_level() -> int:
    """Return the level of a new trace, above all that were begun before it."""
    level = next(_levels)
    _open.add(level)
    return level


def close_level(level: int) -> None:
    """End the trace of `level`: from now on its traced arrays are refused."""
    _open.discard(level)


def live(x: Any) -> Any:
    """Return `x`. Raises `TraceError` if it is traced, and its trace has ended."""
    if type(x) is Traced and x.level not in _open:
        raise TraceError(_OUTLIVED)
    return x


_OUTLIVED = (
    "a traced array has outlived the derivative it was made for: return it from the differentiated function, as its "
    "value or as aux, or store mcgc.stop_gradient of it"
)


def newest_level(args: Sequence[Any]) -> int:
    """Return the highest trace level among `args`, 0 where none is traced."""
    level = 0
    for arg in args:
        if type(arg) is Traced and arg.level > level:
            level = arg.level
    return level


def unwrap(x: Any, level: int) -> Any:
    """Return the value of `x` where it is traced at `level`, else `x`."""
    return x.value if type(x) is Traced and x.level == level else x


def opened(args: Sequence[Any], level: int) -> tuple[list, list[int], list[Traced], bool]:
    """Return the values of `args` at `level`; where and what is traced there; and if one belongs to an outer trace."""
    values, indices, parents, outer = list(args), [], [], False
    for i, arg in enumerate(args):
        if type(arg) is Traced:
            if arg.level == level:
                values[i] = arg.value
                indices.append(i)
                parents.append(arg)
            outer = outer or type(values[i]) is Traced
    return values, indices, parents, outer


def record(name: str, level: int, parents: Sequence[Traced], out: Any, pullback: Pullback) -> Any:
    """Put the operation `name` on the tape: `out`, an array or a tuple of arrays, came from `parents`.

    `pullback` takes one cotangent for each array of `out`; where there are several, None stands for zero. It returns
    one cotangent for each parent; None stands for zero.

    Raises `TraceError` if the trace has ended, or if `out` belongs to it already.
    """
    if level not in _open:
        raise TraceError(_OUTLIVED)
    observe = observer.get()
    if observe is not None:
        pullback = observe(name, parents, out, pullback)
    if type(out) is tuple:
        node = Node(parents, pullback, len(out))
        return tuple(Traced(_below(level, value, name), level, node, slot) for slot, value in enumerate(out))
    return Traced(_below(level, out, name) if type(out) is Traced else out, level, Node(parents, pullback))


def _below(level: int, value: Any, name: str) -> Any:
    if type(value) is Traced and value.level >= level:
        raise TraceError(f"{name} uses a traced array that is not among its positional arguments: pass it as one")
    return value


def backward(seeds: Sequence[tuple[Traced, Any]], leaves: Sequence[Node]) -> list:
    """Return the cotangents of `leaves` that come from those of `seeds`; None for a leaf that no seed depends on.

    Nodes are visited from newest to oldest. So each is visited once, after all that was made from it.
    """
    pending: dict[Node, list] = {}  # the cotangents of a node's outputs
    ahead: list[tuple[int, Node, Pullback]] = []  # the nodes of `pending`, a heap whose first is the newest

    def deposit(node: Node, slot: int, cotangent: Any) -> None:
        slots = pending.get(node)
        if slots is None:
            slots = pending[node] = [None] * node.outputs
            if node.pullback is not None:
                heappush(ahead, (-node.number, node, node.pullback))
        held = slots[slot]
        slots[slot] = cotangent if held is None else held + cotangent

    for traced, cotangent in seeds:
        deposit(traced.node, traced.slot, cotangent)
    while ahead:
        _, node, pullback = heappop(ahead)
        for (parent, slot), cotangent in zip(node.parents, pullback(*pending.pop(node)), strict=True):
            if cotangent is not None:
                deposit(parent, slot, cotangent)
    return [pending.get(leaf, [None])[0] for leaf in leaves]


class Primitive:
    """An operation with its derivative: called like its forward function, recorded if an argument is traced."""

    def __init__(self, name: str, forward: Callable[..., Any], rules: Sequence[Rule | None]):
        self.__name__ = self.__qualname__ = name
        self.__doc__ = forward.__doc__
        self.forward = forward
        self.rules = rules

    def __repr__(self) -> str:
        return f"<primitive {self.__name__}>"

    def __call__(self, *args: Any, **options: Any) -> Any:
        level = newest_level(args)
        if not level:
            return self.forward(*args, **options)
        values, indices, parents, outer = opened(args, level)
        out = self(*values, **options) if outer else self.forward(*values, **options)
        return record(self.__name__, level, parents, out, self._linearise(indices, out, values, options))

    def _linearise(self, indices: Sequence[int], out: Any, values: Sequence[Any], options: dict) -> Pullback:
        pullbacks = []
        for i in indices:
            rule = self.rules[i] if i < len(self.rules) else None
            if rule is None:
                raise TraceError(
                    f"{self.__name__} has no derivative for argument {i}; pass it untraced, or with stop_gradient"
                )
            pullbacks.append(rule(out, *values, **options))
        if len(pullbacks) == 1:
            (only,) = pullbacks
            return lambda cotangent: (only(cotangent),)
        return lambda cotangent: [pullback(cotangent) for pullback in pullbacks]


class JointPrimitive(Primitive):
    """A primitive with one rule, which yields the cotangents of all its arguments together."""

    def _linearise(self, indices: Sequence[int], out: Any, values: Sequence[Any], options: dict) -> Pullback:
        (rule,) = self.rules
        assert rule is not None
        every = rule(out, *values, **options)

        def pullback(*cotangents: Any) -> list:
            found = every(*cotangents)
            return [found[i] for i in indices]

        return pullback
