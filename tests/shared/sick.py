"""Tables, and the settings with which a run on them is healthy, or sick of one cause."""

from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp


class Case(NamedTuple):
    """A run: what a diagnosis should name ("" for nothing), the table, and the arguments of `mcgc.fit`."""

    cause: str
    table: dict[str, Any]
    how: dict[str, Any]


def digits(scale=1.0):
    """Return the handwritten digits of scikit-learn as a table, with pixels of that scale."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return {f"p{i}": pixel * scale for i, pixel in enumerate(found.data.T)} | {"y": [f"c{k}" for k in found.target]}


def lorenz(seed):
    """Return 8 series of the Lorenz system with 40 times each."""
    rng, times = np.random.default_rng(seed), np.linspace(0, 2, 40)
    rate = lambda t, y: [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]
    starts = rng.uniform(-10, 10, (8, 3)) + np.array([0, 0, 25])
    series = np.concatenate([solve_ivp(rate, (0, 2), start, t_eval=times, rtol=1e-8).y.T for start in starts])
    series = series + 0.05 * rng.normal(size=series.shape)
    names = {"run": np.repeat([f"r{i}" for i in range(8)], 40).tolist(), "t": np.tile(times, 8)}
    return names | dict(zip("xyz", series.T, strict=True))


def cases(seed):
    """Return the runs that a diagnosis is tested by, each made to have one cause, and a healthy one."""
    rows = {"task": "classification", "target": "y", "epochs": 20, "hidden": "32,32", "batch_size": 64, "seed": seed}
    deep = {"hidden": "32x29", "batch_size": 128, "init": "xavier-uniform"}
    too_fast = {"learning_rate": 3.0, "rate_schedule": "constant", "weight_decay": 1e-3}
    series = {"task": "dynamics", "group": "run", "epochs": 60, "hidden": "32,32", "horizons": "all", "seed": seed}
    series |= {"learning_rate": 1e-3, "clip": 0.1}
    return {
        "plain net of 30 layers": Case("line", digits(), rows | deep),
        "dead ReLU": Case("dead-units", digits(), rows | too_fast),
        "softmax of softmax": Case("softmax-of-softmax", digits(), rows | {"loss": "softmax-cross-entropy"}),
        "too long a horizon": Case("long-horizon", lorenz(seed), series),
        "unscaled inputs": Case("unscaled-inputs", digits(1000.0), rows | {"standardize": False}),
        "healthy": Case("", digits(), rows),
    }


def csv_of(table):
    """Return a table as the text of a CSV file."""
    rows = zip(*table.values(), strict=True)
    return "\n".join([",".join(table), *(",".join(map(str, row)) for row in rows)]) + "\n"
