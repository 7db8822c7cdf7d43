"""The Lotka–Volterra data, against an independent integration and the conserved quantity."""

import itertools

import numpy as np
from mcgc_datasets import lotka_volterra


def taylor(state, a, c, span, order=24, steps=8):
    """Advance the Lotka–Volterra system by `span` with its Taylor series, by Leibniz' recurrence."""
    for _ in range(steps):
        u, v = (np.zeros((order + 1, *a.shape)) for _ in range(2))
        u[0], v[0] = state
        for k in range(order):
            uv = sum(u[i] * v[k - i] for i in range(k + 1))
            u[k + 1] = (a * u[k] - 4 / 3 * uv) / (k + 1)
            v[k + 1] = (4 / 3 * uv - c * v[k]) / (k + 1)
        powers = ((span / steps) ** np.arange(order + 1))[:, None]
        state = tuple((x * powers).sum(axis=0) for x in (u, v))
    return state


def test_series_agree_with_taylor_integration_to_1e_10():
    times, parameters, series = lotka_volterra.build()
    a, c = parameters.T
    rows = [(np.ones(30), np.ones(30))]
    for _ in range(49):
        rows.append(taylor(rows[-1], a, c, 20 / 49))
    expected = np.moveaxis(np.asarray(rows), (0, 1, 2), (1, 2, 0))
    np.testing.assert_allclose(series, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(times, [20 * i / 49 for i in range(50)], rtol=1e-15)


def test_series_keep_the_conserved_quantity():
    _, parameters, series = lotka_volterra.build()
    a, c = parameters.T[:, :, None]
    u, v = np.moveaxis(series, -1, 0)
    conserved = 4 / 3 * (u + v) - c * np.log(u) - a * np.log(v)
    np.testing.assert_allclose(conserved, 8 / 3, rtol=1e-10)
    assert np.ptp(u, axis=1).min() > 0.1  # no series rests where the quantity is trivially kept


def test_parameters_are_the_grid_of_six_a_and_five_c():
    _, parameters, _ = lotka_volterra.build()
    expected = itertools.product((0.5, 0.6, 0.7, 0.8, 0.9, 1.0), (1, 1.25, 1.5, 1.75, 2))
    np.testing.assert_allclose(parameters, list(expected), rtol=1e-15)
