"""Residuals that other processes import: a linear model, and a chirp in which Levenberg–Marquardt gets stuck."""

import numpy as np

RNG = np.random.default_rng(0)
MATRIX, DATA = RNG.normal(size=(12, 3)), RNG.normal(size=12)
SPAN = np.linspace(0, 10, 80)


def linear(x):
    """Return the residuals of the linear model."""
    return MATRIX @ x - DATA


def wave(x):
    """Return the residuals of the chirp."""
    return np.sin(x[0] * SPAN + 0.1 * x[1] * SPAN**2) - np.sin(3 * SPAN + 0.1 * SPAN**2)
