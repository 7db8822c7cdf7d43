"""From a function of arrays to a program: it runs once on symbolic arrays, and what it did is written down."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mcgc import arrays
from mcgc._jit import _linalg  # noqa: F401 (which, with what it imports, gives symbolic arrays their functions)
from mcgc._jit._array import Symbolic, symbolic
from mcgc._jit._graph import DTYPES, FLOATS, INT, building
from mcgc._jit._program import Leaf, Program
from mcgc.autodiff import higher, transforms
from mcgc.autodiff.engine import Node as TapeNode
from mcgc.autodiff.engine import Traced, close_level, open_level, strip, unwrap
from mcgc.autodiff.pytree import Structure, flatten, tree_map, unflatten
from mcgc.errors import TraceError


class Argument(NamedTuple):
    """A leaf of the arguments: its shape and dtype, and whether it is a number of Python."""

    shape: tuple[int, ...]
    dtype: np.dtype
    weak: bool = False


def argument(x: Any, row: bool = False) -> Argument:
    """Return what a program must know of a leaf of its arguments, or of a `row` of it.

    Raises `TraceError` if it cannot be an argument.
    """
    kind = type(x)
    if kind is np.ndarray and x.dtype in DTYPES:
        return Argument(x.shape[1:] if row else x.shape, x.dtype)
    if kind is float:
        return Argument((), FLOATS[1], True)
    if kind is int or kind is bool:
        return Argument((), np.dtype(kind), True)
    if arrays.is_cupy(x) and x.dtype in DTYPES:
        return Argument(x.shape[1:] if row else x.shape, x.dtype)
    if arrays.is_host(x) and not hasattr(x, "mask") and x.dtype.newbyteorder("=") in DTYPES:
        return Argument(x.shape[1:] if row else x.shape, x.dtype.newbyteorder("="))
    described = f"an array of {x.dtype}" if arrays.is_host(x) else f"a {kind.__name__}"
    raise TraceError(
        f"mcgc.jit takes NumPy arrays of float32, float64, int64 and bool, and numbers, got {described}: convert it, "
        "or declare the argument in static_argnums"
    )


class Recorded(NamedTuple):
    """A program, and the structure of what it returns."""

    program: Program
    structure: Structure


def trace(function: Callable, structure: Structure, arguments: Sequence[Argument]) -> Recorded:
    """Run `function` on symbolic arrays that stand for the leaves `arguments` of its arguments of `structure`."""
    with building() as graph:
        leaves = []
        for i, (shape, dtype, weak) in enumerate(arguments):
            nodes = np.empty(shape, object)
            nodes.ravel()[:] = [graph.input(i, k, dtype) for k in range(nodes.size)]
            leaves.append(Symbolic(nodes, dtype, weak))
        found, out_structure = flatten(function(*unflatten(structure, leaves)))
        results = [symbolic(_result(x)) for x in found]
        graph.check(*(node for x in results for node in x.nodes.ravel()))
    program = Program(
        tuple(Leaf(x.shape, x.dtype) for x in arguments),
        tuple(Leaf(x.shape, x.dtype) for x in results),
        tuple(tuple(x.nodes.ravel()) for x in results),
    )
    return Recorded(program, out_structure)


def _result(x: Any) -> Any:
    if type(x) is Traced:
        raise TraceError(
            "a jitted function uses a traced array that is not among its arguments: pass it to the function"
        )
    if isinstance(x, str | bytes) or not (hasattr(x, "dtype") or isinstance(x, int | float)):
        raise TraceError(f"a function under mcgc.jit returns arrays and numbers, got a {type(x).__name__}")
    return x


def valued(function: Callable) -> Callable:
    """Return `function`, which sees floating-point arguments as the engine's traced arrays, as under a derivative."""

    def value(*args: Any) -> Any:
        leaves, structure = flatten(args)
        level = open_level()
        try:
            wrap = lambda x: Traced(x, level, TapeNode()) if x.dtype in FLOATS else x
            return tree_map(
                lambda x: unwrap(x, level), function(*unflatten(structure, [wrap(leaf) for leaf in leaves]))
            )
        finally:
            close_level(level)

    return value


def pulled_back(function: Callable) -> Callable:
    """Return (arguments, cotangents) ↦ the cotangents of the floating-point leaves of the arguments."""

    def bars(args: tuple, cotangents: list) -> list:
        leaves, structure = flatten(args)
        indices = [i for i, leaf in enumerate(leaves) if leaf.dtype in FLOATS]

        def of_floats(*some: Any) -> list:
            full = list(leaves)
            for i, leaf in zip(indices, some, strict=True):
                full[i] = leaf
            found, _ = flatten(function(*unflatten(structure, full)))
            return [x for x in found if strip_dtype(x) in FLOATS]

        return list(transforms.vjp(of_floats, *(leaves[i] for i in indices))[1](cotangents))

    return bars


def strip_dtype(x: Any) -> Any:
    """Return the dtype of a result, that of arrays for numbers of Python."""
    return getattr(strip(x), "dtype", FLOATS[1] if type(x) is float else INT)


BY_ENGINE: dict[str, Callable] = {  # the derivatives of a function, by the engine
    "value_and_grad": transforms.value_and_grad,
    "grad": transforms.grad,
    "jacobian": higher.jacobian,
    "hvp": lambda function: lambda x, v: higher.hvp(function, x, v),
}
OF: dict[str, Callable] = {  # what programs are of
    "value": valued,
    "vjp": lambda function: pulled_back(valued(function)),
    **{name: lambda function, of=of: of(valued(function)) for name, of in BY_ENGINE.items()},
}
