"""Two bodies on a line, each on a spring of its own, that hit each other: six parameters from both positions.

A hit keeps the momentum, and turns the relative speed round, times the restitution. Steps are symplectic.
"""

import numpy as np
from numba import njit

from bench.studies.stuck.instances import drawn, filled

TIMES = np.linspace(0.1, 20.0, 200)
STEP, STEPS = 0.01, 10
SCALE = np.asarray([0.8, 0.8, 0.4, 0.08, 0.4, 0.4])


@njit(cache=True)
def _march(points, out):
    for r in range(len(points)):
        first, second, mass, restitution, x, y = points[r]
        y += 1.0
        u, v = 0.0, 0.0
        for i in range(out.shape[1]):
            for _ in range(STEPS):
                u -= STEP * first * (x + 0.5)
                v -= STEP * second / mass * (y - 0.5)
                x += STEP * u
                y += STEP * v
                if x >= y and u > v:
                    change = (1.0 + restitution) * (u - v) / (1.0 + mass)
                    u, v = u - mass * change, v + change
            out[r, i, 0], out[r, i, 1] = x, y


def simulate(points):
    """Return both positions (k, times, 2), NaN where a parameter has the wrong sign, or the bodies begin in reverse."""
    valid = (points[:, :3] > 0.05).all(axis=1) & (points[:, 3] > 0) & (points[:, 3] <= 1)
    valid &= points[:, 4] < points[:, 5] + 1
    return filled(_march, points, valid, 0.5, (TIMES.size, 2))


def instance(seed):
    """Return an instance: each parameter is off by a normal number of scales."""
    return drawn(simulate, [1.5, 1.5, 0.5, 0.75, -2.0, 0.5], [4.0, 4.0, 2.0, 0.95, -1.0, 1.5], SCALE, TIMES, seed)
