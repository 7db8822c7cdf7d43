"""The exponential and the hyperbolic tangent of float32 against those of float64."""

import numpy as np
import pytest

from mcgc.kernels.compiled import compiled
from mcgc.kernels.cpu_exp import exp, tanh

EXPS = np.concatenate([np.linspace(-110, 95, 300_001), [0.0, -0.0, 88.72283, -87.4, -103.9, 1e-30]])
TANHS = np.concatenate([np.linspace(-12, 12, 300_001), np.geomspace(1e-30, 1, 1001), [0.625, -0.625, 100.0, -1e30]])


@compiled(error_model="numpy")
def exps(x, out):
    for i in range(x.size):
        out[i] = exp(x[i])


@compiled(error_model="numpy")
def tanhs(x, out):
    for i in range(x.size):
        out[i] = tanh(x[i])


def of(loop, x):
    out = np.empty_like(x)
    loop(x, out)
    return out


@pytest.mark.parametrize(("loop", "function", "x"), [(exps, np.exp, EXPS), (tanhs, np.tanh, TANHS)])
def test_numbers_are_within_two_units_in_the_last_place(loop, function, x):
    x = x.astype(np.float32)
    found, expected = of(loop, x), function(x.astype(np.float64))
    finite = expected < np.finfo(np.float32).max
    unit = np.spacing(np.maximum(np.abs(expected[finite]), 2.0**-149).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(found[finite] - expected[finite]) / unit) < 2
    assert np.isposinf(found[~finite]).all()
    x = x.astype(np.float64)
    np.testing.assert_allclose(of(loop, x), function(x), rtol=4 * np.finfo(np.float64).eps, atol=2.0**-1074)


def test_what_is_not_finite_has_the_limits():
    x = np.array([np.inf, -np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(of(exps, x), [np.inf, 0, np.nan])
    np.testing.assert_array_equal(of(tanhs, x), [1, -1, np.nan])
