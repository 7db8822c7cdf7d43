"""The step size control of one trajectory, in numbers: `mcgc.ode._control` has its meaning, for batches.

The source is plain Python: it is compiled for the march of dense nets, and written into that of jitted fields.
"""

# mypy: disable-error-code="name-defined"
import math

import numpy as np
from numpy import floor

from mcgc.ode._control import GROW, INTEGRAL, PROPORTIONAL, SAFETY, SHRINK

SMALLEST = math.log2(1e-4)  # of an error that counts: it stands for that of the step before the first
LARGEST = math.log2(1e10)


def log2_of(x):
    """Return log₂ x of a positive normal float64, to 1e-14: arithmetic alone, of which compilers make vectors.

    x = 2ᵉ m with m in [√½, √2), and ln m = 2 artanh s, s = (m − 1)/(m + 1), by its series.
    """
    bits = np.float64(x).view(np.int64)
    e = (bits - np.int64(0x3FE6A09E667F3BCD)) >> 52
    m = np.int64(bits - (e << 52)).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    q2 = q * q
    low = (1 + q * (1 / 3)) + q2 * (1 / 5 + q * (1 / 7))
    high = (1 / 9 + q * (1 / 11)) + q2 * (1 / 13 + q * (1 / 15))
    series = low + (q2 * q2) * (high + (q2 * q2) * (1 / 17 + q * (1 / 19)))
    return np.float64(e) + 2.8853900817779268 * s * series


def exp2_of(y):
    """Return 2ʸ of a float64 from −1000 to 1000, to 1e-14: the series of exp between −½ ln 2 and ½ ln 2."""
    n = floor(y + 0.5)
    r = (y - n) * 0.6931471805599453
    r2 = r * r
    low = (1 + r) + r2 * (1 / 2 + r * (1 / 6))
    middle = (1 / 24 + r * (1 / 120)) + r2 * (1 / 720 + r * (1 / 5040))
    high = (1 / 40320 + r * (1 / 362880)) + r2 * (1 / 3628800 + r * (1 / 39916800))
    series = low + (r2 * r2) * (middle + (r2 * r2) * high)
    return series * np.int64((np.int64(n) + 1023) << 52).view(np.float64)


def adapt(norm, last, was_rejected, order):
    """Compute `control.adapt` for one trajectory: accepted, factor, and log₂ of the last error, which `last` was."""
    finite = math.isfinite(norm)
    size = log2_of(min(max(norm, 1e-10), 1e10)) if finite else LARGEST
    accepted = finite and norm <= 1
    factor = SAFETY * exp2_of(((PROPORTIONAL * last if accepted else 0.0) - INTEGRAL * size) / order)
    highest = 1.0 if was_rejected and accepted else GROW
    factor = min(max(floor(1024 * factor) / 1024, SHRINK), highest)
    return accepted, factor, min(max(size, SMALLEST), 0.0) if accepted else last


def growth(steepest, h0, order):
    """Return by how much a first step is larger than the trial step h0, from the steepest slope that was found."""
    return min(max(floor((0.01 / max(steepest, 1e-15)) ** (1 / order) * 1024 / h0) / 1024, 1 / 1024), 100.0)
