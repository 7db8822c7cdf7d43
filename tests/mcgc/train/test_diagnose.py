"""A diagnosis names the right cause, and each number that it measures is the one that another way gives."""

from types import SimpleNamespace

import numpy as np
import pytest
from sick import cases, digits
from small import IMAGES, bound, decays, net, ode

import mcgc
from mcgc import nets, train
from mcgc.errors import InputError
from mcgc.train import _diagnose_course as of_course
from mcgc.train import _diagnose_net as of_net
from mcgc.train import _diagnose_series as of_series
from mcgc.train import problems
from mcgc.train._diagnose_signs import SIGNS

CASES = cases(seed=3)


@pytest.fixture(scope="module")
def wave():
    """Give a table of 120 rows, and a small regression of it."""
    rng = np.random.default_rng(0)
    table = {name: rng.normal(size=120) for name in "abc"}
    table["y"] = np.sin(table["a"]) + table["b"]
    return table, mcgc.fit(table, "regression", target="y", epochs=200, hidden="32,32", members=2)


@pytest.mark.parametrize("name", CASES)
def test_the_cause_that_a_run_was_made_to_have_is_named_and_no_other(name):
    cause, table, how = CASES[name]
    found = mcgc.fit(table, **how).diagnose(table)
    assert found.causes == ((cause,) if cause else ())
    if not cause:
        assert found.findings == ()
    for finding in found.findings:
        (sign,) = [sign for sign in SIGNS if sign.name == finding.name]
        assert sign.shown_by(finding.measured)
        assert finding.threshold == sign.threshold
        assert "{" not in finding.meaning + finding.advice
        assert finding.page == f"diagnose.md#{finding.name}"


def test_a_file_alone_and_its_table_give_the_same_diagnosis(wave, tmp_path):
    table, fitted = wave
    fitted.save(tmp_path / "run.h5")
    assert mcgc.load(tmp_path / "run.h5").diagnose(table) == fitted.diagnose(table)
    assert train.diagnose(train.run_file.load(tmp_path / "run.h5"), table).findings == ()


def test_causes_come_before_what_they_explain_and_members_are_named(wave):
    table, fitted = wave
    states = [dict(state) for state in fitted.file.states]
    theta = states[0]["best/theta"].copy()
    weights, biases = nets.unpack(theta[1], fitted.model["sizes"])[0]
    theta[1][: weights.size + biases.size] = -100.0
    theta[1][: weights.size] = 0.0
    states[0]["best/theta"] = theta
    found = train.diagnose(fitted.file._replace(states=states), table)
    assert [finding.explained for finding in found.findings] == ["", "dead-units", "dead-units"]
    assert [finding.name for finding in found.findings] == ["dead-units", "vanishing-gradients", "worse-than-linear"]
    assert {finding.members for finding in found.findings} == {(1,)}
    assert found.findings[0].measured == 1
    assert found.measured[0]["most_dead"] < 0.5


def test_the_participation_ratio_is_that_of_the_traces_of_the_covariance():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))
    c = np.cov(x.T)
    assert of_net.participation(x) == pytest.approx(np.trace(c) ** 2 / np.trace(c @ c))
    assert of_net.participation(np.outer(rng.normal(size=9), [1, 2, 3])) == pytest.approx(1)
    assert of_net.participation(np.ones((4, 2))) == 0


@pytest.mark.parametrize("skip", [False, True])
def test_the_layers_are_those_that_the_net_has(skip):
    rng, sizes = np.random.default_rng(2), (3, 3, 3, 2)
    theta, x = rng.normal(size=nets.num_parameters(sizes)), rng.normal(size=(40, 3))
    theta[9] = -100.0  # the bias of the first unit
    found = of_net._layers(theta, x, sizes, "relu", skip)
    for layers in (1, 2):
        head = theta[: nets.num_parameters(sizes[: layers + 1])]
        identity = np.concatenate([head, np.eye(3).ravel(), np.zeros(3)])
        h = nets.apply(identity, x, (*sizes[: layers + 1], 3), "relu", skip)
        assert found["participation"][layers - 1] == pytest.approx(of_net.participation(h))
    assert found["dead"][0] == pytest.approx(1 / 3)
    assert (found["most_dead"], found["dead_layer"]) == (max(found["dead"]), np.argmax(found["dead"]) + 1)


def test_units_of_tanh_are_dead_where_they_do_not_change():
    x = np.linspace(-1, 1, 20)[:, None]
    assert of_net._dead(np.tanh(x * [1.0, 1e-9, 0.5] + [0, 2, 0]), "tanh") == pytest.approx(1 / 3)


def test_the_gradient_norms_are_those_of_differences(wave):
    table, fitted = wave
    task = train._diagnose._task_of(fitted.file._replace(settings={**fitted.file.settings, "dtype": "float64"}), table)
    task = task.of_member(0)
    theta = fitted.file.theta[0].astype(np.float64)
    batch = of_net.rows_at(task.train, of_net.even(len(task.train.features), of_net.OF_GRADIENTS))
    loss = lambda theta: float(task.objective(theta, batch)[0])
    slopes = [(loss(theta + step) - loss(theta - step)) / 2e-6 for step in 1e-6 * np.eye(len(theta))]
    parts = nets.unpack(np.asarray(slopes), fitted.model["sizes"])
    wanted = [np.sqrt((w**2).sum() + (b**2).sum()) for w, b in parts]
    assert of_net._gradients(task, theta) == pytest.approx(wanted, rel=1e-4)


def test_the_gradient_of_a_softmax_of_a_softmax_is_the_one_of_its_formula():
    rng = np.random.default_rng(4)
    logits, labels = rng.normal(size=(10, 4)), rng.integers(0, 4, 10)
    seen = of_net.Seen(rng.normal(size=(10, 2)), ("a", "b"), labels=labels)
    found = of_net._of_classes(seen, logits, "softmax-cross-entropy")
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    i = p[np.arange(10), labels].argmin()
    g = np.exp(p[i]) / np.exp(p[i]).sum() - np.eye(4)[labels[i]]
    wanted = np.linalg.norm(p[i] * (g - p[i] @ g)) / np.linalg.norm(p[i] - np.eye(4)[labels[i]])
    assert found["gradient_of_logits"] == pytest.approx(wanted)
    assert of_net._of_classes(seen, logits, "cross-entropy")["gradient_of_logits"] == 1


def test_classes_that_are_there_and_never_named_are_counted():
    labels, logits = np.array([0, 1, 2, 2, 2]), np.zeros((5, 4))
    logits[:, 2] = 1.0
    found = of_net._of_classes(of_net.Seen(np.arange(5.0)[:, None], ("a",), labels=labels), logits, "cross-entropy")
    assert (found["missing_classes"], found["classes"], found["score"]) == (2, 3, 0.6)


def test_the_linear_model_without_a_row_is_the_one_fitted_without_it():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    found, ones = of_net._left_out(x, y), np.column_stack([x, np.ones(12)])
    for i in range(12):
        rest = np.arange(12) != i
        wanted = ones[i] @ np.linalg.lstsq(ones[rest], y[rest], rcond=None)[0]
        np.testing.assert_allclose(found[i], wanted)


def test_the_scale_is_the_root_mean_square_of_the_largest_column():
    seen = of_net.Seen(np.array([[1.0, -30.0], [1.0, 40.0]]), ("a", "b"), targets=np.array([[2.0], [np.nan]]))
    assert of_net._scales(seen) == {"scale": pytest.approx(np.sqrt(1250)), "column": "b"}
    large = seen._replace(targets=np.array([[99.0], [np.nan]]))
    assert of_net._scales(large) == {"scale": 99.0, "column": "target"}


def test_columns_of_text_are_named_by_their_categories():
    model = {"features": ["x", "kind"], "categories": {"kind": ["a", "b"]}}
    assert of_net._names(model, 3) == ("x", "kind=a", "kind=b")
    assert of_net._names({}, 2) == ("input 0", "input 1")


@pytest.mark.parametrize("rate", [-1.5, 0.7])
def test_growth_errors_and_steps_of_a_field_that_is_known(rate):
    """The net is dy/dt = rate · y, and the data are those of another rate."""
    times, starts, other = np.linspace(0, 2, 9), np.linspace(1, 2, 12), -1.0
    data = SimpleNamespace(
        times=times, parameters=np.zeros((12, 0)), series=(starts[:, None] * np.exp(other * times))[..., None]
    )
    recipe = train.Settings("line", 0.01, -12.0, 0.1, 0.01, epochs=1, batch_size=4, dtype="float64")
    problem = problems.neural_ode(recipe, (1, 1))
    task = train.bind(problem.recipe, data, problem=problem)
    found = of_series.series_of(task, np.array([rate, 0.0]))
    assert found["growth"] == pytest.approx(2 * rate, abs=1e-6)
    assert found["one_interval"] == pytest.approx(abs(np.exp(rate / 4) - np.exp(other / 4)) / (1 - np.exp(other / 4)))
    truth = task.train.states[:, :, 0]
    errors = (truth[:, :1] * np.exp(rate * times) - truth) / truth.std()
    wanted = [np.sqrt(np.mean(errors[:, 1:][:, part] ** 2)) for part in np.split(np.arange(8), 4)]
    assert found["error_by_time"] == pytest.approx(wanted, rel=1e-5)
    assert found["late_error"] == found["error_by_time"][-1]
    r2 = 1 - np.mean((errors[:, 1:] * truth.std()) ** 2) / truth[:, 1:].var()
    assert (found["score"], found["linear"]) == (pytest.approx(r2, rel=1e-4), pytest.approx(1, abs=1e-3))
    assert found["first_horizon"] == found["intervals"] == 8
    assert 1 <= found["steps_per_interval"] < 50


def test_a_field_that_cannot_be_solved_is_worse_than_linear_and_nothing_raises():
    problem = problems.neural_ode(problems.get("lorenz").recipe._replace(epochs=1), (4, 8, 2))
    task = train.bind(problem.recipe, decays(), problem=problem)
    theta = np.full(nets.num_parameters((4, 8, 2)), 1e6, np.float32)
    found = of_series.series_of(task, theta)
    assert found["score"] == -np.inf
    assert (found["growth"], found["steps_per_interval"], found["late_error"]) == (None, None, None)
    assert of_net.net_of(task, theta)["gradients"] is None


def test_a_stiff_field_takes_the_steps_that_its_stability_asks_for():
    """On dy/dt = −500 y, dopri5 is stable for steps of at most 3.31 / 500."""
    data = SimpleNamespace(times=np.linspace(0, 2, 9), parameters=np.zeros((12, 0)), series=np.ones((12, 9, 1)))
    recipe = train.Settings("stiff", 0.01, -12.0, 0.1, 0.01, epochs=1, batch_size=4, rtol=1e-3, atol=1e-3)
    problem = problems.neural_ode(recipe, (1, 1))
    task = train.bind(problem.recipe, data, problem=problem)
    found = of_series.series_of(task, np.array([-500.0, 0.0], np.float32))["steps_per_interval"]
    assert 500 * 0.25 / 3.31 < found < 2 * 500 * 0.25 / 3.31
    (sign,) = [sign for sign in SIGNS if sign.name == "many-steps"]
    assert sign.shown_by(found)


def test_the_course_is_read_from_the_records_and_the_state(wave):
    table, fitted = wave
    task = train._diagnose._task_of(fitted.file, table)
    epochs = dict(fitted.file.epochs)
    epochs["train_loss"] = np.full_like(epochs["train_loss"], 2.0)
    epochs["smoothed_loss"] = np.full_like(epochs["smoothed_loss"], 5.0)
    epochs["grad_log_lam_total"] = np.full_like(epochs["grad_log_lam_total"], -0.5)
    state = dict(fitted.file.states[0])
    share = 1 - 0.98 ** int(state["state/steps"][0])
    state["state/moments"] = np.tile([1.0, 3.0 * share, 13.0 * share], (2, 1))  # a standard deviation of 2
    state["state/capped"] = state["state/steps"] // 2
    found = of_course.course_of(task, fitted.file._replace(epochs=epochs, states=[state]), 0)
    half = (state["state/steps"] // 2 / state["state/steps"])[0]
    assert found == {"gap": 1.5, "lambda_ratio": pytest.approx(0.25), "capped": half}
    epochs["horizon"] = np.full_like(epochs["horizon"], 3)
    assert of_course.course_of(task, fitted.file._replace(epochs=epochs), 0)["gap"] is None


@pytest.mark.parametrize(
    ("cause", "changes"),
    [
        ("too-much-noise", {"log_lam0": -3.0, "beta": 0.0, "learning_rate_lam": 1e-4}),
        ("noisy-lambda", {"estimator": "score", "beta": 0.0}),
    ],
)
def test_continuation_that_does_harm_is_named(wave, cause, changes):
    table, _ = wave
    fitted = mcgc.fit(table, "regression", target="y", epochs=30, hidden="32,32", seed=5, **changes)
    assert cause in {finding.name for finding in fitted.diagnose(table).findings}


def test_without_continuation_there_are_no_numbers_of_lambda(wave):
    table, _ = wave
    found = mcgc.fit(table, "regression", target="y", epochs=200, hidden="32,32", continuation=False).diagnose(table)
    assert {found.measured[0][name] for name in ("gap", "lambda_ratio", "capped")} == {None}
    assert found.findings == ()


def test_runs_of_classifiers_and_neural_odes_are_diagnosed_from_their_file(tmp_path):
    for number, (problem, data) in enumerate(((net(5, epochs=2), IMAGES), (ode(6), decays()))):
        task, _ = bound(problem.recipe, data, mcgc.arrays.HOST, problem)
        with train.Run.create(tmp_path / f"{number}.h5", task) as run:
            assert len(list(run.epochs())) == problem.recipe.epochs
        found = train.diagnose(train.run_file.load(tmp_path / f"{number}.h5"), data)
        (numbers,) = found.measured
        assert len(numbers["gradients"]) == 2
        assert numbers["depth"] == 1
        if number == 0:
            assert "softmax-of-softmax" in found.causes
        else:
            assert numbers["one_interval"] > 0


def test_a_table_of_dynamics_with_inputs_over_time_is_diagnosed():
    t = np.tile(np.linspace(0, 1, 5), 6)
    table = {"t": t, "run": np.repeat([*"abcdef"], 5).tolist(), "u": np.sin(t), "y": np.cos(t) + np.repeat(range(6), 5)}
    fitted = mcgc.fit(table, "dynamics", group="run", inputs="u", epochs=2, hidden="4", horizons="1")
    (numbers,) = fitted.diagnose(table).measured
    assert len(numbers["dead"]) == 1
    assert np.isfinite(numbers["growth"])
    assert np.isfinite(numbers["linear"])


def test_a_model_that_is_no_dense_net_and_a_table_of_others_are_refused(wave, monkeypatch):
    table, fitted = wave
    small_lorenz = decays()
    with pytest.raises(InputError, match="'c'"):
        fitted.diagnose({name: table[name] for name in "aby"})
    other = {name: values + (name == "a") for name, values in table.items()}
    with pytest.raises(InputError, match="the data are not those of the run, as their mean differs"):
        fitted.diagnose(other)
    mine = problems.get("lorenz")._replace(name="mine", model={})
    with monkeypatch.context() as patched:
        patched.setattr(problems, "get", lambda name: mine)
        with pytest.raises(InputError, match="the model of mine is no dense net that mcgc knows"):
            train.diagnose(fitted.file._replace(model={}, settings=mine.recipe._asdict()), small_lorenz)
    with pytest.raises(InputError, match="unknown problem"):
        train.diagnose(fitted.file._replace(model={}, settings={**fitted.file.settings, "problem": "mine"}), table)


def test_the_digits_that_the_cases_share_are_those_of_scikit_learn():
    assert len(digits()["y"]) == 1797
    assert max(digits(1000.0)["p20"]) == 16_000
