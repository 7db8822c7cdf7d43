"""The operators of traced arrays: those of arrays, as the standard lists them, each by its operation."""

import operator

from mcgc.autodiff.engine import Traced, strip
from mcgc.autodiff.ops import elementwise
from mcgc.autodiff.ops.indexing import getitem
from mcgc.autodiff.ops.products import matmul
from mcgc.autodiff.ops.shapes import matrix_transpose


def install() -> None:
    """Give `Traced` its operators."""
    for symbol, function in {
        "add": elementwise.add,
        "sub": elementwise.subtract,
        "mul": elementwise.multiply,
        "truediv": elementwise.divide,
        "floordiv": elementwise.floor_divide,
        "mod": elementwise.remainder,
        "pow": elementwise.pow,
        "matmul": matmul,
    }.items():
        setattr(Traced, f"__{symbol}__", lambda self, other, f=function: f(self, other))
        setattr(Traced, f"__r{symbol}__", lambda self, other, f=function: f(other, self))
    for symbol in ("lt", "le", "gt", "ge", "eq", "ne"):  # piecewise constant: plain arrays of booleans
        compare = getattr(operator, symbol)
        setattr(Traced, f"__{symbol}__", lambda self, other, f=compare: f(strip(self), strip(other)))
    for symbol, unary in {"neg": elementwise.negative, "pos": elementwise.positive, "abs": elementwise.abs}.items():
        setattr(Traced, f"__{symbol}__", lambda self, f=unary: f(self))
    for name, member in {
        "__getitem__": getitem,
        "T": property(matrix_transpose),
        "mT": property(matrix_transpose),
    }.items():
        setattr(Traced, name, member)
