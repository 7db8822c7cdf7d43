"""What a caller gives `solve`: sequences, integers, any layout; tolerances of each state and the longest step."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import grad, ops, vjp
from mcgc.errors import InputError, SolveError, TraceError
from mcgc.ode import ADJOINTS, TABLEAUX, solve

SPIN = lambda t, y, p: ops.stack([y[1], -y[0]])
ADAPTIVE = [name for name, tableau in TABLEAUX.items() if tableau.error]
MIXED = np.array([[1.0, -500.0], [0.3, 200.0]])  # states of different size
TS = np.linspace(0, 3, 7)


def mixed(t, y, p):
    """Return the rates of a small and a large state that drive each other."""
    small, large = y[..., 0:1], y[..., 1:2]
    return ops.concat([large / 1024 - small, -large + 1024 * ops.sin(small)], axis=-1)


def test_lists_of_integers_are_solved_in_float64_and_agree_with_scipy():
    found = solve(SPIN, [1, 0], [0, 1, 2], rtol=1e-9, atol=1e-9).ys
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[math.cos(t), -math.sin(t)] for t in range(3)], atol=1e-8)
    expected = solve_ivp(lambda t, y: [y[1], -y[0]], (0, 2), [1, 0], t_eval=[0, 1, 2], rtol=1e-9, atol=1e-9).y.T
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_times_and_states_of_any_kind_are_the_same_numbers(dtype, device):
    y0, ts = to_device(MIXED, device, dtype), to_device([0.0, 1.0, 2.0], device)
    expected = to_host(solve(mixed, y0, ts).ys)
    assert expected.dtype == dtype
    for times in ([0, 1, 2], (0.0, 1.0, 2.0), [[0, 1, 2], [0, 1, 2]], range(3)):
        np.testing.assert_array_equal(to_host(solve(mixed, y0, times).ys), expected)
    if device.name == "cpu":
        read_only = MIXED.astype(dtype)
        read_only.flags.writeable = False
        swapped = np.dtype(dtype).newbyteorder(">")
        for states in (MIXED.astype(swapped), np.asfortranarray(MIXED.astype(dtype)), read_only):
            np.testing.assert_array_equal(solve(mixed, states, ts.astype(">f8")).ys, expected)


def test_fractional_times_of_a_float32_solution_keep_their_double_precision():
    one, other = (solve(SPIN, np.array([1, 0], np.float32), ts).ys for ts in ([0, 0.1, 0.7], np.array([0, 0.1, 0.7])))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("y0", "ts"), [([[1.0], [2.0]], [3, 1, 0]), ([[1.0], [2.0]], [[3, 1, 0], [0, 2, 5]])])
def test_times_may_fall(y0, ts):
    ys = solve(lambda t, y, p: -y, y0, ts, rtol=1e-10, atol=1e-10).ys
    t = np.broadcast_to(np.asarray(ts, float), (2, 3))
    np.testing.assert_allclose(ys[..., 0], np.asarray(y0) * np.exp(t[:, :1] - t), rtol=1e-8)


# ---- tolerances of each state ----


@pytest.mark.parametrize("name", ["atol", "rtol"])
@pytest.mark.parametrize("solver", ADAPTIVE)
def test_a_tolerance_for_each_state_that_is_the_same_is_one_number(solver, name):
    one, each = (solve(mixed, MIXED, TS, solver=solver, **{name: value}) for value in (1e-5, [1e-5, 1e-5]))
    np.testing.assert_array_equal(one.ys, each.ys)
    assert one.stats.evaluations == each.stats.evaluations


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_the_unit_of_a_state_changes_no_step_if_its_tolerance_has_it_too(solver):
    unit = np.array([1.0, 2.0**20])

    def rescaled(t, y, p):
        return mixed(t, y * unit, p) / unit

    options = {"solver": solver, "rtol": [1e-4, 1e-7]}
    one = solve(mixed, MIXED, TS, atol=np.array([1e-6, 1e-2]), **options)
    other = solve(rescaled, MIXED / unit, TS, atol=np.array([1e-6, 1e-2]) / unit, **options)
    np.testing.assert_array_equal(other.ys * unit, one.ys)
    assert other.stats.evaluations == one.stats.evaluations


@pytest.mark.parametrize(("solver", "rival"), [("bosh3", "RK23"), ("dopri5", "RK45"), ("dopri8", "DOP853")])
def test_tolerances_of_each_state_mean_what_they_mean_to_scipy(solver, rival):
    alone = lambda t, y: np.asarray(mixed(t, y, None))
    exact = solve_ivp(alone, (0, 3), MIXED[0], "DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    for atol in ([1e-7, 1e3], [1e3, 1e-4]):
        theirs = solve_ivp(alone, (0, 3), MIXED[0], rival, rtol=1e-12, atol=atol)
        ours = solve(mixed, MIXED[:1], [0, 3], solver=solver, rtol=1e-12, atol=atol)
        assert ours.stats.evaluations < 1.4 * theirs.nfev
        assert np.max(abs(ours.ys[0, -1] - exact) / atol) < 2 * np.max(abs(theirs.y[:, -1] - exact) / atol) + 1e-3


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_derivatives_go_with_tolerances_of_each_state(adjoint, device):
    ts = to_device(TS, device)

    def loss(y0, atol=(1e-10, 1e-7), adjoint=adjoint):
        return ops.sum(ops.square(solve(mixed, y0, ts, rtol=[1e-9, 1e-9], atol=list(atol), adjoint=adjoint).ys))

    y0 = to_device(MIXED, device)
    found, expected = grad(loss)(y0), grad(lambda y0: loss(y0, (1e-12, 1e-12), "direct"))(y0)
    np.testing.assert_allclose(to_host(found), to_host(expected), rtol=1e-5)


# ---- the longest step ----


@pytest.mark.parametrize("solver", TABLEAUX)
def test_no_step_is_longer_than_max_step(solver):
    seen, limit = [], 0.11
    adaptive = solver in ADAPTIVE
    options = {} if adaptive else {"step_size": 1.0}

    def f(t, y, p):
        seen.append(float(t))
        return -0.001 * y

    stats = solve(f, [1.0], [0, 2], solver=solver, max_step=limit, **options).stats
    nodes = {"bosh3": "RK23", "dopri5": "RK45", "dopri8": "DOP853"}
    if solver in nodes:
        steps = len(solve_ivp(lambda t, y: -0.001 * y, (0, 2), [1.0], nodes[solver], max_step=limit).t) - 1
        assert abs(stats.accepted - steps) <= 1
    assert stats.accepted >= 2 / limit
    assert max(np.diff(np.unique(seen))) <= limit + 1e-12


def test_a_pulse_that_long_steps_miss_is_found_as_by_scipy():
    pulse = lambda t, y, p: ops.where(abs(t - 7) < 0.5, 1.0, 0.0) + 0 * y
    missed, found = (solve(pulse, [0.0], [0, 20], max_step=most).ys[-1, 0] for most in (math.inf, 0.1))
    theirs = solve_ivp(lambda t, y: [1.0 * (abs(t - 7) < 0.5)], (0, 20), [0.0], max_step=0.1).y[0, -1]
    assert missed == 0
    assert found == pytest.approx(1, abs=2e-2)
    assert theirs == pytest.approx(1, abs=2e-2)


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_derivatives_go_with_a_longest_step(adjoint):
    def end(rate):
        f = lambda t, y, p: -p * y
        return ops.sum(solve(f, np.ones((2, 1)), [0, 1], rate, max_step=0.05, adjoint=adjoint).ys[:, -1])

    assert grad(end)(0.7) == pytest.approx(-2 * math.exp(-0.7), rel=1e-5)


# ---- one sentence ----


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ts": [0.0, math.inf]}, "be finite"),
        ({"ts": [-math.inf, 0.0]}, "be finite"),
        ({"ts": [0.0, math.nan]}, "be finite"),
        ({"ts": [0.0, 1.0, math.inf]}, "be finite"),
        ({"ts": [0, 1, 1]}, "increase strictly"),
        ({"ts": [0, 0]}, "increase strictly"),
        ({"ts": [0, 2, 1]}, "increase strictly"),
        ({"ts": [[0, 1], [0, 0]]}, "increase strictly"),
        ({"ts": [0]}, "two times"),
        ({"ts": []}, "two times"),
        ({"ts": 1.0}, "two times"),
        ({"ts": [[0, 1]]}, r"batch of 2 .* got \(1, 2\)"),
        ({"ts": [[[0, 1]]]}, r"got \(1, 1, 2\)"),
        ({"ts": ["a", "b"]}, "ts must be an array"),
        ({"ts": None}, "ts must be an array"),
        ({"ts": np.array([0, 1], np.float16)}, "ts is an array of float16"),
        ({"ts": np.array([0, 1], "M8[s]")}, "ts is an array of datetime"),
        ({"y0": 1.0}, r"y0 must have shape .* got \(\)"),
        ({"y0": []}, r"y0 must have shape"),
        ({"y0": np.ones((2, 2, 2))}, r"y0 must have shape .* got \(2, 2, 2\)"),
        ({"y0": np.ones((2, 2), np.float16)}, "y0 is an array of float16"),
        ({"y0": np.ones((2, 2), np.longdouble)}, "y0 is an array of"),
        ({"y0": np.ones((2, 2), complex)}, "y0 is an array of complex128"),
        ({"y0": [[1, 2], [3]]}, "its rows of one length"),
        ({"atol": [1e-6]}, r"one for each of 2 states, got \(1,\)"),
        ({"atol": [1e-6, 0.0]}, "atol must be a positive number"),
        ({"rtol": [1e-6, math.nan]}, "rtol must be a positive number"),
        ({"rtol": "a"}, "rtol must be an array or a sequence of numbers"),
        ({"atol": None}, "atol must be"),
        ({"max_step": 0.0}, "max_step must be a positive number"),
        ({"max_step": math.nan}, "max_step must be a positive number"),
        ({"max_step": "a"}, "max_step must be a positive number"),
        ({"step_size": "a"}, "step_size must be a positive number"),
        ({"step_size": math.inf}, "step_size must be a positive number"),
        ({"max_step": None}, "max_step must be a positive number"),
        ({"solver": ["dopri5"]}, "unknown solver"),
        ({"adjoint": None}, "unknown adjoint"),
        ({"max_steps": 10.5}, "max_steps must be a whole number"),
        ({"checkpoints": 1}, "checkpoints must be a whole number of at least 2"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(options, words):
    with pytest.raises(InputError, match=words) as caught:
        solve(mixed, **({"y0": MIXED, "ts": TS} | options))
    assert "\n" not in str(caught.value)


def test_times_that_are_not_finite_are_refused_on_a_device_too(away):
    for ts in ([0.0, math.inf], [math.nan, 0.0]):
        with pytest.raises(InputError, match="be finite"):
            solve(mixed, to_device(MIXED, away), ts)


def test_a_longest_step_that_cannot_advance_the_time_is_a_sentence():
    with pytest.raises(SolveError, match="too small to advance"):
        solve(mixed, MIXED, TS, max_step=1e-300)


def test_a_tolerance_has_no_derivative():
    with pytest.raises(TraceError, match="rtol"):
        grad(lambda rtol: ops.sum(solve(mixed, MIXED, TS, rtol=rtol).ys))(1e-6)


def test_states_that_are_traced_pass_as_they_are():
    ys, pullback = vjp(lambda y0: solve(mixed, y0, [0, 1]).ys, MIXED)
    assert pullback(ys)[0].shape == MIXED.shape
