"""The Lorenz system over ten units of time, all states seen: three parameters, each off by a factor of two."""

import numpy as np

from bench.studies.stuck.instances import instance_of, simulator
from mcgc import jit, ops

TIMES = np.linspace(0.1, 10.0, 100)
OFF = np.log(2.0)


@jit
def field(t, y, p):
    """Return dy/dt of the Lorenz system."""
    return ops.stack(
        [p["s"] * (y[:, 1] - y[:, 0]), y[:, 0] * (p["r"] - y[:, 2]) - y[:, 1], y[:, 0] * y[:, 1] - p["b"] * y[:, 2]],
        axis=1,
    )


def decode(points):
    """Return the parameters of points, their logarithms."""
    return dict(zip(("s", "r", "b"), np.exp(np.clip(points, -20, 20)).T.copy(), strict=True))


def instance(seed):
    """Return an instance: each parameter starts at twice or half its value."""
    rng = np.random.default_rng(seed)
    true = np.log(rng.uniform([9.0, 25.0, 2.3], [11.0, 31.0, 3.0]))
    x0 = true + OFF * rng.choice([-1.0, 1.0], 3)
    return instance_of(
        simulator(field, [5.0, 5.0, 5.0], TIMES, [0, 1, 2], decode), true, x0, np.full(3, OFF), TIMES, rng
    )
