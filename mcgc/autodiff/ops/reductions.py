"""Reductions over one axis, several, or all: moments, extremes, products, and the exponential ones.

Elements that tie for the maximum or minimum share its derivative equally. At 0 the norm, and so the standard deviation
of equal numbers, has the derivative 0. The softmax is a limit where elements are infinite: those equal to the largest
share it equally. Integers and booleans count as float64, but for extremes, and products, which are integers.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from mcgc.arrays import Array, device_of, is_dtype, namespace_of, quietly
from mcgc.autodiff.engine import strip
from mcgc.autodiff.ops.elementwise import exp, part_of_length
from mcgc.autodiff.ops.joining import concat
from mcgc.autodiff.ops.rows import constant, countable, inexact, named, real, unary
from mcgc.autodiff.ops.shapes import astype, normal_axes, ones_like, permute_dims, reshape, sum, with_axes
from mcgc.errors import InputError

Axis = int | Sequence[int] | None


def _count(name: str, x: Array, axis: Axis, less: float = 0) -> float:
    """Return how many elements of `x` the reduction `name` takes over `axis`, less the correction `less`.

    Raises `InputError` if that is not positive.
    """
    count = math.prod(x.shape[i] for i in normal_axes(axis, x.ndim))
    if count <= less:
        over = "all axes" if axis is None else f"axis {axis}"
        corrected = f", less the correction {less}" if less else ""
        raise InputError(f"{name} over {over} of shape {x.shape} takes {count} numbers{corrected}: give it more")
    return count - less


def reduction(
    name: str, forward: Callable[..., Any], rule: Callable[..., Any], default: int | None = None, neutral: bool = True
) -> Callable[..., Any]:
    """Make a reduction; its rule maps (g, out, x, axis) to x's cotangent, with g and out broadcasting against x.

    Without a `neutral` element, a reduction of nothing raises `InputError`.
    """

    def row(out: Array, x: Array, axis: tuple[int, ...], keepdims: bool) -> Callable[..., Any]:
        spread = lambda reduced: with_axes(reduced, x.shape, axis, keepdims)
        return lambda g: rule(spread(g), spread(out), x, axis)

    operation = unary(name, row, forward)

    def function(x: Array, /, *, axis: Axis = default, keepdims: bool = False) -> Array:
        axes = normal_axes(axis, x.ndim)
        if not neutral:
            _count(name, x, axis)
        return operation(x, axis=axes, keepdims=keepdims)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = forward.__doc__
    return function


def _share(out: Array, x: Array, axis: tuple[int, ...]) -> Array:
    """Return 1/k for the k elements of `x` that equal `out`, 0 for the others."""
    x, out = strip(x), strip(out)
    xp = namespace_of(x)
    equal = xp.astype(x == out, x.dtype)
    return equal / xp.sum(equal, axis=axis, keepdims=True)


max = reduction("max", named("max"), lambda g, out, x, axis: g * _share(out, x, axis), neutral=False)
min = reduction("min", named("min"), lambda g, out, x, axis: g * _share(out, x, axis), neutral=False)


def _norm(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    """Return √(Σ x²) over `axis` (all axes by default)."""
    xp, x = namespace_of(x), real("norm", x)
    return xp.sqrt(xp.sum(x * x, axis=axis, keepdims=keepdims))


norm = reduction("norm", _norm, lambda g, out, x, axis: g * part_of_length(x, out))


def _shifted(x: Array, axis: tuple[int, ...]) -> tuple[Array, Array]:
    """Return x less its largest elements over `axis`, so that what all have in common is not rounded, and these."""
    xp = namespace_of(x)
    if 0 in x.shape and 0 in (x.shape[i] for i in axis):
        return x, xp.full(
            tuple(1 if i in axis else n for i, n in enumerate(x.shape)), -xp.inf, dtype=x.dtype, device=device_of(x)
        )
    top = xp.max(x, axis=axis, keepdims=True)
    with quietly():
        less = x - top
    return xp.where(x == top, xp.zeros_like(top), less), top  # ∞ − ∞ is 0 here


def _log_total(shifted: Array, axis: tuple[int, ...]) -> Array:
    xp = namespace_of(shifted)
    with quietly():  # nothing sums to 0
        return xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


def _logsumexp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    """Return log Σ eˣ over `axis` (the last by default), without overflow; −∞ for nothing."""
    xp, (shifted, top) = namespace_of(x), _shifted(real("logsumexp", x), axis)
    out = _log_total(shifted, axis) + top
    return out if keepdims else xp.squeeze(out, axis=axis)


def _log_softmax_forward(x: Array, axis: tuple[int, ...]) -> Array:
    shifted, _ = _shifted(real("log_softmax", x), axis)
    return shifted - _log_total(shifted, axis)


def _softmax_forward(x: Array, axis: tuple[int, ...]) -> Array:
    xp, (shifted, _) = namespace_of(x), _shifted(real("softmax", x), axis)
    parts = xp.exp(shifted)
    return parts / xp.sum(parts, axis=axis, keepdims=True)


_log_softmax = unary(
    "log_softmax",
    lambda out, x, axis: lambda g: g - exp(out) * sum(g, axis=axis, keepdims=True),
    _log_softmax_forward,
)
_softmax = unary(
    "softmax", lambda out, x, axis: lambda g: out * (g - sum(g * out, axis=axis, keepdims=True)), _softmax_forward
)


def log_softmax(x: Array, /, *, axis: Axis = -1) -> Array:
    """Return x − log Σ eˣ over `axis`."""
    return _log_softmax(x, axis=normal_axes(axis, x.ndim))


def softmax(x: Array, /, *, axis: Axis = -1) -> Array:
    """Return eˣ / Σ eˣ over `axis`."""
    return _softmax(x, axis=normal_axes(axis, x.ndim))


logsumexp = reduction("logsumexp", _logsumexp, lambda g, out, x, axis: g * _softmax(x, axis=axis), default=-1)


def mean(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return the average over `axis` (all axes by default). Raises `InputError` if there is nothing there."""
    count = _count("mean", x, axis)
    return sum(inexact(x), axis=axis, keepdims=keepdims) / count


def var(x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Return Σ (x − mean)² / (n − correction) over `axis` (all axes by default); correction 1 makes it unbiased.

    Raises `InputError` if n is not larger than the correction, or `x` is complex.
    """
    count = _count("var", x, axis, correction)
    x = real("var", x)
    centred = x - mean(x, axis=axis, keepdims=True)
    return sum(centred * centred, axis=axis, keepdims=keepdims) / count


def std(x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Return the square root of the variance that `var` returns, and raise what it raises."""
    count = _count("std", x, axis, correction)
    x = real("std", x)
    centred = x - mean(x, axis=axis, keepdims=True)
    return norm(centred, axis=axis, keepdims=keepdims) / math.sqrt(count)


def prod(x: Array, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
    """Return Π x over `axis` (all axes by default), multiplied pair by pair so that zeros need no rule of their own.

    Its dtype is `dtype`, or that of a sum.
    """
    if dtype is not None:
        return astype(prod(astype(x, dtype), axis=axis, keepdims=keepdims), dtype)
    gone = normal_axes(axis, x.ndim)
    xp = namespace_of(strip(x))
    if is_dtype(xp, x.dtype, ("bool", "integral")):
        return xp.prod(countable(xp, x), axis=gone, keepdims=keepdims)
    rest = tuple(i for i in range(x.ndim) if i not in gone)
    factors = reshape(
        permute_dims(x, (*gone, *rest)), (math.prod(x.shape[i] for i in gone), *(x.shape[i] for i in rest))
    )
    while (n := factors.shape[0]) > 1:
        pairs = factors[: n // 2, ...] * factors[n // 2 : n - n % 2, ...]
        factors = concat([pairs, factors[n - 1 :, ...]]) if n % 2 else pairs
    product = factors[0, ...] if n else ones_like(sum(factors, axis=0))
    return with_axes(product, x.shape, gone, False) if keepdims else product


any = constant("any")
all = constant("all")
argmax = constant("argmax")
argmin = constant("argmin")
