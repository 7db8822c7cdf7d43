"""The two ways to add an operation: `primitive`, by derivative rules, and `fused`, by a kernel."""

from collections.abc import Callable, Sequence
from typing import Any

from mcgc.autodiff.engine import JointPrimitive, Primitive, Rule, newest_level, opened, record
from mcgc.autodiff.transforms import or_zeros, partial_function, vjp
from mcgc.kernels import Body


def primitive(name: str, forward: Callable[..., Any], *rules: Rule | None, joint: Rule | None = None) -> Primitive:
    """Return a differentiable operation made of a function of arrays and its derivative.

    Parameters
    ----------
    name : str
        The name in error messages.
    forward : callable
        `forward(*args, **options)` computes the output on plain arrays.
    *rules : callables or None
        One rule for each positional argument, or None where there is no derivative. `rule(out, *args, **options)`
        returns the linear map from the cotangent of the output to the cotangent of that argument.
    joint : callable, optional
        A single rule in place of `rules`, for any number of arguments or for a tuple of outputs. Its map takes a
        cotangent for each output (None stands for zero), and returns the cotangents of all arguments.

    Returns
    -------
    Primitive
        The operation, which is called as `forward` is.

    Notes
    -----
    Higher derivatives differentiate the rules, so rules are written with `mcgc.ops` and operators.

    Examples
    --------
    >>> import mcgc
    >>> cube = mcgc.primitive("cube", lambda x: x * x * x, lambda out, x: lambda g: g * (3 * x * x))
    >>> float(mcgc.grad(cube)(2.0))
    12.0
    """
    return JointPrimitive(name, forward, (joint,)) if joint is not None else Primitive(name, forward, rules)


def fused(definition: Callable[..., Any], select: Callable[..., Body | None]) -> Callable[..., Any]:
    """Return `definition`, a function of operations, computed by a kernel wherever one fits.

    The definition stays the meaning. It runs for arrays without a kernel, and higher orders differentiate it.

    Parameters
    ----------
    definition : callable
        A function of arrays, written with `mcgc.ops` and operators.
    select : callable
        `select(*args, **options)` gets plain arrays. It returns a `Body`, or None to run the definition.

    Returns
    -------
    callable
        A function with the arguments and the result of `definition`.

    Examples
    --------
    >>> import mcgc
    >>> from mcgc.autodiff import Body
    >>> square = Body(lambda x: (x * x, x), lambda x, indices, g: (2 * x * g,))
    >>> function = mcgc.fused(lambda x: x * x, lambda x: square)
    >>> float(mcgc.grad(function)(3.0)), float(mcgc.grad(mcgc.grad(function))(3.0))
    (6.0, 2.0)
    """

    def call(*args: Any, **options: Any) -> Any:
        level = newest_level(args)
        values, indices, parents, outer = opened(args, level)
        body = None if outer else select(*values, **options)
        if body is None:
            return definition(*args, **options)
        out, residuals = body.forward(*values, **options)
        if not level:
            return out

        def pullback(*cotangents: Any) -> list:
            if newest_level(cotangents):
                return _pull_back_definition(definition, values, options, indices, cotangents)
            every = body.vjp(residuals, indices, *cotangents)
            return [every[i] for i in indices]

        return record(definition.__name__, level, parents, out, pullback)

    call.__name__ = call.__qualname__ = definition.__name__
    call.__doc__ = definition.__doc__
    return call


def _pull_back_definition(
    definition: Callable[..., Any], values: list, options: dict, indices: list[int], cotangents: Sequence[Any]
) -> list:
    out, pullback = vjp(*partial_function(definition, indices, values, options))
    if not isinstance(out, tuple):
        return list(pullback(cotangents[0]))
    filled = [or_zeros(g, value) for g, value in zip(cotangents, out, strict=True)]
    return list(pullback(tuple(filled)))
