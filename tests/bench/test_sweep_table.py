"""The tables of a sweep, from lines made by hand."""

import json

from bench.studies import sweep_table


def line(estimator, rate, score, path, **changes):
    points = [{"test_accuracy": score, "test_loss": 12.34, "log_lam": log_lam} for log_lam in path]
    run = {
        "problem": "mnist",
        "estimator": estimator,
        "learning_rate_lam": rate,
        "beta": 0.001,
        "loss": "softmax-cross-entropy",
    }
    return {**run, "fall": None, "path": points, **changes}


def test_entries_are_means_over_seeds_by_row_and_column(tmp_path, capsys):
    lines = [
        line("none", 0.01, 0.6, [None, None]),
        line("score", 0.01, 0.7, [-13.0, -15.0]),
        line("score", 0.01, 0.8, [-14.0, -17.0]),
        line("score", 0.1, 0.5, [-20.0, -30.0]),
        line("score", 0.1, 0.6, [-20.0, -30.0]),
        line("score", 0.01, 0.9, [-13.5, -14.0], schedule="geometric", fall=1.0),
        line("none", 0.01, 0.95, [None, None], loss="cross-entropy"),
    ]
    (tmp_path / "lines").write_text("\n".join(map(json.dumps, lines)))
    sweep_table.main([str(tmp_path / "lines"), "--picture", str(tmp_path / "sweep.svg")])
    assert "mnist" in (tmp_path / "sweep.svg").read_text(encoding="utf-8")
    assert capsys.readouterr().out.splitlines() == [
        "|  | β |  |",
        "|---|---|---|",
        "| without continuation |  | 60.0 % |",
        "| without continuation, cross-entropy of logits |  | 95.0 % |",
        "",
        "|  | β | 0.01 | 0.1 |",
        "|---|---|---|---|",
        "| score | 0.001 | 75.0 % (−13.5, −16.0) | 55.0 % (−20.0, −30.0) |",
        "",
        "|  | β | −1 |",
        "|---|---|---|",
        "| geometric |  | 90.0 % (−13.5, −14.0) |",
        "",
        "| | mean | sd | runs |",
        "|---|---|---|---|",
        "| score | 65.0 | 12.9 | 4 |",
        "| rate 0.01 | 75.0 | 7.1 | 2 |",
        "| rate 0.1 | 55.0 | 7.1 | 2 |",
        "| β 0.001 | 65.0 | 12.9 | 4 |",
        "| noise felt halfway | 80.0 | 10.0 | 3 |",
        "| noise gone halfway | 55.0 | 7.1 | 2 |",
    ]


def test_where_there_is_no_accuracy_the_score_is_the_loss():
    run = line("score", 0.01, None, [-10.0, -11.0])
    assert sweep_table.entry([run]) == "12.3 (−10.0, −11.0)"
