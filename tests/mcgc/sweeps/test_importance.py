"""The importance of a setting is its share of the variance, where that is known."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import f_oneway, rankdata

from mcgc.sweeps import Range
from mcgc.sweeps._importance import importance
from mcgc.sweeps._space import space_of


def swept(space, points, function):
    points = [dict(zip(space, row, strict=True)) for row in points]
    return importance(space_of(space, "random"), points, [function(*point.values()) for point in points])


def test_the_shares_of_a_sum_over_a_grid_are_those_of_its_variances():
    """Of y = 9 a + 3 b + c with a, b, c of 0, 1, 2 the ranks are y itself, and the variances are as 81 : 9 : 1."""
    space = {"beta": Range(0, 2), "clip": Range(0, 2), "gamma": Range(0, 2)}
    found = swept(space, product(range(3), repeat=3), lambda a, b, c: 9 * a + 3 * b + c)
    adjusted = [1 - (1 - part / 91) * 26 / 24 for part in (81, 9, 1)]
    assert list(found.values()) == pytest.approx([max(0, share) for share in adjusted], abs=1e-12)


def test_a_setting_that_decides_alone_has_all_and_one_that_does_nothing_has_none():
    points = np.random.default_rng(0).random((60, 2))
    space = {"learning_rate": Range(1e-9, 1), "beta": Range(0, 1)}
    found = swept(space, points, lambda rate, beta: np.exp(40 * rate))
    assert found["learning_rate"] > 0.98
    assert found["beta"] < 0.1


def test_a_valley_counts_and_the_logarithm_is_that_of_the_range():
    rates = np.geomspace(1e-5, 1e-1, 21)
    space = {"learning_rate": Range(1e-5, 1e-1, log=True)}
    found = swept(space, rates[:, None], lambda rate: np.log10(rate / 1e-3) ** 2)
    assert found["learning_rate"] > 0.9
    assert (
        swept({"learning_rate": Range(1e-5, 1e-1)}, rates[:, None], lambda rate: np.log10(rate / 1e-3) ** 2)[
            "learning_rate"
        ]
        < 0.6
    )


def test_the_share_of_choices_follows_the_f_statistic_of_scipy():
    rng = np.random.default_rng(1)
    names, noise = ["score", "pathwise", "antithetic"], rng.normal(size=30)
    points = [(names[i % 3],) for i in range(30)]
    values = [names.index(name) + one for (name,), one in zip(points, noise, strict=True)]
    (found,) = importance(
        space_of({"estimator": names}, "random"), [{"estimator": name} for (name,) in points], values
    ).values()
    ranks = rankdata(values)
    statistic = f_oneway(*(ranks[i::3] for i in range(3))).statistic
    assert found == pytest.approx(1 - 29 / 27 / (1 + statistic * 2 / 27), abs=1e-12)


def test_infinite_losses_count_as_the_worst():
    rates = np.linspace(0, 1, 12)
    space = {"beta": Range(0, 1)}
    found = swept(space, rates[:, None], lambda beta: np.inf if beta > 0.6 else beta)
    assert found["beta"] > 0.9


def test_too_few_trials_have_no_importance():
    found = swept({"beta": Range(0, 1)}, [(0.0,), (0.5,), (1.0,)], lambda beta: beta)
    assert np.isnan(found["beta"])
