"""Equations that several tests fit, each compiled once: fields for `mcgc.estimate`, and data from SciPy's solver."""

import numpy as np
from scipy.integrate import solve_ivp

TRUE = {"a": 0.8, "b": 4 / 3, "c": 1.5}
FITZHUGH = {"a": 0.2, "b": 0.2, "c": 3.0}


def lotka_volterra(t, y, p):
    u, v = y
    return [p["a"] * u - p["b"] * u * v, -p["c"] * v + p["b"] * u * v]


def driven(t, y, p, u):
    return [-p["k"] * y[0] + p["g"] * u["feed"]]


def line(t, y, p):
    return [p["a"] + p["b"] * t]


def explosion(t, y, p):
    return [p["k"] * y[0] ** 2]


def fitzhugh_nagumo(t, y, p):
    v, r = y
    return [p["c"] * (v - v**3 / 3 + r), -(v - p["a"] + p["b"] * r) / p["c"]]


def solution(field, y0, times, *rest, method="DOP853", rtol=1e-10, atol=1e-12):
    """Return the states (times, states) from the start at time 0, by SciPy."""
    times = np.asarray(times, float)
    found = solve_ivp(lambda t, y: field(t, y, *rest), (0.0, times[-1]), y0, method, times, rtol=rtol, atol=atol)
    return found.y.T
