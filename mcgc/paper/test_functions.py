"""Test functions by name, each with its minimum, and with its smoothed form g where that has a closed form.

Functions map points (..., d) to values (...), so that many starts run at once. Smoothed forms have λ as a second
argument, a number or an array of shape () (`mcgc.continuation.smoothing`). Formulas and domains are those of Surjanovic
and Bingham's virtual library of simulation experiments (2013), where the paper has none.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, NamedTuple

from mcgc._integers import whole
from mcgc._shapes import Array
from mcgc.autodiff import ops
from mcgc.continuation.smoothing import as_floats_like, bump, cosine, is_zero, power
from mcgc.errors import InputError, unknown

Values = Callable[[Array], Array]
Smoothed = Callable[[Array, Any], Array]


class Function(NamedTuple):
    """A function to minimise, and what is known of it.

    Parameters
    ----------
    name : str
        Its name.
    function : function (points) → values
        f, from points (..., d) to values (...).
    dimension : int
        d.
    minimizers : tuple of points
        All global minimisers.
    value : float
        The value of f there.
    start : point
        Where a search starts.
    domain : pair of floats
        The bounds of each coordinate.
    smoothed : function (points, lam) → values, optional
        g, or None where it has no closed form.
    """

    name: str
    function: Values
    dimension: int
    minimizers: tuple[tuple[float, ...], ...]
    value: float
    start: tuple[float, ...]
    domain: tuple[float, float]
    smoothed: Smoothed | None


def _total(terms: Array) -> Array:
    return ops.sum(terms, axis=-1)


def _quartic(dimension: int) -> Function:
    """θ⁴ − θ³ − θ² + θ, of figures 1 to 3: a local minimum at 1, the global one at −(1 + √17)/8."""
    if dimension != 1:
        raise InputError(f"the quartic has dimension 1, got {dimension}")
    terms = ((1, 4), (-1, 3), (-1, 2), (1, 1))

    def smooth(theta: Array, lam: Any) -> Array:
        return _total(sum(c * power(theta, lam, n) for c, n in terms))

    best = -(1 + math.sqrt(17)) / 8
    value = sum(c * best**n for c, n in terms)
    return Function("quartic", lambda x: smooth(x, 0.0), 1, ((best,),), value, (1.5,), (-1.5, 2.0), smooth)


def _saddle(dimension: int, name: str, a: float) -> Function:
    """Eq. 9, with θ̂ = ±(2, …, 2): two equal minima, and a saddle point between them at the origin."""

    def smooth(theta: Array, lam: Any) -> Array:
        centres = [as_floats_like([c] * dimension, theta) for c in (2.0, -2.0)]
        squares = sum(_total(power(theta - centre, lam, 2)) for centre in centres)
        return a * squares - sum(bump(centre, theta, lam) for centre in centres)

    def wells(t: float) -> tuple[float, float]:
        return math.exp(-dimension * (t - 2) ** 2 / 2), math.exp(-dimension * (t + 2) ** 2 / 2)

    t = 2.0  # both minima lie on the diagonal, where ∂f/∂θ = 0 reads t = 2 (E₁ − E₂) / (4a + E₁ + E₂)
    for _ in range(100):
        near, far = wells(t)
        t = 2 * (near - far) / (4 * a + near + far)
    value = a * dimension * ((t - 2) ** 2 + (t + 2) ** 2) - sum(wells(t))
    minimizers = ((t,) * dimension, (-t,) * dimension)
    return Function(name, lambda x: smooth(x, 0.0), dimension, minimizers, value, (3.0,) * dimension, (-4, 4), smooth)


def _rastrigin(dimension: int) -> Function:
    """Σ x² + 10 (1 − cos 2πx)."""

    def smooth(theta: Array, lam: Any) -> Array:
        return _total(power(theta, lam, 2) - 10 * cosine(theta, lam, 2 * math.pi) + 10)

    return _at(0.0, "rastrigin", lambda x: smooth(x, 0.0), dimension, (-5.12, 5.12), smooth)


def _styblinski_tang(dimension: int) -> Function:
    """½ Σ x⁴ − 16x² + 5x."""

    def smooth(theta: Array, lam: Any) -> Array:
        return _total(power(theta, lam, 4) - 16 * power(theta, lam, 2) + 5 * theta) / 2

    # the lowest root of 4x³ − 32x + 5 by the cosine of a third of an angle (Viète)
    best = 2 * math.sqrt(8 / 3) * math.cos(math.acos(-15 / 64 * math.sqrt(3 / 8)) / 3 + 2 * math.pi / 3)
    value = dimension * (best**4 - 16 * best**2 + 5 * best) / 2
    return _at(best, "styblinski-tang", lambda x: smooth(x, 0.0), dimension, (-5.0, 5.0), smooth)._replace(value=value)


def _levy(dimension: int) -> Function:
    """Sin² πw₁ + Σ (wᵢ − 1)² (1 + 10 sin²(πwᵢ + 1)) + (w_d − 1)² (1 + sin² 2πw_d), Σ to d − 1, w = 1 + (x − 1)/4."""

    def bowl(w: Array, lam: Any, weight: float, frequency: float, phase: float) -> Array:
        """E (w − 1)² (1 + h − h cos(kw + c)) for w + √λ ε, weight h: the product has a closed form of its own."""
        u, k, damped = w - 1, frequency, partial(cosine, w, lam, frequency)
        if is_zero(lam):
            return u * u * (1 + weight - weight * damped(phase))
        wave = (u * u + lam - (k * lam) ** 2) * damped(phase) - 2 * k * lam * u * damped(phase - math.pi / 2)
        return (1 + weight) * power(u, lam, 2) - weight * wave

    def smooth(theta: Array, lam: Any) -> Array:
        w, lam = 1 + (theta - 1) / 4, lam / 16
        first, inner, last = w[..., 0], w[..., :-1], w[..., -1]
        ripple = (1 - cosine(first, lam, 2 * math.pi)) / 2
        return ripple + _total(bowl(inner, lam, 5.0, 2 * math.pi, 2.0)) + bowl(last, lam, 0.5, 4 * math.pi, 0.0)

    return _at(1.0, "levy", lambda x: smooth(x, 0.0), dimension, (-10.0, 10.0), smooth)


def _ackley(dimension: int) -> Function:
    """20 + e − 20 exp(−0.2 √(mean x²)) − exp(mean cos 2πx)."""

    def f(theta: Array) -> Array:
        square = ops.mean(ops.square(theta), axis=-1)
        apart = square > 0  # at the minimum itself the root has no derivative: 0 is taken for it
        root = ops.where(apart, ops.sqrt(ops.where(apart, square, 1.0)), 0.0)
        waves = ops.exp(ops.mean(ops.cos(2 * math.pi * theta), axis=-1))
        return 20 + math.e - 20 * ops.exp(-0.2 * root) - waves

    return _at(0.0, "ackley", f, dimension, (-32.768, 32.768), None)


def _griewank(dimension: int) -> Function:
    """1 + Σ x²/4000 − Π cos(xᵢ/√i)."""

    def smooth(theta: Array, lam: Any) -> Array:
        waves = (cosine(theta[..., i], lam, 1 / math.sqrt(i + 1)) for i in range(dimension))
        return 1 + _total(power(theta, lam, 2)) / 4000 - reduce(lambda x, y: x * y, waves)

    return _at(0.0, "griewank", lambda x: smooth(x, 0.0), dimension, (-600.0, 600.0), smooth)


def _rosenbrock(dimension: int) -> Function:
    """Σ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)², for d ≥ 2."""
    if dimension < 2:
        raise InputError(f"the Rosenbrock function has at least 2 dimensions, got {dimension}")

    def smooth(theta: Array, lam: Any) -> Array:
        x, y = theta[..., :-1], theta[..., 1:]
        valley = power(y, lam, 2) - 2 * y * power(x, lam, 2) + power(x, lam, 4)
        return _total(100 * valley + power(1 - x, lam, 2))

    return _at(1.0, "rosenbrock", lambda x: smooth(x, 0.0), dimension, (-5.0, 10.0), smooth)


def _at(
    best: float, name: str, f: Values, dimension: int, domain: tuple[float, float], smooth: Smoothed | None
) -> Function:
    """Return the function with one minimum (best, …, best), of value 0, and the start (3, …, 3) of appendix D."""
    return Function(name, f, dimension, ((best,) * dimension,), 0.0, (3.0,) * dimension, domain, smooth)


_FUNCTIONS: dict[str, Callable[[int], Function]] = {
    "quartic": _quartic,
    "good-saddle": partial(_saddle, name="good-saddle", a=0.01),
    "bad-saddle": partial(_saddle, name="bad-saddle", a=0.02),
    "rastrigin": _rastrigin,
    "styblinski-tang": _styblinski_tang,
    "levy": _levy,
    "ackley": _ackley,
    "griewank": _griewank,
    "rosenbrock": _rosenbrock,
}


def names() -> Sequence[str]:
    """Return the names of all test functions.

    Returns
    -------
    sequence of str
        The names.

    Examples
    --------
    >>> from mcgc.paper import test_functions
    >>> test_functions.names()[:3]
    ('quartic', 'good-saddle', 'bad-saddle')
    """
    return tuple(_FUNCTIONS)


def get(name: str, dimension: int | None = None) -> Function:
    """Return a test function by name.

    Parameters
    ----------
    name : str
        One of `names()`.
    dimension : int, optional
        The dimension, by default 2, of the quartic 1.

    Returns
    -------
    Function
        The function.

    Raises
    ------
    InputError
        If there is none of that name, or none of that dimension.

    Examples
    --------
    >>> from mcgc.paper import test_functions
    >>> rastrigin = test_functions.get("rastrigin", 3)
    >>> rastrigin.minimizers, rastrigin.value, rastrigin.start
    (((0.0, 0.0, 0.0),), 0.0, (3.0, 3.0, 3.0))
    """
    if name not in _FUNCTIONS:
        raise InputError(unknown("test function", name, _FUNCTIONS))
    if dimension is None:
        dimension = 1 if name == "quartic" else 2
    return _FUNCTIONS[name](whole(dimension, "the dimension of a test function"))
