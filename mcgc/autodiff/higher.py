"""Transforms beside `vjp` and `grad`: Jacobians, Hessians, Hessian-vector products, checkpointing, constants."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from mcgc import arrays
from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import Traced, newest_level, observer, strip
from mcgc.autodiff.extend import primitive
from mcgc.autodiff.pytree import flatten, tree_map, unflatten
from mcgc.autodiff.transforms import differentiable, grad, partial_function, several, vjp
from mcgc.errors import TraceError


def jacobian(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return a function that computes the Jacobian ∂yᵢ/∂xⱼ of y = f(x), with one backward pass for each yᵢ.

    Parameters
    ----------
    function : callable
        The function f of pytrees of float arrays, which returns such a pytree y.
    argnums : int or sequence of int
        The positional arguments x to differentiate with respect to. A sequence makes x a tuple.

    Returns
    -------
    callable
        It takes the arguments of f. Its result has the structure of y, where each array of y is replaced by the
        structure of x, where each array of x is replaced by an array of shape `y.shape + x.shape`. It raises
        `TraceError` as `vjp` does.

    Examples
    --------
    >>> import mcgc
    >>> import numpy as np
    >>> mcgc.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    def evaluate(*args: Any, **options: Any) -> Any:
        partial_f, *parts = partial_function(function, argnums, args, options)
        out, pullback = vjp(partial_f, *parts)
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
    """Return the arrays like `like` with one element 1 and the others 0, in order."""
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


def hessian(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return a function that computes the Hessian ∂²f/∂xᵢ∂xⱼ of a scalar function f, the Jacobian of its gradient.

    Parameters
    ----------
    function, argnums
        As for `grad`.

    Returns
    -------
    callable
        It takes the arguments of f. Its result has the structure of x, where each array is replaced by the structure of
        x, with arrays of the two shapes joined. It raises `TraceError` as `vjp` does.

    Examples
    --------
    >>> import mcgc
    >>> import numpy as np
    >>> mcgc.hessian(lambda x: mcgc.ops.prod(x))(np.array([2.0, 3.0]))
    array([[0., 1.],
           [1., 0.]])
    """
    return jacobian(grad(function, argnums), argnums)


def hvp(function: Callable[..., Any], x: Any, v: Any) -> Any:
    """Return the Hessian-vector product ∇²f(x) v of a scalar function f, for the cost of a few gradients.

    The Hessian is symmetric, so this is the pullback of ∇f applied to v.

    Parameters
    ----------
    function : callable
        The scalar function f.
    x, v : pytrees
        The argument and the vector, with equal structure, shapes and dtypes.

    Returns
    -------
    pytree
        The product, which has the structure, shapes and dtypes of x.

    Raises
    ------
    TraceError
        If v is not like x, or the value of f is not a float scalar.

    Examples
    --------
    >>> import mcgc
    >>> import numpy as np
    >>> mcgc.hvp(lambda x: mcgc.ops.sum(x * x * x), np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    return vjp(grad(function), x)[1](v)[0]


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with a derivative that stores the arguments only, and no intermediate values.

    The forward pass is not traced. The backward pass evaluates the function again, traced, and so does each higher
    order. So memory is that of the arguments and results, and time is that of one more evaluation.

    Parameters
    ----------
    function : callable
        A pure function of pytrees that returns a pytree.

    Returns
    -------
    callable
        A function with the arguments, the result and the derivatives of `function`. It raises `TraceError` if
        `function` uses a traced array that is not an argument. Within `debug_nonfinite` it is `function` itself, so
        that the operation at fault is found.

    Examples
    --------
    >>> import mcgc
    >>> float(mcgc.grad(mcgc.checkpoint(lambda x: mcgc.ops.exp(x * x)))(0.0))
    0.0
    """

    @wraps(function)
    def evaluate(*args: Any, **options: Any) -> Any:
        leaves, structure = flatten(args)
        indices = [i for i, leaf in enumerate(leaves) if type(leaf) is Traced]
        if not indices or observer.get() is not None:
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

        on_traced, *traced = partial_function(on_leaves, indices, leaves, {})

        def rule(out: tuple, *values: Array) -> Callable[..., Any]:
            again = checkpoint(lambda values, seeds: vjp(on_traced, *values)[1](seeds))  # for higher orders

            def pullback(*cotangents: Any) -> tuple:
                seeds = [ops.zeros_like(y) if g is None else g for g, y in zip(cotangents, out, strict=True)]
                return again(values, tuple(seeds))

            return pullback

        made = iter(primitive(getattr(function, "__name__", "function"), on_traced, joint=rule)(*traced))
        return unflatten(out_structure, [next(made) if constant is None else constant[0] for constant in constants])

    return evaluate


def stop_gradient(tree: Any) -> Any:
    """Return a pytree with plain arrays in place of traced ones, so that derivatives take it as constant.

    Parameters
    ----------
    tree : pytree
        The pytree.

    Returns
    -------
    pytree
        A pytree of the same structure and values.

    Examples
    --------
    >>> import mcgc
    >>> float(mcgc.grad(lambda x: x * mcgc.stop_gradient(x))(3.0))
    3.0
    """
    return tree_map(strip, tree)
