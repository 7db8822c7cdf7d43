"""NumPy's functions on traced arrays, by NEP 13 (ufuncs) and NEP 18 (other functions), and CuPy's ufuncs.

`numpy.sin(x)` of a traced array is `mcgc.ops.sin(x)`, so a function written with NumPy is differentiated as it stands,
for arrays of NumPy and of CuPy. What has no counterpart, or would write into an array, raises a `TraceError`.
"""

import math
import sys
from collections.abc import Callable, Mapping
from inspect import CO_VARKEYWORDS
from typing import Any

from mcgc.autodiff import ops
from mcgc.autodiff.engine import Traced, strip
from mcgc.autodiff.numpy_functions import CONSTANT, FUNCTIONS
from mcgc.autodiff.ops.rows import unary
from mcgc.autodiff.pytree import tree_map
from mcgc.errors import TraceError

SAME = (
    "add subtract multiply divide floor_divide remainder negative positive square reciprocal sqrt exp expm1 log log1p "
    "log2 log10 sin cos tan sinh cosh tanh hypot logaddexp maximum minimum matmul vecdot"
)
RENAMED = {
    "absolute": "abs", "fabs": "abs", "power": "pow", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "arctan2": "atan2", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "conjugate": "positive",
    "true_divide": "divide", "mod": "remainder", "erf": "erf", "expit": "sigmoid",
}  # fmt: skip
CONSTANT_UFUNCS = (
    "sign signbit floor ceil trunc rint isfinite isinf isnan equal not_equal less less_equal greater greater_equal "
    "logical_and logical_or logical_xor logical_not"
)

cbrt = unary("cbrt", lambda out, x: lambda g: g / (3 * out * out))


def _not_nan(choose: Callable[..., Any]) -> Callable[..., Any]:
    """Return `choose`, maximum or minimum, as it is where NaN counts as missing."""
    return lambda x, y: ops.where(strip(x != x), y, ops.where(strip(y != y), x, choose(x, y)))


UFUNCS: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(ops, name) for name in SAME.split()},
    **{name: getattr(ops, ours) for name, ours in RENAMED.items()},
    "cbrt": cbrt,
    "exp2": lambda x: ops.pow(2.0, x),
    "deg2rad": lambda x: x * (math.pi / 180),
    "radians": lambda x: x * (math.pi / 180),
    "rad2deg": lambda x: x * (180 / math.pi),
    "degrees": lambda x: x * (180 / math.pi),
    "logaddexp2": lambda x, y: ops.logaddexp(x * math.log(2), y * math.log(2)) / math.log(2),
    "where": ops.where,  # of CuPy alone: NumPy's is no ufunc
    "fmax": _not_nan(ops.maximum),
    "fmin": _not_nan(ops.minimum),
    "divmod": lambda x, y: (ops.floor_divide(x, y), ops.remainder(x, y)),
}
REDUCED = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}  # what `reduce` of a ufunc is

DEFAULTS = {"out": None, "where": True, "dtype": None, "casting": "same_kind", "order": "K", "subok": True,
            "initial": None}  # fmt: skip

_found: dict[
    Any, Callable[..., Any]
] = {}  # functions of NumPy and CuPy that were called before, and what stands for them


def array_ufunc(self: Traced, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """Call a ufunc of NumPy, or a method of it, as NEP 13 defines it."""
    function = _found.get(ufunc) or _find(ufunc, _public_name(ufunc), UFUNCS, CONSTANT_UFUNCS)
    if method == "__call__" and not options:
        return function(*inputs)
    name = ufunc.__name__
    if method == "__call__":
        return call(name, function, inputs, options)
    if name in CONSTANT_UFUNCS.split():
        return function(*inputs, method=method, **options)
    if method == "reduce" and name in REDUCED:
        return call(f"{name}.reduce", FUNCTIONS[REDUCED[name]], inputs, {"axis": 0, **options})
    if method == "accumulate" and name == "add":
        return call(f"{name}.accumulate", FUNCTIONS["cumsum"], inputs, {"axis": 0, **options})
    if method != "outer":
        raise _missing(f"{name}.{method}")
    x, y = inputs
    return call(f"{name}.outer", function, (ops.reshape(x, (*x.shape, *(1,) * y.ndim)), y), options)


def array_function(self: Traced, function: Any, types: Any, args: Any, options: Any) -> Any:
    """Call a function of NumPy that is no ufunc, as NEP 18 defines it."""
    name = f"{function.__module__}.{function.__name__}".removeprefix("numpy.")
    return call(name, _found.get(function) or _find(function, name, FUNCTIONS, CONSTANT), args, options)


def cupy_kernel(self: Traced, kernel: Any, *args: Any, **options: Any) -> Any:
    """Call an elementwise kernel of CuPy, such as its ufuncs, which looks for this hook among its arguments."""
    name = kernel.name.removeprefix("cupy_")
    return call(name, _found.get(kernel) or _find(kernel, name, UFUNCS, CONSTANT_UFUNCS), args, options)


def call(name: str, function: Callable[..., Any], args: Any, options: Mapping[str, Any]) -> Any:
    """Call `function` for the one of the name in NumPy. Raises `TraceError` for options that it does not have."""
    code = getattr(function, "__code__", None)
    if options and not (code and code.co_flags & CO_VARKEYWORDS):
        known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
        options = {key: value for key, value in options.items() if key in known or not _is_default(key, value)}
        for key in options:
            if key not in known:
                raise TraceError(
                    f"{name} of a traced array takes no {key}=: leave it out, and choose with mcgc.ops.where or cast "
                    "with astype instead"
                )
    return function(*args, **options)


def _is_default(key: str, value: Any) -> bool:
    return key in DEFAULTS and (value is DEFAULTS[key] or (isinstance(value, str) and value == DEFAULTS[key]))


def _find(function: Any, name: str, table: Mapping[str, Callable[..., Any]], constant: str) -> Callable[..., Any]:
    """Return what stands for `function`, known by its name, and remember it. Raises `TraceError` if nothing does."""
    if name in constant.split():
        found = _of_plain(function)
    elif name in table:
        found = table[name]
    else:
        raise _missing(name)
    _found[function] = found
    return found


def _public_name(ufunc: Any) -> str:
    """Return the name of a ufunc of NumPy or SciPy; one of others may have the same name and mean something else."""
    name, homes = ufunc.__name__, (sys.modules.get("numpy"), sys.modules.get("scipy.special"))
    return name if any(getattr(home, name, None) is ufunc for home in homes) else f"{name}, of neither NumPy nor SciPy,"


def _of_plain(function: Any) -> Callable[..., Any]:
    """Return a function of NumPy or CuPy as one of plain arrays: traced ones are constants to it."""

    def constant(*args: Any, method: str = "__call__", **options: Any) -> Any:
        args, options = tree_map(strip, (args, options))
        return getattr(function, method)(*args, **options)

    return constant


def _missing(name: str) -> TraceError:
    return TraceError(
        f"the function {name} has no counterpart for traced arrays: write it with mcgc.ops, give it a derivative by "
        "mcgc.primitive, or hand it mcgc.stop_gradient of the array if it is to be a constant"
    )
