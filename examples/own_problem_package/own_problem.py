"""A problem of your own as a package: `pip install .`, then `mcgc fit --problem pendulum`.

The entry point in `pyproject.toml` gives the command its name. The problem learns the motion of a damped pendulum.
"""

from types import SimpleNamespace

import numpy as np
from scipy.integrate import solve_ivp

from mcgc.train import Settings
from mcgc.train.problems import neural_ode

RECIPE = Settings(
    "pendulum",
    beta=1e-2,
    log_lam0=-14.0,
    learning_rate=3e-3,
    learning_rate_lam=1e-2,
    epochs=200,
    batch_size=4,
    estimator="pathwise",
    rtol=1e-4,
    atol=1e-5,
)


def load(path):
    """Return the data: times (T,), parameters (series, 1), and angle and speed (series, T, 2).

    The command hands over the path of `--dataset`, or None. This problem computes its data, and needs no file.
    """
    times, damping = np.linspace(0.0, 4.0, 21), np.linspace(0.1, 0.5, 8)[:, None]
    solutions = [
        solve_ivp(lambda t, y, c: (y[1], -np.sin(y[0]) - c * y[1]), (0.0, 4.0), (1.5, 0.0), t_eval=times, args=(c,))
        for c in damping[:, 0]
    ]
    return SimpleNamespace(times=times, parameters=damping, series=np.stack([found.y.T for found in solutions]))


# The net takes angle, speed and damping, and gives the rates of angle and speed.
pendulum = neural_ode(RECIPE, sizes=(3, 16, 16, 2), activation="tanh", summary="a damped pendulum")._replace(load=load)
