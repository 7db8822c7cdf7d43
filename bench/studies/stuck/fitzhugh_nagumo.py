"""The FitzHugh–Nagumo oscillator, seen only after its first ten units of time: three parameters."""

import numpy as np

from bench.studies.stuck.instances import instance_of, simulator
from mcgc import jit, ops

TIMES = np.linspace(10.1, 20.0, 100)
SCALE = np.asarray([0.3, 0.3, 2.0])


@jit
def field(t, y, p):
    """Return dy/dt of the FitzHugh–Nagumo oscillator."""
    return ops.stack(
        [p["c"] * (y[:, 0] - y[:, 0] ** 3 / 3 + y[:, 1]), -(y[:, 0] - p["a"] + p["b"] * y[:, 1]) / p["c"]], axis=1
    )


def decode(points):
    """Return the parameters of points. None are for c ≤ 0.1, where the time scale would be lost."""
    a, b, c = points.T
    return {"a": a.copy(), "b": b.copy(), "c": np.where(c > 0.1, c, np.nan)}


def instance(seed):
    """Return an instance: each parameter is off by a normal number of scales."""
    rng = np.random.default_rng(seed)
    true = rng.uniform([0.1, 0.1, 2.0], [0.4, 0.4, 4.0])
    simulate = simulator(field, [-1.0, 1.0], TIMES, [0, 1], decode)
    while True:
        x0 = true + SCALE * rng.standard_normal(3)
        if x0[2] > 0.5:
            return instance_of(simulate, true, x0, SCALE, TIMES, rng)
