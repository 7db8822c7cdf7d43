"""What was fitted predicts from its file alone: the same numbers, at any times, with bands, in units of the data."""

import numpy as np
import pandas as pd
import pytest
from reactor import reactor
from scipy.integrate import solve_ivp

import mcgc
from mcgc import nets, train
from mcgc.errors import InputError, SolveError
from mcgc.train import Fitted, run_file

DATA = reactor(runs=8, seed=1)
NAMES = {"group": "run", "states": "A,B", "inputs": "feed"}
SMALL = {"hidden": "8", "epochs": 12, "horizons": "1,all", "members": 2}


@pytest.fixture(scope="module")
def fitted():
    return mcgc.fit(pd.DataFrame(DATA), "dynamics", **NAMES, **SMALL)


@pytest.fixture(scope="module")
def varying():
    return mcgc.fit(reactor(runs=6, seed=2, varying=True), "dynamics", **NAMES, **SMALL)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    table = {"x": rng.normal(size=80), "kind": rng.choice(["a", "b"], 80)}
    table["y"] = 2 * table["x"] + (table["kind"] == "a")
    return table, mcgc.fit(table, "regression", target="y", epochs=20, members=2, hidden="8")


def test_a_file_alone_gives_the_predictions_of_the_model(fitted, tmp_path):
    fitted.save(tmp_path / "run.h5")
    found = mcgc.load(tmp_path / "run.h5")
    before, after = fitted.predict(DATA), found.predict(DATA)
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])
    assert found.results == fitted.results
    with pytest.raises(InputError, match="exists"):
        fitted.save(tmp_path / "run.h5")


def test_a_run_with_a_file_and_one_without_have_the_same_bits(fitted, tmp_path):
    written = mcgc.fit(pd.DataFrame(DATA), "dynamics", **NAMES, **SMALL, output=tmp_path / "run.h5")
    np.testing.assert_array_equal(written.file.theta, fitted.file.theta)
    assert written.results == fitted.results
    assert run_file.load(tmp_path / "run.h5").finished


def test_the_columns_are_group_time_and_states_with_their_bands(fitted):
    found = fitted.predict(DATA)
    assert [*found] == ["run", "time", "A", "A_low", "A_high", "B", "B_low", "B_high"]
    np.testing.assert_array_equal(found["time"], DATA["time"])
    assert found["run"].tolist() == DATA["run"]
    assert (found["A_low"] < found["A"]).all()
    assert (found["A"] < found["A_high"]).all()
    narrow = fitted.predict(DATA, level=0.5)
    assert (narrow["A_high"] - narrow["A_low"] < found["A_high"] - found["A_low"]).all()


def test_a_simulation_is_the_mean_of_scipys_solutions_of_the_members(fitted):
    start, level = {"A": 0.3, "B": 0.8}, 1.2
    found = fitted.simulate(start, {"feed": level}, until=3.0, every=0.5, begin=1.0)
    np.testing.assert_allclose(found["time"], [1, 1.5, 2, 2.5, 3])
    scaling = {name: np.asarray(values) for name, values in fitted.file.scaling.items()}
    unit, courses = scaling["time"][0], []
    for theta in fitted.file.theta.astype(float):
        u = (level - scaling["inputs_mean"]) / scaling["inputs_sd"]
        rate = lambda t, y, theta=theta, u=u: nets.apply(theta, np.concatenate([y, u]), fitted.model["sizes"], "relu")
        begin = (np.array([0.3, 0.8]) - scaling["mean"]) / scaling["sd"]
        ys = solve_ivp(rate, (0, 2 / unit), begin, t_eval=np.arange(5) / 2 / unit, rtol=1e-8, atol=1e-8).y.T
        courses.append(ys * scaling["sd"] + scaling["mean"])
    mean = np.mean(courses, axis=0)
    np.testing.assert_allclose(found["A"], mean[:, 0], atol=2e-3)
    np.testing.assert_allclose(found["B"], mean[:, 1], atol=2e-3)


def test_without_a_table_the_series_of_the_run_go_on_from_their_starts(fitted):
    found = fitted.predict(until=6.0, every=2.0)
    assert found["run"].tolist() == [f"r{i}" for i in range(8) for _ in range(4)]
    data = pd.DataFrame(DATA)
    np.testing.assert_allclose(found["A"][::4], data[data["time"] == 0]["A"], rtol=1e-6)
    with pytest.raises(InputError, match="give a table, or until when"):
        fitted.predict()


def test_the_state_at_a_time_does_not_depend_on_the_other_times(fitted):
    some = fitted.predict({"run": ["a"], "time": [0.0], "feed": [1.0], "A": [0.5], "B": [0.5]}, until=2.0, every=0.5)
    more = fitted.predict({"run": ["a"], "time": [0.0], "feed": [1.0], "A": [0.5], "B": [0.5]}, until=2.0, every=0.125)
    np.testing.assert_allclose(some["B"], more["B"][::4], atol=1e-6)


def test_inputs_given_over_time_are_followed_between_other_times(varying):
    data = pd.DataFrame(reactor(runs=6, seed=2, varying=True))
    series = data[data["run"] == "r0"]
    at = varying.predict(series)
    fine = varying.predict(series, every=0.01)
    between = np.interp(at["time"], fine["time"], fine["B"])
    np.testing.assert_allclose(between[:-1], at["B"][:-1], atol=2e-4)  # the last lies beyond the steps of 0.01
    with pytest.raises(InputError, match="has no starts, as the inputs change with time"):
        varying.predict(until=2.0)


def test_the_scores_of_the_held_out_rows_are_those_of_the_results(fitted, rows):
    held = fitted.held_out(DATA)
    groups = fitted.results["groups"]
    assert {*held.labels("run")} == {*groups["test"]}
    assert not {*groups["test"]} & ({*groups["train"]} | {*groups["validation"]})
    found, wanted = fitted.score(held), fitted.results["scores"]["test"]
    for measure in ("rmse", "mae", "r2"):
        assert found[measure] == pytest.approx(wanted[measure], rel=1e-4)
    assert found["coverage"]["all"] == pytest.approx(fitted.results["coverage"]["test"]["all"], abs=0.03)
    table, regression = rows
    found = regression.score(regression.held_out(table))
    assert found["rmse"]["y"] == pytest.approx(regression.results["scores"]["test"]["rmse"]["y"], rel=1e-5)


def test_a_regression_predicts_rows_with_bands(rows):
    table, regression = rows
    found = regression.predict({"x": [0.0, 1.0], "kind": ["a", "b"]})
    assert [*found] == ["y", "y_low", "y_high"]
    whole = regression.predict(table)
    inside = (whole["y_low"] <= table["y"]) & (table["y"] <= whole["y_high"])
    assert inside.mean() > 0.8
    with pytest.raises(InputError, match="until and every are for dynamics"):
        regression.predict(table, until=3)
    with pytest.raises(InputError, match="only dynamics can be simulated"):
        regression.simulate({}, until=1.0)


def test_a_classification_predicts_classes_and_their_probabilities():
    x = np.linspace(-1, 1, 60)
    table = {"x": x, "y": np.where(x > 0, "high", "low")}
    found = mcgc.fit(table, "classification", target="y", epochs=40, hidden="8")
    named = found.predict({"x": [-0.9, 0.9]})
    assert named["y"].tolist() == ["low", "high"]
    np.testing.assert_allclose(named["p(high)"] + named["p(low)"], 1)
    scores = found.score(table)
    assert scores["accuracy"] == np.mean(found.predict(table)["y"] == table["y"])
    assert np.asarray(found.results["confusion"]).sum() == found.results["counts"]["test"]["rows"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"run": ["a"], "time": [0.0], "feed": [1.0], "A": [1.0]}, "group 'a' has no value of the state 'B'"),
        ({"run": ["a"], "time": [0.0], "A": [1.0], "B": [1.0]}, "unknown column for an input 'feed'"),
        ({"run": ["a", "a"], "time": [0.0, 1.0], "feed": [1, 2], "A": [1, 1], "B": [1, 1]}, "the inputs change within"),
    ],
)
def test_a_table_that_lacks_something_is_one_sentence(fitted, data, sentence):
    with pytest.raises(InputError, match=sentence):
        fitted.predict(data)


def test_arguments_out_of_range_are_one_sentence(fitted):
    for options, sentence in (
        ({"level": 1.0}, "level must be a number from"),
        ({"until": -1.0}, "until must be after the start"),
        ({"until": 1.0, "every": 0.0}, "every must be a positive number"),
        ({"until": 1.0, "every": 1e-9}, "give a larger every"),
    ):
        with pytest.raises(InputError, match=sentence):
            fitted.predict(**options)
    with pytest.raises(InputError, match="the run has the states A, B: give each of them a value"):
        fitted.simulate({"A": 1.0}, {"feed": 1.0}, until=1.0)
    with pytest.raises(InputError, match="nothing to score"):
        fitted.score({"run": ["a"], "time": [0.0], "feed": [1.0], "A": [None], "B": [None]})


def test_a_run_of_another_problem_is_refused():
    recipe = train.problems.get("lorenz").recipe
    file = run_file.RunFile(recipe._asdict(), {}, {}, "cpu", True, {}, [], model={"kind": "neural-ode"})
    with pytest.raises(InputError, match=r"not of a table: use mcgc\.train\.predict"):
        Fitted(file)


class Diverges(train.Hook):
    """Fails as training does, after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def after_epoch(self, record):
        if record.epoch == self.epoch:
            raise SolveError("it diverges")


def test_a_fit_that_diverges_for_good_leaves_what_it_has_learned(tmp_path):
    how = NAMES | SMALL | {"hooks": [Diverges(3)]}
    with pytest.raises(SolveError, match=r"it diverges; the epochs so far are saved in .*run\.h5"):
        mcgc.fit(DATA, "dynamics", **how, output=tmp_path / "run.h5")
    saved = run_file.load(tmp_path / "run.h5")
    assert (saved.epoch, saved.finished) == (3, False)
    with pytest.raises(SolveError, match=r"it diverges$") as raised:
        mcgc.fit(DATA, "dynamics", **how)
    np.testing.assert_array_equal(raised.value.fitted.file.theta, saved.theta)
    np.testing.assert_array_equal(
        raised.value.fitted.predict(DATA)["A"], mcgc.load(tmp_path / "run.h5").predict(DATA)["A"]
    )


def test_a_fit_that_diverges_at_once_says_that_nothing_was_saved(tmp_path):
    how = NAMES | SMALL | {"learning_rate": 1e30, "on_divergence": "stop", "members": 1}
    with pytest.raises(SolveError, match=r"epoch 1: .*; nothing was saved$"):
        mcgc.fit(DATA, "dynamics", **how, output=tmp_path / "run.h5")
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(SolveError, match="epoch 1: ") as raised:
        mcgc.fit(DATA, "dynamics", **how)
    assert raised.value.fitted is None


def test_a_fit_that_goes_on_after_divergence_is_scored_without_numbers():
    found = mcgc.fit(DATA, "dynamics", **NAMES | SMALL | {"learning_rate": 1e30, "members": 1, "epochs": 5})
    assert found.results["scores"]["test"]["rmse"]["all"] is None
    assert not any(found.results["beats"].values())
