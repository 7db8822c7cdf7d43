"""A recorded function as data: a list of operations on numbers, which JSON holds, and which runs without its source."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit._graph import BOOL, FLOATS, FOLD, Node
from mcgc._jit._trace import OF, Argument, trace
from mcgc.arrays import namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.autodiff.numpy_protocol import cbrt
from mcgc.autodiff.pytree import flatten
from mcgc.errors import InputError

_LOGICAL = {"and": "logical_and", "or": "logical_or", "not": "logical_not"}
_RENAMED: Mapping[str, Callable] = {"power": ops.pow, "cbrt": cbrt}
_KINDS = ("float", "int64", "bool")  # what a number may be cast to


class Formula(NamedTuple):
    """What a function of numbers computes. It holds no code: what it may compute are the operations of `mcgc.ops`.

    Parameters
    ----------
    operations : tuple of tuples
        One for each number, in the order of their computation: ("constant", value), ("input", argument, index),
        ("cast", kind, number), or the name of an operation and the numbers that it takes.
    results : tuple of int
        Which of the numbers are the results.
    """

    operations: tuple[tuple[Any, ...], ...]
    results: tuple[int, ...]

    def __call__(self, *arguments: Sequence[Any], like: Any) -> list[Any]:
        """Return the results for arguments whose elements are numbers, or arrays of as many rows each.

        Floating-point numbers are computed in the dtype of the array `like`. A result that depends on no argument is a
        number of Python.
        """
        xp, dtype, found = namespace_of(strip(like)), like.dtype, list[Any]()
        for op, *operands in self.operations:
            if op == "constant":
                found.append(operands[0])
            elif op == "input":
                found.append(arguments[operands[0]][operands[1]])
            elif op == "cast":
                kind, x = operands[0], found[operands[1]]
                cast = {"float": dtype, "int64": xp.int64}
                found.append(x != 0 if kind == "bool" else ops.astype(x, cast[kind]))
            elif op in _LOGICAL:
                found.append(getattr(xp, _LOGICAL[op])(*(strip(found[i]) for i in operands)))
            else:
                found.append((_RENAMED.get(op) or getattr(ops, op))(*(found[i] for i in operands)))
        return [found[i] for i in self.results]

    def to_json(self) -> dict[str, Any]:
        """Return the formula in values that JSON has; a constant that is not finite is its name."""
        listed = [list(operation) for operation in self.operations]
        for operation in listed:
            if operation[0] == "constant" and not math.isfinite(operation[1]):
                operation[1] = str(operation[1])
        return {"operations": listed, "results": list(self.results)}

    @classmethod
    def of_json(cls, values: Mapping[str, Any], sizes: Sequence[int]) -> "Formula":
        """Return the formula that `to_json` wrote, for arguments of these sizes.

        Raises `InputError` if an operation is unknown, or takes what is not there.
        """
        try:
            operations = tuple(_checked(*each, before=i, sizes=sizes) for i, each in enumerate(values["operations"]))
            results = tuple(values["results"])
            if not all(type(i) is int and 0 <= i < len(operations) for i in results):
                raise ValueError
        except (KeyError, TypeError, ValueError, IndexError):
            raise InputError("the formula is not one that mcgc wrote: copy the file again") from None
        return cls(operations, results)


def _checked(op: str, *operands: Any, before: int, sizes: Sequence[int]) -> tuple[Any, ...]:
    """Return an operation that follows `before` others, or raise one of the errors of values that are wrong."""
    if op == "constant":
        (value,) = operands
        if type(value) not in (int, float, bool, str):
            raise ValueError
        return op, float(value) if isinstance(value, str) else value
    if op == "input":
        argument, index = operands
        if not 0 <= index < sizes[argument]:
            raise ValueError
        return op, argument, index
    numbers = operands
    if op == "cast":
        kind, *numbers = operands  # type: ignore[assignment]
        if kind not in _KINDS:
            raise ValueError
    elif op not in FOLD:
        raise ValueError
    if not numbers or not all(type(i) is int and 0 <= i < before for i in numbers):
        raise ValueError
    return (op, *operands)


def formula_of(function: Callable[..., Any], *arguments: Sequence[int]) -> Formula:
    """Return what `function` computes of float64 arrays of the shapes `arguments`, as `mcgc.jit` records it.

    Raises `TraceError` as `mcgc.jit` does.
    """
    given = [Argument(tuple(shape), FLOATS[1]) for shape in arguments]
    _, structure = flatten(tuple(np.zeros(shape) for shape in arguments))
    program = trace(OF["value"](function), structure, given).program
    number: dict[Node, int] = {}
    operations = []
    for node in program.order():
        operations.append(_operation(node, [number[arg] for arg in node.args] if node.op != "input" else []))
        number[node] = len(number)
    return Formula(tuple(operations), tuple(number[node] for result in program.results for node in result))


def _operation(node: Node, operands: list[int]) -> tuple[Any, ...]:
    if node.op == "constant":
        return "constant", node.value.item()
    if node.op == "input":
        return ("input", *node.args)
    if node.op == "cast":
        return "cast", "float" if node.dtype in FLOATS else "bool" if node.dtype == BOOL else "int64", *operands
    return (node.op, *operands)
