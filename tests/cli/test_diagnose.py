"""The command diagnose: the right cause for each sick run, nothing for a healthy one, as text and as JSON."""

import json

import numpy as np
import pytest
from mcgc_datasets import read_table
from sick import cases, csv_of

from mcgc import fit

CASES = cases(seed=4)


@pytest.mark.parametrize("name", CASES)
def test_the_command_names_the_cause_of_a_run(mcgc, name, tmp_path):
    cause, table, how = CASES[name]
    (tmp_path / "mine.csv").write_text(csv_of(table))
    fit(read_table("mine.csv"), **how, output="run.h5")
    shown, told = mcgc("diagnose", "run.h5"), mcgc("diagnose", "run.h5", "--json")
    assert (shown.exit_code, told.exit_code) == (0, 0), shown.output + told.output
    found = json.loads(told.stdout)
    assert {*found} == {"causes", "findings", "measured"}
    assert found["causes"] == ([cause] if cause else [])
    if not cause:
        assert shown.stdout == "nothing found\n"
        return
    first = found["findings"][0]
    assert [*first] == ["name", "measured", "threshold", "members", "meaning", "advice", "page", "explained"]
    assert shown.stdout.startswith(f"{cause}: {first['meaning']}\n  cause; measured ")
    assert f"what to do: {first['advice']}\n  see diagnose.md#{cause}" in shown.stdout
    assert "--" in first["advice"]
    assert "`" not in first["advice"]


def test_a_run_on_data_in_memory_needs_the_table(mcgc, tmp_path):
    x = np.linspace(-1, 1, 60)
    table = {"x": x, "y": x**2}
    fit(table, "regression", target="y", epochs=30, output="run.h5")
    done = mcgc("diagnose", "run.h5")
    assert done.exit_code == 2
    assert "was trained on a table in memory: give the table" in done.output
    (tmp_path / "mine.csv").write_text(csv_of(table))
    assert mcgc("diagnose", "run.h5", "--data", "mine.csv").exit_code == 0


def test_a_run_on_a_problem_takes_its_dataset(mcgc):
    done = mcgc(
        "fit", "--problem", "lorenz", "--recipe", "paper", "--epochs", 1, "--rtol", 1e-3, "--atol", 1e-4, "-o", "r.h5"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(mcgc("diagnose", "r.h5", "--json").stdout)
    assert found["causes"] == ["unscaled-inputs"]
    assert found["findings"][0]["meaning"].startswith("the net sees 'rho'")
