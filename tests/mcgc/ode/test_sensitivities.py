"""Derivatives of solutions as arrays, against closed forms, finite differences and the engine's Jacobian."""

import numpy as np
import pytest

import mcgc
from mcgc import ops
from mcgc.errors import InputError, SolveError
from mcgc.ode import sensitivities, solve


def driven(t, y, p):
    x, v = y[..., 0], y[..., 1]
    return ops.stack([v, -p["k"] * ops.sin(x) - p["c"][0] * v + p["c"][1] * ops.cos(t[..., 0])], axis=-1)


PARAMS = {"k": 1.3, "c": np.array([0.1, 0.4])}
Y0, TS = np.array([[0.5, 0.0], [2.0, 0.3]]), np.linspace(0, 3, 5)


def test_a_linear_field_has_its_closed_form(interpreted):
    a = np.array([[0.0, 1.0], [-2.0, -0.3]])
    found = sensitivities(lambda t, y, p: p @ y, Y0[0], TS, a, rtol=1e-10, atol=1e-12)
    from scipy.linalg import expm

    np.testing.assert_allclose(found.of_y0, [expm(a * t) for t in TS], rtol=1e-8, atol=1e-9)
    assert found.of_params.shape == (5, 2, 2, 2)


@pytest.mark.parametrize("way", ["forward", "adjoint"])
@pytest.mark.parametrize("solver", ["dopri5", "dopri8"])
def test_both_ways_give_the_jacobian_of_the_engine(interpreted, way, solver):
    found = sensitivities(mcgc.jit(driven), Y0, TS, PARAMS, way=way, solver=solver)
    of = lambda y0, p: solve(driven, y0, TS, p, solver=solver).ys
    by_y0, by_p = mcgc.jacobian(of, (0, 1))(Y0, PARAMS)
    for row in range(2):
        np.testing.assert_allclose(found.of_y0[row], by_y0[row, :, :, row], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.of_params["k"], by_p["k"], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.of_params["c"], by_p["c"], rtol=1e-11, atol=1e-12)


def test_equal_steps_backwards_in_time_agree_with_finite_differences(interpreted):
    how = {"solver": "rk4", "step_size": 0.1}
    found = sensitivities(mcgc.jit(driven), Y0, -TS, PARAMS, **how)
    step = 1e-6
    for i, (low, high) in enumerate([(-step, step)] * 2):
        c = [np.array(PARAMS["c"]), np.array(PARAMS["c"])]
        c[0][i] += low
        c[1][i] += high
        ys = [solve(mcgc.jit(driven), Y0, -TS, {**PARAMS, "c": each}, **how).ys for each in c]
        np.testing.assert_allclose(found.of_params["c"][..., i], (ys[1] - ys[0]) / (2 * step), atol=1e-8)


def test_an_array_with_rows_has_the_derivative_of_each_row(interpreted):
    rates = np.array([0.5, 1.5])
    found = sensitivities(lambda t, y, p: -p[:, None] * y, Y0, TS, rates, rtol=1e-10)
    expected = -TS[None, :, None] * Y0[:, None, :] * np.exp(-rates[:, None, None] * TS[None, :, None])
    np.testing.assert_allclose(found.of_params, expected, rtol=1e-7, atol=1e-9)


def test_integers_are_constants_and_float32_stays_float32():
    found = sensitivities(lambda t, y, p: -p[0] * y ** p[1], Y0.astype("float32"), TS, (np.float32(0.4), 2))
    assert found.of_params[1] is None
    assert found.of_y0.dtype == found.of_params[0].dtype == np.float32


def test_the_way_follows_from_the_numbers_of_states_and_times(interpreted, monkeypatch):
    called = []
    monkeypatch.setattr("mcgc.ode._sensitivities._by_adjoint", lambda solved: called.append(1) or solved.tangents())
    y0 = np.linspace(0.1, 1, 9)
    field = mcgc.jit(lambda t, y, p: -p * y)
    sensitivities(field, y0, [0.0, 1.0], 0.5)
    assert called
    called.clear()
    sensitivities(field, y0, np.linspace(0, 1, 6), 0.5)
    assert not called


def test_failures_have_their_status_or_raise(interpreted):
    explodes = mcgc.jit(lambda t, y, p: p * y * y)
    found = sensitivities(explodes, np.array([[1.0], [-1.0]]), [0.0, 2.0], 1.0, throw=False)
    assert list(found.status > 0) == [True, False]
    assert np.isnan(found.ys[0, 1]).all()
    np.testing.assert_array_equal(found.of_y0[0], 0)
    np.testing.assert_allclose(found.of_y0[1, 1, 0, 0], 1 / 9, rtol=1e-5)
    with pytest.raises(SolveError, match="too small"):
        sensitivities(explodes, np.array([1.0]), [0.0, 2.0], 1.0)


def test_wrong_arguments_are_answered_in_a_sentence():
    with pytest.raises(InputError, match="way"):
        sensitivities(mcgc.jit(driven), Y0, TS, PARAMS, way="backward")
    with pytest.raises(InputError, match="increase strictly"):
        sensitivities(mcgc.jit(driven), Y0, [0.0, 0.0], PARAMS)
