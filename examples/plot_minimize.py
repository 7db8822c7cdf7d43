"""
Minimise a function with many minima
====================================

Rastrigin's function has a local minimum near every point with integer coordinates. A descent ends in the one next to
its start. `mcgc.minimize` smooths the function with Gaussian noise of variance λ, and follows the minimum as λ falls.
"""

# %%
# The function is written with NumPy. Its global minimum is 0, at (0, 0).

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize as descend

import mcgc


def rastrigin(x):
    return np.sum(x**2 - 10 * np.cos(2 * np.pi * x) + 10)


start = [3.0, 3.0]
path = [start]
found = mcgc.minimize(rastrigin, start, seed=0, callback=path.append)
stuck = descend(mcgc.value_and_grad(rastrigin), np.asarray(start), jac=True)
print(f"continuation: f = {found.fun:.2g} at {found.x.round(3)}, {found.nfev} evaluations")
print(f"descent alone: f = {stuck.fun:.2g} at {stuck.x.round(3)}")

# %%
# While λ is large, the path crosses the ripples. It settles when λ falls.

axis = np.linspace(-4.5, 4.5, 181)
values = np.asarray([[rastrigin(np.asarray([x, y])) for x in axis] for y in axis])
path = np.asarray(path)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.contourf(axis, axis, values, levels=20, cmap="Blues")
left.plot(*path.T, color="C1", linewidth=1, label="continuation")
left.plot(*stuck.x, "s", color="C3", label="descent alone")
left.plot(*found.x, "*", color="C1", markersize=14)
left.set(xlabel="x₁", ylabel="x₂", aspect="equal")
left.legend(loc="lower left")
right.semilogy(np.exp(found.log_lam))
right.set(xlabel="step", ylabel="λ")
plt.show()
