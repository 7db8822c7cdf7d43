"""`mcgc sweep`: a TOML file becomes a sweep, which is shown, drawn and gone on with; mistakes are one sentence."""

import json
import os
import random
import re
import signal
import sys
import time

import matplotlib
import numpy as np
import pytest
from mcgc_cli.sweep_pictures import of_sweep
from mcgc_datasets import write_series
from running import running

from mcgc.errors import InputError
from mcgc.sweeps import Results, Trial, read
from mcgc.train import run_file

COMMAND = (sys.executable, "-m", "mcgc_cli")
TABLE = "\n".join(["x,y", *(f"{x},{np.sin(3 * x)}" for x in np.linspace(-1, 1, 40))]) + "\n"
SPEC = """
table = "line.csv"
task = "regression"
target = "y"
method = "sobol"
trials = 4
members = 2
seed = 1

[settings]
epochs = 3
hidden = "4"

[space]
lr = { low = 1e-4, high = 1e-1, log = true }
clip = ["none", 1.0]
"""


@pytest.fixture
def spec(tmp_path):
    """Give a function that writes the file of a sweep, with changes, and its table; and returns its name."""
    (tmp_path / "line.csv").write_text(TABLE)

    def write(*changes):
        text = SPEC
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "line.toml").write_text(text)
        return "line.toml"

    return write


def test_a_sweep_prints_one_object_and_progress_on_stderr(mcgc, spec):
    done = mcgc("sweep", spec(), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith(tuple("1234"))]
    assert len(lines) == 4
    assert lines[-1].startswith("4 of 4: trial 3: validation loss ")
    assert (found["finished"], found["pruned"], found["failed"], found["complete"]) == (4, 0, 0, True)
    assert sorted(trial["number"] for trial in found["trials"]) == [0, 1, 2, 3]
    assert found["best"]["mean"] == min(trial["mean"] for trial in found["trials"])
    assert found["importance"].keys() == {"learning_rate", "clip"}
    assert json.loads(mcgc("sweep", "show", "line-sweep.h5", "--json").stdout) == found
    assert mcgc("sweep", "run", spec(), "--quiet", "--json").stderr == ""


def test_the_command_of_the_best_trial_has_its_losses(mcgc, spec):
    found = json.loads(mcgc("sweep", spec(), "--json").stdout)["best"]
    words = found["command"].split()
    assert words[:2] == ["mcgc", "fit"]
    again = json.loads(mcgc(*words[1:], "--json").stdout)
    for name in ("train_loss", "validation_loss", "test_loss"):
        assert again[name] == found[name]
    assert again["best_epoch"] == found["best_epoch"]


def test_show_has_a_row_a_trial_the_best_with_its_interval_and_the_importance(mcgc, spec):
    mcgc("sweep", spec(("trials = 4", "trials = 8")), "--quiet", "-o", "out.h5")
    found = read("out.h5")
    text = mcgc("sweep", "show", "out.h5").stdout.splitlines()
    assert text[0] == "regression: sobol, 8 finished"
    assert text[1].split() == ["trial", "lr", "clip", "validation", "loss", "from", "to", "epochs", "seconds"]
    assert [int(row.split()[0]) for row in text[3:11]] == [trial.number for trial in found.ranked()]
    mean, low, high = found.interval(found.best())
    best = (
        f"best: trial {found.best().number}, validation loss {mean:.4g} ({low:.4g} to {high:.4g}, 95 % over 2 members)"
    )
    assert best in text
    assert any(line.startswith("differences that a setting explains alone: ") for line in text)
    short = mcgc("sweep", "show", "out.h5", "--top", 2, "--metric", "test").stdout
    assert "6 more trials: mcgc sweep show out.h5 --top 8" in short
    assert f"best: trial {found.best('test').number}, test loss" in short


def test_a_failed_trial_is_told_with_its_sentence(mcgc, spec):
    changes = ('clip = ["none", 1.0]', 'schedule = ["learned", "decay"]'), ('"sobol"\ntrials = 4', '"grid"')
    file = spec(*changes, ("lr = { low = 1e-4, high = 1e-1, log = true }", ""))
    done = mcgc("sweep", file)
    assert done.exit_code == 0
    assert "mcgc: 1 of 2 trials failed: mcgc sweep show line-sweep.h5 tells why" in done.stderr
    assert "trial 1 failed: gamma must be given where the schedule is decay, got None" in done.stdout
    only = spec(*changes, ('["learned", "decay"]', '["decay"]'), ("lr = { low = 1e-4, high = 1e-1, log = true }", ""))
    done = mcgc("sweep", only, "-o", "other.h5")
    assert done.exit_code == 2
    assert done.stderr == "mcgc: line.toml: gamma must be given where the schedule is decay, got None\n"


def test_a_sweep_whose_trials_all_fail_is_a_failure(mcgc, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom mcgc import train\nfrom mcgc.arrays import to_device\n"
        "recipe = train.Settings('mine', 0.01, -8.0, 0.1, 0.01, epochs=2, batch_size=9, continuation=False)\n"
        "place = lambda data, dtype, device: to_device(data, device, dtype)\n"
        "init = lambda key, dtype, device: place([0.0], dtype, device)\n"
        "def objective(settings):\n    def loss(theta, rows):\n        raise KeyError('mine')\n    return loss\n"
        "data = lambda path: np.ones(10)\n"
        "own = train.Problem('mine', 'mine', recipe, place, init, objective, load=data)\n"
    )
    (tmp_path / "mine.toml").write_text('problem = "mine.py:own"\nmethod = "grid"\n[space]\nlr = [0.1, 0.2]\n')
    done = mcgc("sweep", "mine.toml")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == "mcgc: all 2 trials failed; trial 0: KeyError: 'mine'"


def test_a_problem_is_swept_with_its_recipe_and_data(mcgc, tmp_path):
    times, states = np.linspace(0.0, 0.5, 4), np.random.default_rng(0).normal(size=(6, 4, 2))
    write_series("data.h5", "lotka-volterra", times, np.ones((6, 2)), states)
    (tmp_path / "mine.toml").write_text(
        'problem = "lotka-volterra"\ndataset = "data.h5"\nrecipe = "paper"\nmethod = "grid"\n'
        "[settings]\nepochs = 1\nrtol = 1e-2\natol = 1e-2\nwarmup-epochs = 0\n[space]\nbatch_size = [2, 4]\n"
    )
    found = json.loads(mcgc("sweep", "mine.toml", "--json").stdout)
    assert (found["problem"], found["metric"], found["finished"]) == ("lotka-volterra", "train", 2)
    again = json.loads(mcgc(*found["best"]["command"].split()[1:], "--json").stdout)
    assert again["train_loss"] == found["best"]["train_loss"]


def test_known_equations_are_swept_from_their_file(mcgc, tmp_path):
    rows = [f"{run},{t},{np.exp(-2 * t)}" for run in range(6) for t in np.linspace(0, 1, 5)]
    (tmp_path / "decay.csv").write_text("\n".join(["run,t,y", *rows]))
    (tmp_path / "model.py").write_text("def decay(t, y, p):\n    return [-p['k'] * y[0]]\n")
    (tmp_path / "decay.toml").write_text(
        'table = "decay.csv"\ntask = "dynamics"\ngroup = "run"\nfield = "model.py:decay"\nparameters = "k=1:0:9"\n'
        'method = "grid"\n[settings]\nepochs = 1\n[space]\nlr = [0.1, 0.2]\n'
    )
    found = json.loads(mcgc("sweep", "decay.toml", "--json").stdout)
    assert (found["finished"], found["best"]["command"]) == (2, None)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('table = "line.csv"', 'tabel = "line.csv"', "line.toml has an unknown key 'tabel': .*did you mean 'table'"),
        ("seed = 1", "lr = 1e-3", r"line.toml has an unknown key 'lr'; give it under \[settings\] or \[space\]"),
        ("lr = {", "lrr = {", r"line.toml has an unknown setting 'lrr' under \[space\]: .*did you mean .*'lr'"),
        ("epochs = 3", "epoch = 3", r"an unknown setting 'epoch' under \[settings\]: .*did you mean 'epochs'"),
        ("epochs = 3", "seed = 3", r"line.toml has seed under \[settings\]: give it above"),
        ("epochs = 3", "lr = 3\nlearning_rate = 3", "lr and learning_rate under .settings., which are one setting"),
        ("epochs = 3", "lr = 0.1", "line.toml: lr is fixed and in the space"),
        ("epochs = 3", 'epochs = "3"', "line.toml: epochs must be a whole number"),
        ('"sobol"', '"sobl"', "line.toml: unknown method 'sobl': .*did you mean 'sobol'"),
        ("low = 1e-4", "lo = 1e-4", "line.toml: the range of lr has an unknown key 'lo': .*did you mean 'low'"),
        ("low = 1e-4", "low = 1", "line.toml: the range of lr goes from 1 to 0.1"),
        ('"none", 1.0', '"no", 1.0', "line.toml: clip must be a finite number, got 'no'"),
        ('task = "regression"', "", "line.toml has a table and no task"),
        ('"regression"', '"regresion"', "line.toml: unknown task 'regresion': .*did you mean 'regression'"),
        ('table = "line.csv"', "", "line.toml has neither a table nor a problem"),
        ("seed = 1", 'problem = "lorenz"', "line.toml has both a table and a problem"),
        ("seed = 1", 'recipe = "best"', "line.toml has recipe, which is for a problem"),
        ('"line.csv"', '"lin.csv"', "lin.csv"),
        ('"line.csv"', "3", "line.toml has table as 3: give a text in quotes"),
        ("trials = 4", "trials = 4.5", "line.toml: trials must be a whole number"),
        ("[space]", "[space", "line.toml is not TOML .*: mend it"),
        ("seed = 1", "prune = true", "line.toml: prune is for the method optuna"),
        ("members = 2", "members = 0", "line.toml: members must be a whole number of at least 1, got 0"),
        ("seed = 1", 'metric = "tst"', "line.toml: unknown metric 'tst': .*did you mean 'test'"),
        ('target = "y"', 'target = "z"', "line.toml: .*'z'"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(mcgc, spec, old, new, sentence):
    done = mcgc("sweep", spec((old, new)))
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert re.search(sentence, done.stderr), done.stderr
    assert not os.path.exists("line-sweep.h5")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("sweep", "shwo", "x.h5"), "No such command or file 'shwo'; did you mean 'show'?"),
        (("sweep", "none.toml"), "the file 'none.toml' does not exist: check the path"),
        (("sweep", "show", "none.h5"), "sweep 'none.h5' does not exist: check the path"),
        (
            ("sweep", "run", "x.toml", "--worker", "2"),
            "No such option '--worker'. Did you mean '--workers' or '--force'?",
        ),
    ],
)
def test_a_mistake_on_the_line_is_one_sentence(mcgc, args, sentence):
    done = mcgc(*args)
    assert (done.exit_code, done.stderr) == (2, f"mcgc: {sentence}\n")


def test_another_sweep_in_the_output_is_refused_in_the_words_of_the_command(mcgc, spec):
    mcgc("sweep", spec(), "--quiet")
    done = mcgc("sweep", spec(("epochs = 3", "epochs = 2")))
    assert done.exit_code == 2
    assert "the settings changed: undo that, choose another output with -o, or begin anew with --force" in done.stderr
    assert mcgc("sweep", spec(("epochs = 3", "epochs = 2")), "--force").exit_code == 0
    assert {trial.epochs for trial in read("line-sweep.h5").trials} == {2}


def test_kept_run_files_are_runs(mcgc, spec):
    mcgc("sweep", spec(), "--quiet", "--runs", "runs")
    assert sorted(os.listdir("runs")) == [f"trial-{i}.h5" for i in range(4)]
    assert run_file.load("runs/trial-2.h5").finished


LONG = (("epochs = 3", "epochs = 40"), ("trials = 4", "trials = 9"), ('"4"', '"16,16"'))
SAVING = "import mcgc_cli, mcgc.train._run as run; run.SECONDS = 0; mcgc_cli.main()"


def test_a_sweep_that_is_killed_at_random_times_ends_with_the_bits_of_the_whole_one(mcgc, spec):
    """It is killed twice, the second time with workers, which must end too before the third goes on."""
    file, rng = spec(*LONG, ("trials = 9", "trials = 20")), random.Random(0)
    assert mcgc("sweep", file, "--quiet", "-o", "whole.h5").exit_code == 0
    whole, counts = read("whole.h5"), []
    for workers in (1, 2):
        command = [sys.executable, "-c", SAVING, "sweep", file, "--workers", str(workers)]
        with running(command, shown=" of 20: trial") as process:
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
        counts.append(len(read("line-sweep.h5").trials))
    done = read("line-sweep.h5").trials
    last = mcgc("sweep", file)
    assert last.exit_code == 0, last.stderr
    assert 0 < counts[0] < counts[1] < 20
    assert last.stderr.count(" of 20: trial") == 20 - counts[1]
    found = read("line-sweep.h5")
    assert [trial._replace(seconds=0) for trial in found.trials] == [
        trial._replace(seconds=0) for trial in whole.trials
    ]
    assert [trial for trial in found.trials if trial.number in {one.number for one in done}] == list(done)
    assert sorted(os.listdir()) == ["line-sweep.h5", "line.csv", "line.toml", "whole.h5"]


@pytest.mark.parametrize(("number", "status", "workers"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)])
def test_a_signal_keeps_the_trials_and_says_how_to_go_on(tmp_path, monkeypatch, spec, number, status, workers):
    monkeypatch.chdir(tmp_path)
    file = spec(*LONG, ("trials = 9", "trials = 100"))
    with running([*COMMAND, "sweep", file, "--workers", str(workers)], shown=" of 100: trial") as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    sentence = "mcgc: interrupted, the trials so far are saved in line-sweep.h5: give the same command to go on"
    assert err.splitlines()[-1] == sentence
    assert 0 < len(read("line-sweep.h5").trials) < 100


def drawn(path, metric=None):
    """Return the panels of the figure of a sweep, and its text."""
    figure = of_sweep(read(path), metric)
    texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    return figure.findobj(matplotlib.axes.Axes), texts


def test_the_picture_has_a_line_a_trial_and_a_panel_a_setting(mcgc, spec):
    file = spec(
        ("trials = 4", "trials = 8"), ("clip = [", "clip = [0.5, "), ("epochs = 3\n", "epochs = 3\nbeta = 0.1\n")
    )
    mcgc("sweep", file, "--quiet")
    for name in ("a.png", "b.png"):
        done = mcgc("sweep", "plot", "line-sweep.h5", "-o", name)
        assert (done.exit_code, done.output) == (0, "")
    assert os.path.getsize("a.png") > 20_000
    with open("a.png", "rb") as first, open("b.png", "rb") as second:
        assert first.read() == second.read()
    (parallel, *panels), texts = drawn("line-sweep.h5")
    found = read("line-sweep.h5")
    assert len([line for line in parallel.lines if len(line.get_xdata()) == 3]) == 8
    best = max((line for line in parallel.lines if len(line.get_xdata()) == 3), key=lambda line: line.get_linewidth())
    units = [one.unit(found.best().values[one.name]) for one in found.space]
    assert best.get_ydata() == pytest.approx([*units, 0.0])
    assert [panel.get_xlabel() for panel in panels] == ["lr", "clip"]
    rates = sorted(line.get_xdata()[0] for line in panels[0].lines if line.get_marker() == "o")
    assert rates == sorted(trial.values["learning_rate"] for trial in found.trials)
    assert {"lr", "clip", "validation loss", "none", "0.5", "1"} <= {*texts}
    assert any(text.startswith(f"8 trials, best: trial {found.best().number}, validation loss ") for text in texts)
    done = mcgc("sweep", "plot", "line-sweep.h5", "-o", "a.png")
    assert (done.exit_code, "--force" in done.stderr) == (2, True)
    assert mcgc("sweep", "plot", "line-sweep.h5", "-o", "a.svg", "--metric", "test").exit_code == 0
    assert mcgc("sweep", "plot", "line-sweep.h5", "-o", "a.txt").exit_code == 2


def trials_of(*losses):
    """Return the results of a sweep of three settings, with such losses of two members."""
    space = [
        {"name": "batch_size", "low": 1.0, "high": 8.0, "log": True, "points": None, "integer": True, "choices": []},
        {"name": "beta", "low": 0.0, "high": 1.0, "log": False, "points": None, "integer": False, "choices": []},
        {"name": "skip", "low": 0.0, "high": 0.0, "log": False, "points": None, "integer": False, "choices": [True]},
    ]
    values = lambda i: {"batch_size": 1 + i, "beta": i / 8, "skip": True}
    made = [
        Trial(i, "00" * 32, values(i), status, "", 3, 1.0, (1, 1), *[(loss, 2 * loss)] * 3)
        for i, (status, loss) in enumerate(losses)
    ]
    return Results({"metric": "test", "space": space, "problem": "x", "finished": True, "method": "grid"}, tuple(made))


def test_a_picture_tells_of_pruned_and_lost_trials_and_needs_a_finite_loss():
    found = trials_of(
        ("finished", 1.0), ("pruned", 1.5), ("finished", float("inf")), ("failed", 0.1), ("finished", 2.0)
    )
    figure = of_sweep(found)
    assert (
        figure.subfigs[0].get_suptitle()
        == "2 trials, best: trial 0, test loss 1.5; 1 pruned (crosses); 2 without a finite loss"
    )
    assert of_sweep(trials_of(("finished", 1.0))).subfigs[0].get_suptitle() == "1 trials, best: trial 0, test loss 1.5"
    with pytest.raises(InputError, match="no trial is finished with a finite loss"):
        of_sweep(trials_of(("failed", 1.0)))
