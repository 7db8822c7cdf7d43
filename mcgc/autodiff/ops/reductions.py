"""Reductions over one axis, several, or all: moments, extremes, products, and the exponential ones.

Elements that tie for the maximum or minimum share its derivative equally. At 0 the norm, and so the standard deviation
of equal numbers, has the derivative 0.
"""

import math
from collections.abc import Callable, Sequence

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff.engine import strip
from mcgc.autodiff.ops.elementwise import exp, where
from mcgc.autodiff.ops.joining import concat
from mcgc.autodiff.ops.rows import constant, named, unary
from mcgc.autodiff.ops.shapes import kept, normal_axes, ones_like, permute_dims, reshape, sum

Axis = int | Sequence[int] | None


def reduction(name: str, forward: Callable, rule: Callable, default: int | None = None) -> Callable:
    """Make a reduction; its rule maps (g, out, x, axis) to x's cotangent, with g and out broadcasting against x."""

    def row(out: Array, x: Array, axis: tuple[int, ...], keepdims: bool) -> Callable:
        spread = lambda reduced: kept(reduced, x.shape, axis, keepdims)
        return lambda g: rule(spread(g), spread(out), x, axis)

    operation = unary(name, row, forward)

    def function(x: Array, /, *, axis: Axis = default, keepdims: bool = False) -> Array:
        return operation(x, axis=normal_axes(axis, x.ndim), keepdims=keepdims)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = forward.__doc__
    return function


def _share(out: Array, x: Array, axis: tuple[int, ...]) -> Array:
    """Return 1/k for the k elements of `x` that equal `out`, 0 for the others."""
    x, out = strip(x), strip(out)
    xp = namespace_of(x)
    equal = xp.astype(x == out, x.dtype)
    return equal / xp.sum(equal, axis=axis, keepdims=True)


max = reduction("max", named("max"), lambda g, out, x, axis: g * _share(out, x, axis))
min = reduction("min", named("min"), lambda g, out, x, axis: g * _share(out, x, axis))


def _logsumexp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    """Return log Σ eˣ over `axis` (the last by default), without overflow."""
    xp = namespace_of(x)
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    out = xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else xp.squeeze(out, axis=axis)


def _norm(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    """Return √(Σ x²) over `axis` (all axes by default)."""
    xp = namespace_of(x)
    return xp.sqrt(xp.sum(x * x, axis=axis, keepdims=keepdims))


logsumexp = reduction("logsumexp", _logsumexp, lambda g, out, x, axis: g * exp(x - out), default=-1)
norm = reduction("norm", _norm, lambda g, out, x, axis: g * x / where(strip(out) == 0, 1, out))


def _shifted(x: Array, axis: tuple[int, ...]) -> Array:
    """Return x less its largest element over `axis`, so that what all have in common is not rounded."""
    return x - namespace_of(x).max(x, axis=axis, keepdims=True)


def _log_softmax_forward(x: Array, axis: tuple[int, ...]) -> Array:
    xp, shifted = namespace_of(x), _shifted(x, axis)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


def _softmax_forward(x: Array, axis: tuple[int, ...]) -> Array:
    xp = namespace_of(x)
    parts = xp.exp(_shifted(x, axis))
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


def _count(x: Array, axis: Axis) -> int:
    return math.prod(x.shape[i] for i in normal_axes(axis, x.ndim))


def mean(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return the average over `axis` (all axes by default)."""
    count = _count(x, axis)
    return sum(x, axis=axis, keepdims=keepdims) / count


def var(x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Return Σ (x − mean)² / (n − correction) over `axis` (all axes by default); correction 1 makes it unbiased."""
    centred = x - mean(x, axis=axis, keepdims=True)
    return sum(centred * centred, axis=axis, keepdims=keepdims) / (_count(x, axis) - correction)


def std(x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Return the square root of the variance that `var` returns."""
    centred = x - mean(x, axis=axis, keepdims=True)
    return norm(centred, axis=axis, keepdims=keepdims) / math.sqrt(_count(x, axis) - correction)


def prod(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Return Π x over `axis` (all axes by default), multiplied pair by pair so that zeros need no rule of their own."""
    gone = normal_axes(axis, x.ndim)
    rest = tuple(i for i in range(x.ndim) if i not in gone)
    factors = reshape(permute_dims(x, (*gone, *rest)), (_count(x, axis), *(x.shape[i] for i in rest)))
    while (n := factors.shape[0]) > 1:
        pairs = factors[: n // 2, ...] * factors[n // 2 : n - n % 2, ...]
        factors = concat([pairs, factors[n - 1 :, ...]]) if n % 2 else pairs
    product = factors[0, ...] if n else ones_like(sum(factors, axis=0))
    return kept(product, x.shape, gone, False) if keepdims else product


any = constant("any")
all = constant("all")
argmax = constant("argmax")
argmin = constant("argmin")
