"""
Differentiate a function written with NumPy
===========================================

mcgc differentiates functions written with NumPy. So you need not rewrite a NumPy model.
"""

# %%
# The model is a damped oscillation with three parameters. The data have noise.

import matplotlib.pyplot as plt
import numpy as np

import mcgc
from mcgc import Key
from mcgc.random import normal

times = np.linspace(0, 6, 60)


def model(p):
    amplitude, damping, frequency = p
    return amplitude * np.exp(-damping * times) * np.cos(frequency * times)


data = model(np.asarray([2.0, 0.4, 3.0])) + 0.1 * normal(Key(0), times.shape, "float64")


def loss(p):
    return np.mean(np.square(model(p) - data))


p = np.asarray([1.5, 0.3, 2.8])
mcgc.check_grads(loss, p)  # against finite differences, to second order
print("gradient", mcgc.grad(loss)(p))
print("Hessian\n", mcgc.hessian(loss)(p))

# %%
# The Jacobian of the model gives the steps of the Gauss–Newton method. At the end it gives the standard errors.

losses = [loss(p)]
for _ in range(6):
    slopes = mcgc.jacobian(model)(p)
    p = p - np.linalg.lstsq(slopes, model(p) - data)[0]
    losses.append(loss(p))
errors = np.sqrt(losses[-1] * np.diag(np.linalg.inv(slopes.T @ slopes)))
print("parameters", p.round(3), "±", errors.round(3))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
left.plot(times, data, ".", label="data")
left.plot(times, model(p), label="fit")
left.set(xlabel="t")
left.legend()
right.semilogy(losses, "o-")
right.set(xlabel="step", ylabel="mean squared error")
plt.show()
