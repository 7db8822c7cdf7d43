"""The forms of rows: what the forward functions and rules of many operations have in common."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from mcgc.arrays import Array, is_dtype, namespace_of
from mcgc.autodiff.engine import Primitive, Rule, strip
from mcgc.errors import InputError


def named(name: str) -> Callable[..., Any]:
    """Return the forward function that calls the function `name` of the arrays' own namespace."""
    find = attrgetter(name)

    def forward(*args: Any, **options: Any) -> Any:
        return find(namespace_of(*args))(*args, **options)

    forward.__doc__ = f"Compute `{name}` as the Python array API standard defines it."
    return forward


def unary(name: str, rule: Rule, forward: Callable[..., Any] | None = None) -> Primitive:
    """Make an operation of one array; its `rule` is as in `mcgc.primitive`."""
    return Primitive(name, forward or named(name), (rule,))


def constant(name: str) -> Callable[..., Any]:
    """Return a piecewise constant function: plain arrays out, and traced ones stripped on the way in."""
    forward = named(name)

    def function(*args: Any, **options: Any) -> Any:
        return forward(*(strip(arg) for arg in args), **options)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{forward.__doc__} Piecewise constant: the result is a plain array."
    return function


def refuse_complex(name: str, x: Array) -> None:
    """Raise `InputError` in the name of the operation `name` if `x` is complex."""
    if is_dtype(namespace_of(strip(x)), x.dtype, "complex floating"):
        raise InputError(f"{name} takes real numbers, got {x.dtype}: give it the real and the imaginary part in turn")


def inexact(x: Array) -> Array:
    """Return `x`, in float64, the default, if it is of integers or booleans."""
    xp = namespace_of(strip(x))
    return x if is_dtype(xp, x.dtype, ("real floating", "complex floating")) else xp.astype(x, xp.float64)


def real(name: str, x: Array) -> Array:
    """Return `x` as `inexact` does. Raises `InputError` in the name of the operation `name` if it is complex."""
    if not hasattr(x, "dtype"):
        return float(x)
    if is_dtype(namespace_of(strip(x)), x.dtype, "real floating"):
        return x
    refuse_complex(name, x)
    return inexact(x)


def countable(xp: Any, x: Array) -> Array:
    """Return the plain array `x` of the namespace `xp` with the default integers 0 and 1 in place of booleans."""
    return xp.astype(x, xp.int64) if is_dtype(xp, x.dtype, "bool") else x
