"""Events: their times against SciPy and closed forms, and derivatives through them against finite differences."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import check_grads, grad, ops, vjp
from mcgc.errors import InputError, SolveError, TraceError
from mcgc.ode import TABLEAUX, Event, Status, solve

TIGHT = {"rtol": 1e-10, "atol": 1e-12}
Y0 = np.array([[1.0, 0.0], [2.0, 1.0], [0.5, -1.0]])
TS = np.linspace(0, 2, 9)
P = {"g": np.array([[9.81], [5.0], [3.0]]), "e": np.array([0.8])}
SOLVERS = {name: {} if tableau.error else {"step_size": 0.2} for name, tableau in TABLEAUX.items()}


def fall(t, y, p):
    return ops.concat([y[:, 1:2], -p["g"] + 0 * y[:, 1:2]], axis=1)


def rebound(t, y, p):
    return ops.concat([0 * y[:, :1], -p["e"] * y[:, 1:2]], axis=1)


def swing(t, y, p):
    return ops.stack([y[..., 1], -p * ops.sin(y[..., 0])], axis=-1)


BOUNCE = Event(lambda t, y, p: y[:, 0], direction=-1, reset=rebound)


def bounces(y0, g, e, count):
    """Return the times of the first bounces of a ball, of which each keeps a part e of the speed."""
    speed = math.sqrt(y0[1] ** 2 + 2 * g * y0[0])
    times = [(y0[1] + speed) / g]
    for _ in range(count - 1):
        speed *= e
        times.append(times[-1] + 2 * speed / g)
    return np.array(times)


@pytest.mark.parametrize("solver", [name for name in SOLVERS if name not in ("euler", "midpoint", "heun")])
def test_a_bouncing_ball_bounces_when_its_closed_form_does(solver, device):
    y0, ts = to_device(Y0, device), to_device(TS, device)
    p = {name: to_device(value, device) for name, value in P.items()}
    found = solve(fall, y0, ts, p, solver=solver, events=[BOUNCE], **SOLVERS[solver])
    (bounce,), ys = found.events, to_host(found.ys)
    assert to_host(found.status).tolist() == [0, 0, 0]
    for i, count in enumerate(to_host(bounce.count).tolist()):
        g = P["g"][i, 0]
        expected = bounces(Y0[i], g, 0.8, count + 1)
        assert expected[-2] < 2 < expected[-1]
        np.testing.assert_allclose(to_host(bounce.times)[i, :count], expected[:-1], rtol=1e-12)
        assert np.isnan(to_host(bounce.times)[i, count:]).all()
        np.testing.assert_allclose(to_host(bounce.states)[i, :count, 0], 0, atol=1e-14)
        # each flight is a parabola, which every one of these solvers follows to rounding
        for t, y in zip(TS, ys[i], strict=True):
            last = np.flatnonzero(expected < t)
            if last.size:
                since, speed = t - expected[last[-1]], 0.8 * -to_host(bounce.states)[i, last[-1], 1]
                np.testing.assert_allclose(y, [speed * since - g / 2 * since**2, speed - g * since], atol=1e-12)
    assert len(set(to_host(bounce.count).tolist())) == 3


def test_a_ball_whose_bounces_accumulate_rests_on_no_step_that_misses_one():
    found = solve(fall, Y0[:1], [0.0, 3.9], {"g": 9.81, "e": 0.8}, events=[BOUNCE])
    count = found.events[0].count[0]
    np.testing.assert_allclose(found.events[0].times[0, :count], bounces(Y0[0], 9.81, 0.8, count), rtol=1e-10)
    assert count > 10
    assert found.ys[0, -1, 0] >= -1e-12


@pytest.mark.parametrize("direction", [-1, 0, 1])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("solver", ["dopri5", "tsit5", "dopri8"])
def test_events_are_those_of_scipy(solver, direction, backwards):
    y0, ts = np.array([[1.0, 0.2], [2.5, 0.0]]), np.array([0.0, -16.0] if backwards else [0.0, 16.0])
    functions = [lambda t, y, p: y[..., 0] - 0.3, lambda t, y, p: y[..., 1] * ops.cos(t[..., 0])]
    events = [Event(function, direction=direction) for function in functions]
    found = solve(swing, y0, ts, 1.3, solver=solver, events=events, **TIGHT)
    single = [lambda t, y: y[0] - 0.3, lambda t, y: y[1] * np.cos(t)]
    for function in single:
        function.direction = direction
    for i in range(2):
        alone = lambda t, y: [y[1], -1.3 * np.sin(y[0])]
        theirs = solve_ivp(alone, ts, y0[i], "DOP853", events=single, rtol=1e-12, atol=1e-12, max_step=0.1)
        for e in range(2):
            count = found.events[e].count[i]
            starts_at_zero = e == 1 and y0[i, 1] == 0  # where SciPy counts the start too
            times, states = theirs.t_events[e], theirs.y_events[e]
            if starts_at_zero and times.size and times[0] == 0:
                times, states = times[1:], states[1:]
            assert count == times.size > 1
            np.testing.assert_allclose(found.events[e].times[i, :count], times, rtol=1e-7)
            np.testing.assert_allclose(found.events[e].states[i, :count], states, atol=1e-6)


def test_events_that_change_nothing_leave_the_solution_as_it_is():
    y0 = np.array([[1.0, 0.2], [2.5, 0.0]])
    plain = solve(swing, y0, TS, 1.3, **TIGHT)
    watched = solve(swing, y0, TS, 1.3, events=[Event(lambda t, y, p: y[:, 0] - 50)], **TIGHT)
    np.testing.assert_array_equal(watched.ys, plain.ys)
    assert watched.events[0].count.tolist() == [0, 0]
    assert plain.events == ()


# ---- terminal events ----


@pytest.mark.parametrize("adjoint", ["checkpointed", "direct"])
def test_a_trajectory_stops_at_a_terminal_event_and_its_range_has_the_right_derivative(adjoint):
    launch = Event(lambda t, y, p: y[1], direction=-1, terminal=True)
    field = lambda t, y, p: ops.stack([y[2], y[3], 0 * y[2], 0 * y[2] - p])

    def solution(angle, g):
        start = ops.stack([0 * angle, 0 * angle, 20 * ops.cos(angle), 20 * ops.sin(angle)])
        return solve(field, start, [0.0, 1.0, 4.5, 9.0], g, events=[launch], adjoint=adjoint)

    angle, g = 0.6, 9.81
    found = solution(np.asarray(angle), g)
    flight, reach = 40 * math.sin(angle) / g, 400 * math.sin(2 * angle) / g
    assert found.events[0].times[0] == pytest.approx(flight, rel=1e-12)
    assert found.events[0].count == 1
    np.testing.assert_allclose(found.ys[2:], found.ys[2:3] + np.zeros((2, 4)), rtol=0)
    np.testing.assert_allclose(found.ys[2:, 0], reach, rtol=1e-12)
    along = (lambda angle, g: solution(angle, g).ys[-1, 0], lambda angle, g: solution(angle, g).events[0].states[0, 0])
    for landed in along:
        d_angle, d_g = grad(landed, (0, 1))(np.asarray(angle), g)
        assert d_angle == pytest.approx(800 * math.cos(2 * angle) / g, rel=1e-10)
        assert d_g == pytest.approx(-reach / g, rel=1e-10)
    d_g = grad(lambda g: solution(np.asarray(angle), g).events[0].times[0])(g)
    assert d_g == pytest.approx(-flight / g, rel=1e-10)
    second = grad(grad(lambda g: solution(np.asarray(angle), g).events[0].times[0]))(g)
    assert second == pytest.approx(2 * flight / g**2, rel=1e-8)


def test_all_may_stop_before_any_requested_time():
    stop = Event(lambda t, y, p: y[:, 0] - 0.5, terminal=True)
    run = lambda y0: solve(lambda t, y, p: -y, y0, [0.0, 5.0, 6.0], events=[stop], **TIGHT)
    y0 = np.array([[1.0], [2.0]])
    found = run(y0)
    np.testing.assert_allclose(found.ys[:, 1:, 0], 0.5)
    np.testing.assert_allclose(found.events[0].times[:, 0], np.log([2, 4]), rtol=1e-8)
    slope = grad(lambda y0: ops.sum(run(y0).events[0].times[:, 0]))(y0)
    np.testing.assert_allclose(slope, 1 / y0, rtol=1e-7)
    assert found.stats.accepted.max() < 50


# ---- derivatives ----


@pytest.mark.parametrize("adjoint", ["checkpointed", "direct"])
@pytest.mark.parametrize("solver", ["rk4", "dopri5", "dopri8"])
def test_derivatives_through_bounces_equal_finite_differences(adjoint, solver):
    options = {"solver": solver, "adjoint": adjoint, "checkpoints": 3, "events": [BOUNCE], **SOLVERS[solver]}
    check_grads(lambda y0, p: solve(fall, y0, TS, p, **options).ys, Y0, P, order=1, rtol=1e-6)
    first = lambda y0, ts, p: solve(fall, y0, ts, p, **options).events[0]
    check_grads(lambda y0, ts, p: first(y0, ts, p).times[:, :1], Y0, TS + 0.1, P, order=1, rtol=1e-6)
    check_grads(lambda y0, ts, p: first(y0, ts, p).states[:, :1], Y0, TS + 0.1, P, order=1, rtol=1e-6)


@pytest.mark.parametrize("adjoint", ["checkpointed", "direct"])
def test_derivatives_of_a_field_that_depends_on_time_and_switches_equal_finite_differences(adjoint):
    # a neuron that is driven, and starts again from p₁ when it reaches a threshold that moves with time
    field = lambda t, y, p: -y + p[0] * (1 + 0.3 * ops.sin(3 * t))
    fire = Event(
        lambda t, y, p: y[:, 0] - 1 - 0.1 * ops.cos(t[:, 0]), reset=lambda t, y, p: 0 * y + p[1] * (1 + 0.1 * t)
    )
    y0, p, ts = np.array([[0.0], [0.5]]), np.array([2.0, 0.1]), np.array([0.0, 1.0, 2.2, 3.0])
    options = {"events": [fire], "adjoint": adjoint, **TIGHT}
    assert solve(field, y0, ts, p, **options).events[0].count.tolist() == [5, 5]
    check_grads(lambda y0, ts, p: solve(field, y0, ts, p, **options).ys, y0, ts, p, order=1, rtol=1e-5)


def test_second_derivatives_through_an_event_equal_finite_differences():
    run = lambda y0: solve(fall, y0, TS[:6], P, solver="rk4", step_size=0.3, events=[BOUNCE]).ys
    check_grads(run, Y0, order=2, rtol=1e-5)


def test_trajectories_have_the_events_and_derivatives_that_they_have_alone():
    run = lambda y0, p: solve(fall, y0, TS, p, events=[BOUNCE])
    together = run(Y0, P)
    loss = lambda y0, p: ops.sum(ops.square(run(y0, p).ys))
    bars = grad(loss, (0, 1))(Y0, P)
    for i in range(3):
        row, p = slice(i, i + 1), {"g": P["g"][i : i + 1], "e": P["e"]}
        alone = run(Y0[row], p)
        np.testing.assert_allclose(together.ys[i], alone.ys[0], atol=1e-12)
        np.testing.assert_allclose(together.events[0].times[i], alone.events[0].times[0], rtol=1e-12)
        y0_bar, p_bar = grad(loss, (0, 1))(Y0[row], p)
        np.testing.assert_allclose(bars[0][i], y0_bar[0], rtol=1e-9)
        np.testing.assert_allclose(bars[1]["g"][i], p_bar["g"][0], rtol=1e-9)


def test_derivatives_run_on_a_device_without_implicit_transfers(away):
    loss = lambda y0, ts: ops.sum(ops.square(solve(fall, y0, ts, p, events=[BOUNCE]).ys))
    p = P
    expected = grad(loss)(Y0, TS)
    p = {name: to_device(value, away) for name, value in P.items()}
    np.testing.assert_allclose(to_host(grad(loss)(to_device(Y0, away), to_device(TS, away))), expected, rtol=1e-10)


def test_float32_stays_float32():
    p = {name: value.astype("float32") for name, value in P.items()}
    found = solve(fall, Y0.astype("float32"), TS, p, events=[BOUNCE], rtol=1e-5, atol=1e-6)
    assert (found.ys.dtype, found.events[0].states.dtype) == (np.float32, np.float32)
    assert found.events[0].times.dtype == np.float64
    np.testing.assert_allclose(found.events[0].times[0, :3], bounces(Y0[0], 9.81, 0.8, 3), rtol=1e-5)
    slope = grad(lambda y0: ops.sum(solve(fall, y0, TS, p, events=[BOUNCE]).ys))(Y0.astype("float32"))
    assert slope.dtype == np.float32


# ---- limits, failures and one sentence ----


def test_no_more_than_most_are_recorded():
    event = Event(lambda t, y, p: y[:, 0], most=2)
    y0 = np.array([[1.0, 0.2], [2.5, 0.0]])
    few, all_of_them = (solve(swing, y0, [0.0, 20.0], 1.3, events=[e]) for e in (event, event._replace(most=64)))
    assert few.events[0].times.shape == (2, 2)
    assert few.events[0].count.tolist() == [2, 2]
    np.testing.assert_allclose(few.events[0].times, all_of_them.events[0].times[:, :2], rtol=1e-5)


def test_a_trajectory_that_is_reset_too_often_fails_and_the_others_go_on():
    events = [BOUNCE._replace(most=2)]
    with pytest.raises(SolveError, match=r"more often than its `most` .* \(worst: trajectory 0\): try a larger most"):
        solve(fall, Y0, TS, P, events=events)
    found = solve(fall, Y0, TS, P, events=events, throw=False)
    assert found.status.tolist() == [Status.TOO_MANY_EVENTS, 0, 0]
    assert np.isnan(found.ys[0]).all()
    assert np.isnan(found.events[0].times[0]).all()
    others = {"g": P["g"][1:], "e": P["e"]}
    alone, pull_alone = vjp(lambda y0, p: solve(fall, y0, TS, p, events=[BOUNCE]).ys, Y0[1:], others)
    np.testing.assert_allclose(found.ys[1:], alone, atol=1e-12)
    y0_alone, p_alone = pull_alone(alone)
    for adjoint in ("direct", "checkpointed"):
        run = lambda y0, p, adjoint=adjoint: solve(fall, y0, TS, p, events=events, throw=False, adjoint=adjoint).ys
        ys, pullback = vjp(run, Y0, P)
        y0_bar, p_bar = pullback(ys)
        np.testing.assert_array_equal(y0_bar[0], 0)
        np.testing.assert_allclose(y0_bar[1:], y0_alone, rtol=1e-9)
        np.testing.assert_allclose(p_bar["e"], p_alone["e"], rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (InputError, {"events": BOUNCE.function}, "list of mcgc.ode.Event"),
        (InputError, {"events": [BOUNCE.function]}, "list of mcgc.ode.Event"),
        (InputError, {"events": [BOUNCE._replace(direction=2)]}, "direction of event 0 must be -1, 0 or 1"),
        (InputError, {"events": [BOUNCE, BOUNCE._replace(most=0)]}, "most of event 1"),
        (InputError, {"events": [BOUNCE], "adjoint": "backsolve"}, "backsolve has no derivative of events"),
        (
            InputError,
            {"events": [Event(lambda t, y, p: y)]},
            r"the function of an event must return .* of shape \(3,\)",
        ),
        (
            InputError,
            {"events": [BOUNCE._replace(reset=lambda t, y, p: y[:, 0])]},
            r"the reset of an event must return an array like y",
        ),
    ],
)
def test_what_cannot_be_used_is_one_sentence(kind, options, words):
    with pytest.raises(kind, match=words) as caught:
        solve(fall, Y0, TS, P, **options)
    assert "\n" not in str(caught.value)


def test_a_traced_array_that_is_not_in_params_is_refused_in_events_too():
    event = lambda a: Event(lambda t, y, p: y[:, 0] - a)
    with pytest.raises(TraceError, match="the function of an event uses a traced array"):
        grad(lambda a: ops.sum(solve(fall, Y0, TS, P, events=[event(a)]).ys))(0.5)
