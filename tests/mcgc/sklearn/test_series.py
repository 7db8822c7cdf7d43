"""The neural ODE as an estimator: rows in any order, starts in X or of the training, splits by group and in time."""

import pickle

import numpy as np
import pandas as pd
import pytest
from reactor import reactor
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_score

import mcgc
from mcgc.errors import InputError
from mcgc.sklearn import NeuralODERegressor

STARTS = ["A0", "B0"]
HOW = {"time": "time", "group": "run", "hidden": "32", "epochs": 250, "random_state": 0}


def with_starts(frame):
    """Return a table of series with the states at the first time of each in all its rows."""
    first = frame.sort_values("time").groupby("run")[["A", "B"]].transform("first")
    return frame.assign(A0=first["A"], B0=first["B"])


@pytest.fixture(scope="module")
def frame():
    return with_starts(pd.DataFrame(reactor(runs=10, seed=1, missing=0.0)))


@pytest.fixture(scope="module")
def model(frame):
    return NeuralODERegressor(starts=STARTS, **HOW).fit(frame.drop(columns=["A", "B"]), frame[["A", "B"]])


def test_series_that_were_left_out_are_predicted_from_starts_in_X(frame):
    X, y = frame.drop(columns=["A", "B"]), frame[["A", "B"]]
    model = NeuralODERegressor(starts=STARTS, **HOW)
    assert cross_val_score(model, X, y, groups=frame["run"], cv=GroupKFold(3)).mean() > 0.7


def test_an_estimator_and_mcgc_fit_are_the_same_run(frame, model):
    table = frame.drop(columns=STARTS)
    how = {name: HOW[name] for name in ("time", "group", "hidden", "epochs")}
    run = mcgc.fit(table, "dynamics", states="A,B", inputs="feed", seed=0, test=0.0, **how)
    np.testing.assert_array_equal(run.file.theta, model.run_.file.theta)
    found, predicted = run.predict(table), model.predict(frame.drop(columns=["A", "B"]))
    np.testing.assert_allclose(predicted, np.stack([found["A"], found["B"]], axis=1), rtol=1e-6, atol=1e-6)


def test_the_order_of_the_rows_does_not_matter(frame, model):
    X = frame.drop(columns=["A", "B"])
    order = np.random.default_rng(0).permutation(len(X))
    # groups come in another order, so sums in a batch are not the same to the last bit
    np.testing.assert_allclose(model.predict(X.iloc[order]), model.predict(X)[order], rtol=1e-4, atol=1e-4)


def test_the_first_row_of_a_series_has_its_start_and_another_series_does_not_change_it(frame, model):
    X = frame.drop(columns=["A", "B"])
    one = X[X["run"] == "r3"]
    found = model.predict(one)
    np.testing.assert_allclose(found[0], one[STARTS].iloc[0], rtol=1e-5)
    np.testing.assert_allclose(found, model.predict(X)[(X["run"] == "r3").to_numpy()], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("varying", [False, True])
def test_without_starts_the_series_of_the_training_go_on(varying):
    frame = pd.DataFrame(reactor(runs=6, seed=2, missing=0.0, varying=varying))
    early = frame["time"] < 2.5
    X, y = frame.drop(columns=["A", "B"]), frame[["A", "B"]].to_numpy()
    how = HOW | ({"epochs": 20, "settings": {"horizons": "1"}} if varying else {"epochs": 400})
    model = NeuralODERegressor(**how).fit(X[early], y[early])
    late = model.predict(X[~early])
    if not varying:
        assert r2_score(y[~early], late) > 0.3
    both = model.predict(X)  # with the starts among the rows
    first = frame.groupby("run")["time"].transform("min") == frame["time"]
    np.testing.assert_allclose(both[first], y[first], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(both[~early], late, rtol=1e-3, atol=1e-3)
    if not varying:
        start = {"y0": y[0, 0], "y1": y[0, 1]}
        run = model.run_.simulate(start, {"feed": X["feed"][0]}, until=4.0, every=0.5)
        at = pd.DataFrame({"run": "r0", "time": run["time"], "feed": X["feed"][0]})[[*X]]
        np.testing.assert_allclose(model.predict(at), np.stack([run["y0"], run["y1"]], axis=1), rtol=1e-3, atol=1e-3)


def test_an_array_without_groups_is_one_series_and_y_may_have_holes():
    times = np.linspace(0, 3, 40)
    y = np.exp(-times)
    y[[5, 9]] = np.nan
    model = NeuralODERegressor(hidden="16", random_state=0).fit(times[:, None], y)
    found = model.predict(times[::-1, None])
    assert found.shape == (40,)
    np.testing.assert_allclose(found[::-1], np.exp(-times), atol=0.1)
    read = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(read.predict(times[:, None]), model.predict(times[:, None]))


def test_what_cannot_be_predicted_is_one_sentence(frame):
    X, y = frame[["time", "run", "feed"]], frame[["A", "B"]]
    model = NeuralODERegressor(**HOW | {"epochs": 1, "settings": {"horizons": "1"}}).fit(X, y)
    with pytest.raises(InputError, match=r"series 'new' was not trained on.*name columns of X in starts"):
        model.predict(X[X["run"] == "r3"].assign(run="new"))
    with pytest.raises(InputError, match="time -1 is before the start of its series at 0"):
        model.predict(X.assign(time=X["time"] - 1))
    with pytest.raises(InputError, match="time is the column 'tiem', but X has the columns time, run, feed"):
        NeuralODERegressor(time="tiem", group="run").fit(X, y)
    with pytest.raises(InputError, match="starts names 1 columns for 2 states"):
        NeuralODERegressor(time="time", group="run", starts=["feed"]).fit(X, y)
