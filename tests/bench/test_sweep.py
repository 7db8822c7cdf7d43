"""The sweep: every variant has a run with the same number of gradients, and records its path."""

import json

import numpy as np
import pytest

from bench.studies import sweep
from mcgc.continuation import ESTIMATORS, annealing


@pytest.mark.parametrize(("problem", "count"), [("mnist", 51), ("lorenz", 49)])
def test_variants_take_equally_many_gradients(problem, count):
    found = list(sweep.variants(problem))
    assert len(set(found)) == len(found) == count
    for variant in found:
        settings = sweep.settings_of(problem, variant, 0, None, 7)
        points = len(ESTIMATORS[settings.estimator].signs) if settings.continuation else 1
        assert settings.epochs * points == 200
        assert settings.continuation == (variant.estimator != "none")


@pytest.mark.parametrize("schedule", annealing.SCHEDULES)
def test_a_schedule_ends_where_it_is_said_to(schedule):
    optimizer, log_lam = annealing.SCHEDULES[schedule](sweep.gamma_of(schedule, 3.0, 40)), np.asarray(-10.0)
    state = optimizer.init(log_lam)
    for _ in range(40):
        log_lam, state = optimizer.step(log_lam, state, log_lam)
    assert float(log_lam) == pytest.approx(-13.0)


def test_runs_are_lines_and_those_that_are_done_are_left_out(capsys, tmp_path):
    command = ["lotka-volterra", "--epochs", "2", "--only", "none", "--done", str(tmp_path / "lines")]
    sweep.main(command)
    text = capsys.readouterr().out
    (line,) = map(json.loads, text.splitlines())
    assert (line["estimator"], line["seed"], line["epochs"], line["failure"]) == ("none", 0, 2, None)
    assert [point["epoch"] for point in line["path"]] == [1, 2]
    assert line["path"][1]["train_loss"] < line["path"][0]["train_loss"]
    (tmp_path / "lines").write_text(text)
    sweep.main(command)
    assert capsys.readouterr().out == ""
