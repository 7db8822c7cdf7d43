"""The solver: accuracy, independence of trajectories, counts, and one sentence for each failure."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import grad, ops
from mcgc.errors import InputError, SolveError, TraceError
from mcgc.ode import TABLEAUX, solve


def lorenz(t, y, p):
    u, v, w = y[:, 0:1], y[:, 1:2], y[:, 2:3]
    sigma, rho = p[:, 0:1], p[:, 1:2]
    return ops.concat([sigma * (v - u), u * (rho - w) - v, u * v - w * 8 / 3], axis=1)


Y0 = np.array([[5.0, 5, 5], [-3, 2, 20], [1, 0, 1]])
ADAPTIVE = [name for name, tableau in TABLEAUX.items() if tableau.error]
SOLVERS = {name: {} if name in ADAPTIVE else {"step_size": 0.02} for name in TABLEAUX}  # and what they need
P = np.array([[10.0, 28], [9, 25], [11, 30]])
TS = np.linspace(0, 2, 20)
DRIVEN = lambda t, y, p: p * y + ops.cos(t)  # y' = p y + cos t


def driven_exactly(t, y0, p):
    c = (y0 + p / (1 + p * p)) * np.exp(p * t)
    return c + (np.sin(t) - p * np.cos(t)) / (1 + p * p)


def test_adaptive_solution_agrees_with_scipy():
    ys = solve(lorenz, Y0, TS, P, rtol=1e-9, atol=1e-11).ys
    for i in range(3):
        reference = solve_ivp(
            lambda t, y, i=i: lorenz(t, y[None], P[i : i + 1])[0],
            (0, 2),
            Y0[i],
            "DOP853",
            TS,
            rtol=1e-12,
            atol=1e-12,
        )
        np.testing.assert_allclose(ys[i], reference.y.T, atol=2e-7)


@pytest.mark.parametrize("solver", ADAPTIVE)
@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8])
def test_error_follows_the_tolerance(rtol, solver):
    ts = np.linspace(0, 3, 7)
    ys = solve(DRIVEN, np.array([1.0]), ts, -0.7, solver=solver, rtol=rtol, atol=rtol).ys[:, 0]
    error = np.max(abs(ys - driven_exactly(ts, 1.0, -0.7)))
    assert 1e-3 * rtol < error < 30 * rtol


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_trajectory_is_the_same_alone_and_in_a_batch(solver):
    options = {"solver": solver, **SOLVERS[solver]}
    together = solve(lorenz, Y0, TS, P, **options)
    for i in range(3):
        alone = solve(lorenz, Y0[i : i + 1], TS, P[i : i + 1], **options)
        np.testing.assert_allclose(alone.ys[0], together.ys[i], rtol=1e-12)
        assert alone.stats.accepted[0] == together.stats.accepted[i]
        assert alone.stats.rejected[0] == together.stats.rejected[i]
    if solver in ADAPTIVE:
        assert len(set(together.stats.accepted.tolist())) > 1  # they did take different steps


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_requested_times_do_not_change_the_steps(solver):
    few = solve(lorenz, Y0, np.array([0.0, 2.0]), P, solver=solver)
    many = solve(lorenz, Y0, np.linspace(0, 2, 401), P, solver=solver)
    np.testing.assert_array_equal(few.ys[:, -1], many.ys[:, -1])
    np.testing.assert_array_equal(few.stats.accepted, many.stats.accepted)


@pytest.mark.parametrize("solver", SOLVERS)
def test_counts_are_those_of_the_calls_made(solver):
    calls = []

    def f(t, y, p):
        calls.append(t)
        return lorenz(t, y, p)

    stats = solve(f, Y0, TS, P, solver=solver, **SOLVERS[solver]).stats
    assert stats.evaluations == len(calls)
    assert {t.shape for t in calls} == {(3, 1)}
    assert np.max(calls) <= 2 + 1e-12  # f is asked for nothing beyond the last time
    tableau = TABLEAUX[solver]
    if tableau.extra == 0:
        attempts = (stats.accepted + stats.rejected).max()
        stages = len(tableau.a) - 1
        assert stats.evaluations == (2 if tableau.error else 1) + stages * attempts


def test_extra_stages_are_evaluated_only_in_steps_that_hold_a_requested_time():
    one, two, many = (
        solve(lorenz, Y0[:1], np.array(ts), P[:1], solver="dopri8").stats
        for ts in ([0, 2.0], [0, 1.0, 2.0], np.linspace(0, 2, 201))
    )
    attempts = one.accepted[0] + one.rejected[0]
    assert one.evaluations == 2 + 12 * attempts + 3
    assert two.evaluations == one.evaluations + 3
    assert many.evaluations == 2 + 12 * attempts + 3 * many.accepted[0]


@pytest.mark.parametrize(("solver", "rival"), [("bosh3", "RK23"), ("dopri5", "RK45"), ("dopri8", "DOP853")])
def test_as_few_evaluations_are_needed_as_by_scipy_and_the_error_is_no_larger(solver, rival):
    ts, tolerances = np.array([0.0, 2.0]), {"rtol": 1e-7, "atol": 1e-9}
    alone = lambda t, y: lorenz(t, y[None], P[:1])[0]
    exact = solve_ivp(alone, (0, 2), Y0[0], "DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    theirs = solve_ivp(alone, (0, 2), Y0[0], rival, **tolerances)
    ours = solve(lorenz, Y0[:1], ts, P[:1], solver=solver, **tolerances)
    assert ours.stats.evaluations < 1.1 * theirs.nfev
    assert np.max(abs(ours.ys[0, -1] - exact)) < 1.1 * np.max(abs(theirs.y[:, -1] - exact))


def test_a_fixed_step_is_never_larger_than_asked_and_ends_at_the_last_time():
    stats = solve(DRIVEN, np.array([1.0]), np.array([0.0, 1.0]), -0.7, solver="rk4", step_size=0.3).stats
    assert (stats.accepted, stats.evaluations) == (4, 1 + 4 * 4)
    exact = solve(DRIVEN, np.array([1.0], np.float32), np.array([0.0, 1.0]), -0.7, solver="rk4", step_size=0.1).stats
    assert exact.accepted == 10


def test_backward_in_time_returns_to_the_start():
    there = solve(lorenz, Y0, np.array([0.0, 0.5]), P, rtol=1e-10, atol=1e-12).ys
    back = solve(lorenz, there[:, -1], np.array([0.5, 0.2, 0.0]), P, rtol=1e-10, atol=1e-12).ys
    np.testing.assert_allclose(back[:, -1], Y0, atol=2e-5)  # the flow expands backwards in time


def test_times_of_each_trajectory_may_differ():
    ts = np.array([[0.0, 0.1, 1.0], [1.0, 1.5, 1.6], [2.0, 1.0, -1.0]])
    ys = solve(DRIVEN, np.ones((3, 1)), ts, -0.7, rtol=1e-9, atol=1e-9).ys
    for i in range(3):
        alone = solve(DRIVEN, np.ones(1), ts[i], -0.7, rtol=1e-9, atol=1e-9).ys
        np.testing.assert_allclose(ys[i], alone, rtol=1e-12)
    np.testing.assert_allclose(ys[0, :, 0], driven_exactly(ts[0], 1.0, -0.7), rtol=1e-7)


def test_a_single_trajectory_is_called_without_a_batch_axis():
    def f(t, y, p):
        assert (t.shape, y.shape) == ((), (2,))
        return ops.stack([y[1], -y[0]])

    solution = solve(f, np.array([1.0, 0.0]), np.array([0.0, math.pi]), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(solution.ys[-1], [-1, 0], atol=1e-7)
    assert solution.stats.accepted.shape == ()


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_float32_stays_float32_whatever_the_times(solver):
    seen = set()

    def f(t, y, p):
        seen.update({t.dtype, y.dtype})
        return lorenz(t, y, p)

    ys = solve(f, Y0.astype(np.float32), TS, P.astype(np.float32), solver=solver, rtol=1e-5, atol=1e-5).ys
    assert ys.dtype == np.float32
    assert seen == {np.dtype(np.float32)}
    np.testing.assert_allclose(ys[:, :8], solve(lorenz, Y0, TS, P).ys[:, :8], rtol=2e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_solver_runs_on_a_device_without_implicit_transfers(away, solver):
    y0, ts, p = (to_device(x, away, "float64") for x in (Y0, TS[:3], P))
    options = {"solver": solver, **SOLVERS[solver]}
    solution = solve(lorenz, y0, ts, p, **options)
    np.testing.assert_allclose(to_host(solution.ys), solve(lorenz, Y0, TS[:3], P, **options).ys, rtol=1e-13)


def test_inputs_are_not_mutated():
    y0, ts = Y0.copy(), TS.copy()
    y0.flags.writeable = ts.flags.writeable = False
    solve(lorenz, y0, ts, P)
    np.testing.assert_array_equal(y0, Y0)


@pytest.mark.parametrize(
    ("kind", "call", "words"),
    [
        (
            SolveError,
            lambda: solve(lambda t, y, p: y * y, np.array([[0.1], [1.0]]), np.array([0.0, 2.0])),
            "t = 1 ",
        ),
        (
            SolveError,
            lambda: solve(lambda t, y, p: y, Y0, TS, max_steps=3),
            "max_steps = 3 .* larger max_steps",
        ),
        (SolveError, lambda: solve(lambda t, y, p: y * math.nan, Y0, TS), "trajectory 0"),
        (SolveError, lambda: solve(lambda t, y, p: y**9, Y0, TS, step_size=0.1), "smaller step_size"),
        (InputError, lambda: solve(DRIVEN, Y0, np.array([0.0, 2.0, 1.0]), 1.0), "strictly"),
        (InputError, lambda: solve(DRIVEN, Y0, np.array([0.0, math.nan]), 1.0), "finite"),
        (InputError, lambda: solve(DRIVEN, Y0, np.array([0.0]), 1.0), "two times"),
        (
            InputError,
            lambda: solve(DRIVEN, Y0, TS, 1.0, solver="euler0"),
            "euler, midpoint, heun, rk4, bosh3, dopri5, tsit5, dopri8",
        ),
        (InputError, lambda: solve(DRIVEN, Y0, TS, 1.0, adjoint="none"), "backsolve, checkpointed, direct"),
        (InputError, lambda: solve(DRIVEN, Y0, TS, 1.0, rtol=-1.0), "rtol .* -1"),
        (InputError, lambda: solve(DRIVEN, Y0, TS, 1.0, solver="rk4"), "step_size"),
        (InputError, lambda: solve(DRIVEN, Y0, TS, 1.0, step_size=0.0), "step_size"),
        (InputError, lambda: solve(DRIVEN, Y0, TS, 1.0, max_steps=0), "max_steps"),
        (InputError, lambda: solve(lambda t, y, p: y[:, :2], Y0, TS), "must return an array like y"),
        (TraceError, lambda: grad(lambda a: ops.sum(solve(lambda t, y, p: a * y, Y0, TS).ys))(1.0), "params"),
    ],
)
def test_failures_are_one_sentence_with_a_remedy(kind, call, words):
    with pytest.raises(kind, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_the_failing_trajectory_is_the_one_named():
    with pytest.raises(SolveError, match="trajectory 1"):
        solve(lambda t, y, p: y * y, np.array([[0.1], [1.0]]), np.array([0.0, 2.0]))


def test_a_tableau_of_ones_own_goes_where_a_name_does():
    own = TABLEAUX["bosh3"]._replace(name="mine")
    y0, ts = np.asarray([[1.0, 2.0]]), np.asarray([0.0, 0.5, 1.0])
    field = lambda t, y, p: -y
    np.testing.assert_array_equal(solve(field, y0, ts, solver=own).ys, solve(field, y0, ts, solver="bosh3").ys)
    with pytest.raises(InputError, match="the solver 'mine' has no error estimate"):
        solve(field, y0, ts, solver=own._replace(error=()))
    with pytest.raises(InputError, match="unknown solver 3: choose one of"):
        solve(field, y0, ts, solver=3)
