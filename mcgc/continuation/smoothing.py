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
from mcgc._shapes import Array, Float, Real
from mcgc.arrays import as_floats, as_number
from mcgc.autodiff import ops
from mcgc.errors import InputError

MOST_DIMENSIONS = 3


def smoothed(
    f: Callable[[Array], Array], theta: Real[Array, "*points d"], lam: Any, order: int = 40
) -> Float[Array, "*points"]:
    """Return g(θ, λ) = Σᵢ wᵢ f(θ + √λ xᵢ) over the product of d Gauss–Hermite rules.

    A rule of order n is exact for polynomials of degree 2n − 1 in each variable. A cosine of frequency k needs √(2n)
    well above k√λ.

    Parameters
    ----------
    f : function (points) → values
        Maps points (..., d) to values (...).
    theta : array of shape (..., d)
        The points, with d ≤ 3.
    lam : float or array of shape ()
        λ.
    order : int
        The number n of nodes in each variable.

    Returns
    -------
    array of shape (...)
        g at each point.

    Raises
    ------
    InputError
        If θ has no last axis of 1 to 3 elements, or `order` is not a positive integer.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import ops
    >>> from mcgc.continuation.smoothing import smoothed
    >>> print(smoothed(lambda x: ops.sum(x**2, axis=-1), np.asarray([1.0, 2.0]), 0.5).round(12))  # ‖θ‖² + λd
    6.0
    """
    theta = as_floats(theta, "theta")
    if theta.ndim == 0 or not 1 <= theta.shape[-1] <= MOST_DIMENSIONS:
        raise InputError(f"quadrature needs points of 1 to {MOST_DIMENSIONS} dimensions, got theta of {theta.shape}")
    order = whole(order, "the order of a quadrature")
    nodes, weights = (as_floats_like(part, theta) for part in _rule(order, theta.shape[-1]))
    values = f(theta[..., None, :] + ops.sqrt(as_floats_like(lam, theta)) * nodes)
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


def as_floats_like(value: Any, like: Array) -> Array:
    """Return numbers as an array of the dtype and on the device of another.

    Parameters
    ----------
    value : number, sequence of numbers or array
        The numbers. An array of floats is returned itself.
    like : array
        The other array.

    Returns
    -------
    array
        The array.

    Raises
    ------
    InputError
        If `value` is none of these (`mcgc.arrays.as_floats`).

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.continuation.smoothing import as_floats_like
    >>> as_floats_like([1, 2], np.zeros(3, "float32"))
    array([1., 2.], dtype=float32)
    """
    return as_floats(as_number(value) if isinstance(value, int | float) else value, "the number", like)


def quadratic(
    matrix: Real[Array, "d d"], vector: Real[Array, "d"], theta: Real[Array, "*points d"], lam: Any
) -> Float[Array, "*points"]:
    """Return g of f = ½ θᵀAθ + bᵀθ: g = f + ½ λ tr A.

    Parameters
    ----------
    matrix : array of shape (d, d)
        A.
    vector : array of shape (d,)
        b.
    theta : array of shape (..., d)
        The points.
    lam : float or array of shape ()
        λ.

    Returns
    -------
    array of shape (...)
        g at each point.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> from mcgc.continuation.smoothing import quadratic
    >>> print(quadratic([[2.0, 0.0], [0.0, 4.0]], [0.0, 0.0], [1.0, 1.0], 0.5))
    4.5
    """
    theta = as_floats(theta, "theta")
    matrix, vector = as_floats(matrix, "the matrix", theta), as_floats(vector, "the vector", theta)
    if (*matrix.shape, *vector.shape) != 3 * theta.shape[-1:] or theta.ndim == 0 or matrix.ndim != 2:
        raise InputError(
            f"theta (..., d) needs a matrix (d, d) and a vector (d,), got shapes {tuple(theta.shape)}, "
            f"{tuple(matrix.shape)} and {tuple(vector.shape)}"
        )
    trace = sum(matrix[i, i] for i in range(matrix.shape[0]))
    f = ops.sum(theta * (theta @ matrix) / 2 + vector * theta, axis=-1)
    return f + as_floats_like(lam, theta) / 2 * trace


def bump(centre: Real[Array, "d"], theta: Real[Array, "*points d"], lam: Any) -> Float[Array, "*points"]:
    """Return g of f = exp(−‖θ − c‖²/2): g = (1 + λ)^(−d/2) exp(−‖θ − c‖²/(2(1 + λ))).

    Parameters
    ----------
    centre : array of shape (d,)
        c.
    theta : array of shape (..., d)
        The points.
    lam : float or array of shape ()
        λ.

    Returns
    -------
    array of shape (...)
        g at each point.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> from mcgc.continuation.smoothing import bump
    >>> print(bump([1.0, 1.0], [1.0, 1.0], 1.0))
    0.5
    """
    theta = as_floats(theta, "theta")
    centre = as_floats(centre, "the centre", theta)
    if theta.ndim == 0 or centre.shape != theta.shape[-1:]:
        raise InputError(f"theta (..., d) needs a centre (d,), got {tuple(theta.shape)} and {tuple(centre.shape)}")
    width = 1 + as_floats_like(lam, theta)
    return width ** (-theta.shape[-1] / 2) * ops.exp(-ops.sum(ops.square(theta - centre), axis=-1) / (2 * width))


def cosine(x: Real[Array, "..."], lam: Any, frequency: Any = 1.0, phase: float = 0.0) -> Float[Array, "..."]:
    """Return E cos(k (x + √λ ε) + c) = exp(−λk²/2) cos(kx + c), elementwise.

    For f = cos(k·θ) of a vector k, take x = k·θ/‖k‖ and the frequency ‖k‖.

    Parameters
    ----------
    x : array
        The points, of any shape.
    lam : float or array of shape ()
        λ.
    frequency, phase : float
        k and c.

    Returns
    -------
    array
        The expected value at each point, of the shape of x.

    Examples
    --------
    >>> import math
    >>> from mcgc.continuation.smoothing import cosine
    >>> print(cosine([0.0], 2 * math.log(2)))
    [0.5]
    """
    x = as_floats(x, "x")
    wave = ops.cos(frequency * x + phase)
    return wave if is_zero(lam) else ops.exp(-as_floats_like(lam, x) * (frequency * frequency / 2)) * wave


def power(x: Real[Array, "..."], lam: Any, n: int) -> Float[Array, "..."]:
    """Return E (x + √λ ε)ⁿ = Σⱼ n! / (j! (n − 2j)! 2ʲ) λʲ xⁿ⁻²ʲ, elementwise: the moments of a Gaussian.

    Parameters
    ----------
    x : array
        The points, of any shape.
    lam : float or array of shape ()
        λ.
    n : int
        The exponent, at least 0.

    Returns
    -------
    array
        The expected value at each point, of the shape of x.

    Raises
    ------
    InputError
        If n is not an integer of at least 0.

    Examples
    --------
    >>> from mcgc.continuation.smoothing import power
    >>> print(power([1.0, 2.0], 0.5, 2))  # x² + λ
    [1.5 4.5]
    """
    x = as_floats(x, "x")
    if not isinstance(n, int) or n < 0:
        raise InputError(f"the exponent is an integer of at least 0, got {n!r}")
    if is_zero(lam):
        return x**n
    lam = as_floats_like(lam, x)
    terms = [
        math.factorial(n) / (math.factorial(j) * math.factorial(n - 2 * j) * 2**j) * x ** (n - 2 * j) * lam**j
        for j in range(n // 2 + 1)
    ]
    return sum(terms[1:], start=terms[0])


def is_zero(lam: Any) -> bool:
    """Tell whether λ is the number 0. Then g is f, and needs none of the work of smoothing.

    Parameters
    ----------
    lam : float or array of shape ()
        λ. Arrays are not read, so one that holds 0 is not the number 0.

    Returns
    -------
    bool
        Whether it is.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.continuation.smoothing import is_zero
    >>> is_zero(0.0), is_zero(np.asarray(0.0))
    (True, False)
    """
    return isinstance(lam, int | float) and lam == 0
