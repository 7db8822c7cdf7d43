"""Nets and equations with inputs over time: the compiled solution is the generic one, and the inputs are SciPy's."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

from mcgc import nets, ops
from mcgc.autodiff import vjp
from mcgc.ode import DenseField, _compiled, solve, solve_members
from mcgc.ode._driven_field import DrivenField, inputs_at, pack
from mcgc.ode._equations import ScaledEquations, recorded_equations
from mcgc.random import Key
from mcgc.tables import interpolate

BATCH, STATES, INPUTS, KNOTS = 4, 3, 2, 6
KINDS = ("linear", "cubic", "previous")


def equations(dtype="float64"):
    def field(t, y, p, u):
        a, b, c = y
        pull = ops.where(a > 0.2, ops.exp(-a), 1 - a)
        return [u["v"] - p["k"] * a * b, p["k"] * pull + 0.1 * ops.sin(p["m"] * t), ops.maximum(u["w"], b) - c]

    units = np.array([[0.1, -0.2, 0.3, 1.5, 0.7, 1.2, 0.4, -0.1, 2.0, 0.5, 0.8]], dtype)
    return field, ScaledEquations(recorded_equations(field, 3, ("k", "m"), ("v", "w")), 3, 2, 2, units)


def curvatures(knots, values, kind):
    found = np.zeros_like(values)
    if kind == "cubic":
        for i in range(len(knots)):
            found[i] = CubicSpline(knots[i], values[i], bc_type="natural")(knots[i], 2)
    return found


def problem(dtype="float64", kind=None, known=True, sizes=(5, 9, 9, 3), activation="silu", skip=True):
    """Return a field, θ, y0, inputs and times."""
    rng = np.random.default_rng(0)
    net = 1.5 * nets.init(Key(2), sizes, dtype) if sizes else np.zeros(0, dtype)
    theta = np.concatenate([np.array([0.7, 1.3], dtype), net]) if known else net
    y0, ts = rng.normal(size=(BATCH, STATES)).astype(dtype), np.sort(rng.uniform(0, 3, (BATCH, 7)), axis=1)
    columns = [np.array([[0.5], [0.0], [2.0], [1.0]], dtype)] if known else []
    if kind is None:
        columns.append(rng.normal(size=(BATCH, INPUTS)).astype(dtype))
    else:
        knots = np.sort(rng.uniform(-0.2, 3.2, (BATCH, KNOTS)), axis=1)
        values = rng.normal(size=(BATCH, KNOTS, INPUTS))
        both = np.concatenate([values, curvatures(knots, values, kind)], axis=-1)
        columns.append(pack(knots, both).astype(dtype))
    field = DrivenField(
        sizes, activation, skip, KNOTS if kind else 0, kind or "linear", equations(dtype)[1] if known else None
    )
    return field, theta, y0, np.concatenate(columns, axis=1), ts


def both(field, theta, y0, inputs, ts, **options):
    """Return states, stats and cotangents of the compiled and of the generic solution."""
    found = []
    for f in (field, lambda t, y, params: field(t, y, params)):
        stats = []

        def run(theta, y0, inputs, f=f, stats=stats):
            solution = solve(f, y0, ts, (theta, inputs), **{"rtol": 1e-5, "atol": 1e-6} | options)
            stats.append(solution.stats)
            return solution.ys

        ys, pullback = vjp(run, theta, y0, inputs)
        cotangent = np.random.default_rng(4).normal(size=ys.shape).astype(ys.dtype)
        found.append((ys, stats[0], pullback(cotangent)))
    return found


CASES = {
    **{f"{name} {skip}": {"activation": name, "skip": skip, "known": False} for name in nets.ACTIVATIONS
       for skip in (False, True)},
    **{f"net {kind}": {"kind": kind, "known": False} for kind in KINDS},
    **{f"equations {kind}": {"kind": kind, "sizes": ()} for kind in (None, *KINDS)},
    **{f"both {kind}": {"kind": kind} for kind in (None, *KINDS)},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_compiled_solution_and_its_derivatives_are_the_generic_ones(name, monkeypatch):
    calls = []
    right = _compiled.march_dense
    monkeypatch.setattr(_compiled, "march_dense", lambda *args: calls.append(1) or right(*args))
    (ys, stats, bars), (expected, reference, bars_expected) = both(*problem(**CASES[name]))
    assert calls == [1]
    np.testing.assert_array_equal(stats.accepted, reference.accepted)
    np.testing.assert_array_equal(stats.rejected, reference.rejected)
    np.testing.assert_allclose(ys, expected, rtol=1e-12, atol=1e-12)
    for bar, other in zip(bars, bars_expected, strict=True):
        np.testing.assert_allclose(bar, other, rtol=0, atol=1e-11 * np.abs(other).max())


@pytest.mark.parametrize("store", [0, 2**13])
@pytest.mark.parametrize("backwards", [False, True])
def test_derivatives_do_not_depend_on_what_is_stored_or_on_the_direction(monkeypatch, store, backwards):
    monkeypatch.setattr(_compiled, "STORE", store)
    *given, ts = problem(kind="linear")
    (_, _, bars), (_, _, expected) = both(*given, 0.2 * ts[:, ::-1] if backwards else ts)
    for bar, other in zip(bars, expected, strict=True):
        np.testing.assert_allclose(bar, other, rtol=0, atol=1e-11 * np.abs(other).max())


@pytest.mark.parametrize("name", ["gelu True", "net cubic", "equations None", "both linear"])
@pytest.mark.parametrize("solver", ["midpoint", "tsit5"])
def test_equal_steps_of_every_part_are_those_of_the_generic_solution(solver, name):
    (ys, stats, bars), (expected, reference, bars_expected) = both(
        *problem(**CASES[name]), solver=solver, step_size=0.11
    )
    np.testing.assert_array_equal(stats.accepted, reference.accepted)
    assert stats.evaluations == reference.evaluations
    np.testing.assert_allclose(ys, expected, rtol=1e-12, atol=1e-12)
    for bar, other in zip(bars, bars_expected, strict=True):
        np.testing.assert_allclose(bar, other, rtol=0, atol=1e-11 * np.abs(other).max())


@pytest.mark.parametrize("name", ["gelu True", "net cubic", "equations None", "both cubic"])
def test_float32_stays_float32(name):
    (ys, _, bars), (expected, _, bars_expected) = both(*problem("float32", **CASES[name]), rtol=1e-6, atol=1e-7)
    assert {ys.dtype, *(bar.dtype for bar in bars)} == {np.dtype("float32")}
    np.testing.assert_allclose(ys, expected, rtol=0, atol=2e-3 * np.abs(expected).max())
    for bar, other in zip(bars, bars_expected, strict=True):
        np.testing.assert_allclose(bar, other, rtol=0, atol=2e-2 * np.abs(other).max())


@pytest.mark.parametrize("kind", KINDS)
def test_solutions_are_those_of_scipy_with_the_inputs_of_the_table(kind):
    field, theta, y0, inputs, ts = problem(kind=kind)
    by_hand, (*_, units) = equations()
    found = solve(field, y0, ts, (theta, inputs), rtol=1e-10, atol=1e-11, max_step=0.02).ys
    mean, sd, u_mean, u_sd, unit = units[0, :3], units[0, 3:6], units[0, 6:8], units[0, 8:10], units[0, 10]
    for i in range(BATCH):
        knots, values = inputs[i, 1 : 1 + KNOTS], inputs[i, 1 + KNOTS :].reshape(KNOTS, -1)[:, :INPUTS]

        def rate(t, y, i=i, knots=knots, values=values):
            u = np.array([interpolate(knots, values[:, j], np.array(t), kind) for j in range(INPUTS)])
            fed = dict(zip("vw", u_mean + u_sd * u, strict=True))
            of_equations = by_hand(inputs[i, 0] + unit * t, mean + sd * y, {"k": theta[0], "m": theta[1]}, fed)
            net = nets.apply(theta[2:], np.concatenate([y, u]), field.sizes, "silu", True)
            return np.array([float(x) for x in of_equations]) * unit / sd + net

        how = {"rtol": 1e-8, "atol": 1e-9, "max_step": 0.02}
        wanted = solve_ivp(rate, ts[i, [0, -1]], y0[i], t_eval=ts[i], **how).y.T
        np.testing.assert_allclose(found[i], wanted, atol=2e-2 if kind == "previous" else 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_between_knots_beyond_them_and_on_them_are_those_of_the_table(kind):
    rng = np.random.default_rng(1)
    knots, values = np.sort(rng.uniform(0, 3, (1, KNOTS)), axis=1), rng.normal(size=(1, KNOTS, INPUTS))
    packed = pack(knots, np.concatenate([values, curvatures(knots, values, kind)], axis=-1))
    for t in (-1.0, *np.linspace(0.01, 2.9, 11), *knots[0], 5.0):
        found = inputs_at(np.array([[t]]), packed, KNOTS, kind)[0]
        wanted = [interpolate(knots[0], values[0, :, j], np.array(t), kind) for j in range(INPUTS)]
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_members_and_solutions_that_fail_go_step_by_step():
    field, theta, y0, inputs, ts = problem(kind="linear")
    stacked = solve_members(field, y0, ts, (np.stack([theta, 0.5 * theta]), inputs), rtol=1e-7, atol=1e-8)
    alone = solve(field, y0, ts, (theta, inputs), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(stacked.ys[0], alone.ys, atol=1e-6)
    failed = solve(field, np.where(np.arange(BATCH)[:, None] == 1, np.nan, y0), ts, (theta, inputs), throw=False)
    assert np.isnan(failed.ys[1]).all()
    assert (failed.status != 0).tolist() == [False, True, False, False]
    np.testing.assert_array_equal(failed.ys[[0, 2, 3]], solve(field, y0, ts, (theta, inputs)).ys[[0, 2, 3]])


def test_a_driven_field_without_knots_and_equations_is_a_dense_field():
    field, theta, y0, inputs, ts = problem(known=False, activation="tanh", skip=False)
    found = [solve(f, y0, ts, (theta, inputs)).ys for f in (field, DenseField(*field[:3]))]
    np.testing.assert_array_equal(*found)
