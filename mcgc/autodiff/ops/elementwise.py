"""Elementwise operations of one and two arrays, with broadcasting, and the choice between two.

At a kink the derivative is the mean of those on either side: 0 for |x| at 0, ½ for each argument of a maximum or
minimum that ties, ½ for x at a bound of clip. Jumps, as those of x mod y, are not seen.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff.engine import Primitive, strip
from mcgc.autodiff.ops.rows import constant, named, unary
from mcgc.autodiff.ops.shapes import fit

# ---- two arguments ----


def _binary(name: str, forward: Callable, rule_x: Callable, rule_y: Callable) -> Primitive:
    """Make an elementwise operation of two arguments; its rules map (g, out, x, y) to the unsummed cotangent."""
    return Primitive(
        name,
        forward,
        (
            lambda out, x, y: lambda g: fit(rule_x(g, out, x, y), x),
            lambda out, x, y: lambda g: fit(rule_y(g, out, x, y), y),
        ),
    )


add = _binary("add", operator.add, lambda g, out, x, y: g, lambda g, out, x, y: g)
subtract = _binary("subtract", operator.sub, lambda g, out, x, y: g, lambda g, out, x, y: -g)
multiply = _binary("multiply", operator.mul, lambda g, out, x, y: g * y, lambda g, out, x, y: g * x)
divide = _binary("divide", operator.truediv, lambda g, out, x, y: g / y, lambda g, out, x, y: -g * out / y)
remainder = _binary("remainder", operator.mod, lambda g, out, x, y: g, lambda g, out, x, y: -g * floor_divide(x, y))
pow = _binary(
    "pow",
    operator.pow,
    lambda g, out, x, y: g * y * x ** _where_nonzero(y, y - 1, 1),
    lambda g, out, x, y: g * out * _log_positive(x),
)
atan2 = _binary(
    "atan2",
    named("atan2"),
    lambda g, out, x, y: g * y / (x * x + y * y),
    lambda g, out, x, y: -g * x / (x * x + y * y),
)
hypot = _binary("hypot", named("hypot"), lambda g, out, x, y: g * x / out, lambda g, out, x, y: g * y / out)
logaddexp = _binary(
    "logaddexp", named("logaddexp"), lambda g, out, x, y: g * exp(x - out), lambda g, out, x, y: g * exp(y - out)
)
maximum = _binary(
    "maximum",
    named("maximum"),
    lambda g, out, x, y: g * _share(x, y, operator.gt),
    lambda g, out, x, y: g * _share(y, x, operator.gt),
)
minimum = _binary(
    "minimum",
    named("minimum"),
    lambda g, out, x, y: g * _share(x, y, operator.lt),
    lambda g, out, x, y: g * _share(y, x, operator.lt),
)


def _where_nonzero(y: Any, then: Any, otherwise: float) -> Any:
    """Return `then` where the exponent `y` is not zero: x⁰ has derivative 0, not 0/0, at x = 0."""
    if isinstance(y, int | float):
        return then if y != 0 else otherwise
    return where(strip(y) != 0, then, otherwise)


def _log_positive(x: Any) -> Any:
    """Return log x, or 0 where the base x of a power is not positive: there the exponent has no derivative."""
    if isinstance(x, int | float):
        return math.log(x) if x > 0 else 0.0
    return log(where(strip(x) > 0, x, 1))


def _share(x: Any, y: Any, wins: Callable) -> Array:
    """Return 1 where `x` beats `y`, ½ where they tie, 0 elsewhere, in the floating dtype of the two."""
    x, y = strip(x), strip(y)
    xp = namespace_of(x, y)
    dtype = next(z.dtype for z in (x, y) if hasattr(z, "dtype"))
    return (xp.astype(wins(x, y), dtype) + xp.astype(wins(x, y) | (x == y), dtype)) / 2


def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
    """Return x where min ≤ x ≤ max, else the bound that it passes; a bound is a number, an array, or None."""
    if min is not None:
        x = maximum(x, min)
    return x if max is None else minimum(x, max)


# ---- one argument ----

negative = unary("negative", lambda out, x: lambda g: -g, operator.neg)
positive = unary("positive", lambda out, x: lambda g: g, operator.pos)
square = unary("square", lambda out, x: lambda g: g * (2 * x))
reciprocal = unary("reciprocal", lambda out, x: lambda g: -g * out * out)
sqrt = unary("sqrt", lambda out, x: lambda g: g / (2 * out))
abs = unary("abs", lambda out, x: lambda g: g * sign(x))
exp: Primitive = unary("exp", lambda out, x: lambda g: g * out)
expm1 = unary("expm1", lambda out, x: lambda g: g * (out + 1))
log = unary("log", lambda out, x: lambda g: g / x)
log1p = unary("log1p", lambda out, x: lambda g: g / (1 + x))
log2 = unary("log2", lambda out, x: lambda g: g / (x * math.log(2)))
log10 = unary("log10", lambda out, x: lambda g: g / (x * math.log(10)))
sin = unary("sin", lambda out, x: lambda g: g * cos(x))
cos: Primitive = unary("cos", lambda out, x: lambda g: -g * sin(x))
tan = unary("tan", lambda out, x: lambda g: g * (1 + out * out))
asin = unary("asin", lambda out, x: lambda g: g / sqrt(1 - x * x))
acos = unary("acos", lambda out, x: lambda g: -g / sqrt(1 - x * x))
atan = unary("atan", lambda out, x: lambda g: g / (1 + x * x))
sinh = unary("sinh", lambda out, x: lambda g: g * cosh(x))
cosh: Primitive = unary("cosh", lambda out, x: lambda g: g * sinh(x))
tanh = unary("tanh", lambda out, x: lambda g: g * (1 - out * out))
asinh = unary("asinh", lambda out, x: lambda g: g / sqrt(x * x + 1))
acosh = unary("acosh", lambda out, x: lambda g: g / sqrt(x * x - 1))
atanh = unary("atanh", lambda out, x: lambda g: g / (1 - x * x))

# ---- choosing ----


def where(condition: Array, x: Array, y: Array, /) -> Array:
    """Choose elements of `x` where `condition` holds, of `y` elsewhere; `condition` is a constant."""
    return _where(strip(condition), x, y)


def _choose(condition: Array, x: Any, y: Any) -> Array:
    xp = namespace_of(condition)
    dtype = next((z.dtype for z in (x, y) if hasattr(z, "dtype")), None)
    return xp.where(condition, *(_filled(z, dtype, condition) if isinstance(z, int | float) else z for z in (x, y)))


def _filled(value: float, dtype: Any, condition: Array) -> Array:
    return namespace_of(condition).asarray(value, dtype=dtype, device=device_of(condition))


_where = Primitive(
    "where",
    _choose,
    (
        None,
        lambda out, c, x, y: lambda g: fit(where(c, g, 0), x),
        lambda out, c, x, y: lambda g: fit(where(c, 0, g), y),
    ),
)

# ---- piecewise constant ----

sign: Callable = constant("sign")
floor = constant("floor")
ceil = constant("ceil")
round = constant("round")
trunc = constant("trunc")
floor_divide: Callable = constant("floor_divide")
isfinite = constant("isfinite")
isinf = constant("isinf")
isnan = constant("isnan")
equal = constant("equal")
not_equal = constant("not_equal")
less = constant("less")
less_equal = constant("less_equal")
greater = constant("greater")
greater_equal = constant("greater_equal")
