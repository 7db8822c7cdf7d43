"""The operators, attributes and methods of traced arrays. Each is an operation, or an error that says what to use.

Values and derivatives are those of the wrapped array. Comparisons, and methods such as `argmax`, are piecewise
constant: they give plain arrays. Traced arrays do not change, so `x += y` makes a new array of the name x.
"""

import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mcgc.autodiff.engine import Traced, strip
from mcgc.autodiff.ops import elementwise, shapes
from mcgc.autodiff.ops.indexing import getitem
from mcgc.autodiff.ops.joining import unstack
from mcgc.autodiff.ops.products import matmul
from mcgc.errors import TraceError

BINARY: dict[str, Callable[..., Any]] = {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder,
    "pow": elementwise.pow,
    "matmul": matmul,
    "divmod": lambda x, y: (elementwise.floor_divide(x, y), elementwise.remainder(x, y)),
}
UNARY: dict[str, Callable[..., Any]] = {
    "neg": elementwise.negative,
    "pos": elementwise.positive,
    "abs": elementwise.abs,
}
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")  # piecewise constant: plain arrays of booleans
# those of NumPy's functions of the same name
METHODS = "clip cumsum diagonal dot max mean min prod ravel repeat squeeze std sum swapaxes take trace var"
CONSTANT_METHODS = "all any argmax argmin argpartition argsort nonzero searchsorted round"
CONSTANT_ATTRIBUTES = "flags itemsize nbytes strides"

_CONVERT = "it would lose its derivative: take the value out with mcgc.stop_gradient, and use {name} of that"
_CHANGE = "it does not change in place: build a new one with mcgc.ops.where, concat, stack or sort"
_CONVERTING = (
    "base byteswap ctypes data dump dumps get getfield item to_device tobytes tofile tolist toDlpack view __dlpack__ "
    "__dlpack_device__"
)
_CHANGING = "fill itemset partition put resize setfield setflags sort"
_WAY_OUT = {
    **dict.fromkeys(_CONVERTING.split(), _CONVERT),
    **dict.fromkeys(_CHANGING.split(), _CHANGE),
    **dict.fromkeys(("choose", "compress", "cumprod"), "write it with mcgc.ops"),
    "flat": "use ravel()",
}
_CONVERSIONS = {"__float__": "float()", "__int__": "int()", "__index__": "an index", "__complex__": "complex()"}


def _refuse(what: str) -> Any:
    def refusal(self: Traced, *args: Any, **options: Any) -> Any:
        raise TraceError(
            f"{what} of a traced array would lose its derivative; keep to mcgc.ops inside the differentiated "
            "function, return the value as aux, or take it out with mcgc.stop_gradient"
        )

    return refusal


def _array(self: Traced, *args: Any, **options: Any) -> Any:
    raise TraceError(
        "a NumPy array of a traced one, or of a list of them, would lose its derivative; join a list with numpy.stack "
        "or mcgc.ops.stack, or take plain arrays out with mcgc.stop_gradient"
    )


def _bool(self: Traced) -> bool:
    raise TraceError(
        "the truth value of a traced array has no derivative; choose by mcgc.ops.where, or branch on a comparison"
    )


def _set_item(self: Traced, key: Any, value: Any) -> None:
    raise TraceError("a traced array cannot be assigned into; build a new one with mcgc.ops.where, concat or stack")


def _absent(name: str, way_out: str) -> property:
    """Return an attribute that is not there: a `__getattr__` would do, but slow every other attribute down."""

    def missing(self: Traced) -> Any:
        raise AttributeError(f"a traced array has no {name!r}; {way_out.format(name=name)}", name=name)

    return property(missing)


def _format(self: Traced, spec: str) -> str:
    return format(str(self), "") if not spec else _refuse("formatted text")(self)


def _len(self: Traced) -> int:
    if not self.ndim:
        raise TypeError("an array of no axes has no length")
    return self.shape[0]


def _iter(self: Traced) -> Any:
    if not self.ndim:
        raise TypeError("an array of no axes cannot be iterated over")
    return iter(unstack(self))


def _matrix_transpose(self: Traced) -> Any:
    if self.ndim < 2:
        raise ValueError(f"mT needs an array of two axes or more, got one of shape {self.shape}")
    return shapes.matrix_transpose(self)


def _namespace(self: Traced, api_version: str | None = None) -> ModuleType:
    """Return the array API namespace of traced arrays."""
    from mcgc.autodiff import ops  # which imports this file

    return ops


def _lengths(given: tuple) -> Any:
    """Return the lengths or axes of a method that takes them one by one or as a tuple."""
    return given[0] if len(given) == 1 else given


def _method(name: str, call: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **options: call(name, function, (self, *args), options)


def _constant_method(name: str) -> Callable[..., Any]:
    return lambda self, *args, **options: getattr(strip(self), name)(*map(strip, args), **options)


def _constant_attribute(name: str) -> property:
    return property(lambda self: getattr(strip(self), name))


def install() -> None:
    """Give `Traced` all that this file and `numpy_protocol` describe."""
    from mcgc.autodiff import numpy_protocol  # which is written in terms of all operations
    from mcgc.autodiff.numpy_functions import FUNCTIONS
    from mcgc.autodiff.numpy_layout import cast

    call = numpy_protocol.call
    members: dict[str, Any] = {
        "__array_ufunc__": numpy_protocol.array_ufunc,
        "__array_function__": numpy_protocol.array_function,
        "__cupy_override_elementwise_kernel__": numpy_protocol.cupy_kernel,
        "__hash__": None,
        "__array__": _array,
        "__array_namespace__": _namespace,
        "__bool__": _bool,
        "__contains__": lambda self, value: strip(value) in strip(self),
        "__copy__": lambda self: self,
        "__deepcopy__": lambda self, memo: self,
        "__format__": _format,
        "__getitem__": getitem,
        "__iter__": _iter,
        "__len__": _len,
        "__setitem__": _set_item,
        **{name: _refuse(what) for name, what in _CONVERSIONS.items()},
        "T": property(shapes.transpose),
        "mT": property(_matrix_transpose),
        "real": property(lambda self: self),
        "imag": property(shapes.zeros_like),
        "astype": lambda self, dtype, order="K", casting="unsafe", subok=True, copy=True: cast(self, dtype),
        "conj": lambda self: self,
        "conjugate": lambda self: self,
        "copy": lambda self, order="C": self,
        "flatten": lambda self, order="C": FUNCTIONS["ravel"](self, order),
        "reshape": lambda self, *shape, **options: call(
            "reshape", FUNCTIONS["reshape"], (self, _lengths(shape)), options
        ),
        "transpose": lambda self, *axes: shapes.transpose(self, _lengths(axes) if axes else None),
    }
    for symbol, function in BINARY.items():
        members[f"__{symbol}__"] = lambda self, other, f=function: f(self, other)
        members[f"__r{symbol}__"] = lambda self, other, f=function: f(other, self)
    for symbol, function in UNARY.items():
        members[f"__{symbol}__"] = lambda self, f=function: f(self)
    for symbol in COMPARISONS:
        compare = getattr(operator, symbol)
        members[f"__{symbol}__"] = lambda self, other, f=compare: f(strip(self), strip(other))
    for name in METHODS.split():
        members[name] = _method(name, call, FUNCTIONS[name])
    for name in CONSTANT_METHODS.split():
        members[name] = _constant_method(name)
    for name in CONSTANT_ATTRIBUTES.split():
        members[name] = _constant_attribute(name)
    for name, way_out in _WAY_OUT.items():
        members[name] = _absent(name, way_out)
    for name, member in members.items():
        setattr(Traced, name, member)
