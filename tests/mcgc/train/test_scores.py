"""Scores are scikit-learn's, bands cover what they promise, and baselines are what SciPy and NumPy make of them."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score, root_mean_squared_error

from mcgc.train._baselines import apply_linear, linear, linear_course, linear_dynamics
from mcgc.train._scores import LEVELS, Predicted, beats, calibrate, calibration_of, class_scores, coverage, scores

RNG = np.random.default_rng(0)


def test_scores_are_those_of_scikit_learn_over_what_is_there():
    truth, mean = RNG.normal(size=(50, 2)), RNG.normal(size=(50, 2))
    truth[::7, 0] = np.nan
    found = scores(truth, mean, ["a", "b"])
    for i, name in enumerate("ab"):
        there = ~np.isnan(truth[:, i])
        pair = truth[there, i], mean[there, i]
        assert found["rmse"][name] == pytest.approx(root_mean_squared_error(*pair))
        assert found["mae"][name] == pytest.approx(mean_absolute_error(*pair))
        assert found["r2"][name] == pytest.approx(r2_score(*pair))
    every = ~np.isnan(truth)
    assert found["rmse"]["all"] == pytest.approx(root_mean_squared_error(truth[every], mean[every]))
    assert found["r2"]["all"] == pytest.approx((found["r2"]["a"] + found["r2"]["b"]) / 2)


def test_scores_of_what_was_never_observed_are_none():
    found = scores(np.array([[np.nan, 1.0], [np.nan, 2.0]]), np.zeros((2, 2)), ["a", "b"])
    assert (found["rmse"]["a"], found["r2"]["a"], found["rmse"]["b"]) == (None, None, pytest.approx(np.sqrt(2.5)))


def test_a_prediction_that_failed_is_not_left_out():
    truth, mean = np.ones((20, 2)), np.full((20, 2), 0.5)
    mean[3, 0] = np.nan
    found = scores(truth, mean, ["a", "b"])
    assert (found["rmse"]["a"], found["rmse"]["all"], found["rmse"]["b"]) == (None, None, 0.5)
    missing = truth.copy()
    missing[3, 0] = np.nan  # nothing was observed there
    assert scores(missing, mean, ["a", "b"])["rmse"]["all"] == 0.5
    calibration = calibrate(Predicted(truth, mean, 0 * mean), False)
    assert calibration.factors[LEVELS.index(0.9)] == pytest.approx(1)
    assert calibration.factors[LEVELS.index(0.99)] == np.inf
    assert coverage(Predicted(truth, mean, 0 * mean), calibration, ["a", "b"])["a"] == pytest.approx(0.95)


def test_scores_are_better_by_their_mean_r2_or_accuracy():
    number = lambda r2: {"r2": {"all": r2}}
    assert beats(number(0.5), number(0.4))
    assert not beats(number(0.4), number(0.4))
    assert beats(number(-3.0), number(None))
    assert not beats(number(None), number(-9.0))
    assert beats({"accuracy": 0.9}, {"accuracy": 0.8})


def test_scores_of_classes_are_those_of_scikit_learn():
    chances = RNG.dirichlet(np.ones(3), 40)
    labels = RNG.integers(0, 3, 40)
    found = class_scores(labels, chances)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, chances.argmax(axis=1)))
    assert found["log_loss"] == pytest.approx(log_loss(labels, chances, labels=[0, 1, 2]))


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_bands_cover_as_much_of_other_data_as_they_promise(spread, level):
    def drawn(rows):
        variance = RNG.uniform(0.2, 2, (rows, 2))
        truth = RNG.laplace(size=(rows, 2)) * np.array([1, 10]) * np.sqrt(variance if spread else 1)
        truth[RNG.random((rows, 2)) < 0.1] = np.nan
        return Predicted(truth, np.zeros((rows, 2)), variance * np.array([1, 100]))

    calibration = calibrate(drawn(2000), spread)
    found = coverage(drawn(20000), calibration, ["a", "b"], level)
    assert found["all"] == pytest.approx(level, abs=0.03)
    same = calibration_of(
        {"noise": calibration.noise.tolist(), "factors": calibration.factors.tolist(), "spread": spread}
    )
    assert coverage(drawn(200), same, ["a", "b"], level).keys() == {"a", "b", "all"}


def test_a_factor_is_the_quantile_of_split_conformal_prediction():
    residuals = RNG.normal(size=(19, 1))
    found = calibrate(Predicted(residuals, np.zeros((19, 1)), np.zeros((19, 1))), False)
    ratios = np.sort(abs(residuals[:, 0])) / np.sqrt(np.mean(residuals**2))
    assert found.factors[LEVELS.index(0.9)] == pytest.approx(ratios[17])  # the 18th of 19: ⌈20 · 0.9⌉
    assert found.factors[LEVELS.index(0.99)] == pytest.approx(ratios[18])  # no more than the largest


def test_the_linear_baseline_is_scikit_learns():
    x, y = RNG.normal(size=(60, 3)), RNG.normal(size=(60, 2))
    ours = apply_linear(linear(x, y), x)
    np.testing.assert_allclose(ours, LinearRegression().fit(x, y).predict(x), atol=1e-4)


def test_linear_dynamics_are_found_and_solved_as_scipy_does():
    a, b = np.array([[-1.0, 0.5], [0.2, -0.7]]), np.array([[0.3, 0.1], [0.0, -0.4]])
    series = []
    for level in (0.0, 1.0, 2.0):
        times = np.linspace(0, 3, 400)
        rate = lambda t, y, level=level: a @ y + b @ [level, 1.0]
        states = solve_ivp(rate, (0, 3), [1.0, level], t_eval=times, rtol=1e-10, atol=1e-12).y.T
        series.append((times, states, np.full((400, 1), level)))
    found = linear_dynamics(*zip(*series, strict=True))
    np.testing.assert_allclose(found[0], a, atol=1e-3)
    np.testing.assert_allclose(found[1], b, atol=1e-3)
    times, states, inputs = series[2]
    np.testing.assert_allclose(linear_course(a, b, times, states[0], inputs), states, atol=1e-8)
