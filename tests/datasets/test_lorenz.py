"""The Lorenz data, against an independent integration."""

import itertools

import numpy as np
from mcgc_datasets import lorenz


def taylor(state, sigma, rho, span, order=24, steps=8):
    """Advance the Lorenz system by `span` with its Taylor series, by Leibniz' recurrence."""
    for _ in range(steps):
        x, y, z = (np.zeros((order + 1, *sigma.shape)) for _ in range(3))
        x[0], y[0], z[0] = state
        for k in range(order):
            xz = sum(x[i] * z[k - i] for i in range(k + 1))
            xy = sum(x[i] * y[k - i] for i in range(k + 1))
            x[k + 1] = sigma * (y[k] - x[k]) / (k + 1)
            y[k + 1] = (rho * x[k] - xz - y[k]) / (k + 1)
            z[k + 1] = (xy - 8 / 3 * z[k]) / (k + 1)
        powers = ((span / steps) ** np.arange(order + 1))[:, None]
        state = tuple((c * powers).sum(axis=0) for c in (x, y, z))
    return state


def test_series_agree_with_taylor_integration_to_1e_9():
    times, parameters, series = lorenz.build()
    sigma, rho = parameters.T
    state = tuple(np.full(len(parameters), 5.0) for _ in range(3))
    rows = [state]
    for _ in range(19):
        state = taylor(state, sigma, rho, 2 / 19)
        rows.append(state)
    expected = np.moveaxis(np.asarray(rows), (0, 1, 2), (1, 2, 0))
    np.testing.assert_allclose(series, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(times, [2 * i / 19 for i in range(20)], rtol=1e-15)


def test_parameters_are_the_grid_of_five_sigma_and_six_rho():
    _, parameters, _ = lorenz.build()
    expected = itertools.product((9, 9.5, 10, 10.5, 11), (25, 26, 27, 28, 29, 30))
    assert parameters.tolist() == [list(row) for row in expected]
