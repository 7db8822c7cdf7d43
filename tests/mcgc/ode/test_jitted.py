"""Whole solutions of jitted fields: the steps and the numbers of the generic solver, and every derivative."""

from typing import NamedTuple

import numpy as np
import pytest

import mcgc
from mcgc import ops
from mcgc.errors import SolveError, TraceError
from mcgc.ode import TABLEAUX, Status, solve

ADAPTIVE = [name for name, tableau in TABLEAUX.items() if tableau.error]
FIXED = [name for name in TABLEAUX if name not in ADAPTIVE]


class System(NamedTuple):
    field: object
    y0: np.ndarray
    params: object
    until: float = 3.0


def column(*parts):
    return ops.stack(parts, axis=-1)


def lorenz(t, y, p):
    x, y, z = y[..., 0], y[..., 1], y[..., 2]
    return column(p[0] * (y - x), x * (p[1] - z) - y, x * y - p[2] * z)


def repressilator(t, y, p):
    m, q = y[..., :3], y[..., 3:]
    held = ops.roll(q, 1, axis=-1)
    return ops.concat([-m + p["a"] / (1 + held ** p["n"]) + p["a0"], p["b"] * (m - q)], axis=-1)


SYSTEMS = {
    "decay": System(lambda t, y, p: -p * y, np.array([[1.0], [2.0]]), 0.7),
    "lotka-volterra": System(
        lambda t, y, p: column(y[..., 0] * (p[0] - p[1] * y[..., 1]), y[..., 1] * (p[2] * y[..., 0] - p[3])),
        np.array([[1.0, 2.0], [0.5, 0.5], [2.0, 1.0]]),
        np.array([1.0, 0.5, 0.3, 0.2]),
    ),
    "lorenz": System(lorenz, np.array([[1.0, 1.0, 20.0], [-3.0, 2.0, 15.0]]), np.array([10.0, 28.0, 8 / 3]), 0.5),
    "van der pol": System(
        lambda t, y, p: column(y[..., 1], p["mu"] * (1 - y[..., 0] ** 2) * y[..., 1] - y[..., 0]),
        np.array([[2.0, 0.0], [0.1, 0.3]]),
        {"mu": np.array(2.0)},
    ),
    "fitzhugh-nagumo": System(
        lambda t, y, p: column(
            p[2] * (y[..., 0] - y[..., 0] ** 3 / 3 + y[..., 1]), -(y[..., 0] - p[0] + p[1] * y[..., 1]) / p[2]
        ),
        np.array([[-1.0, 1.0], [0.0, 0.5]]),
        [0.2, 0.2, 3.0],
    ),
    "driven pendulum": System(
        lambda t, y, p: column(y[..., 1], -ops.sin(y[..., 0]) - p[0] * y[..., 1] + p[1] * ops.cos(p[2] * t[..., 0])),
        np.array([[0.5, 0.0], [3.0, 0.1]]),
        np.array([0.1, 0.8, 0.6]),
    ),
    "repressilator": System(
        repressilator,
        np.array([[1.0, 0.5, 0.2, 2.0, 1.0, 0.3], [0.1, 0.2, 0.3, 0.1, 0.5, 4.0]]),
        {"a": np.array(20.0), "a0": np.array(0.2), "b": np.array(2.0), "n": 2},
    ),
    "a switch": System(
        lambda t, y, p: ops.where(y > p[0], -p[1] * y, -p[1] * y + ops.sqrt(ops.maximum(p[0] - y, 0.0)) * t),
        np.array([[0.2, 2.0], [1.0, 0.01]]),
        np.array([0.8, 1.3]),
    ),
    "rows of parameters": System(
        lambda t, y, p: ops.tanh(y @ p["shared"]) * p["own"] + p["column"][:, None],
        np.array([[0.2, 1.0], [1.0, -0.3], [0.4, 0.4]]),
        {
            "shared": np.array([[0.3, -1.0], [0.8, 0.2]]),
            "own": np.array([[1.0, 2.0], [0.5, -1.0], [0.1, 0.2]]),
            "column": np.array([0.1, 0.2, 0.3]),
        },
    ),
    "a matrix as large as the batch": System(
        lambda t, y, p: y @ p, np.array([[0.2, 1.0], [1.0, -0.3]]), np.array([[-0.3, 1.0], [-0.8, 0.2]])
    ),
    "no parameters": System(lambda t, y, p: column(y[..., 1], -y[..., 0]), np.array([[0.0, 1.0], [1.0, 1.0]]), None),
}


def leaves_of(tree):
    return [np.asarray(x) for x in mcgc.autodiff.flatten(tree)[0]]


def both(system, ts, of_times=False, **how):
    """Return the solution and all its cotangents, of the jitted field and of the generic solver."""
    whole = {k: v for k, v in system.params.items() if type(v) is int} if isinstance(system.params, dict) else {}
    varied = {k: v for k, v in system.params.items() if k not in whole} if whole else system.params
    found = []
    for field in (mcgc.jit(system.field), system.field):

        def solved(y0, params, ts=ts, field=field):
            solution = solve(field, y0, ts, {**params, **whole} if whole else params, **how)
            return solution.ys, solution

        ys, pullback, solution = mcgc.vjp(solved, system.y0, varied, *(ts,) * of_times, has_aux=True)
        cotangent = np.cos(np.arange(ys.size, dtype=ys.dtype)).reshape(ys.shape)
        cotangent[~np.isfinite(ys)] = 0
        found.append((solution, leaves_of(pullback(cotangent))))
    return found


def assert_same(found, tolerance=1e-12):
    (solution, bars), (expected, right) = found
    for one, other in zip(solution.stats[:2], expected.stats[:2], strict=True):
        np.testing.assert_allclose(one, other, atol=0 if bars[0].dtype == np.float64 else 1)
    np.testing.assert_array_equal(solution.status, expected.status)
    np.testing.assert_allclose(solution.ys, expected.ys, rtol=tolerance, atol=tolerance)
    assert len(bars) == len(right)
    for bar, each in zip(bars, right, strict=True):
        assert bar.shape == each.shape
        assert bar.dtype == each.dtype
        np.testing.assert_allclose(bar, each, rtol=tolerance * 10, atol=tolerance * max(1.0, abs(each).max(initial=0)))


@pytest.mark.parametrize("name", SYSTEMS)
def test_steps_states_and_derivatives_are_those_of_the_generic_solver(name, interpreted):
    system = SYSTEMS[name]
    assert_same(both(system, np.linspace(0, system.until, 7)))
    assert interpreted[0] is not None


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_every_adaptive_method_takes_the_steps_of_the_generic_solver(solver, interpreted):
    for name in ("lotka-volterra", "driven pendulum"):
        assert_same(both(SYSTEMS[name], np.linspace(0, 3, 5), True, solver=solver, rtol=1e-5))
    assert interpreted[0] is not None


@pytest.mark.parametrize("solver", TABLEAUX)
def test_every_method_takes_equal_steps(solver, interpreted):
    assert_same(both(SYSTEMS["driven pendulum"], np.linspace(0, 1, 4), True, solver=solver, step_size=0.15))
    assert interpreted[0] is not None


@pytest.mark.parametrize(
    ("ts", "how"),
    [
        (np.linspace(2, -1, 5), {}),
        (np.array([[0.0, 0.5, 2.0], [1.0, 1.5, 1.7], [3.0, 1.0, 0.5]]), {}),
        (np.array([0.0, 1e-3, 2.0]), {"max_step": 0.1}),
        (np.array([0.0, 2.0]), {"rtol": 1e-3, "atol": np.array([1e-3, 1e-6])}),
        (np.linspace(0, 2, 400), {"checkpoints": 2}),
        (np.linspace(0, 60, 3), {"rtol": 1e-9}),
    ],
)
def test_times_and_tolerances_mean_the_same(ts, how, interpreted):
    assert_same(both(SYSTEMS["lotka-volterra"], ts, True, **how), 1e-10)
    assert interpreted[0] is not None


def test_the_order_of_the_states_in_memory_changes_nothing(interpreted):
    system = SYSTEMS["lotka-volterra"]
    assert_same(both(system._replace(y0=np.asfortranarray(system.y0)), np.linspace(0, 3, 5)))
    assert interpreted[0] is not None


def test_a_single_trajectory_has_no_axis_of_the_batch(interpreted):
    field = lambda t, y, p: ops.stack([y[1], -p * y[0] + ops.sin(t)])
    assert_same(both(System(field, np.array([1.0, 0.0]), 2.5), np.linspace(0, 4, 9), True))
    assert interpreted[0] is not None


@pytest.mark.parametrize(
    ("how", "status"),
    [({"max_steps": 20}, Status.TOO_MANY_STEPS), ({}, Status.STEP_TOO_SMALL), ({"step_size": 0.01}, Status.NOT_FINITE)],
)
def test_trajectories_that_fail_have_their_status_and_no_derivative(how, status, interpreted):
    explodes = lambda t, y, p: p * y * y * y
    system = System(explodes, np.array([[1.0], [0.1], [2.0]]), np.array([1.0]))
    found = both(system, np.linspace(0, 1, 3), throw=False, **how)
    assert_same(found, 1e-10)
    assert status in found[0][0].status
    with pytest.raises(SolveError, match="try"):
        solve(mcgc.jit(explodes), system.y0, [0.0, 1.0], system.params, **how)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_solutions_are_those_of_the_generic_solver(dtype):
    system = SYSTEMS["driven pendulum"]
    system = System(system.field, system.y0.astype(dtype), system.params.astype(dtype))
    found = both(system, np.linspace(0, 3, 7), True)
    assert_same(found) if dtype == "float64" else assert_same(found, 3e-5)


def test_threads_change_no_bit():
    system, ts = SYSTEMS["driven pendulum"], np.linspace(0, 3, 7)
    y0 = np.random.default_rng(0).normal(size=(5, 2))
    found = []
    for threads in (1, 3):
        field = mcgc.jit(system.field, threads=threads)
        ys, pullback = mcgc.vjp(lambda y0, p, field=field: solve(field, y0, ts, p).ys, y0, system.params)
        found.append((ys, *pullback(ys)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def driven(t, y, p):
    """Return the rates of a chain of pendulums whose first is driven; p has rows."""
    x, v = y[..., ::2], y[..., 1::2]
    push = p[..., :1] * ops.cos(t) - ops.sin(x) - 0.2 * v
    return ops.reshape(ops.stack([v, push], axis=-1), y.shape)


def each_and_all(field, states, solver, dtype):
    """Return what is found of 21 trajectories together, and of each alone: states, counts and cotangents."""
    rng = np.random.default_rng(3)
    y0, p = rng.normal(size=(21, states)).astype(dtype), rng.uniform(0, 3, (21, 1)).astype(dtype)
    y0[4] = np.nan  # fails
    ts = np.sort(rng.uniform(0, 4, (21, 6)), axis=1) * rng.choice([-1, 1], (21, 1))

    def found(rows):
        def solved(y0, p, ts):
            solution = solve(field, y0, ts, p, solver=solver, rtol=1e-4, throw=False)
            return solution.ys, solution

        ys, pullback, solution = mcgc.vjp(solved, y0[rows], p[rows], ts[rows], has_aux=True)
        cotangent = np.where(np.isfinite(ys), np.cos(ts[rows])[..., None], 0).astype(dtype)
        return [ys, solution.status, *solution.stats[:2], *pullback(cotangent)]

    together, alone = found(slice(None)), [found(slice(i, i + 1)) for i in range(21)]
    return together, [np.concatenate(parts) for parts in zip(*alone, strict=True)]


@pytest.mark.parametrize(("states", "solver"), [(2, "dopri5"), (2, "dopri8"), (14, "bosh3")])
def test_a_trajectory_has_the_bits_that_it_has_alone(states, solver, interpreted):
    for one, other in zip(*each_and_all(mcgc.jit(driven), states, solver, np.float64), strict=True):
        np.testing.assert_array_equal(one, other)
    assert interpreted[0] is not None


def test_a_compiled_trajectory_has_the_bits_that_it_has_alone():
    together, alone = each_and_all(mcgc.jit(driven), 2, "dopri5", np.float32)
    assert together[1][4] != Status.SUCCESS
    assert len(set(together[2])) > 5  # lanes end at different times
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_second_derivatives_are_those_of_the_generic_solver(interpreted):
    system, ts = SYSTEMS["van der pol"], np.linspace(0, 1, 3)
    of = lambda field: lambda mu: ops.sum(solve(field, system.y0, ts, {"mu": mu}, rtol=1e-4).ys ** 2)
    mu = np.array(2.0)
    expected = mcgc.hvp(of(system.field), mu, np.array(1.0))
    np.testing.assert_allclose(mcgc.hvp(of(mcgc.jit(system.field)), mu, np.array(1.0)), expected, rtol=1e-10)


@pytest.mark.parametrize(
    "field",
    [
        lambda t, y, p: y - ops.mean(y, axis=0),
        lambda t, y, p: y * np.arange(1.0, y.shape[0] + 1)[:, None],
    ],
)
def test_a_field_that_mixes_rows_or_tells_them_apart_is_refused(field):
    with pytest.raises(TraceError, match="each row from its own row alone"):
        solve(mcgc.jit(field), np.ones((4, 2)), [0.0, 1.0])


def test_a_branch_on_a_value_is_refused_with_the_way_out():
    with pytest.raises(TraceError, match=r"mcgc\.ops\.where"):
        solve(mcgc.jit(lambda t, y, p: y if y[0, 0] > 0 else -y), np.ones((4, 2)), [0.0, 1.0])


def test_a_field_with_a_result_of_another_shape_is_refused():
    with pytest.raises(TraceError, match="an array like y"):
        solve(mcgc.jit(lambda t, y, p: y[:, :1]), np.ones((4, 2)), [0.0, 1.0])


def test_what_has_no_compiled_solution_is_solved_step_by_step():
    system, ts = SYSTEMS["lotka-volterra"], np.linspace(0, 1, 3)
    for how in (
        {"adjoint": "direct"},
        {"adjoint": "backsolve"},
        {"events": [mcgc.ode.Event(lambda t, y, p: y[:, 0] - 9)]},
    ):
        found = solve(mcgc.jit(system.field), system.y0, ts, system.params, **how).ys
        np.testing.assert_array_equal(found, solve(system.field, system.y0, ts, system.params, **how).ys)
