"""The classifier and the regressor in scikit-learn's own tools, and beside `mcgc.fit`."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

import mcgc
from mcgc.errors import InputError
from mcgc.sklearn import ContinuationClassifier, ContinuationRegressor

IRIS = load_iris(return_X_y=True)


def test_cross_validation_of_a_pipeline_on_breast_cancer_names_nearly_all():
    model = make_pipeline(MinMaxScaler(), ContinuationClassifier(epochs=40, random_state=0))
    assert cross_val_score(model, *load_breast_cancer(return_X_y=True), cv=3).mean() > 0.95


def test_the_regressor_explains_diabetes_about_as_well_as_a_linear_model():
    data = load_diabetes(return_X_y=True)
    ours = cross_val_score(ContinuationRegressor(random_state=0), *data, cv=3).mean()
    assert ours > cross_val_score(LinearRegression(), *data, cv=3).mean() - 0.08
    assert ours > 0.38


def test_a_grid_search_finds_that_one_epoch_is_too_few():
    grid = {"epochs": [1, 100], "hidden": ["16", (16, 16)]}
    found = GridSearchCV(ContinuationClassifier(random_state=0), grid, cv=3).fit(*IRIS)
    assert found.best_params_["epochs"] == 100
    assert found.best_score_ > 0.9


@pytest.mark.parametrize("estimator", [ContinuationClassifier, ContinuationRegressor])
def test_clones_and_pickles_predict_the_same_bits(estimator):
    model = estimator(hidden="8", epochs=3, members=2, random_state=np.random.RandomState(3)).fit(*IRIS)
    again = clone(model).set_params(random_state=np.random.RandomState(3)).fit(*IRIS)
    read = pickle.loads(pickle.dumps(model))
    for other in (again, read):
        np.testing.assert_array_equal(model.predict(IRIS[0]), other.predict(IRIS[0]))
    assert clone(read).get_params().keys() == model.get_params().keys()


def test_an_estimator_and_mcgc_fit_are_the_same_run():
    x, y = IRIS
    names = ["a", "b", "c", "d"]
    how = {"hidden": "8", "epochs": 5, "batch_size": 64}
    model = ContinuationClassifier(**how, random_state=4).fit(pd.DataFrame(x, columns=names), y)
    run = mcgc.fit(dict(zip(names, x.T, strict=True)) | {"y": y}, "classification", target="y", test=0.0, seed=4, **how)
    run_of_model = model.run_.file
    assert {name: run.file.settings[name] for name in run.file.settings if name != "patience"} == {
        name: run_of_model.settings[name] for name in run_of_model.settings if name != "patience"
    }
    np.testing.assert_array_equal(run.file.theta, run_of_model.theta)
    found = run.predict(dict(zip(names, x.T, strict=True)))
    np.testing.assert_array_equal(model.predict_proba(pd.DataFrame(x, columns=names))[:, 2], found["p(2)"])


def test_the_run_of_an_estimator_is_read_from_its_file(tmp_path):
    x, y = IRIS
    model = ContinuationClassifier(hidden="8", epochs=3, random_state=0).fit(x, np.array(["u", "v", "w"])[y])
    model.run_.save(tmp_path / "run.h5")
    found = mcgc.load(tmp_path / "run.h5").predict({f"x{i}": x[:, i] for i in range(4)})
    assert found["y"].tolist() == model.predict(x).tolist()


def test_several_targets_are_predicted_in_their_order_and_in_the_shape_of_y():
    x = np.linspace(-1, 1, 120)[:, None]
    y = np.concatenate([2 * x + 3, -50 * x], axis=1)
    model = ContinuationRegressor(random_state=0).fit(x, y)
    assert model.score(x, y) > 0.98
    assert model.predict(x).shape == y.shape
    one = ContinuationRegressor(random_state=0).fit(x, y[:, 0])
    assert one.predict(x).shape == (120,)


def test_text_goes_through_an_encoder_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.choice(["red", "blue"], (80, 1))
    model = make_pipeline(OneHotEncoder(sparse_output=False), ContinuationRegressor(epochs=40, random_state=0))
    assert model.fit(x, (x[:, 0] == "red") * 2.0).score(x, (x[:, 0] == "red") * 2.0) > 0.95


def test_a_number_as_random_state_gives_the_same_bits_and_another_number_others():
    train, test, y, _ = train_test_split(*IRIS, random_state=0)
    found = [
        ContinuationClassifier(hidden="8", epochs=2, random_state=seed).fit(train, y).predict_proba(test)
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"activation": "rleu"}, "activation must be one of .*did you mean 'relu'"),
        ({"settings": {"epochs": 3}}, "settings holds 'epochs': give the parameter epochs in its place"),
        ({"settings": {"seed": 3}}, "settings holds 'seed': give the parameter random_state"),
        ({"settings": {"epoch": 3}}, "unknown setting 'epoch'.*did you mean 'epochs'"),
    ],
)
def test_a_wrong_parameter_is_one_sentence_when_it_is_fitted(how, sentence):
    with pytest.raises(InputError, match=sentence):
        ContinuationClassifier(**how).fit(*IRIS)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="y has one class"):
        ContinuationClassifier().fit(IRIS[0], np.zeros(150))
