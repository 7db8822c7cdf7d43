"""Series of a table in long form: sorted, grouped, with gaps and inputs, or refused with the row."""

import numpy as np
import pandas as pd
import pytest
from reactor import reactor
from scipy.interpolate import CubicSpline, interp1d

from mcgc.errors import DatasetError, InputError
from mcgc.tables import as_table, interpolate, series_columns, series_of


def of(data, **names):
    interpolation = names.pop("interpolation", "linear")
    return series_of(data, series_columns(data, **names), interpolation)


def test_the_series_are_the_groups_of_pandas_in_any_order_of_rows():
    frame = pd.DataFrame(reactor(runs=4, seed=2))
    shuffled = frame.sample(frac=1, random_state=0)
    found = of(shuffled, group="run", states="A,B", inputs="feed")
    groups = {label: part.sort_values("time") for label, part in frame.groupby("run")}
    assert {*found.groups} == {*groups}
    for label, a, b in zip(found.groups, found.bounds[:-1], found.bounds[1:], strict=True):
        np.testing.assert_array_equal(found.times[a:b], groups[label]["time"])
        np.testing.assert_array_equal(found.states[a:b], groups[label][["A", "B"]])
        np.testing.assert_array_equal(found.inputs[a:b], groups[label][["feed"]])
    np.testing.assert_array_equal(shuffled["time"].to_numpy()[found.rows], found.times)
    assert found.missing == frame[["A", "B"]].isna().sum().to_dict()
    assert not found.varying


@pytest.mark.parametrize("kind", ["linear", "cubic", "previous"])
def test_inputs_that_are_missing_are_interpolated_as_scipy_does(kind):
    known = np.array([0.0, 1.0, 2.5, 4.0])
    values = np.array([1.0, 3.0, 2.0, 5.0])
    times = np.linspace(0, 4, 17)
    reference = {
        "linear": interp1d(known, values),
        "cubic": CubicSpline(known, values, bc_type="natural"),
        "previous": interp1d(known, values, kind="previous"),
    }[kind]
    np.testing.assert_allclose(interpolate(known, values, times, kind), reference(times), rtol=1e-14)
    at = np.isin(times, known)
    table = {"t": times, "y": times, "u": np.where(at, interpolate(known, values, times, "linear"), np.nan)}
    found = of(table, inputs="u", interpolation=kind)
    assert found.varying
    np.testing.assert_allclose(found.inputs[:, 0], reference(times), rtol=1e-14)


def test_beyond_its_ends_an_input_has_the_value_of_the_end():
    assert interpolate(np.array([1.0, 2.0]), np.array([5.0, 7.0]), np.array([0.0, 3.0]), "linear").tolist() == [5, 7]


def test_a_constant_input_may_be_given_once():
    found = of({"t": [0, 1, 2], "y": [1, 2, 3], "u": [None, 0.5, None]}, inputs="u")
    assert (found.inputs[:, 0].tolist(), found.varying) == ([0.5] * 3, False)


def test_by_default_the_time_is_time_or_t_and_the_states_are_the_numbers_that_are_left():
    columns = series_columns({"Time": [0], "note": ["x"], "y": [1], "z": [1], "u": [1]}, inputs="u")
    assert (columns.time, columns.group, columns.states) == ("Time", None, ("y", "z"))


@pytest.mark.parametrize(
    ("changes", "names", "sentence"),
    [
        ({}, {"time": "tmie"}, r"unknown column of times 'tmie': .*did you mean 'time'"),
        ({}, {"group": "ruun"}, r"unknown column of groups 'ruun': .*did you mean 'run'"),
        ({}, {"states": "A,X"}, "unknown column for a state 'X'"),
        ({}, {"states": "A,feed", "inputs": "feed"}, "'feed' is named as a state and as an input"),
        ({"time": [0, 1, 0, None]}, {}, "row 3, column 'time' is empty: each row needs a time"),
        ({"run": ["a", None, "b", "b"]}, {}, "row 1, column 'run' is empty: each row needs a group"),
        ({"time": [0, 0, 0, 1]}, {}, "row 1 has the time 0 of group 'a' a second time"),
        ({"A": ["1", "x", "2", "3"]}, {}, "row 1, column 'A' holds 'x'"),
        ({"feed": [1.0, 1.0, None, None]}, {}, "input 'feed' has no value in group 'b'"),
    ],
)
def test_what_is_wrong_is_named_by_row_or_name(changes, names, sentence):
    data = {"time": [0, 1, 0, 1], "run": ["a", "a", "b", "b"], "A": [1, 2, 3, 4], "feed": [1, 1, 2, 2]} | changes
    with pytest.raises((DatasetError, InputError), match=sentence):
        of(data, **{"group": "run", "states": "A", "inputs": "feed", "time": "time"} | names)


def test_without_a_column_of_times_or_states_the_sentence_says_so():
    with pytest.raises(InputError, match="unknown column of times 'time'"):
        series_columns({"x": [1]})
    with pytest.raises(InputError, match="no column left for the states"):
        series_columns({"t": [1], "who": ["a"]})
    with pytest.raises(InputError, match="unknown interpolation 'quadratic'"):
        of({"t": [0], "y": [1]}, interpolation="quadratic")


def test_states_that_a_table_lacks_are_missing():
    columns = series_columns({"t": [0], "y": [1], "z": [2]})
    assert np.isnan(series_of(as_table({"t": [0, 1], "y": [1, 2]}), columns).states[:, 1]).all()
