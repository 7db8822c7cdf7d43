"""The forms of rows: what the forward functions and rules of many operations have in common."""

from collections.abc import Callable
from operator import attrgetter

from mcgc.arrays import namespace_of
from mcgc.autodiff.engine import Primitive, strip


def named(name: str) -> Callable:
    """Return the forward function that calls the function `name` of the arrays' own namespace."""
    find = attrgetter(name)

    def forward(*args, **options):
        return find(namespace_of(*args))(*args, **options)

    forward.__doc__ = f"Compute `{name}` as the Python array API standard defines it."
    return forward


def unary(name: str, rule: Callable, forward: Callable | None = None) -> Primitive:
    """Make an operation of one array; its `rule` is as in `mcgc.primitive`."""
    return Primitive(name, forward or named(name), (rule,))


def constant(name: str) -> Callable:
    """Return a piecewise constant function: plain arrays out, and traced ones stripped on the way in."""
    forward = named(name)

    def function(*args, **options):
        return forward(*(strip(arg) for arg in args), **options)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{forward.__doc__} Piecewise constant: the result is a plain array."
    return function
