"""Tables in memory: what callers have, as columns of numbers and text."""

import array_api_strict
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mcgc.errors import DatasetError, InputError
from mcgc.tables import as_table, chosen

COLUMNS = {"t": [0.0, 1.0, 2.0], "y": [1.0, None, 3.0], "who": ["a", "b", None]}


@pytest.mark.parametrize(
    "data",
    [
        COLUMNS,
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS).convert_dtypes(),
        pa.table(COLUMNS),
        [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)],
        np.array([(0, 1, "a"), (1, np.nan, "b"), (2, 3, "")], [("t", float), ("y", float), ("who", "U1")]),
    ],
    ids=["mapping", "pandas", "nullable", "pyarrow", "records", "structured"],
)
def test_every_kind_of_table_has_the_same_numbers_and_labels(data):
    table = as_table(data)
    assert table.num_rows == 3
    np.testing.assert_array_equal(table.numbers("t"), [0, 1, 2])
    np.testing.assert_array_equal(table.numbers("y"), [1, np.nan, 3])
    assert table.labels("who") == ["a", "b", None]
    assert [table.is_text(name) for name in COLUMNS] == [False, False, True]


def test_an_array_has_the_names_that_are_given_and_a_table_is_itself():
    table = as_table(np.arange(6).reshape(3, 2), columns=("a", "b"))
    np.testing.assert_array_equal(table.numbers("b"), [1, 3, 5])
    assert as_table(table) is table
    assert as_table([[1, 2], [3, 4]], columns=["a", "b"]).labels("a") == ["1", "3"]


def test_equal_tables_have_one_hash_and_others_another():
    assert as_table({"a": [1.0]}).sha256 == as_table({"a": [1.0]}).sha256
    assert len({as_table(data).sha256 for data in ({"a": [1.0]}, {"a": [2.0]}, {"b": [1.0]}, {"a": ["1.0"]})}) == 4


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"a": [1, 2], "b": [1]}, "as many values each, got a 2, b 1"),
        ({}, "has no rows"),
        ({"a": []}, "has no rows"),
        ({"a": [[1, 2]]}, r"column 'a' has the shape \(1, 2\)"),
        ({"a": np.array([1], "timedelta64[D]")}, "column 'a' holds durations"),
        ({"a": [1j]}, "column 'a' is complex"),
        (np.ones((2, 2)), "names of its columns, got ndarray"),
        (7, "got int"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns 'a'"),
    ],
)
def test_what_is_no_table_is_one_sentence(data, sentence):
    with pytest.raises(DatasetError, match=sentence):
        as_table(data)


def test_an_array_with_too_few_names_is_refused():
    for data in (np.ones((2, 3)), array_api_strict.ones((2,)), [[1], [1, 2]]):
        with pytest.raises(DatasetError, match="give as many names as columns"):
            as_table(data, columns=("a", "b"))


def test_names_of_columns_are_found_or_answered_with_a_similar_one():
    table = as_table({"temp": [1], "time": [1]})
    assert chosen(table, "temp, time", "state") == ("temp", "time")
    with pytest.raises(InputError, match=r"'tempp': choose one of temp, time; did you mean 'temp'"):
        chosen(table, ["tempp"], "state")
    with pytest.raises(InputError, match="named twice"):
        chosen(table, "temp,temp", "state")
    with pytest.raises(InputError, match="no state is named"):
        chosen(table, " ", "state")
