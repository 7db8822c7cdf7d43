"""Kernels of generated programs, run by the host, beside the loops compiled for the CPU: `test_cuda.py` runs this."""

import hosted
import numpy as np
import pytest
from everything import everything

import mcgc
from mcgc import ops
from mcgc.ode import Status, _jitted, solve

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
TS = np.linspace(0, 3, 6)


@pytest.fixture
def device(monkeypatch):
    """Give a function that runs a function on the imagined device, and the list of what was launched there."""
    launched = []

    def run(function, *args, **options):
        with monkeypatch.context() as patched:
            found = hosted.install(patched)
            out = function(*args, **options)
        launched.extend(found)
        return out

    run.launched = launched
    return run


def assert_close(ours, theirs, dtype):
    assert len(ours) == len(theirs)
    for x, right in zip(ours, theirs, strict=True):
        assert (x.shape, x.dtype) == (right.shape, right.dtype)
        unit = TOLERANCE[dtype] * max(1.0, abs(right).max(initial=0))
        np.testing.assert_allclose(x, right, rtol=TOLERANCE[dtype], atol=unit)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_operation_and_its_derivative_are_those_of_the_cpu(dtype, device):
    x, p = np.linspace(-1.9, 1.8, 8)[:, None].astype(dtype), np.array([0.3, -0.2, 0.7], dtype)

    def value_and_bars():
        y, pullback = mcgc.jit(everything).rows(0).vjp(x, p)
        return [y, *pullback(np.cos(y))]

    assert_close(device(value_and_bars), value_and_bars(), dtype)
    assert device.launched == ["rows", "rows"]


def test_integers_truth_values_and_numbers_of_python_are_arguments(device):
    def function(x, n, flag, scale):
        return ops.where(flag, x * n * scale, -x), n // 2 + 1, x > 0

    x, n, flag = np.linspace(-1, 1, 5), np.arange(-2, 3), np.array([True, False, True, True, False])
    call = lambda: mcgc.jit(function).rows((0, 1, 2))(x, n, flag, 2.5)
    for ours, theirs in zip(device(call), call(), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_a_function_of_one_row_is_one_thread_and_the_engine_records_it(device):
    x = np.array([0.3, -1.2, 0.8])
    rosenbrock = mcgc.jit(lambda x: ops.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))
    assert_close([device(mcgc.grad(rosenbrock), x)], [mcgc.grad(rosenbrock)(x)], "float64")
    assert_close(device(rosenbrock.value_and_grad, x), rosenbrock.value_and_grad(x), "float64")
    assert device.launched == ["rows"] * 3


def test_rows_in_another_order_in_memory_are_those_of_the_array(device):
    x = np.arange(24.0).reshape(4, 6)
    double = mcgc.jit(lambda x: 2 * x).rows(0)
    for given in (x.T, x[:, ::2], x[::-1]):
        np.testing.assert_array_equal(device(double, given), 2 * given)


def test_no_rows_launch_nothing(device):
    assert mcgc.jit(lambda x: 2 * x).rows(0)(np.ones((0, 3))).shape == (0, 3)
    assert device(mcgc.jit(lambda x: 2 * x).rows(0), np.ones((0, 3))).shape == (0, 3)
    assert device.launched == []


def pendulum(t, y, p):
    x, v = y[..., 0], y[..., 1]
    return ops.stack([v, -ops.sin(x) - p["drag"] * v + p["drive"][..., 0] * ops.cos(0.6 * t[..., 0])], axis=-1)


def solution(field, dtype, ts=TS, **how):
    """Return what a solution and its derivatives by all inputs are, of five trajectories."""
    y0 = np.stack([np.linspace(-1, 2, 5), np.linspace(0.5, 0, 5)], axis=-1).astype(dtype)
    params = {"drag": np.asarray(0.1, dtype), "drive": np.linspace(0, 1, 5)[:, None].astype(dtype)}
    solved = lambda y0, params, ts: (lambda found: (found.ys, found))(solve(field, y0, ts, params, **how))
    ys, pullback, found = mcgc.vjp(solved, y0, params, ts, has_aux=True)
    bars = mcgc.autodiff.flatten(pullback(np.cos(ys)))[0]
    return found, [ys, *bars]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("solver", "how"), [("dopri5", {}), ("dopri8", {}), ("rk4", {"step_size": 0.1})])
def test_steps_states_and_cotangents_are_those_of_the_cpu(solver, how, dtype, device):
    field = mcgc.jit(pendulum)
    (found, ours), (expected, theirs) = (
        device(solution, field, dtype, solver=solver, **how),
        solution(field, dtype, solver=solver, **how),
    )
    np.testing.assert_array_equal(found.stats.accepted, expected.stats.accepted)
    np.testing.assert_array_equal(found.stats.rejected, expected.stats.rejected)
    assert found.stats.evaluations == expected.stats.evaluations
    np.testing.assert_array_equal(found.status, expected.status)
    assert_close(ours, theirs, dtype)
    assert device.launched == ["forward", "backward"]


def test_a_log_that_is_too_short_is_enlarged_and_the_march_repeated(device, monkeypatch):
    monkeypatch.setattr(_jitted, "ROOM", 4)
    field, how = mcgc.jit(pendulum), {"solver": "tsit5", "rtol": 1e-6}
    assert_close(
        device(solution, field, "float64", **how)[1], solution(mcgc.jit(pendulum), "float64", **how)[1], "float64"
    )
    assert device.launched == ["forward", "forward", "backward"]
    device(solution, field, "float64", **how)
    assert device.launched[3:] == ["forward", "backward"]


def test_a_solution_reads_once(device, monkeypatch):
    reads, read = [], _jitted.to_host
    monkeypatch.setattr(_jitted, "to_host", lambda array: reads.append(array.shape) or read(array))
    device(solution, mcgc.jit(pendulum), "float32", solver="bosh3", rtol=1e-2, atol=1e-2)
    assert reads == [(5, 5)]


def test_a_trajectory_that_fails_has_its_status_and_no_derivative(device):
    explodes = mcgc.jit(lambda t, y, p: p * y * y * y)
    y0, p = np.array([[1.0], [0.1], [2.0]]), np.array([1.0])

    def failing():
        solved = lambda p: (lambda found: (found.ys, found.status))(solve(explodes, y0, [0.0, 1.0], p, throw=False))
        ys, pullback, status = mcgc.vjp(solved, p, has_aux=True)
        return status, ys, *pullback(np.where(np.isfinite(ys), 1.0, 0.0))

    (status, *ours), (right, *theirs) = device(failing), failing()
    np.testing.assert_array_equal(status, right)
    assert status.tolist() == [Status.STEP_TOO_SMALL, Status.SUCCESS, Status.STEP_TOO_SMALL]
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-12)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-12)


def test_times_that_are_not_in_order_are_left_to_the_solver_that_refuses_them(device):
    with pytest.raises(mcgc.errors.InputError, match="must increase strictly"):
        device(solution, mcgc.jit(pendulum), "float64", ts=np.array([0.0, 2.0, 1.0]))
