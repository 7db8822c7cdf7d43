"""What the classes of stuck problems share: an instance, and the fit of a field to noisy series."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mcgc.ode import solve

NOISE = 0.05  # of the standard deviation of each series
NEAR = 1.5  # an instance is solved by a cost of at most this multiple of that of the true parameters


class Instance(NamedTuple):
    """One problem to be solved.

    `residuals` maps points (k, m) to (k, n), in units of the standard deviation of each series, with NaN where the
    simulation fails. `times` (n,) are those of the residuals. `threshold` is the cost at which it is solved.
    """

    residuals: Callable[[np.ndarray], np.ndarray]
    x0: np.ndarray
    x_scale: np.ndarray
    times: np.ndarray
    threshold: float
    true: np.ndarray


def instance_of(simulate, true, x0, x_scale, times, rng):
    """Return the instance whose data are a simulation at the true parameters, with noise.

    `simulate` maps points (k, m) to series (k, times, observed).
    """
    clean = simulate(true[None])[0]
    spread = clean.std(axis=0)
    data = clean + NOISE * spread * rng.standard_normal(clean.shape)
    with np.errstate(all="ignore"):
        residuals = lambda x: ((simulate(x) - data) / spread).reshape(len(x), -1)
        cost = float((residuals(true[None]) ** 2).sum() / 2)
    return Instance(residuals, x0, x_scale, np.repeat(times, clean.shape[1]), NEAR * cost, true)


def drawn(simulate, lowest, highest, x_scale, times, seed):
    """Return the instance of a seed: true parameters uniform in a box, and a start off by normal numbers of scales."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(lowest, highest)
    while True:
        x0 = true + x_scale * rng.standard_normal(true.size)
        if np.isfinite(simulate(x0[None])).all():
            return instance_of(simulate, true, x0, x_scale, times, rng)


def filled(march, points, valid, stand_in, shape):
    """Return the series (k, *shape) that `march(points, out)` computes, NaN where a point is not valid."""
    found = np.empty((len(points), *shape))
    march(np.where(valid[:, None], points, stand_in), found)
    found[~valid] = np.nan
    return found


def simulator(field, y0, times, observed, decode, rtol=1e-6, atol=1e-8, max_steps=5000):
    """Return the function from points (k, m) to the observed states (k, times, observed) of a field's solution.

    `decode` makes the field's parameters, one row a point, of the points. A solution that fails, or takes more than
    `max_steps` steps, is NaN.
    """
    ts = np.concatenate([[0.0], times]) if times[0] > 0 else times

    def simulate(points):
        with np.errstate(all="ignore"):
            params = decode(points)
            start = np.tile(np.asarray(y0, dtype="float64"), (len(points), 1))
            found = solve(field, start, ts, params, rtol=rtol, atol=atol, max_steps=max_steps, throw=False)
        return found.ys[:, -len(times) :, observed]

    return simulate
