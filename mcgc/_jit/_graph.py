"""The scalar program under construction: nodes, each one operation on numbers, made once for equal operands.

A node has a dtype: float32, float64, int64 or bool. Its operands have the dtype that the operation is done in. What is
known when the program is built is computed then: constants fold, x + 0 and x · 1 are x, x² is a product. The constant
0 times or divided by x is 0 even where x is not finite or 0, as is the cotangent of what has no influence.
"""

import math
import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mcgc.errors import TraceError

MOST = 20_000  # operations of a program: Numba takes about a millisecond for each

OUTLIVED = "an array of mcgc.jit has outlived the call that traced it: return it from the function, do not store it"

Number = Any  # a NumPy scalar
FLOATS = (np.dtype("float32"), np.dtype("float64"))
INT, BOOL = np.dtype("int64"), np.dtype("bool")
DTYPES = (*FLOATS, INT, BOOL)


class Node:
    """One operation on numbers. `value` is that of a constant, else None; `number` counts up as nodes are made."""

    __slots__ = ("args", "dtype", "number", "op", "program", "value")
    value: Any

    def __init__(self, program: object, op: str, args: tuple, dtype: np.dtype, number: int, value: Number | None):
        self.program, self.op, self.args, self.dtype = program, op, args, dtype
        self.number, self.value = number, value

    def __repr__(self) -> str:
        return f"Node({self.op}, {self.dtype}, {self.number})"


class Graph:
    """The nodes of one program, and by what they are found again."""

    def __init__(self) -> None:
        self.found: dict[tuple, Node] = {}
        self.operations = 0
        self.name = object()  # of the program, by which it knows its nodes

    def constant(self, value: Any, dtype: np.dtype) -> Node:
        """Return the node of a number."""
        number = dtype.type(value)
        return self._node(("constant", dtype, number.tobytes()), "constant", (), dtype, number)

    def input(self, leaf: int, index: int, dtype: np.dtype) -> Node:
        """Return the node of element `index` of the argument `leaf`."""
        return self._node(("input", leaf, index), "input", (leaf, index), dtype)

    def apply(self, op: str, dtype: np.dtype, *args: Node) -> Node:
        """Return the node of an operation, or what it comes to."""
        self.check(*args)
        if all(arg.value is not None for arg in args) and op in FOLD:
            with np.errstate(all="ignore"):
                return self.constant(FOLD[op](*(arg.value for arg in args)), dtype)
        simpler = _SIMPLER.get(op)
        if simpler is not None:
            found = simpler(self, dtype, *args)
            if found is not None:
                return found
        if op in COMMUTATIVE and args[0].number > args[1].number:
            args = args[::-1]
        self.operations += 1
        return self._node((op, dtype, *(arg.number for arg in args)), op, args, dtype)

    def cast(self, x: Node, dtype: np.dtype) -> Node:
        """Return the number in another dtype."""
        if x.dtype == dtype:
            return x
        if x.value is not None:
            with np.errstate(all="ignore"):
                return self.constant(x.value.astype(dtype), dtype)
        return self.apply("cast", dtype, x)

    def check(self, *nodes: Node) -> None:
        """Raise `TraceError` if a node is of another program."""
        for node in nodes:
            if node.program is not self.name:
                raise TraceError(OUTLIVED)

    def _node(self, key: tuple, op: str, args: tuple, dtype: np.dtype, value: Number | None = None) -> Node:
        node = self.found.get(key)
        if node is None:
            if self.operations > MOST:
                raise TraceError(
                    f"the program has more than {MOST} operations on numbers, one for each element: leave arrays of "
                    "this size to mcgc.ops without jit, or jit the function of a single row"
                )
            node = self.found[key] = Node(self.name, op, args, dtype, len(self.found), value)
        return node


class _Current(threading.local):
    graph: Graph | None = None


_current = _Current()


def graph() -> Graph:
    """Return the program that this thread builds. Raises `TraceError` if there is none."""
    if _current.graph is None:
        raise TraceError(OUTLIVED)
    return _current.graph


def is_building() -> bool:
    """Tell whether this thread builds a program."""
    return _current.graph is not None


class building:
    """The context in which this thread builds a new program."""

    def __enter__(self) -> Graph:
        self.before, _current.graph = _current.graph, Graph()
        return _current.graph

    def __exit__(self, *_: object) -> None:
        _current.graph = self.before


def ordered(nodes: Iterable[Node]) -> list[Node]:
    """Return `nodes` and all that they are computed from, operands first."""
    needed: set[Node] = set()
    ahead = list(nodes)
    while ahead:
        node = ahead.pop()
        if node not in needed:
            needed.add(node)
            if node.op != "input":
                ahead.extend(node.args)
    return sorted(needed, key=lambda node: node.number)


# ---- what is known when the program is built ----

COMMUTATIVE = {"add", "multiply", "equal", "not_equal", "and", "or"}


def is_value(x: Node, value: float) -> bool:
    """Tell whether `x` is the constant `value`."""
    return x.value is not None and x.value == value


def _add(g: Graph, dtype: np.dtype, x: Node, y: Node) -> Node | None:
    if is_value(x, 0):
        return y
    if is_value(y, 0):
        return x
    if y.op == "negative":
        return g.apply("subtract", dtype, x, y.args[0])
    if x.op == "negative":
        return g.apply("subtract", dtype, y, x.args[0])
    return None


def _subtract(g: Graph, dtype: np.dtype, x: Node, y: Node) -> Node | None:
    if is_value(y, 0):
        return x
    if is_value(x, 0):
        return g.apply("negative", dtype, y)
    return g.apply("add", dtype, x, y.args[0]) if y.op == "negative" else None


def _multiply(g: Graph, dtype: np.dtype, x: Node, y: Node) -> Node | None:
    for one, other in ((x, y), (y, x)):
        if is_value(one, 0):
            return g.constant(0, dtype)
        if is_value(one, 1):
            return other
        if is_value(one, -1):
            return g.apply("negative", dtype, other)
        if one.op == "negative" and (other.op == "negative" or other.value is not None):
            turned = other.args[0] if other.op == "negative" else g.constant(-other.value, dtype)
            return g.apply("multiply", dtype, one.args[0], turned)
    return None


def _divide(g: Graph, dtype: np.dtype, x: Node, y: Node) -> Node | None:
    if is_value(y, 1) or (is_value(x, 0) and dtype in FLOATS):
        return x
    if y.value is not None and dtype in FLOATS and abs(math.frexp(y.value)[0]) == 0.5 and 1 / y.value:
        return g.apply("multiply", dtype, x, g.constant(1 / y.value, dtype))  # by a power of two: the same bits
    return None


def _negative(g: Graph, dtype: np.dtype, x: Node) -> Node | None:
    if x.op == "negative":
        return x.args[0]
    return g.apply("subtract", dtype, *x.args[::-1]) if x.op == "subtract" else None


def _power(g: Graph, dtype: np.dtype, x: Node, y: Node) -> Node | None:
    if y.value is None:
        return None
    n = float(y.value)
    if n == 0.5 and dtype in FLOATS:
        return g.apply("sqrt", dtype, x)  # as NumPy does
    if n in (0, 1):
        return x if n else g.constant(1, dtype)
    if n == -1 and dtype in FLOATS:
        return g.apply("divide", dtype, g.constant(1, dtype), x)
    if n in (2, 3, 4):
        square = g.apply("multiply", dtype, x, x)
        return square if n == 2 else g.apply("multiply", dtype, square, x if n == 3 else square)
    return None


def _where(g: Graph, dtype: np.dtype, condition: Node, x: Node, y: Node) -> Node | None:
    if x is y:
        return x
    return None if condition.value is None else (x if condition.value else y)


def _and(g: Graph, dtype: np.dtype, x: Node, y: Node) -> Node | None:
    for one, other in ((x, y), (y, x)):
        if one.value is not None:
            return other if one.value else one
    return x if x is y else None


def _or(g: Graph, dtype: np.dtype, x: Node, y: Node) -> Node | None:
    for one, other in ((x, y), (y, x)):
        if one.value is not None:
            return one if one.value else other
    return x if x is y else None


_SIMPLER: dict[str, Callable] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "negative": _negative,
    "power": _power,
    "where": _where,
    "and": _and,
    "or": _or,
}

FOLD: dict[str, Callable] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negative": np.negative,
    "power": np.power,
    "remainder": np.remainder,
    "floor_divide": np.floor_divide,
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "abs": np.abs,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "cbrt": np.cbrt,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": lambda x: type(x)(math.erf(x)),
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.round,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "where": np.where,
}
