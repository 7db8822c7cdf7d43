"""
Fit your own time series
========================

A neural ODE learns dy/dt = net(y, p) from series of a damped oscillator. It trains on windows of one interval first,
and on whole series last. Then it predicts a series that it has not seen.
"""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np

from mcgc import train
from mcgc.arrays import HOST
from mcgc.train import Settings, problems

# %%
# The data are times (T,), parameters (S, P) and series (S, T, D). Each series has its own frequency and damping.

times = np.linspace(0.0, 6.0, 25)
parameters = np.asarray([[w, c] for w in np.linspace(1.0, 2.0, 6) for c in (0.1, 0.2, 0.3)])
w, c = parameters[:, :1], parameters[:, 1:]
decay = np.exp(-c * times)
series = np.stack([decay * np.cos(w * times), -decay * np.sin(w * times)], axis=-1)
data = SimpleNamespace(times=times, parameters=parameters, series=series)

# %%
# A problem is a net and a recipe. The net takes two states and two parameters, and returns two derivatives.

recipe = Settings(
    "oscillator",
    beta=1e-2,
    log_lam0=-14.0,
    learning_rate=3e-3,
    learning_rate_lam=1e-2,
    epochs=200,
    batch_size=4,
    estimator="pathwise",
    rate_schedule="cosine",
    horizons="1:2,4:1,all:1",
    standardize=True,
    rtol=1e-4,
    atol=1e-5,
)
problem = problems.neural_ode(recipe, sizes=(4, 32, 32, 2), activation="tanh")
task = train.bind(problem.recipe, data, HOST, problem)
for record, members in train.epochs(task, train.draw(task)):  # noqa: B007
    if record.epoch % 50 == 0:
        print(f"epoch {record.epoch}: windows of {record.horizon}, test MSE {record.test_loss[0]:.2g}")

# %%
# The best state predicts the test set, which was not trained on.

predicted = problem.predict(task.settings, task.scaling)(members[0].best.theta, task.test)
for i in range(2):
    plt.plot(times, task.test.states[0, :, i], "o", color=f"C{i}", label=f"state {i}, not trained on")
    plt.plot(times, predicted[0, :, i], color=f"C{i}", label=f"state {i}, predicted")
plt.xlabel("time"), plt.legend()
plt.show()
