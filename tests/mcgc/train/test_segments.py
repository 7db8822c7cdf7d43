"""Parts of a table's series: nothing leaks from one to another, gaps are filled, windows hold what was observed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactor import reactor

from mcgc import train
from mcgc.arrays import HOST
from mcgc.errors import InputError
from mcgc.tables import series_columns, series_of
from mcgc.train._dynamics import RECIPE, dynamics, model_of
from mcgc.train._segments import AFTER, TEST, TRAIN, VALIDATION, divide, filled, padded_times, pieces_of
from mcgc.train._windows import ragged_counts, ragged_rows_of


def table(**how):
    data = reactor(**how)
    return series_of(data, series_columns(data, group="run", states="A,B", inputs="feed"))


@pytest.mark.parametrize("split", ["group", "random"])
def test_whole_series_are_set_apart_and_each_is_in_one_part(split):
    own = table(runs=12)
    settings = RECIPE._replace(split=split, test=0.25, validation=0.2, rotate=False)
    _, parts = divide(own, settings)
    assert [int((parts == part).sum()) for part in (TRAIN, VALIDATION, TEST)] == [7, 2, 3]
    other = divide(own, settings._replace(seed=1))[1]
    assert (parts != other).any()
    assert (parts == divide(own, settings)[1]).all()


def test_members_have_one_test_set_and_validation_sets_that_do_not_meet():
    own = table(runs=12)
    _, parts = divide(own, RECIPE._replace(members=3, test=0.25, validation=0.2))
    assert parts.shape == (3, 12)
    assert ((parts == TEST) == (parts[0] == TEST)).all()
    assert (parts == VALIDATION).sum(axis=1).tolist() == [2, 2, 2]
    assert (parts == VALIDATION).any(axis=0).sum() == 6
    two = divide(own, RECIPE._replace(members=2, test=0.25, validation=0.2))[1]
    np.testing.assert_array_equal(parts[:2], two)  # a member is the same whatever their number


def test_a_split_in_time_trains_on_what_comes_first_and_no_target_is_in_two_parts():
    own = table(runs=4)
    pieces = pieces_of(own, RECIPE._replace(split="time", test=0.2, validation=0.2))
    targets = {part: set() for part in (TRAIN, VALIDATION, TEST)}
    for series in range(4):
        latest = -np.inf
        for part in (TRAIN, VALIDATION, TEST):
            ((a, b),) = [(a, b) for which, a, b, its in pieces if (which, its) == (series, part)]
            targets[part] |= {*range(a + 1, b)}  # the first row is a start, and no target
            assert own.times[a] >= latest
            latest = own.times[b - 1]
    assert not targets[TRAIN] & targets[VALIDATION] | targets[VALIDATION] & targets[TEST]
    assert not targets[TRAIN] & targets[TEST]


def test_too_few_groups_are_one_sentence():
    with pytest.raises(InputError, match="the table has 2 groups, of which 2 are set apart"):
        divide(table(runs=2), RECIPE)
    empty = table(runs=3)._replace(states=np.full((len(table(runs=3).times), 2), np.nan))
    with pytest.raises(InputError, match="no series has two times with states"):
        divide(empty, RECIPE)


def test_a_state_that_a_series_never_has_begins_at_its_mean_and_is_no_target():
    own = table(runs=6, seed=3, missing=0)
    series = pieces_of(own, RECIPE)[0][0]
    a, b = own.bounds[series : series + 2]
    states = own.states.copy()
    states[a:b, 1] = np.nan
    data, _ = divide(own._replace(states=states), RECIPE)
    rows = np.concatenate([np.arange(a, b) for _, a, b, part in pieces_of(own, RECIPE) if part == TRAIN])
    np.testing.assert_allclose(data.states[series, :, 1], np.nanmean(states[rows, 1]))
    assert not data.seen[series, :, 1].any()
    assert not np.isnan(data.states).any()
    states[:, 1] = np.nan
    with pytest.raises(InputError, match="state 'B' has no value in the training set"):
        divide(own._replace(states=states), RECIPE)


def test_a_gap_is_filled_by_the_line_between_neighbours_and_an_end_by_the_line_through_two():
    times = np.array([0.0, 1.0, 2.0, 4.0, 8.0])
    states = np.array([[np.nan, 1.0], [2.0, np.nan], [4.0, 3.0], [np.nan, np.nan], [np.nan, 9.0]])
    np.testing.assert_allclose(filled(times, states), [[0, 1], [2, 2], [4, 3], [6, 5], [6, 9]])
    np.testing.assert_array_equal(filled(times, np.full((5, 1), np.nan)), np.full((5, 1), np.nan))
    one = np.array([[np.nan], [3.0], [np.nan], [np.nan], [np.nan]])
    np.testing.assert_array_equal(filled(times, one), np.full((5, 1), 3.0))


def test_times_that_fill_up_a_series_increase_and_take_almost_no_time():
    found = padded_times(np.array([1.0, 3.0]), 50)
    assert (np.diff(found) > 0).all()
    assert found[-1] - 3 < 100 * AFTER * 2


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 9))
def test_windows_are_all_runs_of_observations_of_each_series_once(lengths, length):
    lengths = np.asarray(lengths)
    every, total = ragged_counts(lengths, length)
    wanted = [
        (series, start)
        for series, intervals in enumerate(lengths.tolist())
        for start in range(max(intervals - length + 1, 1))
    ]
    series, columns, excess = ragged_rows_of(np.arange(every), lengths, length)
    assert list(zip(series.tolist(), columns[:, 0].tolist(), strict=True)) == wanted
    assert total == sum(max(intervals // length, 1) for intervals in lengths.tolist())
    for which, row, beyond in zip(series, columns, excess, strict=True):
        inside = beyond == 0
        assert (np.diff(row[inside]) == 1).all()
        assert row.max() <= lengths[which]
        assert (row[~inside] == lengths[which]).all()


def test_windows_have_the_observations_of_the_training_set_alone():
    own = table(runs=10, seed=4)
    problem = dynamics(model_of(own, RECIPE), RECIPE)
    settings = RECIPE._replace(standardize=False, members=1)
    task = train.bind(settings, own, HOST, problem)
    whole = task.train
    known = {
        (round(float(t), 9), round(float(y), 6))
        for t, y in zip(whole.times.ravel(), whole.states[..., 0].ravel(), strict=True)
    }
    every, _ = ragged_counts(problem.lengths(whole), 3)
    found = problem.windows(whole, np.arange(every), 3)
    assert found.times.shape == (every, 4)
    assert (np.diff(found.times, axis=1) > 0).all()
    pairs = zip(found.times[found.seen[..., 0] > 0], found.states[..., 0][found.seen[..., 0] > 0], strict=True)
    assert {(round(float(t), 9), round(float(y), 6)) for t, y in pairs} <= known
