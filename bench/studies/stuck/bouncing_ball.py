"""A ball that bounces on a floor: height, speed, gravity, restitution and floor from noisy heights."""

import numpy as np

from bench.studies.stuck.instances import drawn

TIMES = np.linspace(0.0, 10.0, 201)
SCALE = np.asarray([0.5, 1.0, 2.0, 0.08, 0.2])


def simulate(points):
    """Return the heights (k, times, 1): parabolas from bounce to bounce, and rest once bounces accumulate."""
    h, v, g, e, floor = points.T
    valid = (g > 0.1) & (e > 0) & (e < 1) & (h > floor)
    g, e = np.where(valid, g, 10.0), np.where(valid, e, 0.5)
    h, start = np.where(valid, h - floor, 1.0), np.zeros(len(points))
    found = np.zeros((len(points), TIMES.size))
    for _ in range(60):
        end = start + (v + np.sqrt(v**2 + 2 * g * np.maximum(h, 0))) / g
        t = TIMES - start[:, None]
        within = (t >= 0) & (end[:, None] > TIMES)
        found = np.where(within, h[:, None] + v[:, None] * t - g[:, None] / 2 * t**2, found)
        v, h, start = e * np.sqrt(v**2 + 2 * g * np.maximum(h, 0)), np.zeros(len(points)), end
        if (start > TIMES[-1]).all():
            break
    return np.where(valid[:, None], found + floor[:, None], np.nan)[..., None]


def instance(seed):
    """Return an instance: the start is off by a normal number of scales in each parameter."""
    return drawn(simulate, [1.0, -1.0, 8.0, 0.85, -0.2], [3.0, 1.0, 12.0, 0.95, 0.2], SCALE, TIMES, seed)
