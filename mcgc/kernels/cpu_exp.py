"""The exponential and the hyperbolic tangent of float32 as arithmetic alone, which a loop over them makes vectors of.

A call of the C library for each number takes about ten times as long. The polynomials are those of Cephes (Moshier
1992). Both functions are within 2 units in the last place. float64 has the functions of the C library.
"""

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

F = np.float32
LOG2E, LN2_HIGH, LN2_LOW = F(1.44269504088896341), F(0.693359375), F(-2.12194440e-4)
LOWEST, HIGHEST = F(-104.0), F(88.72284)  # exp is 0 below the first, and infinite above the second
E0, E1, E2 = F(1.9875691500e-4), F(1.3981999507e-3), F(8.3334519073e-3)
E3, E4, E5 = F(4.1665795894e-2), F(1.6666665459e-1), F(5.0000001201e-1)
T0, T1, T2 = F(-5.70498872745e-3), F(2.06390887954e-2), F(-5.37397155531e-2)
T3, T4 = F(1.33314422036e-1), F(-3.33332819422e-1)
ONE, TWO, NEAR = F(1), F(2), F(0.625)


def exp32(x):
    """Return eˣ = 2ⁿ eʳ, with r in (−½ log 2, ½ log 2), of a float32."""
    inside = min(max(x, LOWEST), HIGHEST)
    n = np.floor(inside * LOG2E + F(0.5))
    r = (inside - n * LN2_HIGH) - n * LN2_LOW
    p = (((((E0 * r + E1) * r + E2) * r + E3) * r + E4) * r + E5) * (r * r) + r + ONE
    power = np.int32(n)
    half = np.int32(power >> np.int32(1))  # 2ⁿ by two factors: it may be subnormal, or 2¹²⁸
    first = np.int32((half + np.int32(127)) << np.int32(23)).view(np.float32)
    second = np.int32((power - half + np.int32(127)) << np.int32(23)).view(np.float32)
    found = p * first * second
    return found if x <= HIGHEST else x + F(np.inf)  # of NaN too


def tanh32(x):
    """Return tanh x of a float32: x + x³ P(x²) near 0, and ±(1 − 2 / (1 + e^{2|x|})) elsewhere."""
    far = abs(x)
    tail = ONE - TWO / (_exp32(far + far) + ONE)
    s = x * x
    near = ((((T0 * s + T1) * s + T2) * s + T3) * s + T4) * s * x + x
    return near if far < NEAR else (-tail if x < 0 else tail)


_exp32, _tanh32 = register_jitable(exp32), register_jitable(tanh32)


def exp(x):
    """Return eˣ of a float32 or float64."""
    return exp32(x) if isinstance(x, np.float32) else np.exp(x)


def tanh(x):
    """Return tanh x of a float32 or float64."""
    return tanh32(x) if isinstance(x, np.float32) else np.tanh(x)


@overload(exp)
def _choose_exp(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: np.exp(x)


@overload(tanh)
def _choose_tanh(x):
    if x == types.float32:
        return lambda x: _tanh32(x)
    return lambda x: np.tanh(x)
