"""The status of each trajectory: those that fail have rows of NaN and a code, the others are as they are alone."""

import numpy as np
import pytest

from mcgc import nets
from mcgc.arrays import to_device, to_host
from mcgc.autodiff import grad, ops, vjp
from mcgc.autodiff.pytree import flatten
from mcgc.errors import InputError, SolveError
from mcgc.ode import ADJOINTS, DenseField, Status, solve, solve_members
from mcgc.random import Key

Y0 = np.array([[0.1], [1.0], [0.2], [np.nan], [-0.5]])
TS = np.linspace(0.0, 2.0, 5)
FAILED = np.array([False, True, False, True, False])
METHODS = {"adaptive": {}, "fixed": {"step_size": 0.125}}
SHARED = np.array([1.0])  # a parameter of all trajectories


def explode(t, y, p):
    """Return a y², of which the solution from y₀ ends at t = 1 / (a y₀)."""
    return p["shared"] * p["own"] * y * y


def parameters(device=None, rows=slice(None)):
    own = np.array([[0.9], [30.0], [0.7], [1.0], [0.5]])[rows]
    return {"shared": SHARED, "own": own} if device is None else {
        "shared": to_device(SHARED, device), "own": to_device(own, device)
    }  # fmt: skip


def test_statuses_are_integers_of_which_zero_is_success():
    assert [*Status] == [0, 1, 2, 3, 4]
    assert Status.SUCCESS == 0


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
def test_trajectories_that_fail_are_nan_and_the_others_are_as_they_are_alone(options, device):
    y0, ts = to_device(Y0, device), to_device(TS, device)
    found = solve(explode, y0, ts, parameters(device), throw=False, **options)
    status, ys = to_host(found.status), to_host(found.ys)
    assert status.dtype == np.int64
    blown = Status.NOT_FINITE if options else Status.STEP_TOO_SMALL
    np.testing.assert_array_equal(status, [0, blown, 0, Status.NOT_FINITE, 0])
    assert np.isnan(ys[FAILED]).all()
    for i in np.flatnonzero(~FAILED):
        alone = solve(explode, Y0[i : i + 1], TS, parameters(rows=slice(i, i + 1)), **options)
        np.testing.assert_allclose(ys[i], alone.ys[0], rtol=1e-13)
        assert to_host(found.stats.accepted)[i] == alone.stats.accepted[0]
    with pytest.raises(SolveError):
        solve(explode, y0, ts, parameters(device), **options)


@pytest.mark.parametrize("adjoint", ADJOINTS)
@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
def test_derivatives_of_what_failed_are_zero_and_of_the_others_as_alone(adjoint, options, device):
    def bars(device, rows, y0):
        run = lambda y0, ts, p: solve(explode, y0, ts, p, throw=False, adjoint=adjoint, checkpoints=3, **options).ys
        ts = to_device(np.broadcast_to(TS, (len(y0), 5)).copy(), device)
        ys, pullback = vjp(run, to_device(y0, device), ts, parameters(device, rows))
        cotangent = np.random.default_rng(0).normal(size=(5, 5, 1))[rows]
        cotangent = np.where(np.isnan(to_host(ys)), np.nan, cotangent)  # a sum that leaves NaN out may give these
        return [to_host(bar) for bar in flatten(pullback(to_device(cotangent, device)))[0]]

    y0_bar, ts_bar, own_bar, shared_bar = bars(device, slice(None), Y0)
    for bar in (y0_bar, ts_bar, own_bar):
        np.testing.assert_array_equal(bar[FAILED], 0)
    alone = bars(device, ~FAILED, Y0[~FAILED])
    for ours, theirs in zip((y0_bar[~FAILED], ts_bar[~FAILED], own_bar[~FAILED], shared_bar), alone, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11)
    assert np.abs(shared_bar).max() > 0


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_second_derivatives_leave_out_what_failed(adjoint):
    def second(y0, p):
        run = lambda q: ops.sum(ops.where(np.isnan(y0)[:, None] | (y0 == 1)[:, None], 0, end(q)))
        end = lambda q: solve(explode, y0, TS, p | {"shared": q}, throw=False, adjoint=adjoint).ys ** 2
        return grad(lambda q: ops.sum(grad(run)(q)))(SHARED)

    alone = second(Y0[~FAILED], parameters(rows=~FAILED))
    np.testing.assert_allclose(second(Y0, parameters()), alone, rtol=1e-10)


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_where_all_fail_all_is_nan_and_every_derivative_zero(adjoint, options, device):
    y0, ts, p = to_device(Y0[FAILED], device), to_device(TS, device), parameters(device, FAILED)
    run = lambda y0, ts, p: solve(explode, y0, ts, p, throw=False, adjoint=adjoint, **options).ys
    ys, pullback = vjp(run, y0, ts, p)
    assert np.isnan(to_host(ys)).all()
    for bar in flatten(pullback(ys))[0]:
        np.testing.assert_array_equal(to_host(bar), 0)


def test_a_single_trajectory_has_a_status_without_an_axis():
    assert solve(lambda t, y, p: y * y, [1.0], [0, 2], throw=False).status == Status.STEP_TOO_SMALL
    assert solve(lambda t, y, p: y * y, [0.1], [0, 2]).status == Status.SUCCESS


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
def test_trajectories_that_need_too_many_steps_say_so(options):
    ts = np.array([[0.0, 100.0, 200.0], [0.0, 0.1, 0.2]])
    found = solve(lambda t, y, p: ops.cos(t), np.ones((2, 1)), ts, throw=False, max_steps=12, **options)
    if "step_size" in options:
        found = solve(lambda t, y, p: -y, np.ones((2, 1)), ts, throw=False, max_steps=12, solver="rk4", step_size=0.1)
    np.testing.assert_array_equal(found.status, [Status.TOO_MANY_STEPS, Status.SUCCESS])
    assert np.isnan(found.ys[0]).all()
    assert np.isfinite(found.ys[1]).all()


def test_times_out_of_order_are_refused_whatever_is_thrown():
    with pytest.raises(InputError, match="strictly"):
        solve(explode, Y0, [0, 2, 1], parameters(), throw=False)


# ---- dense nets ----

SIZES = (3, 12, 12, 2)


def dense(dtype):
    """Return a field, and θ, y0, inputs and times of five trajectories, of which two fail."""
    rng = np.random.default_rng(5)
    theta = (3 * nets.init(Key(2), SIZES, dtype)).astype(dtype)
    y0, inputs = rng.normal(size=(5, 2)).astype(dtype), rng.normal(size=(5, 1)).astype(dtype)
    y0[1], inputs[3] = np.nan, np.inf
    return DenseField(SIZES, "relu"), theta, y0, inputs, np.linspace(0, 0.2, 4)


@pytest.mark.parametrize(
    ("dtype", "max_steps", "step_size"),
    [
        ("float32", 16384, None),
        ("float32", 35, None),
        ("float64", 19, None),
        ("float32", 40, 0.01),
        ("float64", 9, 0.01),
    ],
)
def test_compiled_solutions_have_the_status_and_states_of_the_generic_ones(dtype, max_steps, step_size):
    field, theta, y0, inputs, ts = dense(dtype)
    options = {"throw": False, "max_steps": max_steps, "step_size": step_size}
    ours = solve(field, y0, ts, (theta, inputs), **options)
    theirs = solve(lambda t, y, p: field(t, y, p), y0, ts, (theta, inputs), **options)
    np.testing.assert_array_equal(ours.status, theirs.status)
    np.testing.assert_array_equal(ours.ys, theirs.ys)
    assert ours.status[1] == ours.status[3] == Status.NOT_FINITE
    np.testing.assert_array_equal(ours.stats.rejected, theirs.stats.rejected)
    expected = {16384: {0, 3}, 35: {0, 1, 3}, 19: {0, 1, 3}, 40: {0, 3}, 9: {1, 3}}
    assert set(ours.status) == expected[max_steps]


@pytest.mark.parametrize("step_size", [None, 0.01])
@pytest.mark.parametrize("store", [0, 2**20])
def test_compiled_cotangents_leave_out_what_failed(monkeypatch, store, step_size):
    from mcgc.ode import _compiled

    monkeypatch.setattr(_compiled, "STORE", store)
    field, theta, y0, inputs, ts = dense("float64")
    good = np.array([True, False, True, False, True])

    def bars(rows):
        run = lambda theta, y0, inputs: solve(field, y0, ts, (theta, inputs), throw=False, step_size=step_size).ys
        ys, pullback = vjp(run, theta, y0[rows], inputs[rows])
        return pullback(ys)  # which is NaN where it failed

    theta_bar, y0_bar, inputs_bar = bars(slice(None))
    alone = bars(good)
    np.testing.assert_allclose(theta_bar, alone[0], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(y0_bar[good], alone[1], rtol=1e-13)
    np.testing.assert_allclose(inputs_bar[good], alone[2], rtol=1e-13)
    np.testing.assert_array_equal(y0_bar[~good], 0)
    np.testing.assert_array_equal(inputs_bar[~good], 0)
    for bar in bars(~good):
        np.testing.assert_array_equal(bar, 0)


def test_compiled_cotangents_are_finite_where_a_rejected_step_overflowed():
    # dy/dt = −L d(z), dz/dt = 1, with a dead zone of d that closes as z passes 0.9: the first long step overflows
    decay, width = 1e4, 1e29
    layers = [[[-1, 0, 0], [0, 1, -1]], [1, 0, 0], [[-width, -width], [1, -1], [-1, 1]], [0, 0]]
    layers += [[[0, -decay], [0, decay]], [1, 0]]
    theta = np.concatenate([np.ravel(layer) for layer in layers]).astype("float32")
    y0, inputs, field = np.array([[0, 1e28]], "float32"), np.zeros((1, 0), "float32"), DenseField((2, 3, 2, 2))
    ends = []
    for f in (field, lambda t, y, p: field(t, y, p)):
        run = lambda theta, f=f: ops.sum(solve(f, y0, [0, 1.1], (theta, inputs), rtol=1e-4, atol=1e-4).ys[:, 1, 0])
        ends.append(grad(run)(theta))
    assert np.isfinite(ends[0]).all()
    np.testing.assert_allclose(*ends, rtol=1e-4)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_member_that_fails_leaves_those_beside_it_as_they_are(compiled, device):
    field, theta, y0, inputs, ts = dense("float64")
    thetas, y0, inputs = np.stack([theta, 1e30 * theta, 0.5 * theta]), y0[::2], inputs[::2]
    ts = np.broadcast_to(ts, (3, 4)).copy()
    f = field if compiled else lambda t, y, p: field(t, y, p)

    def run(thetas, y0, inputs):
        found = solve_members(f, y0, to_device(ts, device), (thetas, inputs), throw=False)
        return found.ys, found.status

    ys, pullback, status = vjp(run, *(to_device(x, device) for x in (thetas, y0, inputs)), has_aux=True)
    assert status.shape == (3, 3)
    np.testing.assert_array_equal(to_host(status)[[0, 2]], 0)
    assert (to_host(status)[1] > 0).all()
    bars = to_host(pullback(ys)[0])
    np.testing.assert_array_equal(bars[1], 0)
    for i in (0, 2):
        alone, pullback = vjp(lambda theta: solve(f, y0, ts, (theta, inputs)).ys, thetas[i])
        np.testing.assert_allclose(to_host(ys)[i], alone, rtol=1e-12)
        np.testing.assert_allclose(bars[i], pullback(alone)[0], rtol=1e-10, atol=1e-13)
