"""Rows of a table as features and targets: numbers, categories and classes, or a sentence with the row."""

import numpy as np
import pandas as pd
import pytest

from mcgc.errors import DatasetError, InputError
from mcgc.tables import rows_columns, rows_of

TABLE = {"colour": ["red", "blue", "red", "green"], "size": [1, 2, 3, 4], "ok": [True, False, True, True]}


def test_categories_are_one_hot_as_pandas_makes_them():
    table = TABLE | {"y": [1.0, None, 3.0, 4.0]}
    columns = rows_columns(table, "y")
    found, frame = rows_of(table, columns), pd.get_dummies(pd.DataFrame(TABLE), columns=["colour"], dtype=float)
    assert columns.encoded == ("colour=blue", "colour=green", "colour=red", "size", "ok")
    wanted = frame[["colour_blue", "colour_green", "colour_red", "size", "ok"]].astype(float)
    np.testing.assert_array_equal(found.features, wanted)
    assert found.missing == {"y": 1}


def test_classes_are_numbered_in_order_and_numbers_by_their_size():
    text = rows_columns({"x": [1, 2, 3], "y": ["b", "a", None]}, "y", classify=True)
    assert text.classes == ("a", "b")
    np.testing.assert_array_equal(rows_of({"x": [1, 2, 3], "y": ["b", "a", None]}, text).targets[:, 0], [1, 0, np.nan])
    assert rows_columns({"x": [1, 2, 3], "y": [10, 9, 10]}, "y", classify=True).classes == ("9", "10")


def test_columns_to_divide_by_are_no_features():
    columns = rows_columns({"x": [1, 2], "who": ["a", "b"], "t": [2, 1], "y": [1, 2]}, "y", group="who", time="t")
    found = rows_of({"x": [1, 2], "who": ["a", "b"], "t": [2, 1], "y": [1, 2]}, columns)
    assert columns.features == ("x",)
    assert (found.groups.tolist(), found.times.tolist()) == ([0, 1], [2, 1])


@pytest.mark.parametrize(
    ("target", "options", "sentence"),
    [
        ("yy", {}, r"unknown column for a target 'yy'.*did you mean 'y'"),
        ("y", {"features": "size,y"}, "'y' is named as a target and as a feature"),
        ("y", {"classify": True}, "'y' has fractions, so it is no class: choose the task regression"),
        ("same", {"classify": True}, "'same' has 1 classes"),
        ("y,size", {"classify": True}, "a classification has one target"),
        ("y", {"group": "gruop"}, "unknown column of groups 'gruop'"),
    ],
)
def test_names_that_cannot_be_used_are_one_sentence(target, options, sentence):
    with pytest.raises(InputError, match=sentence):
        rows_columns(TABLE | {"y": [0.5, 1, 2, 3], "same": [1, 1, 1, 1]}, target, **options)


def test_a_feature_of_many_texts_is_refused():
    with pytest.raises(InputError, match="text with 101 different values"):
        rows_columns({"note": [f"n{i}" for i in range(101)], "y": range(101)}, "y")


def test_a_missing_feature_and_an_unknown_category_are_named_by_their_row():
    columns = rows_columns(TABLE | {"y": [1, 2, 3, 4]}, "y")
    with pytest.raises(DatasetError, match="row 2, column 'size' is empty: a feature is there in each row"):
        rows_of(TABLE | {"size": [1, 2, None, 4]}, columns)
    with pytest.raises(DatasetError, match=r"row 0, column 'colour' has the category 'pink'.*blue, green, red"):
        rows_of(TABLE | {"colour": ["pink", "blue", "red", "red"]}, columns)
    with pytest.raises(DatasetError, match="row 1, column 'colour' is empty"):
        rows_of(TABLE | {"colour": ["blue", None, "red", "red"]}, columns)
    assert np.isnan(rows_of(TABLE, columns).targets).all()
