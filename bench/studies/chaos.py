"""The spread of estimates of ∂g/∂θ where the horizon is chaotic: from gradients, from values, and mixed.

    python -m bench.studies.chaos

f(θ) is the mean squared distance of the Lorenz system with parameters θ = (σ, ρ, β) from that with (10, 28, 8/3), over
20 times a unit up to T, from the start (1, 1, 20), where θ is (10, 28, 8/3). Prints the table of docs/estimators.md:
the standard deviation of the estimate of ∂f/∂ρ at √λ = 0.1 from 16 draws, over 100 estimates.
"score-baseline" takes values alone.
"""

import math

import numpy as np

import mcgc
from mcgc import Key, fold_in, ops
from mcgc.continuation import estimate
from mcgc.ode import solve

TRUE, START = np.array([10.0, 28.0, 8 / 3]), np.array([1.0, 1.0, 20.0])
HORIZONS, DRAWS, ESTIMATES, LOG_LAM = (1, 2, 5, 10, 20), 16, 100, 2 * math.log(0.1)
WAYS = {"pathwise": {}, "score-baseline": {"gradient": "score"}, "mixture": {}}


@mcgc.jit
def lorenz(t, y, p):
    """Return the field of the Lorenz system for rows of states and of parameters."""
    x, u, z = y[:, 0], y[:, 1], y[:, 2]
    sigma, rho, beta = p[:, 0], p[:, 1], p[:, 2]
    return ops.stack([sigma * (u - x), x * (rho - z) - u, x * u - beta * z], axis=1)


def distance(horizon):
    """Return f of points (n, 3), each of which is solved on its own steps."""
    ts = np.linspace(0, horizon, 20 * horizon + 1)
    states = lambda theta: solve(lorenz, np.tile(START, (theta.shape[0], 1)), ts, theta, rtol=1e-7, atol=1e-9).ys
    right = states(TRUE[None, :])
    return lambda theta, batch: ops.mean(ops.sum(ops.square(states(theta) - right), axis=2), axis=1)


def spread(estimator, horizon, options):
    """Return the standard deviation of the estimates of ∂f/∂ρ."""
    at = estimate(distance(horizon), estimator, DRAWS, batched=True, **options)
    found = [at(TRUE, LOG_LAM, None, fold_in(Key(horizon), i)).grad_theta[1] for i in range(ESTIMATES)]
    return float(np.std(found, ddof=1))


if __name__ == "__main__":
    print(f"| T | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}")
    for horizon in HORIZONS:
        cells = [f"{spread(name, horizon, options):.2g}" for name, options in WAYS.items()]
        print(f"| {horizon} | {' | '.join(cells)} |", flush=True)
