"""Exact smoothing: g(θ, λ) = E f(θ + √λ ε), ε ~ N(0, I), by Gauss–Hermite quadrature and in closed form.

λ is a number or a 0-dimensional array of the dtype of θ. Arrays may be sequences of numbers, or of integers
(`mcgc.arrays.as_floats`). Everything is differentiable in θ and in λ (by quadrature for λ > 0), so identity (6),
tr ∂²g/∂θ² = 2 ∂g/∂λ, can be checked, and Algorithm 1 run without noise.
"""

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

from mcgc._integers import whole
from mcgc.arrays import Array, as_floats, as_number
from mcgc.autodiff import ops
from mcgc.errors import InputError

MOST_DIMENSIONS = 3


def smoothed(f: Callable[[Array], Array], theta: Array, lam: Any, order: int = 40) -> Array:
    """Return g(θ, λ) = Σᵢ wᵢ f(θ + √λ xᵢ) over the product of d Gauss–Hermite rules of `order` nodes.

    f maps points (..., d) to values (...); θ has shape (..., d) with d ≤ 3, and the result (...). A rule of order n is
    exact for polynomials of degree 2n − 1 in each variable; a cosine of frequency k needs √(2n) well above k√λ.

    Raises `InputError` if θ has no last axis of 1 to 3 elements, or `order` is not a positive integer.
    """
    theta = as_floats(theta, "theta")
    if theta.ndim == 0 or not 1 <= theta.shape[-1] <= MOST_DIMENSIONS:
        raise InputError(f"quadrature needs points of 1 to {MOST_DIMENSIONS} dimensions, got theta of {theta.shape}")
    order = whole(order, "the order of a quadrature")
    nodes, weights = (placed(part, theta) for part in _rule(order, theta.shape[-1]))
    values = f(theta[..., None, :] + ops.sqrt(placed(lam, theta)) * nodes)
    return ops.sum(values * weights, axis=-1)


@cache
def _rule(order: int, dimension: int) -> tuple[list, list]:
    """Return nodes and weights of the product rule for N(0, I), as nested lists of (n, d) and (n,) numbers."""
    from scipy.special import roots_hermitenorm

    nodes, weights, total = roots_hermitenorm(order, mu=True)
    shares = (weights / total).tolist()
    return (
        [list(point) for point in itertools.product(nodes.tolist(), repeat=dimension)],
        [math.prod(parts) for parts in itertools.product(shares, repeat=dimension)],
    )


def placed(value: Any, like: Array) -> Array:
    """Return numbers as an array of the dtype and on the device of `like`; arrays as they are."""
    return as_floats(as_number(value) if isinstance(value, int | float) else value, "the number", like)


def quadratic(matrix: Array, vector: Array, theta: Array, lam: Any) -> Array:
    """Return g of f = ½ θᵀAθ + bᵀθ: f + ½ λ tr A, for θ (..., d), A (d, d) and b (d,)."""
    theta = as_floats(theta, "theta")
    matrix, vector = as_floats(matrix, "the matrix", theta), as_floats(vector, "the vector", theta)
    if (*matrix.shape, *vector.shape) != 3 * theta.shape[-1:] or theta.ndim == 0 or matrix.ndim != 2:
        raise InputError(
            f"theta (..., d) needs a matrix (d, d) and a vector (d,), got shapes {tuple(theta.shape)}, "
            f"{tuple(matrix.shape)} and {tuple(vector.shape)}"
        )
    trace = sum(matrix[i, i] for i in range(matrix.shape[0]))
    f = ops.sum(theta * (theta @ matrix) / 2 + vector * theta, axis=-1)
    return f + placed(lam, theta) / 2 * trace


def bump(centre: Array, theta: Array, lam: Any) -> Array:
    """Return g of f = exp(−‖θ − c‖²/2): (1 + λ)^(−d/2) exp(−‖θ − c‖²/(2(1 + λ))), for θ (..., d) and c (d,)."""
    theta = as_floats(theta, "theta")
    centre = as_floats(centre, "the centre", theta)
    if theta.ndim == 0 or centre.shape != theta.shape[-1:]:
        raise InputError(f"theta (..., d) needs a centre (d,), got {tuple(theta.shape)} and {tuple(centre.shape)}")
    width = 1 + placed(lam, theta)
    return width ** (-theta.shape[-1] / 2) * ops.exp(-ops.sum(ops.square(theta - centre), axis=-1) / (2 * width))


def cosine(x: Array, lam: Any, frequency: Any = 1.0, phase: float = 0.0) -> Array:
    """Return E cos(k (x + √λ ε) + c) = exp(−λk²/2) cos(kx + c), elementwise; k is the `frequency`, c the `phase`.

    For f = cos(k·θ) of a vector k, take x = k·θ/‖k‖ and the frequency ‖k‖.
    """
    x = as_floats(x, "x")
    wave = ops.cos(frequency * x + phase)
    return wave if is_zero(lam) else ops.exp(-placed(lam, x) * (frequency * frequency / 2)) * wave


def power(x: Array, lam: Any, n: int) -> Array:
    """Return E (x + √λ ε)ⁿ = Σⱼ n! / (j! (n − 2j)! 2ʲ) λʲ xⁿ⁻²ʲ, elementwise: the moments of a Gaussian.

    x has any shape, and the result that of x; n is an integer of at least 0.
    """
    x = as_floats(x, "x")
    if not isinstance(n, int) or n < 0:
        raise InputError(f"the exponent is an integer of at least 0, got {n!r}")
    if is_zero(lam):
        return x**n
    lam = placed(lam, x)
    terms = [
        math.factorial(n) / (math.factorial(j) * math.factorial(n - 2 * j) * 2**j) * x ** (n - 2 * j) * lam**j
        for j in range(n // 2 + 1)
    ]
    return sum(terms[1:], start=terms[0])


def is_zero(lam: Any) -> bool:
    """Tell whether λ is the number 0: then g is f, and needs none of the work of smoothing."""
    return isinstance(lam, int | float) and lam == 0
