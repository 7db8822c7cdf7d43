"""Activation functions of nets, elementwise, and the functions they are made of."""

import math

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff.engine import Primitive, strip
from mcgc.autodiff.ops.elementwise import exp, where
from mcgc.autodiff.ops.rows import unary


def _relu(x: Array) -> Array:
    """Return max(x, 0), whose derivative at 0 is taken to be 0."""
    return namespace_of(x).maximum(x, 0)


def _sigmoid(x: Array) -> Array:
    """Return σ(x) = 1 / (1 + e⁻ˣ), to full relative accuracy in both tails."""
    xp = namespace_of(x)
    tail = xp.exp(-xp.abs(x))
    return xp.where(x < 0, tail, xp.ones_like(x)) / (1 + tail)


def _softplus(x: Array) -> Array:
    """Return log(1 + eˣ), without overflow."""
    xp = namespace_of(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


STEP, TERMS, REACH = 0.25, 25, 6.0  # erf is 1 to rounding beyond REACH; from n = TERMS on terms are below 1e-18


def _erf(x: Array) -> Array:
    """Return erf x = 2/√π ∫₀ˣ e^(−t²) dt.

    The trapezoidal rule of step h in the Fourier domain, (2/π) (hx + Σ e^(−n²h²) sin(2nhx) / n), errs by the images of
    the Gaussian at distance π/h (Poisson summation): for |x| ≤ 6 and h = ¼ by less than rounding.
    """
    xp = namespace_of(x)
    angle = xp.clip(x, -REACH, REACH) * (2 * STEP)
    series = sum(math.exp(-((n * STEP) ** 2)) / n * xp.sin(n * angle) for n in range(1, TERMS))
    return xp.where(xp.abs(x) < REACH, (angle + 2 * series) / math.pi, xp.sign(x))


relu = unary("relu", lambda out, x: lambda g: where(strip(x) > 0, g, 0), _relu)
sigmoid: Primitive = unary("sigmoid", lambda out, x: lambda g: g * out * sigmoid(-x), _sigmoid)  # 1 − σ(x) would cancel
softplus = unary("softplus", lambda out, x: lambda g: g * sigmoid(x), _softplus)
erf = unary("erf", lambda out, x: lambda g: g * (2 / math.sqrt(math.pi)) * exp(-x * x), _erf)


def silu(x: Array, /) -> Array:
    """Return x σ(x) (Elfwing et al. 2018)."""
    return x * sigmoid(x)


def gelu(x: Array, /) -> Array:
    """Return x Φ(x) = ½ x (1 + erf(x/√2)), the exact form, not that by tanh (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))
