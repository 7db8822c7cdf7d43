"""The repressilator, a ring of three genes of which each represses the next: five rates of each from its proteins."""

import numpy as np

from bench.studies.stuck.instances import instance_of, simulator
from mcgc import jit, ops

TIMES = np.linspace(0.5, 30.0, 60)
OFF = 0.35
TYPICAL = np.repeat([20.0, 1.0, 2.5, 1.0, 1.0], 3)  # strength, threshold, Hill exponent, production, decay


@jit
def field(t, y, p):
    """Return dy/dt: messengers y₀ to y₂, and proteins y₃ to y₅. All messengers decay at rate 1."""
    rates = p["rates"]
    messengers, proteins = [], []
    for i in range(3):
        strength, threshold, power, made, decay = (rates[:, 3 * j + i] for j in range(5))
        repressor = ops.where(y[:, 3 + (i + 2) % 3] > 1e-12, y[:, 3 + (i + 2) % 3], 1e-12)
        messengers.append(strength / (1 + (repressor / threshold) ** power) - y[:, i])
        proteins.append(made * y[:, i] - decay * y[:, 3 + i])
    return ops.stack([*messengers, *proteins], axis=1)


def decode(points):
    """Return the rates of points, their logarithms."""
    return {"rates": np.exp(np.clip(points, -20, 20))}


def instance(seed):
    """Return an instance: the logarithm of each rate is off by a normal number of scales."""
    rng = np.random.default_rng(seed)
    true = np.log(TYPICAL) + 0.2 * rng.standard_normal(15)
    x0 = true + OFF * rng.standard_normal(15)
    simulate = simulator(field, [0.0, 0.0, 0.0, 2.0, 1.0, 3.0], TIMES, [3, 4, 5], decode)
    return instance_of(simulate, true, x0, np.full(15, OFF), TIMES, rng)
