"""
Train a net of your own
=======================

A net is a function of one flat vector θ. An objective is a function (θ, batch) → scalar. Gaussian continuation and
plain descent take the same objective. On this net both find the wave, and descent is faster. Continuation is for
objectives on which descent gets stuck.
"""

import matplotlib.pyplot as plt
import numpy as np

from mcgc import Key, fold_in, losses, nets
from mcgc.continuation import continuation, descent
from mcgc.optim import adam

x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
y = np.sin(6 * x)
sizes = (1, *(16,) * 10, 1)


def objective(theta, batch):
    return losses.mse(nets.apply(theta, x, sizes, "relu"), y)


# %%
# The noise on each parameter starts at √λ = e⁻⁴. λ is learned along with θ, and falls.

how = {"log_lam0": -8.0, "estimator": "antithetic", "beta": 1e-3}
for name, method in (
    ("descent", descent(objective, adam(1e-3))),
    ("continuation", continuation(objective, adam(1e-3), adam(1e-2), **how)),
):
    state, path = method.init(nets.init(Key(1), sizes)), []
    for i in range(600):
        state, info = method.step(state, None, fold_in(Key(0), i))
        path.append(float(objective(state.theta, None)))
    plt.semilogy(path, label=name)
    print(f"{name}: mean squared error {path[-1]:.2g}, log λ {float(state.log_lam):.1f}")
plt.xlabel("step"), plt.ylabel("mean squared error"), plt.legend()
plt.show()
