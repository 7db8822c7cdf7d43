"""Elementwise operations of one and two arrays, with broadcasting, and the choice between two.

At a kink the derivative is the mean of those on either side: 0 for |x| at 0, ½ for each argument of a maximum or
minimum that ties, ½ for x at a bound of clip. Jumps, as those of x mod y, are not seen. At a pole the derivative
is infinite, as those of √x and log x at 0, but a cotangent of 0 stays 0, as that of a branch that where did not take.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

from mcgc.arrays import Array, is_dtype, namespace_of, operand, quietly
from mcgc.autodiff.engine import Primitive, strip
from mcgc.autodiff.ops.rows import constant, named, unary
from mcgc.autodiff.ops.shapes import COMPLEX, fit
from mcgc.errors import TraceError

# ---- two arguments ----


def _binary(
    name: str, forward: Callable[..., Any], rule_x: Callable[..., Any], rule_y: Callable[..., Any]
) -> Primitive:
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
divide = _binary(
    "divide",
    operator.truediv,
    lambda g, out, x, y: g / y if isinstance(y, int | float) else _ratio(g, y),
    lambda g, out, x, y: -_ratio(_ratio(g * x, y), y),
)
remainder = _binary("remainder", operator.mod, lambda g, out, x, y: g, lambda g, out, x, y: -g * floor_divide(x, y))
pow = _binary(
    "pow",
    operator.pow,
    lambda g, out, x, y: _of_base(g, out, x, y),
    lambda g, out, x, y: _of_exponent(g, out, x),
)
atan2 = _binary(
    "atan2",
    named("atan2"),
    lambda g, out, x, y: _of_angle(g, y, hypot(x, y)),
    lambda g, out, x, y: _of_angle(-g, x, hypot(x, y)),
)
hypot: Primitive = _binary(
    "hypot",
    named("hypot"),
    lambda g, out, x, y: g * part_of_length(x, out),
    lambda g, out, x, y: g * part_of_length(y, out),
)
logaddexp = _binary(
    "logaddexp",
    named("logaddexp"),
    lambda g, out, x, y: g * _weight(x, y, out),
    lambda g, out, x, y: g * _weight(y, x, out),
)
maximum = _binary(
    "maximum",
    named("maximum"),
    lambda g, out, x, y: g * _share(x, y, out, operator.gt),
    lambda g, out, x, y: g * _share(y, x, out, operator.gt),
)
minimum = _binary(
    "minimum",
    named("minimum"),
    lambda g, out, x, y: g * _share(x, y, out, operator.lt),
    lambda g, out, x, y: g * _share(y, x, out, operator.lt),
)


def _divided(x: Array, y: Array) -> Array:
    with quietly():
        out = x / y
    return namespace_of(out).where((x == 0) & (out != out), 0, out)


# x / y of the rules, without a warning: a cotangent x = 0 stays 0 even if y is 0 or NaN
_ratio: Primitive = _binary(
    "ratio",
    _divided,
    lambda g, out, x, y: _ratio(g, y),
    lambda g, out, x, y: -_ratio(_ratio(g * x, y), y),
)


def _of_base(g: Array, out: Array, x: Array, y: Any) -> Array:
    """Return g y xʸ⁻¹, with 0 for 0 · ∞ at x = 0."""
    if isinstance(y, complex):
        raise TraceError(COMPLEX)
    if isinstance(y, int | float):
        if y >= 1 or y == 0:
            return g * y * x ** (y - 1 if y else 1)
    elif not is_dtype(namespace_of(strip(y)), y.dtype, "real floating"):
        y = namespace_of(y).astype(y, out.dtype)  # y − 1 in small or unsigned integers would wrap around
    vanishes = (strip(x) == 0) & ((strip(y) == 0) | (strip(g) == 0))
    with quietly():
        return g * y * where(vanishes, 1, x) ** (y - 1)


def _of_exponent(g: Array, out: Array, x: Any) -> Array:
    """Return g xʸ log x, and 0 where the base is not positive: there the exponent has no derivative."""
    if isinstance(x, complex):
        raise TraceError(COMPLEX)
    if isinstance(x, int | float):
        return g * out * math.log(x) if x > 0 else 0 * g
    positive = strip(x) > 0
    return g * where(positive, out, 0) * log(where(positive, x, 1))


def part_of_length(x: Any, length: Array) -> Array:
    """Return x / length, the derivative of a length √(x² + …), and 0 at length 0, to all orders."""
    return x / _nowhere_zero(length)


def _nowhere_zero(length: Array) -> Array:
    """Return `length`, and ∞ in place of 0, so that what is divided by it is 0 there."""
    return where(strip(length) == 0, math.inf, length)


def _of_angle(g: Array, x: Any, length: Array) -> Array:
    """Return g x / length², and 0 at length 0, without squares, which might overflow."""
    length = _nowhere_zero(length)
    return g * (x / length) / length


def _weight(x: Any, y: Any, out: Array) -> Array:
    """Return eˣ / (eˣ + eʸ); equal infinities have ½ each, as equal numbers."""
    infinite = (strip(x) == strip(out)) & namespace_of(strip(out)).isinf(strip(out))
    both = infinite & (strip(x) == strip(y))
    return exp(where(both, -math.log(2), where(infinite, 0, x) - where(infinite, 0, out)))


def _share(x: Any, y: Any, out: Array, wins: Callable[..., Any]) -> Array:
    """Return 1 where `x` beats `y`, ½ where they tie, 0 elsewhere, in the dtype of `out`."""
    x, y, dtype = strip(x), strip(y), out.dtype
    xp = namespace_of(x, y)
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
reciprocal = unary("reciprocal", lambda out, x: lambda g: -_ratio(_ratio(g, x), x))
sqrt: Primitive = unary("sqrt", lambda out, x: lambda g: _ratio(g, 2 * out))
abs = unary("abs", lambda out, x: lambda g: g * sign(x))
exp: Primitive = unary("exp", lambda out, x: lambda g: g * out)
expm1 = unary("expm1", lambda out, x: lambda g: g * (out + 1))
log = unary("log", lambda out, x: lambda g: _ratio(g, x))
log1p = unary("log1p", lambda out, x: lambda g: _ratio(g, 1 + x))
log2 = unary("log2", lambda out, x: lambda g: _ratio(g, x * math.log(2)))
log10 = unary("log10", lambda out, x: lambda g: _ratio(g, x * math.log(10)))
sin = unary("sin", lambda out, x: lambda g: g * cos(x))
cos: Primitive = unary("cos", lambda out, x: lambda g: -g * sin(x))
tan = unary("tan", lambda out, x: lambda g: g * (1 + out * out))
asin = unary("asin", lambda out, x: lambda g: _ratio(g, sqrt(1 - x * x)))
acos = unary("acos", lambda out, x: lambda g: -_ratio(g, sqrt(1 - x * x)))
atan = unary("atan", lambda out, x: lambda g: g / hypot(x, 1) / hypot(x, 1))  # x² might overflow
sinh = unary("sinh", lambda out, x: lambda g: g * cosh(x))
cosh: Primitive = unary("cosh", lambda out, x: lambda g: g * sinh(x))
tanh = unary("tanh", lambda out, x: lambda g: g * (1 - out * out))
asinh = unary("asinh", lambda out, x: lambda g: g / hypot(x, 1))
acosh = unary("acosh", lambda out, x: lambda g: _ratio(g, sinh(out)))
atanh = unary("atanh", lambda out, x: lambda g: _ratio(g, 1 - x * x))

# ---- choosing ----


def where(condition: Array, x: Array, y: Array, /) -> Array:
    """Choose elements of `x` where `condition` holds, of `y` elsewhere; `condition` is a constant.

    The dtype is that of x + y: a Python number takes that of the array, unless it is a float and the array is not.
    """
    return _where(strip(condition), x, y)


def _choose(condition: Array, x: Any, y: Any) -> Array:
    xp = namespace_of(condition)
    of_x, of_y = getattr(x, "dtype", None), getattr(y, "dtype", None)
    if of_x is None or of_y is None:
        numbers = (x, y) if of_x is of_y else (x,) if of_x is None else (y,)
        dtype = _common_dtype(xp, numbers, of_y if of_x is None else of_x)
        x, y = _in_dtype(x, dtype, condition), _in_dtype(y, dtype, condition)
    return xp.where(condition, x, y)


def _common_dtype(xp: Any, numbers: tuple, dtype: Any) -> Any:
    """Return the dtype of arithmetic with Python numbers and an array of `dtype`: theirs if it is of a wider kind."""
    kinds = [*map(type, numbers)]
    if complex in kinds:
        return xp.complex64 if dtype in (xp.float32, xp.complex64) else xp.complex128
    if dtype is not None and is_dtype(xp, dtype, ("real floating", "complex floating")):
        return dtype
    if float in kinds:
        return xp.float64
    if dtype is not None and is_dtype(xp, dtype, "integral"):
        return dtype
    return xp.bool if int not in kinds else xp.int64


def _in_dtype(x: Any, dtype: Any, condition: Array) -> Array:
    if not hasattr(x, "dtype"):
        return operand(x, dtype, condition)
    return x if x.dtype == dtype else namespace_of(condition).astype(x, dtype)


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

sign: Callable[..., Any] = constant("sign")
floor = constant("floor")
ceil = constant("ceil")
round = constant("round")
trunc = constant("trunc")
floor_divide: Callable[..., Any] = constant("floor_divide")
isfinite = constant("isfinite")
isinf = constant("isinf")
isnan = constant("isnan")
equal = constant("equal")
not_equal = constant("not_equal")
less = constant("less")
less_equal = constant("less_equal")
greater = constant("greater")
greater_equal = constant("greater_equal")
