"""A converter whose switch closes below one voltage and opens above another: five parameters from its voltage.

L i' = s U − v − R i with i ≥ 0 (a diode), and C v' = i − v/load. The switch s looks at each step of the clock.
"""

import numpy as np
from numba import njit

from bench.studies.stuck.instances import drawn, filled

TIMES = np.linspace(0.1, 20.0, 200)
STEP, STEPS = 0.01, 10
SUPPLY, RESISTANCE = 10.0, 0.1
SCALE = np.asarray([0.3, 0.3, 0.8, 0.4, 0.4])


@njit(cache=True)
def _march(points, out):
    for r in range(len(points)):
        inductance, capacity, load, low, high = points[r]
        current, voltage, closed = 0.0, 0.0, True
        for i in range(out.shape[1]):
            for _ in range(STEPS):
                closed = voltage < low or (closed and voltage < high)
                drive = SUPPLY if closed else 0.0
                current += STEP * (drive - voltage - RESISTANCE * current) / inductance
                current = max(current, 0.0)
                voltage += STEP * (current - voltage / load) / capacity
            out[r, i, 0] = voltage


def simulate(points):
    """Return the voltages (k, times, 1), NaN where a part is too small or the thresholds are in the wrong order."""
    valid = (points[:, :3] > 0.1).all(axis=1) & (points[:, 3] < points[:, 4])
    return filled(_march, points, valid, 1.0, (TIMES.size, 1))


def instance(seed):
    """Return an instance: each parameter is off by a normal number of scales."""
    return drawn(simulate, [0.6, 0.6, 2.0, 3.5, 5.0], [1.5, 1.5, 5.0, 4.5, 6.5], SCALE, TIMES, seed)
