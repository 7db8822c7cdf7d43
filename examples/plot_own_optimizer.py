"""
Write an optimiser
==================

An optimiser is a pair of pure functions. `init(theta)` gives a state. `update(gradient, state, theta)` gives the
updates, which are added to θ, and the next state. Anything of this form drives θ, and log λ too.
"""

# %%
# Lion (Chen et al. 2023) moves each parameter by the sign of a mean of gradients.

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from mcgc import Key, fold_in, ops
from mcgc.continuation import continuation, descent
from mcgc.optim import Optimizer, adam


class LionState(NamedTuple):
    steps: int
    mean: np.ndarray


def lion(learning_rate, beta1=0.9, beta2=0.99):
    def update(gradient, state, theta):
        direction = ops.sign(beta1 * state.mean + (1 - beta1) * gradient)
        mean = beta2 * state.mean + (1 - beta2) * gradient
        return -learning_rate * direction, LionState(state.steps + 1, mean)

    return Optimizer(lambda theta: LionState(0, ops.zeros_like(theta)), update)


# %%
# The same objective with Adam and with Lion, without and with continuation. Its minimum is 0, and it has a local one
# in every cell. Both descents stay in the cell of their start. With continuation both leave it.


def rough(theta, batch):
    return ops.sum(theta * theta / 20 + 1 - ops.cos(2 * np.pi * theta))


how = {"log_lam0": 0.0, "estimator": "antithetic", "num_samples": 4, "beta": 0.01}
for name, optimizer in (("Adam", adam(0.03)), ("Lion", lion(0.01))):
    for label, method in (
        (name, descent(rough, optimizer)),
        (f"{name}, continuation", continuation(rough, optimizer, adam(0.02), **how)),
    ):
        state, values = method.init([3.3, -2.3]), []
        for i in range(2000):
            state, info = method.step(state, None, fold_in(Key(0), i))
            values.append(rough(state.theta, None))
        plt.plot(values, label=label)
plt.xlabel("step"), plt.ylabel("f(θ)"), plt.legend()
plt.show()
