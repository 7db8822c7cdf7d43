"""The traced array, the tape and the backward pass: the whole of reverse-mode differentiation.

While a function is being differentiated, its inputs are `Traced`: arrays that carry a node of the tape. Each
operation on them computes its value and records a node that knows its parents and its *pull*, the linear map from
the cotangent of its output to the cotangents of its parents. `backward` walks the nodes from newest to oldest.

Nested differentiation needs no bookkeeping beyond a number. Every trace gets a level, larger than that of all
traces begun before it. An operation belongs to the highest level among its arguments; it unwraps only the arguments
of that level, so values of outer traces flow through it, and through its pull, as traced arrays of their own.

Nodes point to their parents and to nothing newer, so the tape is acyclic and its memory is returned the moment
the last result is dropped. Levels and node numbers only ever count up.

A level is open while the function under differentiation runs, and closed when it returns or raises. Nothing is recorded
on a closed level. A traced array that was stored somewhere, and comes back after its trace has ended, is refused.
"""

import itertools
import operator
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any

from mcgc.arrays import Array, device_of
from mcgc.errors import TraceError

_levels = itertools.count(1)
_numbers = itertools.count()
_open: set[int] = set()  # the levels of the traces whose functions are running, in every thread

Pull = Callable[..., Sequence[Any]]  # cotangents of the outputs -> cotangents of the traced arguments, in order

# (name, parents, output, pull) -> pull: sees every operation that is recorded in this context, and may raise
observer: ContextVar[Callable | None] = ContextVar("observer", default=None)


class Node:
    """One operation on the tape: when it happened, what it came from, and how cotangents pass back through it."""

    __slots__ = ("number", "outputs", "parents", "pull")

    def __init__(self, parents: Sequence["Traced"] = (), pull: Pull | None = None, outputs: int = 1):
        self.number = next(_numbers)
        self.parents = [(parent.node, parent.slot) for parent in parents]
        self.pull = pull
        self.outputs = outputs


class Traced:
    """An array under differentiation: behaves like its `value`, and remembers how it came to be."""

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

    def __repr__(self) -> str:
        return f"Traced(shape={self.shape}, dtype={self.dtype}, level={self.level})"

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        from mcgc.autodiff import ops  # which is written in terms of this file, and gives `Traced` its operators

        return ops


def strip(x: Any) -> Any:
    """Return the plain array inside a traced one, through every level; anything else as it is."""
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


def record(name: str, level: int, parents: Sequence[Traced], out: Any, pull: Pull) -> Any:
    """Put the operation `name` on the tape: `out`, an array or a tuple of arrays, came from `parents`.

    `pull` takes one cotangent for each array of `out`, None standing for zero where there are several, and returns
    one for each parent, None standing for zero.

    Raises `TraceError` if the trace has ended, or if `out` belongs to it already.
    """
    if level not in _open:
        raise TraceError(_OUTLIVED)
    observe = observer.get()
    if observe is not None:
        pull = observe(name, parents, out, pull)
    if type(out) is tuple:
        node = Node(parents, pull, len(out))
        return tuple(Traced(_below(level, value, name), level, node, slot) for slot, value in enumerate(out))
    return Traced(_below(level, out, name) if type(out) is Traced else out, level, Node(parents, pull))


def _below(level: int, value: Any, name: str) -> Any:
    if type(value) is Traced and value.level >= level:
        raise TraceError(f"{name} uses a traced array that is not among its positional arguments: pass it as one")
    return value


def backward(seeds: Sequence[tuple[Traced, Any]], leaves: Sequence[Node]) -> list:
    """Carry the cotangents of `seeds` back to `leaves`; None for a leaf that no seed depends on.

    Nodes are visited from newest to oldest, so each is visited once, after everything made from it.
    """
    pending: dict[Node, list] = {}
    for traced, cotangent in seeds:
        _deposit(pending, traced.node, traced.slot, cotangent)
    for node in sorted(_ancestors(pending), key=_number, reverse=True):
        if node.pull is None or node not in pending:
            continue
        for (parent, slot), cotangent in zip(node.parents, node.pull(*pending.pop(node)), strict=True):
            if cotangent is not None:
                _deposit(pending, parent, slot, cotangent)
    return [pending.get(leaf, [None])[0] for leaf in leaves]


_number = operator.attrgetter("number")


def _ancestors(nodes: Iterable[Node]) -> set[Node]:
    """Return `nodes` and all that they came from."""
    found = set(nodes)
    ahead = list(found)
    while ahead:
        for parent, _ in ahead.pop().parents:
            if parent not in found:
                found.add(parent)
                ahead.append(parent)
    return found


def _deposit(pending: dict[Node, list], node: Node, slot: int, cotangent: Any) -> None:
    slots = pending.get(node)
    if slots is None:
        slots = pending[node] = [None] * node.outputs
    held = slots[slot]
    slots[slot] = cotangent if held is None else held + cotangent


class Primitive:
    """An operation with its derivative: called like its forward function, recorded when an argument is traced."""

    def __init__(self, name: str, forward: Callable, rules: Sequence[Callable | None]):
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
        values, places, parents, outer = list(args), [], [], False
        for i, arg in enumerate(args):
            if type(arg) is Traced:
                if arg.level == level:
                    values[i] = arg.value
                    places.append(i)
                    parents.append(arg)
                outer = outer or type(values[i]) is Traced
        out = self(*values, **options) if outer else self.forward(*values, **options)
        return record(self.__name__, level, parents, out, self._linearise(places, out, values, options))

    def _linearise(self, places: Sequence[int], out: Any, values: Sequence[Any], options: dict) -> Pull:
        pulls = []
        for i in places:
            rule = self.rules[i] if i < len(self.rules) else None
            if rule is None:
                raise TraceError(
                    f"{self.__name__} has no derivative for argument {i}; pass it untraced, or with stop_gradient"
                )
            pulls.append(rule(out, *values, **options))
        if len(pulls) == 1:
            (only,) = pulls
            return lambda cotangent: (only(cotangent),)
        return lambda cotangent: [pull(cotangent) for pull in pulls]


class JointPrimitive(Primitive):
    """A primitive whose one rule yields the cotangents of all its arguments together, however many there are."""

    def _linearise(self, places: Sequence[int], out: Any, values: Sequence[Any], options: dict) -> Pull:
        (rule,) = self.rules
        assert rule is not None
        pull = rule(out, *values, **options)

        def chosen(*cotangents: Any) -> list:
            every = pull(*cotangents)
            return [every[i] for i in places]

        return chosen
