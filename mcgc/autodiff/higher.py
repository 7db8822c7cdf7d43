"""Transforms derived from vjp: Jacobians, Hessians and products with them, and recomputing instead of storing."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from mcgc import arrays
from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import Traced, newest_level, observer, strip
from mcgc.autodiff.pytree import flatten, tree_map, unflatten
from mcgc.autodiff.transforms import differentiable, grad, of_places, primitive, several, vjp
from mcgc.errors import TraceError


def jacobian(function: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """Return a function computing the Jacobian ∂yᵢ/∂xⱼ of y = f(x) in reverse mode, one backward pass for each yᵢ.

    y and x are pytrees of float arrays. The result has the structure of y, in the place of each of its arrays the
    structure of x, and there an array of shape `y.shape + x.shape`, which may have no elements. A sequence of `argnums`
    makes x the tuple of those arguments. Raises `TraceError` as `vjp` does.
    """

    def evaluate(*args: Any, **options: Any) -> Any:
        of_parts, *parts = of_places(function, argnums, args, options)
        out, pullback = vjp(of_parts, *parts)
        leaves, structure = flatten(out)
        zeros = [ops.zeros_like(leaf) for leaf in leaves]
        blocks = []
        for i, zero in enumerate(zeros):
            seeds = (unflatten(structure, [*zeros[:i], unit, *zeros[i + 1 :]]) for unit in _units(zero))
            rows = [pullback(seed) for seed in seeds]
            block = _stack(rows, zero.shape) if rows else tree_map(partial(_nothing, zero.shape), tuple(parts))
            blocks.append(block if several(argnums) else block[0])
        return unflatten(structure, blocks)

    return evaluate


def _units(like: Array) -> list[Array]:
    """Return the arrays like `like` that are 1 in one place and 0 elsewhere, in order."""
    xp, n = namespace_of(like), like.size
    eye = xp.eye(n, dtype=like.dtype, device=device_of(like))
    return [xp.reshape(eye[k, ...], like.shape) for k in range(n)]


def _stack(rows: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Join pytrees of one structure, array by array, along new leading axes of `shape`."""
    structure = flatten(rows[0])[1]
    columns = zip(*(flatten(row)[0] for row in rows), strict=True)
    return unflatten(structure, [ops.reshape(ops.stack(parts), (*shape, *parts[0].shape)) for parts in columns])


def _nothing(shape: tuple[int, ...], x: Any) -> Array:
    """Return the derivative by `x` of an array of `shape` without elements."""
    x = arrays.scalar(x) if type(x) is float else strip(x)
    return namespace_of(x).zeros((*shape, *x.shape), dtype=x.dtype, device=device_of(x))


def hessian(function: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """Return a function computing ∂²f/∂xᵢ∂xⱼ of a scalar function f: the Jacobian of its gradient.

    The result has the structure of x twice over, and arrays of the two shapes joined. Raises `TraceError` as `grad`.
    """
    return jacobian(grad(function, argnums), argnums)


def hvp(function: Callable, x: Any, v: Any) -> Any:
    """Return ∇²f(x) v of a scalar function f, for the cost of a few gradients, by reverse mode over reverse mode.

    The Hessian is symmetric, so this is the pullback of v by ∇f. x and v are pytrees of one structure, shapes and
    dtypes, and so is the result. Raises `TraceError` if v is not like x, or f's value is not a float scalar.
    """
    return vjp(grad(function), x)[1](v)[0]


def checkpoint(function: Callable) -> Callable:
    """Return `function`, differentiated from its arguments alone: nothing made on the way to its result is stored.

    Its evaluation is not traced; the backward pass evaluates it once more, traced, and so does each higher order.
    Memory is then that of the arguments and results, time that of one evaluation more. Arguments and results are
    pytrees; the function must be pure. Raises `TraceError` if it uses a traced array that is not an argument.
    Within `debug_nonfinite` it is `function` itself, so that the operation at fault is found.
    """

    @wraps(function)
    def evaluate(*args: Any, **options: Any) -> Any:
        leaves, structure = flatten(args)
        places = [i for i, leaf in enumerate(leaves) if type(leaf) is Traced]
        if not places or observer.get() is not None:
            return function(*args, **options)
        out_structure: Any = None
        constants: list = []

        def on_leaves(*values: Any) -> tuple:
            nonlocal out_structure, constants
            out, out_structure = flatten(function(*unflatten(structure, list(values)), **options))
            if newest_level(out) > newest_level(values):
                raise TraceError("a checkpointed function uses a traced array that is not among its arguments: pass it")
            constants = [None if differentiable(leaf) else (leaf,) for leaf in out]
            return tuple(leaf for leaf, constant in zip(out, constants, strict=True) if constant is None)

        on_traced, *traced = of_places(on_leaves, places, leaves, {})

        def rule(out: tuple, *values: Array) -> Callable:
            again = checkpoint(lambda values, seeds: vjp(on_traced, *values)[1](seeds))  # for higher orders

            def pull(*cotangents: Any) -> tuple:
                seeds = [ops.zeros_like(y) if g is None else g for g, y in zip(cotangents, out, strict=True)]
                return again(values, tuple(seeds))

            return pull

        made = iter(primitive(getattr(function, "__name__", "function"), on_traced, joint=rule)(*traced))
        return unflatten(out_structure, [next(made) if constant is None else constant[0] for constant in constants])

    return evaluate
