"""Dense nets as fields: the compiled solution is the generic one, step for step and bit for bit."""

import numpy as np
import pytest

from mcgc import nets
from mcgc.arrays import to_device, to_host
from mcgc.autodiff import check_grads, grad, ops, vjp
from mcgc.errors import InputError, SolveError
from mcgc.ode import TABLEAUX, DenseField, _compiled, solve, solve_members
from mcgc.random import Key

SIZES = (4, 20, 17, 20, 3)
BATCH = 5


def problem(dtype="float64", activation="tanh", sizes=SIZES):
    """Return a field, and θ, y0, inputs and times of each trajectory's own, of a solution with some rejected steps."""
    rng = np.random.default_rng(3)
    theta = 2 * nets.init(Key(1), sizes, dtype)
    states = sizes[-1]
    y0, inputs = rng.normal(size=(BATCH, states)).astype(dtype), rng.normal(size=(BATCH, sizes[0] - states))
    times = np.sort(rng.uniform(0.1, 4, (BATCH, 9)), axis=1)
    return DenseField(sizes, activation), theta, y0, inputs.astype(dtype), times


def generic(field):
    """Return the same field without its compiled solution."""
    return lambda t, y, params: field(t, y, params)


def solution(field, ts, **options):
    """Return (θ, y0, inputs) → states at `ts`, and the list that collects what it took."""
    stats = []

    def run(theta, y0, inputs):
        found = solve(field, y0, ts, (theta, inputs), **{"rtol": 1e-7, "atol": 1e-8} | options)
        stats.append(found.stats)
        return found.ys

    return run, stats


def both(dtype="float64", activation="tanh", backwards=False, **options):
    """Return the states, the stats and the cotangents of the compiled and of the generic solution."""
    field, theta, y0, inputs, ts = problem(dtype, activation)
    ts = ts[:, ::-1] if backwards else ts
    found = []
    for f in (field, generic(field)):
        run, stats = solution(f, ts, **options)
        ys, pullback = vjp(run, theta, y0, inputs)
        cotangent = np.random.default_rng(4).normal(size=ys.shape).astype(dtype)
        found.append((ys, stats[0], pullback(cotangent)))
    return found


def assert_same_steps(compiled, reference):
    np.testing.assert_array_equal(compiled.accepted, reference.accepted)
    np.testing.assert_array_equal(compiled.rejected, reference.rejected)
    assert compiled.evaluations == reference.evaluations


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("solver", ["bosh3", "dopri5", "tsit5"])
def test_the_steps_and_states_are_those_of_the_generic_solution(solver, activation, backwards):
    (ys, stats, _), (expected, reference, _) = both("float64", activation, backwards, solver=solver, rtol=1e-5)
    np.testing.assert_array_equal(ys, expected)
    assert_same_steps(stats, reference)
    assert stats.rejected.sum() > 0 or solver == "bosh3"


def test_float32_stays_float32_and_takes_the_same_steps():
    (ys, stats, bars), (expected, reference, _) = both("float32", "relu")
    np.testing.assert_array_equal(ys, expected)
    assert_same_steps(stats, reference)
    assert {ys.dtype, *(bar.dtype for bar in bars)} == {np.dtype("float32")}


@pytest.mark.parametrize("store", [0, 2**14, 2**20])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_cotangents_are_those_of_the_replayed_steps_whatever_is_stored(monkeypatch, activation, store):
    monkeypatch.setattr(_compiled, "STORE", store)
    (_, _, bars), (_, _, expected) = both("float64", activation)
    for bar, reference in zip(bars, expected, strict=True):
        np.testing.assert_allclose(bar, reference, rtol=0, atol=1e-11 * np.abs(reference).max())


def test_first_derivatives_match_finite_differences_of_an_accurate_solution():
    field, theta, y0, inputs, ts = problem(sizes=(3, 6, 2))
    run, _ = solution(field, ts, rtol=1e-11, atol=1e-12)
    check_grads(run, theta, y0, inputs, order=1, rtol=1e-6)


def test_second_derivatives_are_those_of_the_generic_solution():
    field, theta, y0, inputs, ts = problem(sizes=(3, 6, 2))
    products = []
    for f in (field, generic(field)):
        run, _ = solution(f, ts)
        slope = grad(lambda theta, run=run: ops.sum(ops.square(run(theta, y0, inputs))))
        products.append(grad(lambda theta, slope=slope: ops.sum(ops.square(slope(theta))))(theta))
    np.testing.assert_allclose(*products, rtol=1e-10)


def test_a_trajectory_has_the_same_bits_alone_and_in_a_batch():
    field, theta, y0, inputs, ts = problem()
    together = solution(field, ts)[0](theta, y0, inputs)
    for i in range(BATCH):
        alone = solution(field, ts[i : i + 1])[0](theta, y0[i : i + 1], inputs[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])


def test_pulling_twice_gives_the_same_bits_and_changes_nothing():
    field, theta, y0, inputs, ts = problem()
    copies = [x.copy() for x in (theta, y0, inputs, ts)]
    ys, pullback = vjp(solution(field, ts)[0], theta, y0, inputs)
    first, second = pullback(ys), pullback(ys)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    for x, copy in zip((theta, y0, inputs, ts), copies, strict=True):
        np.testing.assert_array_equal(x, copy)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options", [{"atol": [1e-3, 1e-6, 1e-9]}, {"rtol": [1e-2, 1e-5, 1e-3]}, {"max_step": 0.07}], ids=str
)
def test_tolerances_of_each_state_and_the_longest_step_are_those_of_the_generic_solution(options, dtype):
    (ys, stats, bars), (expected, reference, bars_expected) = both(dtype, "tanh", **options)
    np.testing.assert_array_equal(ys, expected)
    assert_same_steps(stats, reference)
    assert stats.evaluations != both(dtype, "tanh")[1][1].evaluations
    for bar, other in zip(bars, bars_expected, strict=True):
        np.testing.assert_allclose(bar, other, rtol=0, atol=(1e-4 if dtype == "float32" else 1e-11) * abs(other).max())


def test_no_step_of_the_compiled_solution_is_longer_than_max_step():
    field, theta, y0, inputs, _ = problem()
    stats = solve(field, y0, [0, 1], (0 * theta, inputs), max_step=0.1).stats
    assert (stats.accepted >= 10).all()
    assert (stats.accepted <= 15).all()


def test_lists_integers_and_every_layout_give_the_same_solution():
    field, theta, y0, inputs, ts = problem()
    inputs = np.round(inputs)
    expected = solve(field, y0, ts, (theta, inputs)).ys
    for change in (np.asfortranarray, lambda x: x.astype(">f8"), lambda x: np.repeat(x, 2, axis=-1)[..., ::2]):
        found = solve(field, change(y0), change(ts), (change(theta), change(inputs))).ys
        np.testing.assert_array_equal(found, expected)
    for other in (inputs.astype(int), inputs.tolist()):
        np.testing.assert_array_equal(solve(field, y0, ts.tolist(), (theta, other)).ys, expected)
    sizes = DenseField(list(SIZES), "tanh")
    np.testing.assert_array_equal(solve(sizes, y0, ts, (theta, inputs)).ys, expected)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (lambda theta, inputs: theta, "params of a DenseField are"),
        (lambda theta, inputs: (theta[:-1], inputs), "parameters, but theta"),
        (lambda theta, inputs: (theta, inputs[:1]), "need inputs for each"),
        (lambda theta, inputs: (theta, inputs[:, :0]), "takes rows of 4"),
        (lambda theta, inputs: (theta.astype(np.float16), inputs), "theta is an array of float16"),
        (lambda theta, inputs: (theta, inputs.astype(complex)), "inputs is an array of complex128"),
    ],
)
def test_params_that_do_not_fit_are_one_sentence(params, words):
    field, theta, y0, inputs, ts = problem()
    with pytest.raises(InputError, match=words):
        solve(field, y0, ts, params(theta, inputs))
    with pytest.raises(InputError, match="f must return an array like y, float32"):
        solve(field, y0.astype(np.float32), ts, (theta, inputs))


@pytest.mark.parametrize(
    ("y", "theta", "inputs", "words"),
    [
        (1.0, np.ones(25), np.ones((2, 1)), "need inputs for each"),
        (np.ones((3, 2)), np.ones((2, 25)), np.ones((3, 1)), "2 members need as many rows each of 3"),
        (np.ones((2, 1)), np.ones((2, 25)), np.ones((2, 1)), "2 members need as many rows each of 3"),
        ("a", np.ones(25), np.ones((2, 1)), "y must be an array"),
    ],
)
def test_a_rate_of_what_does_not_fit_is_one_sentence(y, theta, inputs, words):
    with pytest.raises(InputError, match=words):
        DenseField((3, 3, 2, 2))(0.0, y, (theta, inputs))
    with pytest.raises(InputError, match="sequence of layer sizes"):
        DenseField(3)(0.0, y, (theta, inputs))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"theta": lambda x: x[0]}, "theta of shape"),
        ({"ts": lambda x: x[0]}, r"ts has shape \(batch, n\)"),
        ({"inputs": lambda x: x[:2]}, "need inputs for each"),
        ({"y0": lambda x: x[None, None]}, "y0 has shape"),
        ({"y0": lambda x: np.stack(3 * [x])}, r"or \(2, batch, n\), got \(3, 5, 3\)"),
    ],
)
def test_members_that_do_not_fit_are_one_sentence(change, words):
    field, theta, y0, inputs, ts = problem()
    given = {"theta": np.stack([theta, theta]), "y0": y0, "ts": ts, "inputs": inputs}
    given |= {name: f(given[name]) for name, f in change.items()}
    with pytest.raises(InputError, match=words):
        solve_members(field, given["y0"], given["ts"], (given["theta"], given["inputs"]))


@pytest.mark.parametrize(
    "options", [{"solver": "dopri8"}, {"solver": "dopri8", "step_size": 0.1}, {"adjoint": "direct"}], ids=str
)
def test_what_has_no_compiled_solution_is_solved_step_by_step(options):
    (ys, stats, bars), (expected, reference, bars_expected) = both("float64", "tanh", **options)
    np.testing.assert_array_equal(ys, expected)
    assert_same_steps(stats, reference)
    for bar, other in zip(bars, bars_expected, strict=True):
        np.testing.assert_array_equal(bar, other)


EQUAL = [name for name, tableau in TABLEAUX.items() if not tableau.extra]


@pytest.fixture
def marches(monkeypatch):
    """Return a list that grows with every compiled march."""
    calls, right = [], _compiled.march_dense
    monkeypatch.setattr(_compiled, "march_dense", lambda *args: calls.append(1) or right(*args))
    return calls


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("solver", EQUAL)
def test_equal_steps_are_those_of_the_generic_solution(marches, solver, backwards, dtype):
    (ys, stats, bars), (expected, reference, bars_expected) = both(
        dtype, "tanh", backwards, solver=solver, step_size=0.13
    )
    assert marches == [1]
    np.testing.assert_array_equal(ys, expected)
    assert_same_steps(stats, reference)
    assert len(set(stats.accepted)) > 1
    for bar, other in zip(bars, bars_expected, strict=True):
        assert bar.dtype == dtype
        np.testing.assert_allclose(bar, other, rtol=0, atol=(1e-4 if dtype == "float32" else 1e-11) * abs(other).max())


@pytest.mark.parametrize(
    "options", [{"step_size": 1e6}, {"step_size": 10.0}, {"step_size": 0.5, "max_step": 0.07}, {"step_size": 0.01}]
)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_equal_steps_of_any_size_are_those_of_the_generic_solution(marches, activation, options):
    (ys, stats, bars), (expected, reference, bars_expected) = both("float64", activation, solver="rk4", **options)
    assert marches == [1]
    np.testing.assert_array_equal(ys, expected)
    assert_same_steps(stats, reference)
    for bar, other in zip(bars, bars_expected, strict=True):
        np.testing.assert_allclose(bar, other, rtol=0, atol=1e-11 * abs(other).max())


@pytest.mark.parametrize("solver", ["euler", "rk4", "dopri5"])
def test_derivatives_of_equal_steps_match_finite_differences_of_them(marches, solver):
    field, theta, y0, inputs, ts = problem(sizes=(3, 6, 2))
    run, _ = solution(field, ts, solver=solver, step_size=0.2)
    check_grads(run, theta, y0, inputs, order=1, rtol=1e-6)
    assert marches


@pytest.mark.parametrize("adjoint", ["direct", "backsolve"])
def test_every_adjoint_of_equal_steps_has_the_same_states_and_derivatives(adjoint):
    field, theta, y0, inputs, ts = problem()
    found = []
    for how in ("checkpointed", adjoint):
        run, _ = solution(field, ts, step_size=0.02, adjoint=how)
        ys, pullback = vjp(run, theta, y0, inputs)
        found.append((ys, *pullback(np.cos(ys))))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(
            ours, theirs, rtol=0, atol=(1e-11 if adjoint == "direct" else 1e-4) * abs(ours).max()
        )


def test_a_trajectory_of_equal_steps_has_the_same_bits_alone_and_in_a_batch():
    field, theta, y0, inputs, ts = problem("float32")
    together = solution(field, ts, step_size=0.1)[0](theta, y0, inputs)
    for i in range(BATCH):
        alone = solution(field, ts[i : i + 1], step_size=0.1)[0](theta, y0[i : i + 1], inputs[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])


def test_rows_of_many_trajectories_and_wide_layers_are_those_of_the_generic_solution():
    rng = np.random.default_rng(5)
    sizes = (3, 70, 70, 2)  # 5 vectors of AVX-512, and 19 rows in tiles of 5 and 4
    theta = nets.init(Key(3), sizes, "float32")
    y0, inputs = rng.normal(size=(19, 2)).astype("float32"), rng.normal(size=(19, 1)).astype("float32")
    ys, bars = [], []
    for f in (DenseField(sizes), generic(DenseField(sizes))):
        found, pullback = vjp(lambda *x, f=f: solve(f, x[1], [0, 0.5, 1], (x[0], x[2])).ys, theta, y0, inputs)
        ys.append(found)
        bars.append(pullback(found))
    np.testing.assert_array_equal(*ys)
    for ours, theirs in zip(*bars, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * abs(theirs).max())


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_derivatives_where_states_are_subnormal_are_those_of_the_net(activation):
    field, theta = DenseField((1, 1, 1), activation), np.array([1, 0, 1, 0], "float32")  # dy/dt = y there
    y0, inputs = np.full((1, 1), 1e-40, "float32"), np.zeros((1, 0), "float32")
    slope = grad(lambda y0: ops.sum(solve(field, y0, [0, 1], (theta, inputs), step_size=0.1).ys[:, 1]))(y0)
    np.testing.assert_allclose(slope, np.e, rtol=1e-5)


def test_derivatives_of_the_times_are_those_of_the_generic_solution():
    field, theta, y0, inputs, ts = problem()
    bars = []
    for f in (field, generic(field)):
        ys, pullback = vjp(lambda ts, f=f: solve(f, y0, ts, (theta, inputs)).ys, ts)
        bars.append(pullback(ys)[0])
    np.testing.assert_array_equal(*bars)
    assert np.abs(bars[0]).max() > 0


def test_a_solution_that_fails_is_explained_like_any_other():
    field, theta, y0, inputs, ts = problem()
    with pytest.raises(SolveError, match="more than max_steps = 3 steps are needed at t = "):
        solve(field, y0, ts, (theta, inputs), max_steps=3)
    with pytest.raises(SolveError, match="too small to advance"):
        solve(field, y0, ts, (theta * np.nan, inputs))


def test_other_devices_solve_step_by_step(away):
    field, theta, y0, inputs, ts = problem()
    expected = solution(field, ts)[0](theta, y0, inputs)
    theta, y0, inputs, ts = (to_device(x, away) for x in (theta, y0, inputs, ts))
    np.testing.assert_allclose(to_host(solution(field, ts)[0](theta, y0, inputs)), expected, rtol=1e-6)


def test_a_field_is_the_net_of_state_and_inputs():
    field, theta, y0, inputs, _ = problem()
    expected = nets.apply(theta, ops.concat([y0, inputs], axis=1), SIZES, "tanh")
    np.testing.assert_array_equal(field(0.0, y0, (theta, inputs)), expected)
