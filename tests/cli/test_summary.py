"""The result of a run, as JSON and as text."""

import json
import math

from mcgc_cli.summary import as_json, as_text

RESULT = {
    "problem": "lorenz",
    "continuation": False,
    "estimator": "score",
    "seed": 1,
    "epochs": 2,
    "seconds": 1.25,
    "train_loss": [math.nan, 0.5],
    "test_loss": [math.inf, 1.0],
    "test_accuracy": None,
    "log_lam": [None, None],
    "output": "läuft.h5",
}


def test_json_is_strict_with_null_for_numbers_that_are_not_finite():
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    found = json.loads(as_json(RESULT), parse_constant=refuse)
    assert found == RESULT | {"train_loss": [None, 0.5], "test_loss": [None, 1.0]}


def test_text_shows_numbers_that_are_not_finite_and_no_lambda_without_continuation():
    lines = as_text(RESULT).splitlines()
    assert lines[0].startswith("lorenz: no continuation, seed 1, ")
    assert [line.split() for line in lines[2:4]] == [["0", "nan", "inf", "-"], ["1", "0.5", "1", "-"]]


def test_text_has_an_accuracy_where_there_is_one():
    lines = as_text(RESULT | {"test_accuracy": [0.125, 1.0]}).splitlines()
    assert lines[1].split() == ["member", "train", "loss", "test", "loss", "accuracy", "lambda"]
    assert [line.split()[3] for line in lines[2:4]] == ["12.50%", "100.00%"]
