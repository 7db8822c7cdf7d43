"""The derivatives that users ask for: `vjp`, `grad` and `value_and_grad`."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mcgc import arrays
from mcgc.arrays import is_array, is_dtype, is_float, is_host, namespace_of
from mcgc.autodiff.engine import Node, Traced, backward, close_level, live, open_level, strip, unwrap
from mcgc.autodiff.pytree import Structure, flatten, tree_map, unflatten
from mcgc.errors import TraceError


def vjp(function: Callable[..., Any], *args: Any, has_aux: bool = False) -> tuple:
    """Evaluate `function(*args)`, and return its value and the pullback of its derivative.

    For y = f(x) with the Jacobian J, the pullback maps a cotangent v to vᵀJ.

    Parameters
    ----------
    function : callable
        A function of pytrees of arrays that returns such a pytree.
    *args : pytrees
        The arguments x. Their leaves are arrays of float32 or float64, or Python floats.
    has_aux : bool
        Whether `function` returns a pair (y, aux), of which only y is differentiated.

    Returns
    -------
    y : pytree
        The value of `function`.
    pullback : callable
        It takes v, which has the structure, shapes and dtypes of y. It returns a tuple with vᵀJ for each argument,
        which has the structure, shapes and dtypes of the argument. It may be called any number of times.
    aux : pytree
        Only with `has_aux`.

    Raises
    ------
    TraceError
        If a leaf of `args` is not floating-point, or the cotangent does not fit y.

    Notes
    -----
    Arrays that a pullback returns share no memory with each other, with v or with the arguments, so each may be changed
    in place. y and aux may share memory with the arguments. The pullback is wrong after one of these was changed in
    place.

    Examples
    --------
    >>> import mcgc
    >>> y, pullback = mcgc.vjp(lambda a, b: a * b, 3.0, 4.0)
    >>> [float(g) for g in pullback(1.0)]
    [4.0, 3.0]
    """
    leaves, structure = flatten(args)
    traced = _trace(lambda inputs: function(*unflatten(structure, inputs)), leaves, has_aux)

    def pullback(cotangent: Any) -> Any:
        cotangents, cotangent_structure = flatten(cotangent)
        cotangents = [arrays.scalar(given) if type(given) is float else given for given in cotangents]
        if cotangent_structure is not traced.structure and cotangent_structure != traced.structure:
            raise TraceError("the cotangent must have the structure of the function's output")
        for given, value in zip(cotangents, traced.values, strict=True):
            live(given)
            if is_array(value) and (getattr(given, "shape", None) != value.shape or given.dtype != value.dtype):
                raise TraceError(
                    f"the cotangent is {_described(given)}, but the function's output is {_described(value)}: give one "
                    "like the output"
                )
        return unflatten(structure, traced.pull_back(cotangents))

    value = unflatten(traced.structure, traced.values)
    return (value, pullback, traced.aux) if has_aux else (value, pullback)


class _Trace(NamedTuple):
    """A function's value, taken apart, and the map from its cotangents to those of the inputs, which checks nothing."""

    values: list
    structure: Structure
    aux: Any
    pull_back: Callable[[list], list]


def _trace(function: Callable[[list], Any], leaves: list, has_aux: bool) -> _Trace:
    """Evaluate `function` at traced arrays in place of `leaves`."""
    inputs = list(map(_input, leaves))
    nodes = [Node() for _ in inputs]
    level = open_level()
    try:
        out = function([Traced(value, level, node) for value, node in zip(inputs, nodes, strict=True)])
    finally:
        close_level(level)
    aux = None
    if has_aux:
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TraceError("with has_aux=True the function must return a pair (output, aux)")
        out, aux = out
        aux = tree_map(lambda leaf: live(unwrap(leaf, level)), aux)
    out_leaves, structure = flatten(out)
    values = [live(unwrap(leaf, level)) for leaf in out_leaves]

    def pull_back(cotangents: list) -> list:
        both = zip(out_leaves, cotangents, strict=True)
        seeds = [(leaf, given) for leaf, given in both if type(leaf) is Traced and leaf.level == level]
        used = set(map(arrays.memory_of, map(strip, (*inputs, *cotangents))))
        found = map(or_zeros, backward(seeds, nodes), inputs)
        return [g if type(g) is Traced else arrays.owned(g, used) for g in found]

    return _Trace(values, structure, aux, pull_back)


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
    return is_float(x) or (is_array(x) and is_dtype(namespace_of(strip(x)), x.dtype, "real floating"))


def _described(x: Any) -> str:
    if is_array(x):
        return f"an array of shape {tuple(x.shape)} and dtype {x.dtype}"
    return f"a value of type {type(x).__name__}"


def or_zeros(cotangent: Any, like: Any) -> Any:
    """Return `cotangent`, or zeros like the array `like` where it is None."""
    if cotangent is not None:
        return live(cotangent)
    value = strip(like)
    return namespace_of(value).zeros_like(value)


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., tuple]:
    """Return a function that computes f(x) and ∇f(x) of a scalar function f in one forward and one backward pass.

    Parameters
    ----------
    function : callable
        The function f, which returns a float scalar, or a pair (value, aux) with `has_aux`.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to.
    has_aux : bool
        Whether f returns a pair (value, aux).

    Returns
    -------
    callable
        It takes the arguments of f and returns (value, gradient), or ((value, aux), gradient) with `has_aux`. The
        gradient has the structure, shapes and dtypes of the argument. For a sequence of `argnums` it is a tuple.

    Raises
    ------
    TraceError
        The returned function raises it if the value is not a float scalar, or an argument is not floating-point.

    Examples
    --------
    >>> import mcgc
    >>> value, gradient = mcgc.value_and_grad(lambda x: x * x)(3.0)
    >>> float(value), float(gradient)
    (9.0, 6.0)
    """
    many = several(argnums)

    def evaluate(*args: Any, **options: Any) -> tuple:
        partial, *parts = partial_function(function, argnums, args, options)
        leaves, structure = flatten(tuple(parts) if many else parts[0])
        at = lambda inputs: partial(*unflatten(structure, inputs)) if many else partial(unflatten(structure, inputs))
        traced = _trace(at, leaves, has_aux)
        value = unflatten(traced.structure, traced.values)
        gradient = unflatten(structure, traced.pull_back([_one(value)]))
        return ((value, traced.aux) if has_aux else value), gradient

    return evaluate


def several(argnums: int | Sequence[int]) -> bool:
    """Tell whether `argnums` is a sequence of numbers, so that derivatives come as tuples."""
    return hasattr(argnums, "__iter__")


def partial_function(
    function: Callable[..., Any], argnums: int | Sequence[int], args: Sequence[Any], options: dict
) -> tuple:
    """Return `function` as a function of the arguments `argnums`, with the others fixed, and those arguments."""
    indices: Any = tuple(argnums) if several(argnums) else (argnums,)  # type: ignore[arg-type]
    for i in indices:
        if not 0 <= i < len(args):
            raise TraceError(
                f"argnums {argnums} names an argument that is not there: the call has {len(args)} positional ones"
            )

    def partial(*parts: Any) -> Any:
        full = list(args)
        for i, part in zip(indices, parts, strict=True):
            full[i] = part
        return function(*full, **options)

    return partial, *(args[i] for i in indices)


def _one(value: Any) -> Any:
    """Return the cotangent 1 of a scalar output."""
    plain = strip(value)
    if type(plain) is float:
        return arrays.scalar(1.0)  # a function that ignores its arguments
    if not differentiable(plain):
        raise TraceError(f"a gradient needs a function that returns a float scalar, got {_described(plain)}")
    if plain.shape != ():
        raise TraceError(
            f"a gradient needs a scalar output, got one of shape {plain.shape}: reduce it with mcgc.ops.sum or "
            "mean, or use vjp"
        )
    return plain.dtype.type(1) if is_host(plain) else namespace_of(plain).ones_like(plain)  # of NumPy, it takes longer


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Return a function that computes the gradient ∇f(x) of a scalar function f.

    Gradients nest: `grad(grad(f))` is the second derivative.

    Parameters
    ----------
    function, argnums, has_aux
        As for `value_and_grad`.

    Returns
    -------
    callable
        It takes the arguments of f and returns the gradient, or (gradient, aux) with `has_aux`.

    Raises
    ------
    TraceError
        As `value_and_grad` does.

    Examples
    --------
    >>> import mcgc
    >>> import numpy as np
    >>> mcgc.grad(lambda x: mcgc.ops.sum(x * x))(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    evaluate = value_and_grad(function, argnums, has_aux)

    def gradient_of(*args: Any, **options: Any) -> Any:
        value, gradient = evaluate(*args, **options)
        return (gradient, value[1]) if has_aux else gradient

    return gradient_of
