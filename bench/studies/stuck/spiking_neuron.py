"""A neuron that integrates, leaks, fires and adapts: five parameters from its voltage.

v' = (E − v + R(t) − w)/τ and w' = −w/τ_w with τ_w = 5. At the threshold v falls to 0 and w grows by b. The input R is
a known sum of sines on a constant to be found.
"""

import numpy as np
from numba import njit

from bench.studies.stuck.instances import drawn, filled

TIMES = np.linspace(0.1, 20.0, 200)
STEP, STEPS = 0.01, 10
SCALE = np.asarray([0.3, 0.2, 0.3, 0.2, 0.3])


@njit(cache=True)
def _march(points, out):
    for r in range(len(points)):
        tau, threshold, drive, gain, jump = points[r]
        v, w = 0.0, 0.0
        for i in range(out.shape[1]):
            for s in range(STEPS):
                t = STEP * (i * STEPS + s)
                pushed = drive + gain * (np.sin(1.3 * t) + np.sin(3.1 * t))
                v += STEP * (pushed - v - w) / tau
                w -= STEP * w / 5.0
                if v >= threshold:
                    v = 0.0
                    w += jump
            out[r, i, 0] = v


def simulate(points):
    """Return the voltages (k, times, 1), NaN where the time constant or the threshold is too small."""
    valid = (points[:, :2] > 0.1).all(axis=1)
    return filled(_march, points, valid, 1.0, (TIMES.size, 1))


def instance(seed):
    """Return an instance: each parameter is off by a normal number of scales."""
    return drawn(simulate, [0.7, 0.8, 1.5, 0.3, 0.2], [1.5, 1.2, 2.5, 0.8, 0.8], SCALE, TIMES, seed)
