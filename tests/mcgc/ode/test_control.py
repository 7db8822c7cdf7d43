"""Step size control: the problems of DETEST within a multiple of the tolerance, and the rules of the controller."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import ops
from mcgc.ode import TABLEAUX, _scalar, solve
from mcgc.ode import _control as control
from mcgc.ode._step import errors, stages

ADAPTIVE = [name for name, tableau in TABLEAUX.items() if tableau.error]


def columns(*parts):
    return ops.concat([part if part.ndim == 2 else part[:, None] for part in parts], axis=1)


def lotka_volterra(t, y):
    u, v = y[:, 0], y[:, 1]
    return columns(2 * (u - u * v), u * v - v)


def linear_reaction(t, y):
    u, v, w = y[:, 0], y[:, 1], y[:, 2]
    return columns(v - u, u - 2 * v + w, v - w)


def rigid_body(t, y):
    u, v, w = y[:, 0], y[:, 1], y[:, 2]
    return columns(v * w, -u * w, -0.51 * u * v)


def radioactive_chain(t, y):
    return columns(-y[:, :1], y[:, :8] - y[:, 1:9], y[:, 8:9])


def heat_equation(t, y):
    still = 0 * y[:, :1]
    return columns(y[:, 1:], still) - 2 * y + columns(still, y[:, :-1])


def two_bodies(t, y):
    distance = ops.sqrt(ops.sum(ops.square(y[:, :2]), axis=1, keepdims=True))
    return columns(y[:, 2:], -y[:, :2] / distance**3)


def orbit(eccentricity):
    return [1 - eccentricity, 0, 0, ((1 + eccentricity) / (1 - eccentricity)) ** 0.5]


def van_der_pol(t, y):
    u, v = y[:, 0], y[:, 1]
    return columns(v, (1 - u * u) * v - u)


def duffing(t, y):
    u, v = y[:, 0], y[:, 1]
    return columns(v, u * u * u / 6 - u + 2 * ops.sin(2.78535 * t[:, 0]))


# Hull, Enright, Fellen and Sedgwick 1972, all over [0, 20]: the field, the start, and the largest ratio allowed of
# the global error to the tolerance: how much errors grow along the solution.
PROBLEMS = {
    "A1 decay": (lambda t, y: -y, [1], 10),
    "A3 oscillation": (lambda t, y: y * ops.cos(t), [1], 100),
    "A4 logistic": (lambda t, y: y / 4 * (1 - y / 20), [1], 100),
    "B1 Lotka–Volterra": (lotka_volterra, [1, 3], 1000),
    "B2 linear reaction": (linear_reaction, [2, 0, 1], 100),
    "B5 rigid body": (rigid_body, [0, 1, 1], 100),
    "C1 radioactive chain": (radioactive_chain, [1] + [0] * 9, 100),
    "C4 heat equation": (heat_equation, [1] + [0] * 50, 100),
    "D1 orbit of eccentricity 0.1": (two_bodies, orbit(0.1), 1000),
    "D3 orbit of eccentricity 0.5": (two_bodies, orbit(0.5), 1000),
    "E2 Van der Pol": (van_der_pol, [2, 0], 100),
    "E3 Duffing": (duffing, [0, 0], 100),
}


@pytest.fixture(scope="module", params=PROBLEMS)
def problem(request):
    """Give each problem with its solution by another's code, at ten times."""
    field, start, growth = PROBLEMS[request.param]
    start, ts = np.array(start, float), np.linspace(0, 20, 11)
    alone = lambda t, y: field(np.full((1, 1), t), y[None])[0]
    reference = solve_ivp(alone, (0, 20), start, "DOP853", ts, rtol=1e-12, atol=1e-12)
    return field, start, ts, reference.y.T, growth


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_global_error_stays_within_a_multiple_of_the_tolerance(problem, solver):
    field, start, ts, reference, growth = problem
    ys = solve(lambda t, y, p: field(t, y), start[None], ts, solver=solver, rtol=1e-6, atol=1e-6).ys[0]
    assert np.max(abs(ys - reference)) < growth * 1e-6


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_error_norm_falls_with_the_order_of_the_solver(solver):
    tableau, y = TABLEAUX[solver], np.array([orbit(0.5)])
    norms, sizes = [], [2.0**-k for k in range(5, 8)]
    for size in sizes:
        _, ks = stages(tableau, two_bodies, np.zeros((1, 1)), np.full((1, 1), size), y, [two_bodies(0, y)])
        norms.append(control.error_norm(errors(tableau, size, ks), y, 1e-6, 1e-6)[0])
    slope = np.polyfit(np.log(sizes), np.log(norms), 1)[0]
    assert slope == pytest.approx(tableau.order, abs=0.2)


def test_error_norm_of_no_error_is_zero_and_of_one_estimate_its_scaled_norm():
    y, e = np.array([[3.0, 4.0]]), np.array([[0.3, 0.8]])
    np.testing.assert_allclose(control.error_norm([e], y, 0.1, 0.0), [np.sqrt((1 + 4) / 2)])
    np.testing.assert_array_equal(control.error_norm([0 * e, 0 * e], y, 0.1, 0.1), [0.0])


def test_steps_are_accepted_by_norm_and_sized_by_the_rule(device):
    norm = np.array([0.5, 2.0, 1e-30, np.nan, np.inf, 0.5])
    last = np.array([0.1, 0.1, 1.0, 1.0, 1.0, 1.0])
    rejected = np.array([False, False, False, False, False, True])
    before = control.ControllerState(to_device(last, device), to_device(rejected, device))
    accepted, factor, after = control.adapt(to_device(norm, device), before, 5)
    accepted, factor = to_host(accepted), to_host(factor)
    np.testing.assert_array_equal(accepted, [True, False, True, False, False, True])
    grown, shrunk = np.floor(1024 * np.array([0.9 * 0.5**-0.17 * 0.1**0.04, 0.9 * 2.0**-0.17])) / 1024
    np.testing.assert_array_equal(factor, [grown, shrunk, 10.0, 0.2, 0.2, 1.0])
    np.testing.assert_allclose(to_host(after.error), [0.5, 0.1, 1e-4, 1.0, 1.0, 0.5])
    np.testing.assert_array_equal(to_host(after.rejected), ~accepted)


def test_first_step_does_not_pass_the_end_and_grows_with_the_tolerance():
    seen = []

    def field(h, y):
        seen.append(h)
        return -y

    y = np.array([[1.0]])
    sizes = [control.first_step(field, y, -y, np.array([[-2.0]]), 5, tol, tol)[0, 0] for tol in (1e-9, 1e-6, 1e-3)]
    assert 0 < sizes[0] < sizes[1] < sizes[2] < 2
    short = control.first_step(field, y, -y, np.array([[1e-4]]), 5, 1e-3, 1e-3)
    assert 0 < short[0, 0] <= 1e-4
    assert np.all(np.abs(seen[-1]) <= 1e-4)
    assert np.all(seen[0] < 0)  # against the direction of time where the span is negative


def test_the_powers_of_one_trajectory_are_those_of_numpy():
    x = 10.0 ** np.random.default_rng(0).uniform(-10, 10, 1000)
    y = np.random.default_rng(1).uniform(-10, 10, 1000)
    np.testing.assert_allclose([_scalar.log2_of(value) for value in x], np.log2(x), rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose([_scalar.exp2_of(value) for value in y], 2.0**y, rtol=1e-14)
