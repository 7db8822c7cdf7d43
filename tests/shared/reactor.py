"""A table of small simulated reactor runs: times of each run's own, gaps, noise, and a constant or a varying input."""

import numpy as np
from scipy.integrate import solve_ivp


def reactor(runs=8, seed=0, missing=0.07, noise=0.02, varying=False):
    """Return columns run, time, feed, A and B of dA/dt = feed − 2 A, dB/dt = 2 A − B, in long form."""
    rng = np.random.default_rng(seed)
    columns = {name: [] for name in ("run", "time", "feed", "A", "B")}
    for run in range(runs):
        level, slope = rng.uniform(0.5, 1.5), rng.uniform(-0.2, 0.2) if varying else 0.0
        times = np.sort(rng.uniform(0, 4, rng.integers(9, 14)))
        times[0] = 0.0
        feed = lambda t, level=level, slope=slope: level + slope * t
        rate = lambda t, y, feed=feed: [feed(t) - 2 * y[0], 2 * y[0] - y[1]]
        states = solve_ivp(rate, (0, 4), rng.uniform(0, 1, 2), t_eval=times, rtol=1e-8).y.T
        states = states + noise * rng.normal(size=states.shape)
        states[1:][rng.random(states[1:].shape) < missing] = np.nan
        columns["run"] += [f"r{run}"] * len(times)
        columns["time"] += times.tolist()
        columns["feed"] += feed(times).tolist() if varying else [level] * len(times)
        columns["A"] += states[:, 0].tolist()
        columns["B"] += states[:, 1].tolist()
    return columns


def csv_of(columns):
    """Return columns as the text of a CSV file, with empty cells where a number is missing."""
    cell = lambda value: "" if value != value else str(value)
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(cell, row)) for row in rows)]) + "\n"
