"""Whole solutions of dense nets by CUDA kernels, run by the host, beside those of the CPU: `test_cuda.py` runs this.

The compiler's code runs, with few threads in a block: they divide no width.
"""

from importlib import import_module
from typing import NamedTuple

import numpy as np
import pytest
from blocks import Host

from mcgc import nets
from mcgc.kernels import launching
from mcgc.ode import TABLEAUX, DenseField, Status, _cuda_net
from mcgc.ode._integrate import Method

_cuda_net.COLUMNS, _cuda_net.GROUPS, _cuda_net.THREADS = 4, 2, 8  # before the kernels are made
_dense_cuda = import_module("mcgc.ode._dense_cuda")

SIZES, BATCH = (4, 6, 5, 2), 3


@pytest.fixture(autouse=True)
def launched(monkeypatch):
    """Give the names of the kernels that were launched so far, on the host."""
    found = []

    def launch(kernel, blocks, threads, *arguments):
        found.append(kernel.__name__)
        HOST.launch(kernel, blocks, threads, *arguments)

    HOST.for_processor(monkeypatch)
    monkeypatch.setattr(launching, "launch", launch)
    return found


HOST = Host()


class Problem(NamedTuple):
    theta: np.ndarray
    y0: np.ndarray
    inputs: np.ndarray
    ts: np.ndarray


def problem(dtype, end=2.0, members=None):
    rng, m = np.random.default_rng(0), nets.num_parameters(SIZES)
    theta = rng.normal(size=(m,) if members is None else (members, m)).astype(dtype)
    y0, inputs = (rng.normal(size=(BATCH * (members or 1), 2)).astype(dtype) for _ in range(2))
    return Problem(theta, y0, inputs, np.linspace(0.5, 0.5 + end, 5) + np.zeros((len(y0), 1)))


def method(solver="dopri5", tolerance=1e-5, throw=True, **limits):
    return Method(TABLEAUX[solver], tolerance, tolerance, None, **{"max_steps": 1000, "throw": throw, **limits})


def on_gpu(given, how, activation="tanh"):
    theta, y0, inputs, ts = given
    return _dense_cuda.solve_dense(SIZES, activation, y0, theta, inputs, ts, how, True)


def on_cpu(given, how, activation="tanh"):
    theta, y0, inputs, ts = given
    return DenseField(SIZES, activation).solve_whole(how, y0, ts, (theta, inputs), True)


def bars_of(solution):
    """Return the cotangents of y0, θ and inputs."""
    bar = np.cos(np.arange(solution.ys.size, dtype=solution.ys.dtype)).reshape(solution.ys.shape)
    y_bar, _, theta_bar, inputs_bar = solution.vjp(bar)
    return y_bar, theta_bar, inputs_bar


def both(given, how, activation="tanh"):
    """Return the solutions of both, and their cotangents."""
    found, right = on_gpu(given, how, activation), on_cpu(given, how, activation)
    return found, right, bars_of(found), bars_of(right)


def assert_close(ours, theirs, tolerance):
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * max(1.0, np.nanmax(abs(theirs))))


@pytest.mark.parametrize(("solver", "activation", "end"), [("dopri5", "tanh", 2.0), ("bosh3", "relu", -0.7)])
def test_steps_states_and_cotangents_are_those_of_the_cpu(solver, activation, end, launched):
    how = method(solver, 1e-4)
    found, right, bars, expected = both(problem("float64", end), how, activation)
    for ours, theirs in zip(found.stats, right.stats, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.status, right.status)
    assert_close(found.ys, right.ys, 1e-11)
    for ours, theirs in zip(bars, expected, strict=True):
        assert_close(ours, theirs, 1e-10)
    assert launched == ["march", "turn", "pull", "_dense_total"]


def test_in_float32_equal_steps_give_the_states_and_cotangents_of_the_cpu_to_rounding():
    found, right, bars, expected = both(problem("float32"), method(tolerance=1e-2, max_step=0.1))
    np.testing.assert_array_equal(found.stats.accepted, right.stats.accepted)
    assert_close(found.ys, right.ys, 2e-6)
    for ours, theirs in zip(bars, expected, strict=True):
        assert_close(ours, theirs, 1e-5)


def test_in_float32_where_rounding_changes_the_steps_the_error_is_no_larger_than_that_of_the_cpu():
    single = problem("float32")
    found, right, bars, expected = both(single, method(tolerance=1e-4))
    exact = on_cpu(Problem(*(x.astype("float64") for x in single)), method(tolerance=1e-10))
    truth = exact.ys, *bars_of(exact)
    for ours, theirs, true in zip((found.ys, *bars), (right.ys, *expected), truth, strict=True):
        assert abs(ours - true).max() < 2 * abs(theirs - true).max()


def test_tolerances_of_each_state_and_a_longest_step_are_kept():
    how = method()._replace(rtol=np.array([1e-3, 1e-6]), atol=np.array([1e-4, 1e-7]), max_step=0.2)
    found, right = on_gpu(problem("float64"), how), on_cpu(problem("float64"), how)
    np.testing.assert_array_equal(found.stats.accepted, right.stats.accepted)
    assert found.stats.accepted.min() >= 10
    assert_close(found.ys, right.ys, 1e-11)


def test_a_log_that_is_too_short_is_enlarged_and_the_march_repeated(launched, monkeypatch):
    given, how = problem("float64"), method()
    right = on_gpu(given, how)
    bar = np.ones_like(right.ys)
    monkeypatch.setattr(_dense_cuda, "ROOM", 2)
    monkeypatch.setattr(_dense_cuda, "_room", {})
    launched.clear()
    found = on_gpu(given, how)
    assert launched == ["march", "march"]
    for ours, theirs in zip(found.vjp(bar), right.vjp(bar), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    launched.clear()
    on_gpu(given, how)
    assert launched == ["march"]


def test_members_have_the_bits_that_each_has_alone_and_calls_repeat_theirs():
    given, how = problem("float32", members=2), method(tolerance=1e-3)
    together, again = on_gpu(given, how), on_gpu(given, how)
    bar = np.ones_like(together.ys)
    bars = together.vjp(bar)
    for ours, theirs in zip(bars, again.vjp(bar), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for member in range(2):
        rows = slice(member * BATCH, (member + 1) * BATCH)
        alone = on_gpu(Problem(given.theta[member], *(x[rows] for x in given[1:])), how)
        np.testing.assert_array_equal(together.ys[rows], alone.ys)
        y_bar, _, theta_bar, inputs_bar = alone.vjp(bar[rows])
        np.testing.assert_array_equal(bars[0][rows], y_bar)
        np.testing.assert_array_equal(bars[2][member], theta_bar)
        np.testing.assert_array_equal(bars[3][rows], inputs_bar)


def test_a_trajectory_that_fails_has_its_status_and_no_derivative():
    given, how = problem("float64"), method(throw=False)
    given.inputs[1] = np.nan
    found, right, bars, expected = both(given, how)
    assert found.status.tolist() == right.status.tolist() == [Status.SUCCESS, Status.NOT_FINITE, Status.SUCCESS]
    assert np.isnan(found.ys[1]).all()
    assert_close(found.ys, right.ys, 1e-11)
    for ours, theirs in zip(bars, expected, strict=True):
        assert_close(ours, theirs, 1e-10)
    assert on_gpu(given, method()) is None
    few = method(throw=False, max_steps=3)
    assert on_gpu(given, few).status.tolist() == on_cpu(given, few).status.tolist()


@pytest.mark.parametrize("spoil", [lambda ts: ts[:, ::-1].copy() * [1, 1, 1, 1, 3], lambda ts: ts * np.nan])
def test_times_that_are_not_in_order_are_left_to_the_solver_that_refuses_them(spoil, launched):
    given = problem("float64")
    assert on_gpu(given._replace(ts=spoil(given.ts)), method(throw=False)) is None
    assert launched == ["march"]


def test_wide_layers_many_states_and_solvers_of_many_stages_are_left_to_others():
    theta, y0 = np.zeros(5, "float32"), np.zeros((6, 2), "float32")
    assert _dense_cuda.fits(SIZES, theta, y0, method())
    assert _dense_cuda.fits(SIZES, np.zeros((3, 5)), y0, method())
    assert not _dense_cuda.fits(SIZES, np.zeros((4, 5)), y0, method())
    assert not _dense_cuda.fits((4, _cuda_net.WIDEST + 1, 2), theta, y0, method())
    assert not _dense_cuda.fits((4, 6, _cuda_net.STATES + 1), theta, y0, method())
    assert not _dense_cuda.fits(SIZES, theta, y0, method("dopri8"))
