"""A block on a moving belt, held by a spring, that sticks and slips: five parameters from its positions.

x'' = −k x − c x' + F with dry friction |F| ≤ μ against the belt's speed; the block sticks while less than μ holds it.
Steps are those of Moreau: the friction takes what it can of the relative speed within a step.
"""

import numpy as np
from numba import njit

from bench.studies.stuck.instances import drawn, filled

TIMES = np.linspace(0.15, 30.0, 200)
STEP, STEPS = 0.01, 15  # the step in time, and the steps between two times
SCALE = np.asarray([1.0, 0.05, 0.4, 0.2, 0.5])


@njit(cache=True)
def _march(points, out):
    for r in range(len(points)):
        k, c, friction, belt, x = points[r]
        v = 0.0
        for i in range(out.shape[1]):
            for _ in range(STEPS):
                v += STEP * (-k * x - c * v)
                slip = v - belt
                taken = STEP * friction
                v = belt if abs(slip) <= taken else v - taken * np.sign(slip)
                x += STEP * v
            out[r, i, 0] = x


def simulate(points):
    """Return the positions (k, times, 1), NaN where a parameter has the wrong sign."""
    return filled(_march, points, (points[:, :3] > 0).all(axis=1), 1.0, (TIMES.size, 1))


def instance(seed):
    """Return an instance: each parameter is off by a normal number of scales."""
    return drawn(simulate, [2.0, 0.02, 0.6, 0.3, -1.0], [6.0, 0.1, 1.5, 0.8, 1.0], SCALE, TIMES, seed)
