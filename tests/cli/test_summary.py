"""The result of a run, as JSON and as text."""

import json
import math

from mcgc_cli.summary import as_json, as_text, warn

RESULT = {
    "problem": "lorenz",
    "continuation": False,
    "estimator": "score",
    "seed": 1,
    "epochs": 2,
    "seconds": 1.25,
    "best_epoch": [1, 2],
    "train_loss": [math.nan, 0.5],
    "validation_loss": None,
    "test_loss": [math.inf, 1.0],
    "test_accuracy": None,
    "log_lam": [None, None],
    "last": {"train_loss": [8.0, 0.5], "test_loss": [9.0, 1.0]},
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
    assert [line.split() for line in lines[2:4]] == [
        ["0", "1", "nan", "inf", "-", "8", "9"],
        ["1", "2", "0.5", "1", "-", "0.5", "1"],
    ]


def test_text_has_an_accuracy_where_there_is_one():
    lines = as_text(RESULT | {"test_accuracy": [0.125, 1.0]}).splitlines()
    assert lines[1].split()[:9] == ["member", "best", "epoch", "train", "loss", "test", "loss", "accuracy", "lambda"]
    assert [line.split()[4] for line in lines[2:4]] == ["12.50%", "100.00%"]


def test_a_last_epoch_more_than_twice_as_bad_as_the_best_is_one_line(capsys):
    losses = {"train_loss": [1.0, 2.0, 0.5], "last": RESULT["last"] | {"train_loss": [2.0, 4.5, math.inf]}}
    warn(RESULT | losses | {"best_epoch": [3, 4, 5]})
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "member 0" not in said
    assert "member 1 ended with a train loss of 4.5, but epoch 4 had 2; member 2 ended with" in said
    warn(RESULT | {"train_loss": [8.0, 0.5]})
    assert capsys.readouterr().err == ""


def test_a_missing_loss_of_one_member_is_a_dash_and_no_warning():
    result = RESULT | {"train_loss": [None, 0.5], "last": RESULT["last"] | {"test_loss": [9.0, None]}}
    warn(result)
    rows = as_text(result).splitlines()
    assert [row.split()[-1] for row in rows[2:4]] == ["9", "-"]
    assert rows[2].split()[2] == "-"


def test_a_constant_negative_loss_gives_no_warning(capsys):
    warn(RESULT | {"train_loss": [-10.0, -1.0], "last": RESULT["last"] | {"train_loss": [-10.0, -0.5]}})
    assert capsys.readouterr().err == ""
