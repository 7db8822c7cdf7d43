"""A space that cannot be searched is one sentence, and values become what the settings have."""

import pytest

from mcgc.errors import InputError
from mcgc.sweeps import Range
from mcgc.sweeps._space import checked, space_of


@pytest.mark.parametrize(
    ("space", "method", "sentence"),
    [
        ({}, "sobol", "the space is empty"),
        ({"learning_rat": [1]}, "sobol", r"unknown setting 'learning_rat': .*did you mean 'learning_rate'"),
        ({"problem": ["lorenz"]}, "sobol", "unknown setting 'problem'"),
        ({"beta": []}, "sobol", "the space has beta as []"),
        ({"beta": 1.0}, "sobol", "the space has beta as 1.0"),
        ({"hidden": "8"}, "sobol", "the space has hidden as '8'"),
        ({"beta": [1, 1.0]}, "sobol", "the choices of beta have one twice"),
        ({"beta": {"low": 1}}, "sobol", "the range of beta has no high"),
        ({"beta": {"low": 1, "hihg": 2}}, "sobol", "the range of beta has an unknown key 'hihg'.*did you mean 'high'"),
        ({"beta": Range(2, 1)}, "sobol", "goes from 2 to 1"),
        ({"beta": Range(0, 1, log=True)}, "sobol", "logarithmic and begins at 0"),
        ({"beta": Range(0, "1")}, "sobol", "has the end '1'"),
        ({"beta": Range(0, float("inf"))}, "sobol", "has the end inf"),
        ({"beta": Range(0, 1, log=1)}, "sobol", "log as 1"),
        ({"beta": Range(0, 1)}, "grid", "has no points"),
        ({"beta": Range(0, 1, points=1)}, "grid", "points of beta must be a whole number of at least 2"),
        ({"beta": Range(0, 1, points=3)}, "random", "has points, which only a grid takes"),
        ({"hidden": Range(8, 16)}, "sobol", "hidden is not a number"),
        ({"skip": Range(0, 1)}, "sobol", "skip is not a number"),
        ({"batch_size": Range(1, 2.5)}, "sobol", "batch_size is a whole number"),
        ({"optimizer": ["adma"]}, "sobol", r"optimizer must be one of .*did you mean 'adam'"),
        ({"epochs": [2.5]}, "sobol", "epochs must be a whole number"),
        ({"skip": [1]}, "sobol", "skip must be true or false, got 1"),
        ({"beta": ["1e-3"]}, "sobol", "beta must be a finite number, got '1e-3'"),
        ({"beta": [True]}, "sobol", "beta must be a finite number"),
        ({"estimator": [1]}, "sobol", "estimator must be a text"),
        ({"learning_rate": ["none"]}, "sobol", "learning_rate cannot be none"),
    ],
)
def test_a_space_that_cannot_be_searched_is_one_sentence(space, method, sentence):
    with pytest.raises(InputError, match=sentence.replace("[]", r"\[\]")) as caught:
        space_of(space, method)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("clip", 1, 1.0),
        ("clip", "none", None),
        ("hidden", 8, "8"),
        ("hidden", [8, 16], "8,16"),
        ("hidden", "8x2", "8x2"),
        ("skip", False, False),
        ("epochs", 3, 3),
    ],
)
def test_a_value_becomes_what_the_settings_have(name, given, value):
    found = checked(name, given)
    assert (found, type(found)) == (value, type(value))
