"""Activation functions of nets, elementwise, and the functions they are made of."""

import math

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff.engine import Primitive, strip
from mcgc.autodiff.ops.elementwise import clip, exp, minimum, where
from mcgc.autodiff.ops.rows import real, unary


def _relu(x: Array) -> Array:
    """Return max(x, 0), whose derivative at 0 is 0."""
    return namespace_of(x).maximum(x, 0)


def _sigmoid(x: Array) -> Array:
    """Return σ(x) = 1 / (1 + e⁻ˣ), to full relative accuracy in both tails."""
    xp, x = namespace_of(x), real("sigmoid", x)
    tail = xp.exp(-xp.abs(x))
    return xp.where(x < 0, tail, xp.ones_like(x)) / (1 + tail)


def _softplus(x: Array) -> Array:
    """Return log(1 + eˣ), without overflow."""
    xp, x = namespace_of(x), real("softplus", x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


STEP, TERMS, REACH = 0.25, 25, 6.0  # erf is 1 to rounding beyond REACH; from n = TERMS on terms are below 1e-18


def _erf(x: Array) -> Array:
    """Return erf x = 2/√π ∫₀ˣ e^(−t²) dt.

    The trapezoidal rule of step h in the Fourier domain, (2/π) (hx + Σ e^(−n²h²) sin(2nhx) / n), errs by the images of
    the Gaussian at distance π/h (Poisson summation): for |x| ≤ 6 and h = ¼ by less than rounding.
    """
    xp, x = namespace_of(x), real("erf", x)
    if hasattr(xp, "erf"):  # the symbolic arrays of jit have it, the standard has not
        return xp.erf(x)
    angle = xp.clip(x, -REACH, REACH) * (2 * STEP)
    series = sum(math.exp(-((n * STEP) ** 2)) / n * xp.sin(n * angle) for n in range(1, TERMS))
    return xp.where(xp.abs(x) < REACH, (angle + 2 * series) / math.pi, xp.sign(x))


relu = unary("relu", lambda out, x: lambda g: where(strip(x) > 0, g, 0), _relu)
sigmoid: Primitive = unary("sigmoid", lambda out, x: lambda g: g * out * sigmoid(-x), _sigmoid)  # 1 − σ(x) would cancel
softplus = unary("softplus", lambda out, x: lambda g: g * sigmoid(x), _softplus)
erf = unary("erf", lambda out, x: lambda g: g * (2 / math.sqrt(math.pi)) * _bell(x), _erf)


def _bell(x: Array) -> Array:
    """Return e^(−x²), which is 0 to rounding beyond 200; there x² might overflow."""
    near = clip(x, -200, 200)
    return exp(-near * near)


def _gated(x: Array, gate: Array) -> Array:
    """Return x · gate, and 0 where the gate is 0, at x = −∞ too."""
    return namespace_of(gate).where(gate == 0, gate, x) * gate


def _silu(x: Array) -> Array:
    """Return x σ(x) (Elfwing et al. 2018)."""
    x = real("silu", x)
    return _gated(x, _sigmoid(x))


def _gelu(x: Array) -> Array:
    """Return x Φ(x) = ½ x (1 + erf(x/√2)), the exact form, not that by tanh (Hendrycks and Gimpel 2016)."""
    x = real("gelu", x)
    return 0.5 * _gated(x, 1 + _erf(x * math.sqrt(0.5)))


def _slope_of_silu(out: Array, x: Array) -> Array:
    """Return σ(x) + x σ(x) σ(−x), without ∞ · 0 at x = ∞."""
    return sigmoid(x) + minimum(out, 1e4) * sigmoid(-x)


def _slope_of_gelu(x: Array) -> Array:
    """Return Φ(x) + x Φ′(x), without ∞ · 0 at x = ±∞."""
    y = x * math.sqrt(0.5)
    return 0.5 * (1 + erf(y)) + clip(x, -1e4, 1e4) * (_bell(y) / math.sqrt(2 * math.pi))


silu = unary("silu", lambda out, x: lambda g: g * _slope_of_silu(out, x), _silu)
gelu = unary("gelu", lambda out, x: lambda g: g * _slope_of_gelu(x), _gelu)
