"""Spreads, best epochs, bootstrap intervals against SciPy and against all resamples, and the recall."""

import itertools
import math
import statistics
from collections import namedtuple

import numpy as np
import pytest
from scipy import stats

from mcgc.errors import InputError
from mcgc.paper.comparison import best, best_records, final, interval, recall, spread, summary


def test_a_spread_is_that_of_the_statistics_module():
    values = [3.0, 1.0, 4.0, 1.5]
    expected = (statistics.mean(values), statistics.stdev(values), 1.0, 4.0)
    assert spread(values) == pytest.approx(expected, rel=1e-14)
    assert spread([2.0])[0::2] == (2.0, 2.0)
    assert math.isnan(spread([2.0]).sd)
    assert all(map(math.isnan, spread([1.0, math.nan])))


def test_a_spread_of_huge_losses_does_not_overflow():
    assert spread([1e200, 3e200]) == pytest.approx((2e200, math.sqrt(2) * 1e200, 1e200, 3e200), rel=1e-14)


def epochs():
    loss = np.array([[4.0, 5.0], [1.0, math.nan], [2.0, 3.0]])
    accuracy = np.array([[0.5, 0.25], [0.75, 0.5], [0.625, 0.5]])
    return {"train_loss": loss, "test_loss": loss + 1, "test_accuracy": accuracy, "seconds": np.array([1.0, 2.0, 3.0])}


def test_the_best_of_a_loss_is_its_lowest_and_of_the_accuracy_its_highest():
    assert final(epochs()) == {"train_loss": [2.0, 3.0], "test_loss": [3.0, 4.0], "test_accuracy": [0.625, 0.5]}
    assert best(epochs()) == {"train_loss": [1.0, 3.0], "test_loss": [2.0, 4.0], "test_accuracy": [0.75, 0.5]}


def test_a_summary_leaves_out_what_there_is_not():
    found = summary(epochs() | {"test_accuracy": np.full((3, 2), math.nan)})
    assert found["best"].keys() == found["final"].keys() == {"train_loss", "test_loss"}
    assert (found["members"], found["epochs"], found["seconds"]) == (2, 3, 6.0)
    assert found["best"]["train_loss"] == {
        "mean": 2.0,
        "sd": math.sqrt(2),
        "min": 1.0,
        "max": 3.0,
        "members": [1.0, 3.0],
    }


@pytest.mark.parametrize("paired", [True, False])
def test_an_interval_is_that_of_scipy(paired):
    rng = np.random.default_rng(1)
    x = rng.normal(size=12)
    y = x + rng.normal(0.5, 0.3, size=12)
    found = interval(x.tolist(), y.tolist(), paired)
    theirs = stats.bootstrap(
        (x, y),
        lambda x, y, axis=-1: y.mean(axis=axis) - x.mean(axis=axis),
        paired=paired,
        vectorized=True,
        n_resamples=100_000,
        method="percentile",
        rng=np.random.default_rng(2),
    )
    # an end's standard error is √(p(1 − p)/n) over the density there, that of a normal distribution to a few percent
    error = math.sqrt(0.025 * 0.975 / 10_000) / (stats.norm.pdf(1.96) / theirs.standard_error)
    assert found.difference == pytest.approx(y.mean() - x.mean(), rel=1e-12)
    assert abs(found.low - theirs.confidence_interval.low) < 4 * error
    assert abs(found.high - theirs.confidence_interval.high) < 4 * error
    assert found.high - found.low > 20 * error


def test_the_ends_are_those_of_all_resamples_where_they_can_be_listed():
    x, y = [0.0, 0.0, 0.0], [1.0, 2.0, 4.0]
    means = [statistics.mean(drawn) for drawn in itertools.product(y, repeat=3)]
    low, high = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    for paired in (True, False):
        assert interval(x, y, paired)[1:] == pytest.approx((low, high), rel=1e-12)


def test_the_interval_of_one_number_each_is_a_point_and_one_number_adds_nothing_to_that_of_the_others():
    assert interval([1.0], [3.0], True) == interval([1.0], [3.0], False) == (2.0, 2.0, 2.0)
    y = [1.0, 2.0, 4.0]
    assert interval([5.0], y, False) == pytest.approx([end - 5 for end in interval([0.0] * 3, y, False)], abs=0.02)


def test_pairs_take_away_what_members_have_in_common_and_seeds_repeat():
    x = np.random.default_rng(3).normal(size=10)
    y = (x + 1).tolist()
    assert interval(x.tolist(), y, True) == pytest.approx((1, 1, 1), rel=1e-12)
    free = interval(x.tolist(), y, False)
    assert free.low < 1 - 0.1 < 1 + 0.1 < free.high
    assert interval(x.tolist(), y, False) == free != interval(x.tolist(), y, False, seed=1)
    assert interval(y, x.tolist(), True).difference == pytest.approx(-1)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_leaves_no_interval(paired, value):
    finite, other = [1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, value, 8.0, 9.0]
    for pair in ((finite, other), (other, finite)):
        assert all(map(math.isnan, interval(*pair, paired)))


@pytest.mark.parametrize("args", [([], [1.0], False), ([1.0], [], False), ([1.0, 2.0], [1.0], True)])
def test_intervals_of_nothing_are_refused(args):
    with pytest.raises(InputError, match="an interval needs numbers in both"):
        interval(*args)


def test_recall_is_the_fraction_of_a_row_on_the_diagonal():
    found = recall([[3, 1, 0], [0, 0, 0], [2, 0, 0]])
    assert found[0::2] == [0.75, 0.0]
    assert math.isnan(found[1])


def test_the_record_of_the_best_epoch_is_none_of_those_that_went_back():
    Epoch = namedtuple("Epoch", "epoch train_loss validation_loss restored")
    epochs = [
        Epoch(1, (1e-6, 3.0), (None, None), (True, False)),
        Epoch(2, (2e-4, 1.0), (None, None), (False, False)),
        Epoch(3, (5e-5, math.inf), (None, None), (False, False)),
    ]
    assert [record.epoch for record in best_records(epochs)] == [3, 2]
    assert [record.epoch for record in best_records(epochs[:1])] == [1, 1]
    chosen = [epoch._replace(validation_loss=(5.0 - epoch.epoch, math.nan)) for epoch in epochs]
    assert [record.epoch for record in best_records(chosen)] == [3, 3]
