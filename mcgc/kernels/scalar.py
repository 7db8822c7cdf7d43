"""Philox and the normal transform for one block of numbers, as scalar functions that Numba's compilers take.

Written once for the CPU and for CUDA: integers are cast back to 32 bits at every step, products of 32 bits are formed
in 64, and the float32 path holds no float64. It has no branches and no library calls, so that a loop over blocks
becomes vector instructions. The meaning is `mcgc.random.philox` and `mcgc.random.normal`.
"""

import math

import numpy as np

from mcgc import random

M0, M1 = np.uint64(random.MULTIPLIERS[0]), np.uint64(random.MULTIPLIERS[1])
W0, W1 = np.uint32(random.WEYL[0]), np.uint32(random.WEYL[1])
WORD = np.uint64(32)

F = np.float32
HALF, ONE, SCALE = F(0.5), F(1), F(2.0**-32)
SQRT2 = F(math.sqrt(2))
ANGLE, ANGLE64 = F(math.pi / 4 * 2.0**-30), math.pi / 4 * 2.0**-30
LN2_HIGH, LN2_LOW = F(0.693359375), F(-2.12194440e-4)  # log 2; an exponent times the first is exact
# minimax polynomials of Cephes (Moshier 1992): log(1 + f) on (√½ − 1, √2 − 1), sine and cosine on (−π/4, π/4)
L0, L1, L2 = F(7.0376836292e-2), F(-1.1514610310e-1), F(1.1676998740e-1)
L3, L4, L5 = F(-1.2420140846e-1), F(1.4249322787e-1), F(-1.6668057665e-1)
L6, L7, L8 = F(2.0000714765e-1), F(-2.4999993993e-1), F(3.3333331174e-1)
# the same for (eˣ − 1 − x) / x² on (−½ log 2, ½ log 2); 1.5 · 2²³ rounds what is added to it to an integer
E0, E1, E2 = F(1.9875691500e-4), F(1.3981999507e-3), F(8.3334519073e-3)
E3, E4, E5 = F(4.1665795894e-2), F(1.6666665459e-1), F(5.0000001201e-1)
LOG2E, ROUNDER, LOWEST = F(1 / math.log(2)), F(1.5 * 2**23), F(-126 * math.log(2))
S0, S1, S2 = F(-1.9515295891e-4), F(8.3321608736e-3), F(-1.6666654611e-1)
C0, C1, C2 = F(2.443315711809948e-5), F(-1.388731625493765e-3), F(4.166664568298827e-2)


def philox_round(c0, c1, c2, c3, k0, k1):
    """Return the counter words after one round of Philox4x32 with the round's key words, all uint32."""
    p0, p1 = np.uint64(c0) * M0, np.uint64(c2) * M1
    return (
        np.uint32(np.uint32(p1 >> WORD) ^ c1 ^ k0),
        np.uint32(p1),
        np.uint32(np.uint32(p0 >> WORD) ^ c3 ^ k1),
        np.uint32(p0),
    )


def next_key(k0, k1):
    """Return the key words of the next round."""
    return np.uint32(k0 + W0), np.uint32(k1 + W1)


def exp32(x):
    """Return eˣ of a float32 that is at most 0, to 2 ulps: 0 where it would be subnormal, and NaN of NaN."""
    t = x * LOG2E + ROUNDER
    n = t - ROUNDER
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = (((((E0 * r + E1) * r + E2) * r + E3) * r + E4) * r + E5) * r * r + r + ONE
    power = np.int32(np.int64(np.float32(t).view(np.int32)) << 23)  # n in the place of the exponent
    found = np.int32(np.float32(p).view(np.int32) + power).view(np.float32)
    return found if x >= LOWEST else (F(0) if x < LOWEST else x)


def quarter_turns(word):
    """Part an angle in units of 2π 2⁻³² into quarter turns, 0 to 3, and a signed remainder in units of π/4 2⁻³⁰."""
    return np.uint32(word >> np.uint32(30)), np.int32(np.int32(word & np.uint32(0x3FFFFFFF)) * 2 + (1 - 2**30))


def normal_pair32(b, c):
    """Return two normal float32 numbers from two words, uint32."""
    u = (F(b) + HALF) * SCALE
    bits = np.float32(u).view(np.int32)
    mantissa = np.int32((bits & np.int32(0x007FFFFF)) | np.int32(0x3F800000)).view(np.float32)
    exponent = F(np.int32((bits >> np.int32(23)) - np.int32(127)))
    upper = mantissa > SQRT2
    f = (mantissa * HALF if upper else mantissa) - ONE
    exponent = exponent + ONE if upper else exponent
    z = f * f
    p = (((((((L0 * f + L1) * f + L2) * f + L3) * f + L4) * f + L5) * f + L6) * f + L7) * f + L8
    log = f + (f * z * p + exponent * LN2_LOW - HALF * z) + exponent * LN2_HIGH
    radius = F(math.sqrt(F(-2) * min(log, F(0))))

    quarter, remainder = quarter_turns(c)
    a = F(remainder) * ANGLE
    s = a * a
    sine = ((S0 * s + S1) * s + S2) * s * a + a
    cosine = ((C0 * s + C1) * s + C2) * s * s - HALF * s + ONE
    odd = (quarter & np.uint32(1)) != np.uint32(0)
    x = -sine if odd else cosine
    y = cosine if odd else sine
    turned = -radius if quarter >= np.uint32(2) else radius
    return turned * x, turned * y


def normal_pair64(b, c):
    """Return two normal float64 numbers from two words, uint32."""
    radius = math.sqrt(-2.0 * math.log((np.float64(b) + 0.5) * 2.0**-32))
    quarter, remainder = quarter_turns(c)
    a = np.float64(remainder) * ANGLE64
    sine, cosine = math.sin(a), math.cos(a)
    odd = (quarter & np.uint32(1)) != np.uint32(0)
    x = -sine if odd else cosine
    y = cosine if odd else sine
    turned = -radius if quarter >= np.uint32(2) else radius
    return turned * x, turned * y
