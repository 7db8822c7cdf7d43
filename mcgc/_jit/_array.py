"""Symbolic arrays: arrays of nodes, with the operators of the array API standard.

The function that is traced gets them inside of `Traced` arrays of the engine, so that it sees what it sees when it is
differentiated. What is not floating-point comes out of these as a symbolic array by itself.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from mcgc._jit._graph import BOOL, DTYPES, INT, Node, graph
from mcgc.autodiff.engine import Traced
from mcgc.autodiff.numpy_functions import FUNCTIONS
from mcgc.autodiff.numpy_protocol import UFUNCS, call
from mcgc.errors import TraceError

_WAYS = "choose by mcgc.ops.where, or declare the argument in static_argnums if it decides what is computed"


class Symbolic:
    """An array of numbers that are not known yet: `nodes`, a NumPy array of objects, and their dtype.

    One that is `weak` was a number of Python: it takes the dtype of the arrays that it meets.
    """

    __slots__ = ("dtype", "nodes", "weak")
    namespace: ClassVar[Any]  # given by `install`: it is written in terms of this file

    def __init__(self, nodes: np.ndarray, dtype: np.dtype, weak: bool = False):
        self.nodes, self.dtype, self.weak = nodes, dtype, weak

    shape = property(lambda self: self.nodes.shape)
    ndim = property(lambda self: self.nodes.ndim)
    size = property(lambda self: self.nodes.size)
    device = property(lambda self: "cpu")
    T = property(lambda self: Symbolic(self.nodes.T, self.dtype))
    mT = property(lambda self: Symbolic(np.swapaxes(self.nodes, -1, -2), self.dtype))
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Symbolic(shape={self.shape}, dtype={self.dtype})"

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, key: Any) -> "Symbolic":
        return Symbolic(as_nodes(self.nodes[_concrete(key)]), self.dtype)

    def __setitem__(self, key: Any, value: Any) -> None:
        nodes = symbolic(value, self.dtype).nodes
        self.nodes[_concrete(key)] = nodes if nodes.ndim else nodes[()]

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return self.namespace

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Any:
        if any(type(x) is Traced for x in args):
            return NotImplemented
        function = self._of_numpy(ufunc.__name__) or UFUNCS.get(ufunc.__name__)
        if function is None or method != "__call__" or options:
            raise TraceError(f"mcgc.jit does not know numpy.{ufunc.__name__} in this form: write it with mcgc.ops")
        return function(*args)

    def __array_function__(self, function: Any, types: Any, args: tuple, options: dict) -> Any:
        if Traced in types:
            return NotImplemented
        name = f"{function.__module__}.{function.__name__}".removeprefix("numpy.")
        if name in ("ndim", "shape", "size") and not (args[1:] or options):
            return getattr(args[0], name)
        own = self._of_numpy(name)
        if own is not None:  # the functions below come back to this, if a NumPy array is before the symbolic one
            return own(*args, **options)
        if name not in FUNCTIONS:
            raise TraceError(f"mcgc.jit does not know numpy.{name}: write it with mcgc.ops")
        return call(name, FUNCTIONS[name], args, options)

    def _of_numpy(self, name: str) -> Any:
        """Return the function of the namespace for the one of this name in NumPy, or None."""
        of_linalg = name.startswith("linalg.")
        namespace, name = (self.namespace.linalg, name[7:]) if of_linalg else (self.namespace, name)
        return getattr(namespace, _RENAMED.get(name, name), None)

    def to_device(self, device: Any, /) -> Any:
        """Refuse to become numbers."""
        raise TraceError(f"the numbers of a traced array are not known while mcgc.jit traces: {_WAYS}")

    def reshape(self, *shape: Any) -> "Symbolic":
        """Return the array in another shape, given as numbers or as a tuple."""
        return self.namespace.reshape(self, shape[0] if len(shape) == 1 else shape)

    def copy(self) -> "Symbolic":
        """Return a copy."""
        return Symbolic(self.nodes.copy(), self.dtype)

    def astype(self, dtype: Any, copy: bool = True) -> "Symbolic":
        """Return the array in another dtype."""
        return cast(self, dtype)


def _refuse(what: str) -> Callable:
    def refusal(self: Symbolic, *args: Any, **options: Any) -> Any:
        raise TraceError(f"mcgc.jit cannot take {what} of a value that is not known while it traces: {_WAYS}")

    return refusal


_RENAMED = {  # names of NumPy that are not the standard's
    "true_divide": "divide",
    "power": "pow",
    "absolute": "abs",
    "arctan": "atan",
    "arctan2": "atan2",
    "rint": "round",
    "invert": "logical_not",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "transpose": "permute_dims",
    "concatenate": "concat",
}
_METHODS = (  # of NumPy's arrays, for those that are not traced: of integers and truth values
    "all any argmax argmin argsort clip cumsum diagonal dot max mean min prod ravel repeat round searchsorted squeeze "
    "sum swapaxes take trace"
)
_OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}
_COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}


def install(namespace: Any) -> None:
    """Give symbolic arrays their namespace, and its functions as operators."""
    Symbolic.namespace = namespace
    for symbol, name in {**_OPERATORS, **_COMPARISONS}.items():
        function = getattr(namespace, name)
        setattr(Symbolic, f"__{symbol}__", _binary(function))
        if symbol in _OPERATORS:
            setattr(Symbolic, f"__r{symbol}__", lambda self, other, f=function: f(other, self))
    for symbol, name in (("neg", "negative"), ("pos", "positive"), ("abs", "abs"), ("invert", "logical_not")):
        setattr(Symbolic, f"__{symbol}__", _unary(getattr(namespace, name)))
    for name in _METHODS.split():
        setattr(Symbolic, name, _method(name, FUNCTIONS.get(name) or getattr(namespace, name)))


def _method(name: str, function: Callable) -> Callable:
    return lambda self, *args, **options: call(name, function, (self, *args), options)


def _binary(function: Callable) -> Callable:
    return lambda self, other: NotImplemented if type(other) is Traced else function(self, other)


def _unary(function: Callable) -> Callable:
    return lambda self: function(self)


for _name, _what in {
    "bool": "the truth",
    "float": "float()",
    "int": "int()",
    "index": "an index or a shape",
    "complex": "complex()",
    "array": "a NumPy array",
}.items():
    setattr(Symbolic, f"__{_name}__", _refuse(_what))


def as_nodes(found: Any) -> np.ndarray:
    """Return an array of objects, where indexing gives a single object too."""
    if type(found) is np.ndarray:
        return found
    nodes = np.empty((), object)
    nodes[()] = found
    return nodes


def symbolic(x: Any, dtype: Any = None) -> Symbolic:
    """Return numbers, an array or a symbolic array as a symbolic array, in `dtype` if it is given."""
    if type(x) is Symbolic:
        return x if dtype is None or x.dtype == dtype else cast(x, dtype)
    array = np.asarray(x, dtype)
    if array.dtype not in DTYPES:
        wider = {"b": BOOL, "i": INT, "u": INT}.get(array.dtype.kind)
        if wider is None:
            raise TraceError(f"mcgc.jit computes in float32, float64, int64 and bool, got {array.dtype}")
        array = array.astype(wider)
    constant, kind = graph().constant, array.dtype
    nodes = np.empty(array.shape, object)
    nodes.ravel()[:] = [constant(value, kind) for value in array.ravel()]
    return Symbolic(nodes, kind)


def cast(x: Symbolic, dtype: Any) -> Symbolic:
    """Return `x` in another dtype."""
    dtype = np.dtype(dtype)
    if dtype not in DTYPES:
        raise TraceError(f"mcgc.jit computes in float32, float64, int64 and bool, got {dtype}")
    if x.dtype == dtype:
        return x
    to = graph().cast
    return Symbolic(mapped(lambda node: to(node, dtype), x.nodes), dtype)


def mapped(function: Callable[..., Node], *arrays: np.ndarray) -> np.ndarray:
    """Apply `function` to the elements of arrays, which broadcast."""
    return as_nodes(np.frompyfunc(function, len(arrays), 1)(*arrays))


def known(x: Any) -> np.ndarray | None:
    """Return a symbolic array whose numbers are all constants as a NumPy array, else None."""
    if type(x) is not Symbolic:
        return np.asarray(x)
    values = [node.value for node in x.nodes.ravel()]
    return None if any(value is None for value in values) else np.array(values, x.dtype).reshape(x.shape)


def _concrete(key: Any) -> Any:
    """Return a key of an array with what it knows as numbers."""
    if type(key) is tuple:
        return tuple(map(_concrete, key))
    if type(key) is not Symbolic:
        return key
    found = known(key)
    if found is None:
        raise TraceError(
            "mcgc.jit cannot select elements by a value that is not known while it traces, since the shape or the "
            "place would depend on it: choose by mcgc.ops.where"
        )
    return found
