"""Derivatives of solutions: each adjoint against the other, finite differences and closed forms; and their memory."""

import gc
import tracemalloc

import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import check_grads, grad, ops
from mcgc.ode import ADJOINTS, TABLEAUX, solve

Y0 = np.array([[1.0, 0.5], [0.3, -0.4], [2.0, 1.0]])
TS = np.linspace(0.0, 3.0, 8)
P = {"damping": np.array([[0.1], [0.2], [0.3]]), "stiffness": np.array([1.3])}


def pendulum(t, y, p):
    angle, speed = y[:, 0:1], y[:, 1:2]
    return ops.concat([speed, -p["stiffness"] * ops.sin(angle) - p["damping"] * speed + 0.1 * ops.cos(t)], axis=1)


def loss(y0, ts, p, **options):
    return ops.mean(ops.square(solve(pendulum, y0, ts, p, **options).ys))


def gradients(**options):
    return grad(lambda y0, ts, p: loss(y0, ts, p, **options), (0, 1, 2))(Y0, TS, P)


@pytest.mark.parametrize("options", [{}, {"step_size": 0.2}, {"step_size": 0.2, "solver": "rk4"}])
@pytest.mark.parametrize("checkpoints", [2, 3, 64])
def test_checkpointed_equals_direct(options, checkpoints):
    direct = gradients(adjoint="direct", **options)
    ours = gradients(adjoint="checkpointed", checkpoints=checkpoints, **options)
    for a, b in [*zip(direct[:2], ours[:2], strict=True), *((direct[2][k], ours[2][k]) for k in P)]:
        np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("name", TABLEAUX)
def test_derivatives_of_given_steps_equal_finite_differences(adjoint, name):
    f = lambda y0, p: solve(pendulum, y0, TS, p, solver=name, step_size=0.21, adjoint=adjoint, checkpoints=3).ys
    check_grads(f, Y0, P, order=1, rtol=1e-8)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_derivatives_of_adaptive_solutions_equal_finite_differences(adjoint):
    # the steps change a little with the inputs, so the difference also holds the solution's own error
    f = lambda y0, p: solve(pendulum, y0, TS, p, rtol=1e-10, atol=1e-12, adjoint=adjoint).ys
    check_grads(f, Y0, P, order=1, rtol=1e-6)


def test_second_derivatives_equal_finite_differences():
    f = lambda y0: solve(pendulum, y0, TS[:3], P, step_size=0.3).ys
    check_grads(f, Y0[:, :], order=2, rtol=1e-6)


def test_derivatives_of_a_linear_equation_have_their_closed_form():
    f = lambda y0, rate: solve(lambda t, y, p: p * y, y0, np.array([0.0, 2.0]), rate, rtol=1e-10, atol=1e-12).ys[-1, 0]
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


def test_rejected_and_finished_trajectories_do_not_disturb_the_others():
    fast = {"damping": np.array([[0.0], [0.1], [0.0]]), "stiffness": np.array([[1.0], [900.0], [30.0]])}
    together = grad(lambda y0: loss(y0, TS, fast))(Y0)
    assert solve(pendulum, Y0, TS, fast).stats.rejected.sum() > 0
    for i in range(3):
        one = {name: value[i : i + 1] for name, value in fast.items()}
        alone = grad(lambda y0, one=one: loss(y0, TS, one))(Y0[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0] / 3, rtol=1e-10)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_derivatives_run_on_a_device_without_implicit_transfers(device, adjoint):
    y0, ts = (to_device(x, device, "float64") for x in (Y0, TS))
    p = {name: to_device(value, device, "float64") for name, value in P.items()}
    ours = grad(lambda y0, ts, p: loss(y0, ts, p, adjoint=adjoint), (0, 1, 2))(y0, ts, p)
    theirs = gradients(adjoint=adjoint)
    np.testing.assert_allclose(to_host(ours[0]), theirs[0], rtol=1e-12)
    np.testing.assert_allclose(to_host(ours[1]), theirs[1], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(to_host(ours[2]["stiffness"]), theirs[2]["stiffness"], rtol=1e-12)


def test_float32_derivatives_stay_float32():
    p = {name: value.astype(np.float32) for name, value in P.items()}
    d_y0, d_p = grad(lambda y0, p: loss(y0, TS, p, rtol=1e-4), (0, 1))(Y0.astype(np.float32), p)
    assert {d_y0.dtype, d_p["damping"].dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose(d_p["damping"], gradients()[2]["damping"], rtol=1e-3)


def test_a_hundred_solves_leave_memory_flat():
    def run():
        grad(lambda y0, p: loss(y0, TS[:4], p, rtol=1e-3, checkpoints=2), (0, 1))(Y0, P)

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


def test_checkpointing_holds_less_at_once_than_the_whole_tape():
    def peak(**options):
        y0 = np.ones((50, 40))
        evaluate = grad(lambda y0: ops.sum(solve(lambda t, y, p: -y * y, y0, TS, step_size=0.01, **options).ys))
        tracemalloc.start()
        evaluate(y0)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    assert peak(checkpoints=16) < peak(adjoint="direct") / 4
