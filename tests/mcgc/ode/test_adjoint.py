"""Derivatives of solutions: each adjoint against the other, finite differences and closed forms; and their memory."""

import gc
import tracemalloc

import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import check_grads, grad, ops
from mcgc.autodiff.pytree import flatten
from mcgc.errors import SolveError
from mcgc.ode import ADJOINTS, TABLEAUX, solve

Y0 = np.array([[1.0, 0.5], [0.3, -0.4], [2.0, 1.0]])
TS = np.linspace(0.0, 3.0, 8)
P = {"damping": np.array([[0.1], [0.2], [0.3]]), "stiffness": np.array([1.3])}


def pendulum(t, y, p):
    angle, speed = y[:, 0:1], y[:, 1:2]
    return ops.concat([speed, -p["stiffness"] * ops.sin(angle) - p["damping"] * speed + 0.1 * ops.cos(t)], axis=1)


def loss(y0, ts, p, **options):
    return ops.mean(ops.square(solve(pendulum, y0, ts, p, **options).ys))


def gradients(ts=TS, **options):
    return grad(lambda y0, ts, p: loss(y0, ts, p, **options), (0, 1, 2))(Y0, ts, P)


def difference(ours, theirs):
    return max(np.max(abs(a - b)) for a, b in zip(flatten(ours)[0], flatten(theirs)[0], strict=True))


@pytest.mark.parametrize(
    "options", [{"solver": n} if TABLEAUX[n].error else {"solver": n, "step_size": 0.2} for n in TABLEAUX]
)
@pytest.mark.parametrize("checkpoints", [2, 3, 64])
def test_checkpointed_equals_direct(options, checkpoints):
    options = {"rtol": 1e-5, "atol": 1e-5, **options}
    direct = gradients(adjoint="direct", **options)
    ours = gradients(adjoint="checkpointed", checkpoints=checkpoints, **options)
    for a, b in zip(flatten(direct)[0], flatten(ours)[0], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("adjoint", ["checkpointed", "direct"])
@pytest.mark.parametrize("name", TABLEAUX)
def test_derivatives_of_given_steps_equal_finite_differences(adjoint, name):
    f = lambda y0, p: solve(pendulum, y0, TS, p, solver=name, step_size=0.21, adjoint=adjoint, checkpoints=3).ys
    check_grads(f, Y0, P, order=1, rtol=1e-8)


@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("solver", ["dopri5", "tsit5", "dopri8"])
def test_derivatives_of_adaptive_solutions_equal_finite_differences(adjoint, solver):
    # the steps change a little with the inputs, so the difference also holds the solution's own error
    f = lambda y0, p: solve(pendulum, y0, TS, p, solver=solver, rtol=1e-10, atol=1e-12, adjoint=adjoint).ys
    check_grads(f, Y0, P, order=1, rtol=1e-6)


TIMES = {
    "forward": np.array([0.0, 0.1, 0.7, 0.8, 2.0]),
    "backward": np.array([0.5, 0.4, -0.4, -1.1, -1.2]),
    "of each trajectory's own": np.array([[0.0, 0.5, 0.6, 2.0], [1.0, 0.7, -0.2, -0.3], [0.0, 0.1, 0.2, 0.4]]),
}


@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("times", TIMES)
def test_derivatives_in_all_inputs_equal_finite_differences_for_times(adjoint, times):
    options = {"solver": "dopri8", "rtol": 1e-11, "atol": 1e-13, "adjoint": adjoint}
    check_grads(lambda y0, ts, p: solve(pendulum, y0, ts, p, **options).ys, Y0, TIMES[times], P, order=1, rtol=1e-6)


@pytest.mark.parametrize("solver", [name for name, tableau in TABLEAUX.items() if tableau.error])
@pytest.mark.parametrize("times", TIMES)
def test_backsolve_converges_to_the_others_with_the_tolerance(solver, times):
    ts = TIMES[times]
    exact = gradients(ts, solver="dopri8", rtol=1e-12, atol=1e-13, adjoint="direct")
    for tol in (1e-4, 1e-6) if solver == "bosh3" else (1e-4, 1e-6, 1e-9):
        ours = gradients(ts, solver=solver, rtol=tol, atol=tol, adjoint="backsolve")
        assert difference(ours, exact) < 10 * tol


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "rk4"])
def test_backsolve_converges_with_the_order_of_the_solver(solver):
    exact = gradients(solver="dopri8", rtol=1e-12, atol=1e-13)
    sizes = [2.0**-k for k in range(4, 7)]
    errors = [difference(gradients(solver=solver, step_size=h, adjoint="backsolve"), exact) for h in sizes]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope > TABLEAUX[solver].order - 0.2


def test_backsolve_is_linear_in_the_cotangent():
    tiny = grad(lambda y0, p: 1e-20 * loss(y0, TS, p, adjoint="backsolve"), (0, 1))(Y0, P)
    ours = grad(lambda y0, p: loss(y0, TS, p, adjoint="backsolve"), (0, 1))(Y0, P)
    for a, b in zip(flatten(tiny)[0], flatten(ours)[0], strict=True):
        np.testing.assert_allclose(1e20 * a, b, rtol=1e-12)
    one = grad(lambda y0: ops.sum(solve(pendulum, y0, TS, P, adjoint="backsolve").ys[0, :, :]))(Y0)
    np.testing.assert_array_equal(one[1:], 0)
    assert np.all(one[0] != 0)


def test_backsolve_that_cannot_go_back_names_the_way_out():
    decay = lambda t, y, p: -y * y * y  # backwards, it explodes in finite time
    y0 = np.array([[1e5], [2e5], [3e5], [4e5]])
    with pytest.raises(SolveError, match=r"backwards in time.* trajectory .*adjoint='checkpointed'"):
        grad(lambda y0: ops.sum(solve(decay, y0, np.array([0.0, 1.0]), adjoint="backsolve").ys[:, 1, :]))(y0)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_second_derivatives_equal_finite_differences(adjoint):
    tolerances = {"rtol": 1e-10, "atol": 1e-12} if adjoint == "backsolve" else {"step_size": 0.3}
    f = lambda y0: solve(pendulum, y0, TS[:3], P, adjoint=adjoint, **tolerances).ys
    check_grads(f, Y0[:, :], order=2, rtol=1e-6)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_derivatives_of_a_linear_equation_have_their_closed_form(adjoint):
    options = {"rtol": 1e-10, "atol": 1e-12, "adjoint": adjoint}
    f = lambda y0, rate: solve(lambda t, y, p: p * y, y0, np.array([0.0, 2.0]), rate, **options).ys[-1, 0]
    y0, rate = np.array([1.5]), -0.7
    d_y0, d_rate = grad(f, (0, 1))(y0, rate)
    np.testing.assert_allclose(d_y0, np.exp(2 * rate), rtol=1e-8)
    np.testing.assert_allclose(d_rate, 2 * y0[0] * np.exp(2 * rate), rtol=1e-8)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_the_derivative_in_a_requested_time_is_the_field_there(adjoint):
    y0, ts = np.array([1.0, 0.5]), np.array([0.0, 0.7, 1.9])
    p = {"damping": 0.1, "stiffness": 1.3}

    def single(t, y, p):
        return ops.stack([y[1], -p["stiffness"] * ops.sin(y[0]) - p["damping"] * y[1] + 0.1 * ops.cos(t)])

    run = lambda ts: solve(single, y0, ts, p, rtol=1e-10, atol=1e-12, adjoint=adjoint).ys
    ys = run(ts)
    for i in (1, 2):
        d_ts = grad(lambda ts, i=i: run(ts)[i, 1])(ts)
        assert d_ts[i] == pytest.approx(single(ts[i], ys[i], p)[1], rel=1e-5)
        assert d_ts[3 - i] == 0
    # the start moves the whole solution of an equation that depends on time
    step = 1e-4
    moved = [run(ts + s * step * np.array([1.0, 0, 0]))[2, 1] for s in (1, -1)]
    assert grad(lambda ts: run(ts)[2, 1])(ts)[0] == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_rejected_and_finished_trajectories_do_not_disturb_the_others(adjoint):
    fast = {"damping": np.array([[0.0], [0.1], [0.0]]), "stiffness": np.array([[1.0], [900.0], [30.0]])}
    together = grad(lambda y0, p: loss(y0, TS[:4], p, adjoint=adjoint), (0, 1))(Y0, fast)
    assert solve(pendulum, Y0, TS[:4], fast).stats.rejected.sum() > 0
    for i in range(3):
        one = {name: value[i : i + 1] for name, value in fast.items()}
        alone = grad(lambda y0, p: loss(y0, TS[:4], p, adjoint=adjoint), (0, 1))(Y0[i : i + 1], one)
        np.testing.assert_allclose(together[0][i], alone[0][0] / 3, rtol=1e-10)
        for name in fast:
            np.testing.assert_allclose(together[1][name][i], alone[1][name][0] / 3, rtol=1e-10)


@pytest.mark.parametrize("adjoint", ADJOINTS[:4])
def test_derivatives_run_on_a_device_without_implicit_transfers(device, adjoint):
    y0, ts = (to_device(x, device, "float64") for x in (Y0, TS))
    p = {name: to_device(value, device, "float64") for name, value in P.items()}
    ours = grad(lambda y0, ts, p: loss(y0, ts, p, adjoint=adjoint), (0, 1, 2))(y0, ts, p)
    theirs = gradients(adjoint=adjoint)
    np.testing.assert_allclose(to_host(ours[0]), theirs[0], rtol=1e-12)
    np.testing.assert_allclose(to_host(ours[1]), theirs[1], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(to_host(ours[2]["stiffness"]), theirs[2]["stiffness"], rtol=1e-12)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_float32_derivatives_stay_float32(adjoint):
    p = {name: value.astype(np.float32) for name, value in P.items()}
    d_y0, d_p = grad(lambda y0, p: loss(y0, TS, p, rtol=1e-4, adjoint=adjoint), (0, 1))(Y0.astype(np.float32), p)
    assert {d_y0.dtype, d_p["damping"].dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose(d_p["damping"], gradients()[2]["damping"], rtol=1e-3)


@pytest.mark.parametrize("options", [{"checkpoints": 2}, {"adjoint": "backsolve"}, {"solver": "dopri8"}])
def test_a_hundred_solves_leave_memory_flat(options):
    def run():
        decay = lambda y0, p: ops.sum(solve(lambda t, y, p: -p * y, y0, TS[:3], p, rtol=1e-2, atol=1e-2, **options).ys)
        grad(decay, (0, 1))(Y0, np.array([[0.5], [1.0], [2.0]]))

    run()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(3):
            run()
        gc.collect()  # also empties the interpreter's own free lists
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            run()
        unreachable = gc.collect()
        growth = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()
    assert unreachable == 0  # nothing waited for the garbage collector
    assert growth < 50_000  # 500 bytes a solve


def test_checkpointing_holds_less_at_once_than_the_whole_tape_and_backsolve_less_yet():
    def peak(**options):
        y0 = np.ones((50, 40))
        evaluate = grad(lambda y0: ops.sum(solve(lambda t, y, p: -y * y, y0, TS, step_size=0.02, **options).ys))
        tracemalloc.start()
        evaluate(y0)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    assert peak(checkpoints=16) < peak(adjoint="direct") / 4
    assert peak(adjoint="backsolve") < peak(checkpoints=16) / 2
