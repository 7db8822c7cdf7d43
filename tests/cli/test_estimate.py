"""`mcgc estimate`: from a table to a report, JSON and a file; and every mistake is one sentence."""

import json

import h5py
import numpy as np
import pytest
from equations import TRUE, solution
from mcgc_cli.equations import parameters_of

from mcgc import Parameter

MODEL = '''"""A model."""


def lotka_volterra(t, y, p):
    u, v = y
    return [p["a"] * u - p["b"] * u * v, -p["c"] * v + p["b"] * u * v]
'''
FIT = ("estimate", "model.py:lotka_volterra", "mine.csv", "--group", "run", "--states", "prey,hunter")
START = ("--start", "hunter=1")
PARAMETERS = ("--parameters", "a:0.1:3:log,b=1.3333333333:fixed,c=1.2", "--method", "lm")


@pytest.fixture
def table(tmp_path):
    names = {}
    exec(MODEL, names)
    (tmp_path / "model.py").write_text(MODEL)
    rng, rows = np.random.default_rng(0), []
    for run, start in (("x", [1.0, 1.0]), ("z", [0.5, 1.0])):
        times = np.linspace(0, 8, 21)
        values = solution(names["lotka_volterra"], start, times, TRUE)[:, 0]
        values[1:] += 0.02 * rng.normal(size=20)
        rows += [f"{t:.9g},{run},{value:.9g}" for t, value in zip(times, values, strict=True)]
    (tmp_path / "mine.csv").write_text("\n".join(["time,run,prey", *rows]) + "\n")


def test_a_table_gives_a_report_json_a_picture_and_a_file_that_agree(mcgc, table, tmp_path):
    done = mcgc(*FIT, *START, *PARAMETERS, "--profile", "all", "-o", "fit.h5", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["success"] is True
    assert result["experiments"] == ["x", "z"]
    for name, one in result["parameters"].items():
        assert one["value"] == pytest.approx(TRUE[name], rel=0.05)
    low, high = result["intervals"]["c"]
    assert low < result["parameters"]["c"]["value"] < high
    assert result["intervals"].keys() == {"a", "c"}
    with h5py.File("fit.h5") as file:
        assert file.attrs["format"] == "mcgc-estimate"
        saved = json.loads(file["summary"][()].tobytes())
        assert saved == {key: value for key, value in result.items() if key != "intervals"}
        assert file["experiments/1"].attrs["name"] == "z"
        residuals = file["experiments/1/fitted"][:, 0] - file["experiments/1/values"][:, 0]
        assert np.std(residuals) < 0.04
    assert mcgc("info", "fit.h5").stdout.startswith("Fit\n")
    assert json.loads(mcgc("info", "fit.h5", "--json").stdout) == saved
    drawn = mcgc("plot", "fit.h5", "-o", "fit.png")
    assert drawn.exit_code == 0, drawn.output
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")
    refused = mcgc(*FIT, *START, *PARAMETERS, "-o", "fit.h5")
    assert refused.exit_code == 2
    assert "--force" in refused.output
    text = mcgc(*FIT, *START, *PARAMETERS, "--profile", "c").stdout
    assert "    c: 1." in text
    assert "Intervals of the profile likelihood, 95 %" in text


def test_starts_are_fitted_by_name(mcgc, table):
    done = mcgc(*FIT, *START, *PARAMETERS, "--y0", "hunter", "--sigma", "0.02", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["sigma_known"] is True
    assert result["parameters"]["hunter(0)[z]"]["value"] == pytest.approx(1.0, abs=0.1)


MISTAKES = (
    ((*FIT, *PARAMETERS), "state 'hunter' in experiment 'x' has no value at its start 0: give one in --start"),
    (("estimate", "none.py:f", "mine.csv", *PARAMETERS), "does not exist: check the path"),
    (("estimate", "model.py", "mine.csv", *PARAMETERS), "FILE.py:NAME"),
    (("estimate", "model.py:other", "mine.csv", *PARAMETERS), "has no function 'other': choose of lotka_volterra"),
    (("estimate", "broken.py:f", "mine.csv", *PARAMETERS), "cannot be run (SyntaxError"),
    ((*FIT, *START, "--parameters", "a"), "NAME=START"),
    ((*FIT, *START, "--parameters", "a=1,a=2"), "twice"),
    ((*FIT, *START, "--parameters", "a=1,b=1"), "KeyError: 'c'"),
    ((*FIT, *START, *PARAMETERS, "--sigma", "x"), "--sigma must be numbers"),
    ((*FIT, *START, *PARAMETERS, "--sigma", "1,2"), "one for each observed state"),
    ((*FIT, *START, *PARAMETERS, "--profile", "q"), "'q'"),
    ((*FIT, "--start", "prey", *PARAMETERS), "NAME=NUMBER"),
    ((*FIT, "--start", "wolf=1", *PARAMETERS), "'wolf'"),
    (("estimate", "model.py:lotka_volterra", "mine.csv", "--states", "q", *PARAMETERS), "names no column"),
)


@pytest.mark.parametrize(("given", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence_with_the_status_2(mcgc, table, tmp_path, given, sentence):
    (tmp_path / "broken.py").write_text("def f(:")
    done = mcgc(*given)
    assert done.exit_code == 2, done.output
    assert sentence in done.output
    assert done.output.count("\n") == 1
    assert done.output.startswith("mcgc: ")


def test_parameters_are_read_from_a_text():
    assert parameters_of("a:0.1:10:log, b=0.2 ,c=3:0:5,d=1:fixed,e=2:log") == {
        "a": Parameter(1.0, 0.1, 10.0, log=True),
        "b": Parameter(0.2),
        "c": Parameter(3.0, 0.0, 5.0),
        "d": Parameter(1.0, fixed=True),
        "e": Parameter(2.0, 0.0, log=True),
    }


def test_an_estimate_predicts_from_its_file_and_has_a_page(mcgc, table, tmp_path):
    assert mcgc(*FIT, *START, *PARAMETERS, "-o", "fit.h5").exit_code == 0
    (tmp_path / "model.py").unlink()
    rows = [line.split(",") for line in mcgc("predict", "fit.h5", "--until", 4, "--every", 2).stdout.splitlines()]
    of = lambda state, ends: [state + end for end in ("", "_se", "_low", "_high", *ends)]
    columns = ["time", *of("prey", ("_data_low", "_data_high")), *of("hunter", ())]  # the hunter is not in the table
    assert rows[0] == ["experiment", *columns]
    prey, hunter = columns.index("prey"), columns.index("hunter")
    assert [row[:2] for row in rows[1:]] == [[name, time] for name in "xz" for time in ("0.0", "2.0", "4.0")]
    model = {}
    exec(MODEL, model)
    estimated = json.loads(mcgc("info", "fit.h5", "--json").stdout)["parameters"]
    p = {name: one["value"] for name, one in estimated.items()}
    wanted = solution(model["lotka_volterra"], [1.0, 1.0], np.array([0.0, 2.0, 4.0]), p)
    np.testing.assert_allclose(np.array([row[1:] for row in rows[1:4]], float)[:, [prey, hunter]], wanted, rtol=1e-5)
    done = mcgc("predict", "fit.h5", "--start", "prey=1,hunter=1", "--until", 4, "--every", 2, "-o", "p.csv")
    assert done.exit_code == 0, done.output
    simulated = [line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines()]
    np.testing.assert_allclose(np.array(simulated[1:], float)[:, [prey, hunter]], wanted, rtol=1e-5)
    assert mcgc("report", "fit.h5", "-o", "fit.html").exit_code == 0
    page = (tmp_path / "fit.html").read_text()
    for words in ("Standard errors", "correlation", "experiment x", "Data against fit", "prey", "<pre>Fit"):
        assert words in page


@pytest.mark.parametrize(("command", "sentence"), [
    (("predict", "fit.h5"), "give '--until'"),
    (("predict", "fit.h5", "--until", 1, "--inputs", "mine.csv"), "leave out --inputs"),
    (("predict", "fit.h5", "--until", "soon"), "until must be a number, as the times of an estimate are"),
    (("predict", "fit.h5", "--until", 1, "--start", "prey=1"), "the estimate has the states prey, hunter"),
    (("report", "fit.h5", "-o", "x.html", "--data", "mine.csv"), "leave out --data"),
])  # fmt: skip
def test_what_an_estimate_cannot_do_is_one_sentence(mcgc, table, command, sentence):
    mcgc(*FIT, *START, *PARAMETERS, "-o", "fit.h5")
    done = mcgc(*command)
    assert done.exit_code == 2
    assert sentence in done.stderr
