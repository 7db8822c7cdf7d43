"""Events of jitted fields: the occurrences, states and derivatives of the generic solver, and the events of SciPy."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import mcgc
from mcgc import ops
from mcgc.errors import SolveError, TraceError
from mcgc.ode import TABLEAUX, Event, Status, solve
from mcgc.ode._program import _events

Y0 = np.array([[1.0, 0.0], [2.0, 1.0], [0.5, -1.0]])
P = {"g": np.array([[9.81], [5.0], [3.0]]), "e": np.array([0.8])}
SOLVERS = {name: {} if tableau.error else {"step_size": 0.2} for name, tableau in TABLEAUX.items()}


def fall(t, y, p):
    return ops.concat([y[:, 1:2], -p["g"] + 0 * y[:, 1:2]], axis=1)


def swing(t, y, p):
    return ops.stack([y[..., 1], -p * ops.sin(y[..., 0])], axis=-1)


def rebound(t, y, p):
    return ops.concat([y[:, :1], -p["e"] * y[:, 1:2]], axis=1)


BOUNCE = Event(lambda t, y, p: y[:, 0], direction=-1, reset=rebound)
TOP = Event(lambda t, y, p: y[:, 1], direction=-1, most=2)
CEILING = Event(lambda t, y, p: y[:, 0] - p["e"], direction=1)
LATE = Event(lambda t, y, p: y[:, 0] - 0.2 * t[:, 0], direction=0, terminal=True)
PUSH = Event(
    lambda t, y, p: ops.sin(3 * t[..., 0]), reset=lambda t, y, p: ops.stack([y[..., 0], -p * y[..., 1]], axis=-1)
)


def both(field, y0, ts, params, events, **how):
    """Return the solution and the cotangents of y0, params and ts, of the jitted field and of the generic solver."""
    found = []
    for function in (mcgc.jit(field), field):

        def solved(y0, params, ts, function=function):
            solution = solve(function, y0, ts, params, events=events, **how)
            return [solution.ys, *(x for found in solution.events for x in found[:2])], solution

        values, pullback, solution = mcgc.vjp(solved, y0, params, ts, has_aux=True)
        cotangents = [np.cos(np.arange(x.size, dtype=x.dtype)).reshape(x.shape) for x in values]
        bars = pullback(
            [np.where(np.isfinite(x), g, np.zeros_like(g)) for g, x in zip(cotangents, values, strict=True)]
        )
        found.append((solution, values, mcgc.autodiff.flatten(bars)[0]))
    return found


def assert_same(found, tolerance=1e-10):
    (solution, values, bars), (expected, right, right_bars) = found
    np.testing.assert_array_equal(solution.status, expected.status)
    for one, other in zip(solution.stats[:2], expected.stats[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(solution.events, expected.events, strict=True):
        np.testing.assert_array_equal(one.count, other.count)
    for one, other in zip(values, right, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    for one, other in zip(bars, right_bars, strict=True):
        assert (np.shape(one), one.dtype) == (np.shape(other), other.dtype)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * max(1.0, abs(other).max()))
    return solution


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_ball_bounces_as_in_the_generic_solver_with_its_derivatives(solver, interpreted):
    events = [BOUNCE, TOP, CEILING]
    found = assert_same(both(fall, Y0, np.linspace(0, 2, 9), P, events, solver=solver, **SOLVERS[solver]))
    assert interpreted[0] is not None
    assert len(set(found.events[0].count.tolist())) > 1
    assert found.events[1].count.min() > 0


@pytest.mark.parametrize("ts", [np.linspace(0, 3, 7), np.linspace(1, -4, 6), np.tile([0.0, 0.1, 2.9], (2, 1))])
@pytest.mark.parametrize("solver", ["dopri5", "dopri8"])
def test_terminal_events_and_events_of_time_are_those_of_the_generic_solver(solver, ts, interpreted):
    end = Event(lambda t, y, p: t[..., 0] ** 2 - 5 + 0.1 * y[..., 0], terminal=True)
    pass_by = Event(lambda t, y, p: y[..., 1] ** 2 - 0.08 * p)
    y0 = np.array([[1.0, 0.2], [1.5, 0.0]])
    found = assert_same(both(swing, y0, ts, 1.3, [pass_by, PUSH, end], solver=solver, rtol=1e-8))
    assert interpreted[0] is not None
    assert all(event.count.max() > 0 for event in found.events)


def test_events_of_a_single_trajectory_are_those_of_the_generic_solver(interpreted):
    alone = PUSH._replace(function=lambda t, y, p: ops.sin(3 * t))
    found = assert_same(both(swing, np.array([1.0, 0.2]), np.linspace(0, 5, 4), 1.3, [alone]))
    assert interpreted[0] is not None
    assert found.events[0].times.shape == (64,)


def test_events_in_float32_stay_float32(interpreted):
    y0, p = Y0.astype("float32"), {name: x.astype("float32") for name, x in P.items()}
    found = assert_same(both(fall, y0, np.linspace(0, 1, 5), p, [BOUNCE, TOP]), 2e-3)
    assert interpreted[0] is not None
    assert (found.ys.dtype, found.events[0].states.dtype) == (np.float32, np.float32)


def test_a_compiled_ball_stops_where_that_of_scipy_does():
    landing = lambda t, y: y[0] - 0.2 * t
    landing.terminal = True
    field = mcgc.jit(fall)
    found = solve(field, Y0, [0.0, 1.0, 2.0], P, rtol=1e-9, events=[LATE])
    assert_same(both(fall, Y0, np.array([0.0, 1.0, 2.0]), P, [LATE, BOUNCE]))
    for i in range(3):
        theirs = solve_ivp(lambda t, y, i=i: [y[1], -P["g"][i, 0]], (0, 2), Y0[i], events=landing, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.events[0].times[i, 0], theirs.t_events[0][0], rtol=1e-7)
        np.testing.assert_allclose(found.events[0].states[i, 0], theirs.y_events[0][0], atol=1e-6)
        if theirs.t_events[0][0] < 2:
            np.testing.assert_array_equal(found.ys[i, -1], found.events[0].states[i, 0])


def test_a_trajectory_that_is_reset_too_often_fails_and_the_others_do_not(interpreted):
    short = BOUNCE._replace(most=2)
    found = assert_same(both(fall, Y0, np.linspace(0, 2, 5), P, [short], throw=False))
    assert interpreted[0] is not None
    assert found.status.tolist() == [Status.TOO_MANY_EVENTS, 0, 0]
    assert np.isnan(found.events[0].times[0]).all()
    with pytest.raises(SolveError, match="an event resets the state more often than its `most`"):
        solve(mcgc.jit(fall), Y0, [0.0, 2.0], P, events=[short])


def test_second_derivatives_through_an_event_are_those_of_the_generic_solver():
    end = Event(lambda t, y, p: y[..., 0], terminal=True)
    time = lambda f: lambda p: ops.sum(solve(f, Y0[0], [0.0, 6.0], p, events=[end]).events[0].times[0])
    second = [mcgc.grad(mcgc.grad(time(f)))(1.3) for f in (mcgc.jit(swing), swing)]
    assert second[0] == pytest.approx(second[1], rel=1e-10)


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (Event(lambda t, y, p: y[:, 0] if y[0, 0] > 0 else y[:, 1]), "ops.where"),
        (Event(lambda t, y, p: y), "the function of an event must return an array with a number for each trajectory"),
        (Event(lambda t, y, p: y[:, 0], reset=lambda t, y, p: y[:, :1]), "the reset of an event must return an array"),
        (Event(lambda t, y, p: y[:, 0] * ops.sum(y)), "each row from its own row alone"),
    ],
)
def test_an_event_that_cannot_be_compiled_is_refused_in_a_sentence(event, sentence):
    with pytest.raises(TraceError, match=sentence):
        solve(mcgc.jit(swing), Y0, [0.0, 1.0], 1.3, events=[event])


def test_the_program_knows_each_event_by_its_number():
    text = _events.constants([BOUNCE, LATE, TOP])
    assert text.splitlines() == [
        "MOST = (64, 64, 2)",
        "FIRST = (0, 64, 128, 130)",
        "DIRECTION = (-1, 0, -1)",
        "TERMINAL = (0, 1, 0)",
        "RESETS = (1, 0, 0)",
    ]
