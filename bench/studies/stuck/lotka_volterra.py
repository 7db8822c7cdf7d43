"""Predator and prey over 50 units of time, the prey alone seen: four rates, each off by a factor of up to five."""

import numpy as np

from bench.studies.stuck.instances import instance_of, simulator
from mcgc import jit, ops

TIMES = np.linspace(0.5, 50.0, 100)
OFF = np.log(5.0)


@jit
def field(t, y, p):
    """Return dy/dt of the Lotka–Volterra system."""
    return ops.stack([y[:, 0] * (p["a"] - p["b"] * y[:, 1]), y[:, 1] * (p["d"] * y[:, 0] - p["c"])], axis=1)


def decode(points):
    """Return the rates of points, their logarithms."""
    return dict(zip(("a", "b", "c", "d"), np.exp(np.clip(points, -20, 20)).T.copy(), strict=True))


def instance(seed):
    """Return an instance: the logarithm of each rate is off by a uniform number within ±log 5."""
    rng = np.random.default_rng(seed)
    true = np.log(rng.uniform([0.5, 0.8, 0.8, 0.8], [1.2, 1.6, 2.0, 1.6]))
    x0 = true + OFF * rng.uniform(-1, 1, 4)
    return instance_of(simulator(field, [1.0, 1.0], TIMES, [0], decode), true, x0, np.full(4, OFF), TIMES, rng)
