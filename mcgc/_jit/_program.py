"""A program of operations on numbers, and its source as a Python function that Numba compiles, for the CPU or CUDA.

The function takes each argument as a flat array and the position in it where the elements of this call begin, so that
a loop over rows, or a solver that holds many states in one array, makes no views. It loads what it needs, computes line
by line, and stores the results.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit._graph import BOOL, INT, Node, ordered

_OPERATIONS = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "log2": "log2({})",
    "cbrt": "cbrt({})",
    "power": "{} ** {}",
    "remainder": "{} % {}",
    "floor_divide": "{} // {}",
    "equal": "{} == {}",
    "not_equal": "{} != {}",
    "less": "{} < {}",
    "less_equal": "{} <= {}",
    "greater": "{} > {}",
    "greater_equal": "{} >= {}",
    "and": "{} and {}",
    "or": "{} or {}",
    "not": "not {}",
    "negative": "-{}",
    "abs": "abs({})",
    "where": "{1} if {0} else {2}",
    "maximum": "{0} if {0} > {1} or {0} != {0} else {1}",  # of NaN and a number it is NaN
    "minimum": "{0} if {0} < {1} or {0} != {0} else {1}",
    "sign": "{1} if {0} > {2} else -{1} if {0} < {2} else {0}",
}
_FUNCTIONS = (
    *("erf", "sqrt", "exp", "expm1", "log", "log1p", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "atan2"),
    *("hypot", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
)
_WIDENED = ("power", "remainder", "floor_divide", "log2", "cbrt")  # which Numba may compute in float64
_ROUNDED = {"floor": "floor({})", "ceil": "ceil({})", "trunc": "trunc({})", "round": "rint({})"}


class Leaf(NamedTuple):
    """An argument or a result: its shape and dtype."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


class Program(NamedTuple):
    """What a function computes: its arguments, and for each result the nodes of its elements."""

    inputs: tuple[Leaf, ...]
    outputs: tuple[Leaf, ...]
    results: tuple[tuple[Node, ...], ...]

    def order(self) -> list[Node]:
        """Return the nodes that the results need, operands first."""
        return ordered(node for result in self.results for node in result)

    def source(
        self,
        name: str,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        add: bool = False,
        stride: int = 1,
    ) -> str:
        """Return the source of the function `name`: (x0, at_x0, x1, at_x1, …, y0, at_y0, …), arrays and positions.

        `inputs` and `outputs` are the names of the arrays; a name that begins with "=" is a number by itself. With
        `add` the results are added to what the arrays hold. The elements of an array lie `stride` apart.
        """
        element = lambda array, i: f"{array}[at_{array}{f' + {i * stride}' if i else ''}]"
        inputs = inputs or [f"x{i}" for i in range(len(self.inputs))]
        outputs = outputs or [f"y{i}" for i in range(len(self.outputs))]
        names: dict[Node, str] = {}
        lines: list[str] = []
        constants: list[str] = []
        for node in self.order():
            if node.op == "constant":
                names[node] = text = _literal(node)
                if node.dtype == np.float32:
                    names[node] = f"c{len(constants)}"
                    constants.append(f"{names[node]} = float32({text})")
                continue
            if node.op == "input":
                leaf, index = node.args
                array = inputs[leaf]
                code = array[1:] if array[0] == "=" else element(array, index)
                code += " != 0" if node.dtype == BOOL else ""  # for CUDA it is a byte
            else:
                code = _code(node, [names[arg] for arg in node.args])
            names[node] = f"v{len(names)}"
            lines.append(f"{names[node]} = {code}")
        sign = "+=" if add else "="
        for array, result in zip(outputs, self.results, strict=True):
            for index, node in enumerate(result):
                if not (add and node.value is not None and node.value == 0):
                    lines.append(f"{element(array, index)} {sign} {names[node]}")
        parameters = [x[1:] if x[0] == "=" else f"{x}, at_{x}" for x in (*inputs, *outputs)]
        body = "\n    ".join([*constants, *lines] or ["pass"])
        return f"def {name}({', '.join(parameters)}):\n    {body}\n"


def _literal(node: Node) -> str:
    value: Any = node.value.item()
    if isinstance(value, float) and not np.isfinite(value):
        text = "nan" if value != value else "inf"
        return f"(-{text})" if value < 0 else text
    text = repr(value)
    return f"({text})" if text.startswith("-") else text


def _code(node: Node, args: Sequence[str]) -> str:
    op, dtype = node.op, node.dtype
    if op == "cast":
        if dtype == BOOL:
            return f"{args[0]} != 0"
        if dtype == INT:
            return f"int64({args[0]})"
        of_truth = node.args[0].dtype == BOOL
        return f"{dtype}(1.0 if {args[0]} else 0.0)" if of_truth else f"{dtype}({args[0]})"
    if op in _ROUNDED:
        return _ROUNDED[op].format(*args)
    if op in _FUNCTIONS:
        return f"math.{op}({', '.join(args)})"
    if op == "sign":
        one, zero = ("1", "0") if dtype == INT else (f"{dtype}(1)", f"{dtype}(0)")
        return _OPERATIONS[op].format(args[0], one, zero)
    text = _OPERATIONS[op].format(*args)
    return f"{dtype}({text})" if op in _WIDENED and dtype == np.float32 else text
