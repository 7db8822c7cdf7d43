"""The command on a table: fit, predict, evaluate, plot, info, from-table; and a mistake leaves nothing behind."""

import csv
import io
import json

import numpy as np
import pytest
from mcgc_datasets import read_table
from reactor import csv_of, reactor

from mcgc.errors import SolveError

FIT = (
    "--task",
    "dynamics",
    "--time",
    "time",
    "--group",
    "run",
    "--states",
    "A,B",
    "--inputs",
    "feed",
    "--hidden",
    "8",
    "--epochs",
    "6",
    "--horizons",
    "1,all",
)


@pytest.fixture
def table(mcgc, tmp_path):
    (tmp_path / "mine.csv").write_text(csv_of(reactor(runs=8, seed=1)))
    return tmp_path / "mine.csv"


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_from_a_csv_to_predictions_scores_and_a_picture(mcgc, table, tmp_path):
    done = mcgc("fit", "mine.csv", *FIT, "--members", 2, "--seed", 1, "-o", "r.h5", "--json", "--quiet")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert len(result["test_loss"]) == 2
    assert {"scores", "baselines", "coverage", "calibration", "groups", "missing", "counts"} <= result["results"].keys()
    assert mcgc("predict", "r.h5", "--inputs", "mine.csv", "-o", "p.csv").exit_code == 0
    found, data = read_table("p.csv"), read_table("mine.csv")
    np.testing.assert_array_equal(found.numbers("time"), data.numbers("time"))
    assert found.labels("run") == data.labels("run")
    again = json.loads(mcgc("evaluate", "r.h5", "--json").stdout)
    assert again == result["results"]
    scored = json.loads(mcgc("evaluate", "r.h5", "--data", "mine.csv", "--json").stdout)
    first = np.r_[True, np.array(data.labels("run"))[1:] != np.array(data.labels("run"))[:-1]]
    residuals = np.where(first, np.nan, data.numbers("A") - found.numbers("A"))
    assert scored["rmse"]["A"] == pytest.approx(np.sqrt(np.nanmean(residuals**2)), rel=1e-6)
    for ending, mark in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        assert mcgc("plot", "r.h5", "-o", f"p.{ending}").exit_code == 0
        assert (tmp_path / f"p.{ending}").read_bytes().startswith(mark)
    described = json.loads(mcgc("info", "r.h5", "--json").stdout)
    assert described["model"]["states"] == ["A", "B"]
    assert described["settings"]["hidden"] == "8"
    for command in (("info", "r.h5"), ("evaluate", "r.h5"), ("evaluate", "r.h5", "--data", "mine.csv")):
        shown = mcgc(*command)
        assert shown.exit_code == 0
        assert "A" in shown.stdout


def test_dates_are_told_predicted_as_dates_and_drawn(mcgc, table, tmp_path):
    columns = reactor(runs=8, seed=1)
    columns["time"] = [
        str(np.datetime64("2024-05-01T06:00") + np.timedelta64(round(60 * t), "m")) for t in columns["time"]
    ]
    (tmp_path / "dated.csv").write_text(csv_of(columns))
    done = mcgc("fit", "dated.csv", *FIT, "-o", "d.h5")
    assert done.exit_code == 0, done.output
    assert "times are minutes since 2024-05-01 06:00" in done.stderr
    rows = rows_of(mcgc("predict", "d.h5", "--until", "2024-05-01T08:00", "--every", 60).stdout)
    assert [row["time"] for row in rows[:3]] == [f"2024-05-01T0{hour}:00:00" for hour in (6, 7, 8)]
    rows = rows_of(mcgc("predict", "d.h5", "--inputs", "dated.csv").stdout)
    assert [row["time"][:16] for row in rows] == columns["time"]
    assert "minutes since 2024-05-01 06:00" in mcgc("info", "d.h5").stdout
    for command in (("plot", "d.h5", "-o", "d.svg"), ("report", "d.h5", "-o", "d.html")):
        assert mcgc(*command).exit_code == 0
        assert "minutes since 2024-05-01 06:00" in (tmp_path / command[-1]).read_text()
    assert "or a date such as" in mcgc("predict", "d.h5", "--until", "soon").stderr


KNOWN = "def chain(t, y, p, u):\n    return [u['feed'] - p['k'] * y[0], p['k'] * y[0] - p['m'] * y[1]]\n"
EQUATIONS = ("--field", "chain.py:chain", "--parameters", "k=1,m=3:0:10", "--epochs", 30)


def test_equations_of_a_file_are_fitted_alone_or_with_a_net_and_the_run_needs_no_file(mcgc, table, tmp_path):
    (tmp_path / "chain.py").write_text(KNOWN)
    options = [*FIT[: FIT.index("--hidden")], *EQUATIONS]
    done = mcgc("fit", "mine.csv", *options, "-o", "e.h5")
    assert done.exit_code == 0, done.output
    assert "parameters of the equations: k " in done.stdout
    done = mcgc("fit", "mine.csv", *options, "--hidden", "4", "--epochs", 2, "-o", "h.h5")
    assert done.exit_code == 0, done.output
    (tmp_path / "chain.py").unlink()
    assert mcgc("fit", "--resume", "h.h5", "--epochs", 3, "--allow-changed").exit_code == 0
    for run in ("e.h5", "h.h5"):
        assert len(rows_of(mcgc("predict", run, "--until", 4, "--every", 2).stdout)) == 24
        assert mcgc("plot", run, "-o", f"{run}.png").exit_code == 0
        assert mcgc("report", run, "-o", f"{run}.html").exit_code == 0
        page = (tmp_path / f"{run}.html").read_text()
        assert "<h2>Equations</h2>" in page
        assert "A net is not added" in page if run == "e.h5" else "A net is added" in page
        assert "p[&#x27;k&#x27;] * y[0]" in page
        described = mcgc("info", run).stdout
        assert "equations chain" in described
        assert "p['k'] * y[0]" in described
        assert "operations" not in described
        refused = mcgc("export", run, "-o", "x.npz")
        assert refused.exit_code == 2
        assert "only nets are exported" in refused.stderr
    assert "a diagnosis is of nets alone" in mcgc("diagnose", "e.h5").stderr


@pytest.mark.parametrize(("options", "sentence"), [
    (("--field", "chain.py:chain"), "KeyError: 'k' with no parameters"),
    (("--field", "chain.py:chian", "--parameters", "k=1"), "has no function 'chian'"),
    (("--field", "chain.py"), "is given as FILE.py:NAME"),
    (("--parameters", "k=1"), "parameters are those of equations"),
    (("--field", "chain.py:chain", "--parameters", "k"), "give NAME=START"),
])  # fmt: skip
def test_equations_that_cannot_be_used_are_one_sentence(mcgc, table, tmp_path, options, sentence):
    (tmp_path / "chain.py").write_text(KNOWN)
    done = mcgc("fit", "mine.csv", *FIT[: FIT.index("--hidden")], *options)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_result_as_text_has_baselines_and_coverage(mcgc, table):
    done = mcgc("fit", "mine.csv", *FIT)
    assert done.exit_code == 0, done.output
    for words in ("linear model, test", "last value, test", "mean, test", "this run, test", "90% bands", "R²"):
        assert words in done.stdout
    assert "8 series, " in done.stderr
    assert "saved to mine-seed0.h5" in done.stdout


def test_a_run_predicts_to_any_time_and_from_any_start(mcgc, table):
    mcgc("fit", "mine.csv", *FIT, "-o", "r.h5")
    table.unlink()  # the file alone suffices
    rows = rows_of(mcgc("predict", "r.h5", "--until", 8, "--every", 4).stdout)
    assert [row["time"] for row in rows[:3]] == ["0.0", "4.0", "8.0"]
    options = ("--start", "A=1,B=0", "--constant", "feed=1", "--until", 1, "--every", 0.5)
    rows = rows_of(mcgc("predict", "r.h5", *options).stdout)
    assert (len(rows), float(rows[0]["A"])) == (3, pytest.approx(1))
    done = mcgc("plot", "r.h5", "-o", "p.png")
    assert done.exit_code == 0
    assert "the picture is without data" in done.stderr


def test_a_run_that_is_not_done_predicts_and_is_drawn_without_bands(mcgc, table):
    from mcgc.train import _run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_run, "epochs", _stopped(_run.epochs))
        assert mcgc("fit", "mine.csv", *FIT, "-o", "r.h5").exit_code == 1
    assert [*rows_of(mcgc("predict", "r.h5", "--inputs", "mine.csv").stdout)[0]] == ["run", "time", "A", "B"]
    assert mcgc("plot", "r.h5", "-o", "p.png").exit_code == 0
    assert mcgc("evaluate", "r.h5").stdout == "the run is not done: it has no scores yet\n"
    assert "has no starts" in mcgc("predict", "r.h5", "--until", 3).stderr
    assert mcgc("fit", "--resume", "r.h5").exit_code == 0
    assert "linear model, test" in mcgc("evaluate", "r.h5").stdout


def _stopped(epochs):
    """Return epochs that fail after the third."""

    def some(*args):
        for record, members in epochs(*args):
            yield record, members
            if record.epoch == 3:
                raise SolveError("the loss of a step has become nan")

    return some


def test_a_run_on_a_table_goes_on_with_its_own_columns(mcgc, table):
    whole = mcgc("fit", "mine.csv", *FIT, "-o", "whole.h5", "--json", "--no-continuation")
    assert whole.exit_code == 0
    done = mcgc("fit", "--resume", "whole.h5")
    assert done.exit_code == 0, done.output
    assert "is finished with all 6 epochs" in done.stderr
    assert mcgc("fit", "--resume", "whole.h5", "--epochs", 8).exit_code == 2  # horizons follow the number of epochs
    done = mcgc("fit", "--resume", "whole.h5", "--epochs", 8, "--allow-changed", "--json")
    assert json.loads(done.stdout)["epochs"] == 8


def test_a_classification_and_a_regression_of_a_csv(mcgc, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=60).round(3)
    (tmp_path / "c.csv").write_text("x,y\n" + "".join(f"{a},{'hi' if a > 0 else 'lo'}\n" for a in x))
    (tmp_path / "r.csv").write_text("x,y\n" + "".join(f"{a},{2 * a}\n" for a in x))
    for name, task in (("c", "classification"), ("r", "regression")):
        fit = ("fit", f"{name}.csv", "--task", task, "--target", "y", "--epochs", 8, "--hidden", 8, "-o", f"{name}.h5")
        done = mcgc(*fit)
        assert done.exit_code == 0, done.output
        assert "linear model, test" in done.stdout
        assert mcgc("evaluate", f"{name}.h5", "--data", f"{name}.csv").exit_code == 0
        assert mcgc("plot", f"{name}.h5", "-o", f"{name}.png").exit_code == 0
        assert len(rows_of(mcgc("predict", f"{name}.h5", "--inputs", f"{name}.csv").stdout)) == 60


def test_a_run_that_is_no_better_than_a_baseline_says_so(mcgc, tmp_path):
    x = np.random.default_rng(0).normal(size=60).round(3)
    (tmp_path / "line.csv").write_text("x,y\n" + "".join(f"{a},{2 * a}\n" for a in x))
    done = mcgc("fit", "line.csv", "--task", "regression", "--target", "y", "--epochs", 1, "--hidden", 2)
    assert "on the test set the run is no better than the " in done.stdout
    assert "linear model" in done.stdout.splitlines()[-2]


def test_a_run_without_parts_set_apart_is_trained_shown_and_drawn(mcgc, table):
    parts = ("--test", 0, "--validation", 0)
    done = mcgc("fit", "mine.csv", *FIT, *parts, "-o", "r.h5", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["test_loss"], [*result["results"]["scores"]], result["results"]["coverage"]) == (None, ["train"], {})
    for command in (("evaluate", "r.h5"), ("plot", "r.h5", "-o", "p.png"), ("predict", "r.h5", "--until", 2)):
        assert mcgc(*command).exit_code == 0
    done = mcgc("fit", "mine.csv", *FIT, *parts, "-o", "s.h5")
    assert "linear model, train" in done.stdout


def test_runs_on_a_table_are_compared(mcgc, table):
    for seed in (1, 2):
        assert mcgc("fit", "mine.csv", *FIT, "--members", 2, "--seed", seed, "-o", f"{seed}.h5").exit_code == 0
    done = mcgc("compare", "1.h5", "2.h5", "-o", "p.png", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["problem"] == "dynamics"
    done = mcgc("compare", "1.h5", "2.h5", "--data", "mine.csv")
    assert (done.exit_code, "see mcgc evaluate" in done.stderr) == (2, True)


def test_the_help_has_the_defaults_of_tables(mcgc):
    text = " ".join(mcgc("fit", "--help").stdout.split())
    assert "such as 32,32 or 50x19. [dynamics: 32,32; regression, classification: 64,64]" in text
    assert "[DATA] -o" not in text


def test_a_table_is_written_to_a_dataset_that_can_be_trained_on(mcgc, table):
    made = mcgc("data", "from-table", "mine.csv", "--units", "A=mol/l, time=h", "-o", "mine.h5", "--json")
    assert json.loads(made.stdout)["columns"]["A"] == "mol/l"
    assert mcgc("fit", "mine.h5", *FIT, "-o", "a.h5").exit_code == 0
    assert mcgc("fit", "mine.csv", *FIT, "-o", "b.h5").exit_code == 0
    described = [json.loads(mcgc("info", name, "--json").stdout) for name in ("a.h5", "b.h5")]
    assert described[0]["model"]["units"] == {"A": "mol/l", "time": "h"}
    scores = [json.loads(mcgc("evaluate", name, "--json").stdout)["scores"] for name in ("a.h5", "b.h5")]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("fit mine.csv --task dynamics --time tmie --group run --states A,B", "did you mean 'time'?"),
        ("fit mine.csv --task dynamics --time time --group run --states A,X", "unknown column for a state 'X'"),
        ("fit mine.csv --task dynamics --time time --states A", "the time 0 a second time"),
        ("fit mine.csv --task dynamic", "did you mean 'dynamics'?"),
        ("fit mine.csv", "A table needs '--task'"),
        ("fit mine.csv --problem lorenz", "leave out --problem"),
        ("fit --problem lorenz --states A", "--states is for a table: give the file DATA"),
        ("fit none.csv --task dynamics", "'none.csv' does not exist"),
        ("fit mine.csv --task regression", "the task regression needs a target"),
        (
            "fit mine.csv --task regression --target A --features B",
            "column 'B' is empty: a feature is there in each row",
        ),
        ("fit mine.csv --task dynamics --group run --hidden 3y", "--hidden has the entry '3y'"),
        ("fit mine.csv --task dynamics --group run --activation tanhh", "did you mean 'tanh'?"),
        ("data from-table mine.csv --units Z=s -o out.h5", "unknown column with a unit 'Z'"),
        ("data from-table mine.csv --units A -o out.h5", "--units has the entry 'A'"),
        ("fit --resume none.h5 --states A", "--resume uses the columns of its file: leave out --states"),
        ("predict none.h5 --until 3", "'none.h5' does not exist"),
        ("predict none.h5 --start A", "--start needs --until"),
        ("plot none.h5 -o out.gif", "a picture ends in .png or .svg or .pdf"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(mcgc, table, tmp_path, command, sentence):
    done = mcgc(
        *command.split(), *(["-o", "out.h5"] if command.startswith("fit") and "--resume" not in command else [])
    )
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.csv"]


def test_fit_writes_event_files_that_go_on_with_the_run(mcgc, table, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = ("--horizons", "all", "--lr-schedule", "constant", "--tensorboard", "logs", "--quiet")
    assert mcgc("fit", "mine.csv", *FIT, *options, "--epochs", 2, "-o", "r.h5").exit_code == 0
    more = ("--epochs", 3, "--allow-changed", "--tensorboard", "logs", "--quiet")
    assert mcgc("fit", "--resume", "r.h5", *more).exit_code == 0
    found = EventAccumulator(str(tmp_path / "logs" / "r" / "member-0"))
    found.Reload()
    assert [event.step for event in found.Scalars("loss/test")] == [1, 2, 3]
