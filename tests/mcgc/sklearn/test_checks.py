"""scikit-learn's own checks of estimators pass."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from mcgc.sklearn import ContinuationClassifier, ContinuationRegressor, NeuralODERegressor

SMALL = {"hidden": "16", "batch_size": 32, "epochs": 60}
ODE = NeuralODERegressor(hidden="4", activation="tanh", epochs=2, batch_size=32, settings={"horizons": "1"})
TWICE = "the check repeats rows, and a series has each time once"


@parametrize_with_checks([ContinuationClassifier(**SMALL), ContinuationRegressor(**SMALL)])
def test_an_estimator_of_rows_passes_every_check_of_scikit_learn(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [ODE],
    expected_failed_checks=lambda estimator: {
        "check_positive_only_tag_during_fit": TWICE,
        "check_estimators_dtypes": TWICE,
    },
)
def test_the_neural_ode_passes_the_checks_that_do_not_repeat_a_time(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [ContinuationClassifier, ContinuationRegressor, NeuralODERegressor])
def test_the_name_of_each_parameter_is_in_the_docstring(estimator):
    documented = estimator.__doc__
    assert [name for name in estimator().get_params() if name not in documented] == []
