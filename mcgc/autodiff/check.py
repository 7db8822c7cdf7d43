"""`check_grads`: derivatives against finite differences along random directions."""

from collections.abc import Callable
from typing import Any

from mcgc import arrays
from mcgc.arrays import Device, device_of, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.autodiff.pytree import flatten, tree_map, unflatten
from mcgc.autodiff.transforms import vjp
from mcgc.errors import McgcError
from mcgc.random import Key, fold_in, normal

STENCIL = ((1, 8.0 / 12), (2, -1.0 / 12))  # f'(0) ≈ Σ w (f(kh) − f(−kh)) / h, error O(h⁴)


class GradientMismatch(McgcError, AssertionError):
    """A derivative differs from its finite difference."""


def check_grads(
    function: Callable[..., Any], *args: Any, order: int = 2, rtol: float = 1e-6, atol: float = 1e-8, step: float = 1e-3
) -> None:
    """Check the derivatives of `function` at `args` against finite differences.

    For a random direction u in each argument and a random cotangent w of the output, wᵀJu from the pullback is compared
    with the fourth-order central difference of wᵀf along u.

    Parameters
    ----------
    function : callable
        A function of pytrees of arrays that returns such a pytree.
    *args : pytrees
        The arguments, with float64 leaves.
    order : int
        The highest order of derivatives. For 2 the pullback is checked in the same way as the function, and so on.
    rtol, atol : float
        The allowed difference is `atol + rtol * size`, where size is the product of the norms of u and Jᵀw.
    step : float
        The increment of the finite differences.

    Raises
    ------
    GradientMismatch
        If a derivative differs by more than that, or has another shape or dtype than its argument.

    Examples
    --------
    >>> import mcgc
    >>> mcgc.check_grads(lambda x: mcgc.ops.sin(x) * x, 0.5)
    """
    args = tuple(tree_map(lambda x: arrays.scalar(x) if type(x) is float else x, arg) for arg in args)
    key = fold_in(Key(0), order)
    out, pullback = vjp(function, *args)
    cotangent = _random_like(fold_in(key, 0), out)
    gradients = pullback(cotangent)
    for i, (arg, bar) in enumerate(zip(args, gradients, strict=True)):
        for x, g in zip(flatten(arg)[0], flatten(bar)[0], strict=True):
            if g.shape != x.shape or g.dtype != x.dtype:
                raise GradientMismatch(
                    f"the derivative for argument {i} has shape {g.shape} and dtype {g.dtype}, the argument "
                    f"{x.shape} and {x.dtype}"
                )
        direction = _random_like(fold_in(key, i + 1), arg)
        reverse = _inner(bar, direction)
        numeric = 0.0
        for k, weight in STENCIL:
            ends = (function(*args[:i], _move(arg, s * k * step, direction), *args[i + 1 :]) for s in (1, -1))
            up, down = (_inner(cotangent, end) for end in ends)
            numeric += weight * (up - down) / step
        size = (_inner(bar, bar) * _inner(direction, direction)) ** 0.5
        if not abs(reverse - numeric) <= atol + rtol * size:
            raise GradientMismatch(
                f"derivative of order {order} or less, argument {i}: reverse mode gives {reverse!r}, finite "
                f"differences give {numeric!r}, at {args!r}"
            )
    if order > 1:
        check_grads(
            lambda *xs: vjp(function, *xs)[1](cotangent),
            *args,
            order=order - 1,
            rtol=rtol,
            atol=atol,
            step=step,
        )


def _random_like(key: Key, tree: Any) -> Any:
    leaves, structure = flatten(tree)
    drawn = []
    for i, leaf in enumerate(leaves):
        plain = arrays.scalar(leaf) if type(leaf) is float else strip(leaf)
        device = Device("", namespace_of(plain), device_of(plain))
        drawn.append(normal(fold_in(key, i), plain.shape, plain.dtype, device))
    return unflatten(structure, drawn)


def _move(tree: Any, distance: float, direction: Any) -> Any:
    leaves, structure = flatten(tree)
    return unflatten(structure, [x + distance * u for x, u in zip(leaves, flatten(direction)[0], strict=True)])


def _inner(left: Any, right: Any) -> float:
    pairs = zip(flatten(left)[0], flatten(right)[0], strict=True)
    return float(sum(float(arrays.to_host(strip(ops.sum(a * b)))) for a, b in pairs))
