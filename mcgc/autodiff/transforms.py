"""The derivatives a user asks for: vjp, grad, value_and_grad; and the two ways to add an operation of one's own."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mcgc import arrays
from mcgc.arrays import is_array, is_dtype, namespace_of
from mcgc.autodiff.engine import (
    JointPrimitive,
    Node,
    Primitive,
    Traced,
    backward,
    close_level,
    live,
    newest_level,
    open_level,
    record,
    strip,
    unwrap,
)
from mcgc.autodiff.pytree import flatten, tree_map, unflatten
from mcgc.errors import TraceError


def vjp(function: Callable, *args: Any, has_aux: bool = False) -> tuple:
    """Evaluate `function(*args)` and return its value with the pullback of its derivative there.

    For y = f(x) with Jacobian J the pullback maps a cotangent v, of the structure, shapes and dtypes of y, to the
    tuple of vᵀJ for each argument, with the structure, shapes and dtypes of the arguments.

    The pullback may be called any number of times. Its results share no memory with each other, with v or the
    arguments, so each may be changed in place. y and aux may share memory with the arguments, as what `function`
    returns may; the pullback is no longer right after one of these was changed in place.

    Arguments and result are pytrees of float arrays or Python floats. With `has_aux`, `function` returns
    `(y, aux)`, and `vjp` returns `(y, pullback, aux)`.

    Raises `TraceError` if a leaf of `args` is not floating-point, or if the cotangent does not fit the output.
    """
    leaves, structure = flatten(args)
    inputs = [_input(leaf) for leaf in leaves]
    nodes = [Node() for _ in inputs]
    level = open_level()
    try:
        traced = [Traced(value, level, node) for value, node in zip(inputs, nodes, strict=True)]
        out = function(*unflatten(structure, traced))
    finally:
        close_level(level)
    aux = None
    if has_aux:
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TraceError("with has_aux=True the function must return a pair (output, aux)")
        out, aux = out
        aux = tree_map(lambda leaf: live(unwrap(leaf, level)), aux)
    out_leaves, out_structure = flatten(out)
    values = [live(unwrap(leaf, level)) for leaf in out_leaves]

    def pullback(cotangent: Any) -> Any:
        cotangents, cotangent_structure = flatten(cotangent)
        cotangents = [arrays.scalar(given) if type(given) is float else given for given in cotangents]
        if cotangent_structure is not out_structure and cotangent_structure != out_structure:
            raise TraceError("the cotangent must have the structure of the function's output")
        for given, value in zip(cotangents, values, strict=True):
            live(given)
            if is_array(value) and (getattr(given, "shape", None) != value.shape or given.dtype != value.dtype):
                raise TraceError(
                    f"the cotangent is {_described(given)}, but the function's output is {_described(value)}: give one "
                    "like the output"
                )
        seeds = [
            (leaf, given)
            for leaf, given in zip(out_leaves, cotangents, strict=True)
            if type(leaf) is Traced and leaf.level == level
        ]
        found = [_or_zeros(g, x) for g, x in zip(backward(seeds, nodes), inputs, strict=True)]
        taken = {arrays.memory_of(strip(x)) for x in (*inputs, *cotangents)}
        return unflatten(structure, [g if type(g) is Traced else arrays.owned(g, taken) for g in found])

    value = unflatten(out_structure, values)
    return (value, pullback, aux) if has_aux else (value, pullback)


def _input(leaf: Any) -> Any:
    """Return `leaf` as an array that can be differentiated with respect to."""
    if type(leaf) is float:
        return arrays.scalar(leaf)
    if differentiable(leaf):
        return live(leaf)
    raise TraceError(
        f"only float32 and float64 can be differentiated, got {_described(leaf)}: convert it to float, or leave it out "
        "of argnums"
    )


def differentiable(x: Any) -> bool:
    """Tell whether `x` is an array of float32 or float64."""
    return is_array(x) and is_dtype(namespace_of(strip(x)), x.dtype, "real floating")


def _described(x: Any) -> str:
    if is_array(x):
        return f"an array of shape {tuple(x.shape)} and dtype {x.dtype}"
    return f"a value of type {type(x).__name__}"


def _or_zeros(cotangent: Any, like: Any) -> Any:
    if cotangent is not None:
        return live(cotangent)
    value = strip(like)
    return namespace_of(value).zeros_like(value)


def value_and_grad(function: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """Return a function computing (f(x), ∇f(x)) of a scalar function f by one forward and one backward pass.

    `argnums` tells which positional arguments to differentiate with respect to; the gradient has the structure,
    shapes and dtypes of that argument, or is a tuple of such for a sequence of numbers. With `has_aux`, f returns
    `(value, aux)` and the result is `((value, aux), gradient)`.

    The returned function raises `TraceError` if f's value is not a float scalar, or an argument is not float.
    """

    def evaluate(*args: Any, **options: Any) -> tuple:
        value, pullback, *aux = vjp(*of_places(function, argnums, args, options), has_aux=has_aux)
        gradients = pullback(_one(value))
        gradient = gradients if several(argnums) else gradients[0]
        return ((value, *aux) if has_aux else value), gradient

    return evaluate


def several(argnums: int | Sequence[int]) -> bool:
    """Tell whether `argnums` is a sequence of numbers, so that derivatives come as tuples."""
    return hasattr(argnums, "__iter__")


def of_places(function: Callable, argnums: int | Sequence[int], args: Sequence[Any], options: dict) -> tuple:
    """Return `function` as a function of the arguments that `argnums` names, the others fixed; then those arguments."""
    places: Any = tuple(argnums) if several(argnums) else (argnums,)  # type: ignore[arg-type]
    if any(not 0 <= i < len(args) for i in places):
        raise TraceError(
            f"argnums {argnums} names an argument that is not there: the call has {len(args)} positional ones"
        )

    def of_parts(*parts: Any) -> Any:
        full = list(args)
        for i, part in zip(places, parts, strict=True):
            full[i] = part
        return function(*full, **options)

    return of_parts, *(args[i] for i in places)


def _one(value: Any) -> Any:
    """Return the cotangent 1 of a scalar output."""
    plain = strip(value)
    if type(plain) is float:
        return 1.0  # a function that ignores its arguments
    if not differentiable(plain):
        raise TraceError(f"a gradient needs a function that returns a float scalar, got {_described(plain)}")
    if plain.shape != ():
        raise TraceError(
            f"a gradient needs a scalar output, got one of shape {plain.shape}: reduce it with mcgc.ops.sum or "
            "mean, or use vjp"
        )
    return namespace_of(plain).ones_like(plain)


def grad(function: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """Return a function computing the gradient ∇f(x) of a scalar function f; options as in `value_and_grad`.

    With `has_aux` the result is `(gradient, aux)`. Gradients nest: `grad(grad(f))` is the second derivative.
    """
    evaluate = value_and_grad(function, argnums, has_aux)

    def gradient_of(*args: Any, **options: Any) -> Any:
        value, gradient = evaluate(*args, **options)
        return (gradient, value[1]) if has_aux else gradient

    return gradient_of


def stop_gradient(tree: Any) -> Any:
    """Return the pytree with plain arrays in place of traced ones: constants, as far as derivatives go."""
    return tree_map(strip, tree)


def primitive(name: str, forward: Callable, *rules: Callable | None, joint: Callable | None = None) -> Primitive:
    """Make a differentiable operation from a function of arrays and its derivative.

    `forward(*args, **options)` computes on plain arrays. There is one rule for each positional argument, or None
    where it has no derivative: `rule(out, *args, **options)` returns the linear map from the cotangent of the
    output to the cotangent of that argument. Alternatively `joint` is a single rule whose map returns the
    cotangents of all arguments, for operations with any number of arguments or outputs (a tuple of arrays).

    Rules are differentiated in turn by higher orders, so they are written with mcgc.ops and operators.

    Example: `cube = primitive("cube", lambda x: x * x * x, lambda out, x: lambda g: g * (3 * x * x))`.
    """
    return JointPrimitive(name, forward, (joint,)) if joint is not None else Primitive(name, forward, rules)


class Body(NamedTuple):
    """A faster way to compute a fused function: `forward(*args) -> (out, residuals)`, and its `pull` (see `fused`)."""

    forward: Callable
    pull: Callable


def fused(definition: Callable, select: Callable[..., Body | None]) -> Callable:
    """Return `definition`, an ordinary function of operations, computed by a kernel wherever one fits.

    `select(*args, **options)` is asked with plain arrays and returns a `Body`, or None to run the definition.
    `body.forward(*args, **options)` returns the output (an array or a tuple of arrays) and residuals;
    `body.pull(residuals, places, *cotangents)` returns one cotangent for each positional argument, of which only
    those at `places` are looked at.

    The definition stays the meaning: it runs for arrays without a kernel, and is what higher orders differentiate.
    """

    def call(*args: Any, **options: Any) -> Any:
        level = newest_level(args)
        values = [unwrap(arg, level) for arg in args]
        body = None if newest_level(values) else select(*values, **options)
        if body is None:
            return definition(*args, **options)
        out, residuals = body.forward(*values, **options)
        if not level:
            return out
        places = [i for i, arg in enumerate(args) if arg is not values[i]]

        def pull(*cotangents: Any) -> list:
            if newest_level(cotangents):
                return _pull_by_definition(definition, values, options, places, cotangents)
            every = body.pull(residuals, places, *cotangents)
            return [every[i] for i in places]

        return record(definition.__name__, level, [args[i] for i in places], out, pull)

    call.__name__ = call.__qualname__ = definition.__name__
    call.__doc__ = definition.__doc__
    return call


def _pull_by_definition(
    definition: Callable, values: list, options: dict, places: list[int], cotangents: Sequence[Any]
) -> list:
    out, pullback = vjp(*of_places(definition, places, values, options))
    if not isinstance(out, tuple):
        return list(pullback(cotangents[0]))
    filled = [_or_zeros(g, value) for g, value in zip(cotangents, out, strict=True)]
    return list(pullback(tuple(filled)))
