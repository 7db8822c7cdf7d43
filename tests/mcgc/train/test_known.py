"""Equations of a user in the field of a table: the loss, its gradient and the courses are those of SciPy and NumPy."""

import inspect
import json

import numpy as np
import pytest
from reactor import reactor
from scipy.integrate import solve_ivp
from scipy.optimize import approx_fprime

import mcgc
from mcgc import Parameter, nets, ops, train
from mcgc.arrays import HOST
from mcgc.errors import InputError, TraceError
from mcgc.tables import interpolate
from mcgc.train import Processes, Stacked, prepare
from mcgc.train._known import known_of, known_of_model

NAMES = {"group": "run", "states": "A,B", "inputs": "feed"}
SMALL = {"epochs": 4, "horizons": "1,all"}
PARAMETERS = {"k": Parameter(1.5, 0.5, 3.0), "m": Parameter(0.8, log=True), "fast": Parameter(2.0, fixed=True)}


def chain(t, y, p, u):
    """A → B →, with a drive that depends on the time and a branch by a value."""
    a, b = y
    drive = u["feed"] + 0.1 * ops.sin(p["fast"] * t)
    return [drive - p["k"] * ops.where(a > 0.1, a, 0.1 * a), p["k"] * a - p["m"] * b]


def plain_chain(t, y, k, m, feed):
    a, b = y
    return np.array([feed + 0.1 * np.sin(2 * t) - k * (a if a > 0.1 else 0.1 * a), k * a - m * b])


def bound(data, **settings):
    problem, checked, own = prepare(
        data, "dynamics", **NAMES, **({"field": chain, "parameters": PARAMETERS} | settings)
    )
    return train.bind(checked, own, HOST, problem), own


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("hidden", [None, "5"])
@pytest.mark.parametrize("interpolation", [None, "linear", "previous"])
def test_the_loss_is_that_of_scipys_solutions(interpolation, hidden, standardize):
    data = reactor(runs=6, seed=3, varying=interpolation is not None)
    data["time"] = [time + 1.0 for time in data["time"]]  # the equations see the time of the table
    names = {"interpolation": interpolation} if interpolation else {}
    exact = {"dtype": "float64", "rtol": 1e-9, "atol": 1e-9, "standardize": standardize}
    task, own = bound(data, **names, **SMALL, **exact, hidden=hidden)
    problem = task.problem
    theta = problem.init(mcgc.Key(1), "float64", HOST)
    assert (theta[:2] == 0).all()
    theta = theta + 0.3 * np.random.default_rng(0).normal(size=theta.shape)
    k, m = np.asarray(known_of_model(problem.model).values(theta[:2]))[:2]
    scaling = task.scaling
    mean, sd, u_mean, u_sd, unit = (
        (scaling.mean, scaling.sd, scaling.inputs_mean, scaling.inputs_sd, scaling.time[0])
        if standardize
        else (np.zeros(2), np.ones(2), np.zeros(1), np.ones(1), 1.0)
    )
    squares = []
    for label in task.problem.divide(own, task.settings)[0].labels:
        series = own.groups.index(label)
        if task.problem.divide(own, task.settings)[1][series] != 0:
            continue
        a, b = own.bounds[series : series + 2]
        times, states, fed = own.times[a:b], own.states[a:b], own.inputs[a:b, 0]

        def rate(t, y, times=times, fed=fed):
            feed = interpolate(times, fed, np.array(t), interpolation or "linear")
            found = plain_chain(t, y, k, m, float(feed))
            if hidden:
                scaled = np.append((y - mean) / sd, (feed - u_mean[0]) / u_sd[0])
                found = found + nets.apply(theta[2:], scaled, problem.sizes, "relu") * sd / unit
            return found

        how = {"rtol": 1e-8, "atol": 1e-9, "max_step": float(np.diff(times).min())}
        found = solve_ivp(rate, (times[0], times[-1]), states[0], t_eval=times, **how).y.T
        squares.append(((found - states) / sd)[1:].ravel())
    wanted = np.nanmean(np.concatenate(squares) ** 2)
    assert float(task.objective(theta, task.train)[0]) == pytest.approx(wanted, rel=2e-3 if interpolation else 1e-5)


@pytest.mark.parametrize("hidden", [None, "4"])
@pytest.mark.parametrize("varying", [False, True])
def test_the_gradient_is_that_of_finite_differences(hidden, varying):
    task, _ = bound(
        reactor(runs=6, seed=4, varying=varying), **SMALL, dtype="float64", hidden=hidden, solver="bosh3",
        step_size=0.05, activation="tanh" if hidden else None,
    )  # fmt: skip
    theta = task.problem.init(mcgc.Key(2), "float64", HOST)
    theta = theta + 0.2 * np.random.default_rng(1).normal(size=theta.shape)
    loss = lambda x: task.objective(x, task.train)[0]
    found = mcgc.grad(loss)(theta)
    np.testing.assert_allclose(found, approx_fprime(theta, lambda x: float(loss(x)), 1e-7), rtol=1e-4, atol=1e-6)


def test_parameters_begin_at_their_starts_move_by_their_scales_and_stay_in_their_bounds():
    parts = {
        "line": Parameter(-3.0, scale=0.5), "both": Parameter(1.0, 0.0, 2.0), "edge": Parameter(0.0, 0.0, 1.0),
        "low": Parameter(4.0, min=1.0), "high": Parameter(-5.0, max=0.0), "log": Parameter(0.01, log=True),
        "held": Parameter(7.0, fixed=True), "narrow": Parameter(0.2, 0.1, 0.4, log=True),
    }  # fmt: skip
    known = known_of(lambda t, y, p: [sum(p.values()) * y[0]], parts, ["y"], [])
    assert known.num_free == 7
    start = known.values(np.zeros(7))
    wanted = [one.value for one in parts.values()]
    np.testing.assert_allclose(start, wanted, atol=3e-3)
    np.testing.assert_allclose(np.delete(start, 2), np.delete(wanted, 2), rtol=1e-12)
    slopes = np.diag(mcgc.jacobian(known.values)(np.zeros(7))[[0, 1, 3, 4, 5]][:, [0, 1, 3, 4, 5]])
    np.testing.assert_allclose(
        slopes / [0.5, 0.5, 4, 5, 0.01], [1, 1, np.sqrt(1.75**2 - 1) / 1.75, np.sqrt(3) / 2, 1], rtol=1e-12
    )
    far = known.values(np.random.default_rng(0).normal(size=(1000, 7)) * 10)
    for column, one in zip(np.asarray(far).T, parts.values(), strict=True):
        assert (one.min - 1e-9 <= column).all() and (column <= one.max + 1e-9).all()  # noqa: PT018
        assert (column > 0).all() or not one.log


def predators(runs=10, seed=0, n=20):
    """Return the table of runs of Lotka and Volterra's equations with noise, at times of each run's own."""
    rng, columns = np.random.default_rng(seed), {name: [] for name in ("run", "t", "u", "v")}
    rates = lambda t, y: [1.3 * y[0] - 0.9 * y[0] * y[1], 0.8 * y[0] * y[1] - 1.8 * y[1]]
    for run in range(runs):
        times = np.sort(rng.uniform(0, 8, n))
        times[0] = 0
        start = rng.uniform(0.5, 3, 2)
        states = solve_ivp(rates, (0, 8), start, t_eval=times, rtol=1e-9).y.T + 0.02 * rng.normal(size=(n, 2))
        columns["run"] += [run] * n
        columns["t"] += times.tolist()
        columns["u"] += states[:, 0].tolist()
        columns["v"] += states[:, 1].tolist()
    return columns


def growth(t, y, p):
    """What is known: prey grow and hunters die; how they meet is not."""
    return [p["a"] * y[0], -p["c"] * y[1]]


GROWTH = {"a": Parameter(1.0, 0.2, 3.0), "c": Parameter(1.0, 0.2, 3.0)}


@pytest.fixture(scope="module")
def hybrid():
    return mcgc.fit(predators(), "dynamics", group="run", field=growth, parameters=GROWTH, hidden="16", epochs=100)


def test_known_parts_with_nets_are_better_on_held_out_runs_than_either_alone(hybrid):
    how = {"group": "run", "epochs": 100, "learning_rate": hybrid.settings.learning_rate}
    known, seeds = {"field": growth, "parameters": GROWTH}, range(1, 4)
    both = [hybrid, *(mcgc.fit(predators(), "dynamics", **how, **known, hidden="16", seed=seed) for seed in seeds)]
    nets = [mcgc.fit(predators(), "dynamics", **how, hidden="16", seed=seed) for seed in (0, *seeds)]
    alone = mcgc.fit(predators(), "dynamics", **how, **known)
    error = lambda found: found.results["scores"]["test"]["rmse"]["all"]
    assert np.mean([error(one) for one in both]) < 0.7 * np.mean([error(one) for one in nets])
    assert max(error(one) for one in both) < 0.2 * error(alone)
    assert not alone.results["beats"]["linear model"]


def test_the_parameters_of_right_equations_are_found():
    data = reactor(runs=12, seed=1)
    right = lambda t, y, p, u: [u["feed"] - p["k"] * y[0], p["k"] * y[0] - p["m"] * y[1]]
    found = mcgc.fit(
        data, "dynamics", **NAMES, field=right, parameters={"k": 1.0, "m": Parameter(3.0, 0, 10)}, members=2,
        bootstrap=True, epochs=150,
    )  # fmt: skip
    assert np.mean(found.parameters["k"]) == pytest.approx(2, rel=0.05)
    assert np.mean(found.parameters["m"]) == pytest.approx(1, rel=0.05)
    assert found.results["parameters"] == found.parameters
    assert found.results["beats"]["linear model"]
    assert "sizes" in found.model and found.model["sizes"] == []  # noqa: PT018


def test_a_file_alone_predicts_with_the_equations_and_runs_no_code(hybrid, tmp_path):
    hybrid.save(tmp_path / "run.h5")
    found = mcgc.load(tmp_path / "run.h5")
    course = found.simulate({"u": 1.0, "v": 2.0}, until=3.0, every=1.0)
    theta, scaling = found.file.theta[0].astype(float), {k: np.asarray(v) for k, v in found.file.scaling.items()}
    a, c = (found.parameters[name][0] for name in "ac")
    mean, sd, unit = scaling["mean"], scaling["sd"], scaling["time"][0]
    net = lambda y: nets.apply(theta[2:], (y - mean) / sd, found.model["sizes"], "relu") * sd / unit
    rate = lambda t, y: np.array([a * y[0], -c * y[1]]) + net(y)
    wanted = solve_ivp(rate, (0, 3), [1.0, 2.0], t_eval=np.arange(4), rtol=1e-8, atol=1e-8).y.T
    np.testing.assert_allclose(
        np.stack([course["u"], course["v"]], axis=1), wanted, atol=0.02
    )  # of the run's tolerance
    assert found.model["known"]["source"] == inspect.getsource(growth)
    with pytest.raises(InputError, match="only nets are exported"):
        found.to_npz(tmp_path / "net.npz")
    with pytest.raises(InputError, match="a diagnosis is of nets alone"):
        found.diagnose(predators())


def test_a_known_part_that_was_changed_by_hand_is_refused_or_is_only_arithmetic(hybrid):
    model = json.loads(json.dumps(hybrid.model))
    model["known"]["source"] = "raise SystemExit"
    assert known_of_model(model).formula == known_of_model(hybrid.model).formula
    for change in (
        ["eval", 0],
        ["stack", 0],
        ["input", 5, 0],
        ["input", 1, 2],
        ["add", 0, 99],
        ["add"],
        ["constant", []],
    ):
        model["known"]["formula"]["operations"][1] = change
        with pytest.raises(InputError, match="copy the file again"):
            known_of_model(model)


@pytest.mark.parametrize("hidden", [None, "4"])
@pytest.mark.parametrize("varying", [False, True])
def test_a_member_has_the_numbers_that_it_has_alone_and_goes_on_where_it_stopped(tmp_path, hidden, varying):
    data, found = reactor(runs=7, seed=7, varying=varying), []
    for members, strategy in ((2, None), (1, None), (2, Stacked()), (2, Processes(2))):
        task, _ = bound(data, **SMALL, members=members, hidden=hidden, rotate=False)
        *_, (_, after) = train.epochs(task, strategy=strategy)
        found.append(after)
    for other in (found[1], found[3]):
        np.testing.assert_array_equal(found[0][0].state.theta, other[0].state.theta)
    np.testing.assert_allclose(found[0][0].state.theta, found[2][0].state.theta, rtol=1e-3, atol=1e-4)
    with train.Run.create(tmp_path / "run.h5", task) as run:
        next(iter(run.epochs()))
    old = train.run_file.load(tmp_path / "run.h5")
    problem, checked, own = train.taken_up(data, old.model, task.settings)  # without the function
    with train.Run.resume(tmp_path / "run.h5", train.bind(checked, own, HOST, problem)) as run:
        *_, _ = run.epochs()
    np.testing.assert_array_equal(
        train.run_file.load(tmp_path / "run.h5").states[0]["state/theta"][0], found[0][0].state.theta
    )


@pytest.mark.parametrize(("given", "sentence"), [
    ({"field": lambda t, y, p, u: [y[0]]}, "must return 2 numbers"),
    ({"field": lambda t, y, p: [y[0], y[1]]}, r"field\(t, y, p, u\) raises TypeError"),
    ({"parameters": {"k": Parameter(1.0, 2.0, 3.0)}}, "k must start at a finite number within its bounds"),
    ({"parameters": {"k": "one"}}, "parameter 'k' must be a number"),
    ({"field": None}, "parameters are those of equations"),
    ({"parameters": {n: Parameter(1.0, fixed=True) for n in ("k", "m", "fast")}}, "have no parameter to fit"),
    ({"activation": "tanh"}, "activation does not apply to the problem 'dynamics'"),
])  # fmt: skip
def test_equations_that_cannot_be_used_are_one_sentence(given, sentence):
    with pytest.raises(InputError, match=sentence):
        bound(reactor(runs=6), **given)


def test_equations_that_branch_on_a_value_say_what_to_do():
    with pytest.raises(TraceError, match=r"mcgc\.ops\.where"):
        bound(reactor(runs=6), field=lambda t, y, p, u: [y[0] if y[0] > 0 else -y[0], y[1]])


def test_equations_are_for_dynamics_alone():
    with pytest.raises(InputError, match="field does not apply to the task regression"):
        prepare({"x": [1.0, 2.0], "y": [1.0, 2.0]}, "regression", target="y", field=growth)


@pytest.mark.parametrize("hidden", [None, "4"])
def test_an_epoch_on_another_device_has_the_numbers_of_the_host(away, hidden):
    problem, checked, own = prepare(
        reactor(runs=6, seed=11), "dynamics", **NAMES, **SMALL, field=chain, parameters=PARAMETERS,
        hidden=hidden, dtype="float64", members=2, rotate=False,
    )  # fmt: skip
    found = [next(train.epochs(train.bind(checked, own, device, problem)))[0] for device in (HOST, away)]
    for field in ("train_loss", "validation_loss", "test_loss", "log_lam"):
        np.testing.assert_allclose(getattr(found[0], field), getattr(found[1], field), rtol=1e-6)
