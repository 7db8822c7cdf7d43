"""`mcgc fit` with a stand-in for the training: options, checks, output, endings."""

import json
import os

import numpy as np
import pytest
from mcgc_datasets import download, registry, write_series

from mcgc import devices
from mcgc.errors import SolveError
from mcgc.train import _strategies, problems, run_file

RECIPE = problems.get("lorenz").recipe_of()
SAVED = "the epochs so far are saved in lorenz-seed0.h5: continue with mcgc fit --resume lorenz-seed0.h5"


def test_without_options_the_settings_are_the_recipe(mcgc, fake_fit):
    assert mcgc("fit", "--problem", "lorenz").exit_code == 0
    assert fake_fit.calls == [RECIPE]


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ("--no-continuation", "continuation", False),
        ("--continuation", "continuation", True),
        ("--estimator pathwise", "estimator", "pathwise"),
        ("--num-samples 3", "num_samples", 3),
        ("--beta 0", "beta", 0.0),
        ("--log-lam0 -4", "log_lam0", -4.0),
        ("--lr 0.5", "learning_rate", 0.5),
        ("--lr-lam 0.5", "learning_rate_lam", 0.5),
        ("--epochs 7", "epochs", 7),
        ("--warmup-epochs 0", "warmup_epochs", 0),
        ("--batch-size 9", "batch_size", 9),
        ("--members 2", "members", 2),
        ("--seed 18446744073709551615", "seed", 2**64 - 1),
        ("--dtype float64", "dtype", "float64"),
        ("--solver dopri5", "solver", "dopri5"),
        ("--adjoint direct", "adjoint", "direct"),
        ("--rtol 1e-3", "rtol", 1e-3),
        ("--atol 1e-3", "atol", 1e-3),
        ("--step-size 0.1", "step_size", 0.1),
        ("--optimizer nesterov", "optimizer", "nesterov"),
        ("--clip 2", "clip", 2.0),
        ("--lr-schedule exponential", "rate_schedule", "exponential"),
        ("--lr-end 1e-6", "learning_rate_end", 1e-6),
        ("--validation 0.2", "validation", 0.2),
        ("--horizons 1,all", "horizons", "1,all"),
        ("--standardize", "standardize", True),
        ("--no-standardize", "standardize", False),
    ],
)
def test_an_option_replaces_its_setting_and_no_other(mcgc, fake_fit, options, field, value):
    assert mcgc("fit", "--problem", "lorenz", *options.split()).exit_code == 0
    assert fake_fit.calls == [RECIPE._replace(**{field: value})]


@pytest.mark.parametrize("name", problems.get("mnist").recipes())
def test_options_change_single_settings_of_a_recipe(mcgc, fake_fit, name):
    assert mcgc("fit", "--problem", "mnist", "--recipe", name, "--members", 2).exit_code == 0
    assert fake_fit.calls == [problems.get("mnist").recipes()[name]._replace(members=2)]


def test_an_unknown_recipe_is_answered_with_the_list(mcgc, fake_fit):
    done = mcgc("fit", "--problem", "lorenz", "--recipe", "magic")
    assert done.exit_code == 2
    assert (
        f"unknown recipe 'magic' of lorenz: choose one of {', '.join(problems.get('lorenz').recipes())}" in done.stderr
    )


def test_resume_refuses_a_recipe(mcgc):
    done = mcgc("fit", "--resume", "run.h5", "--recipe", "best")
    assert done.exit_code == 2
    assert "--resume uses the settings of its file: leave out --recipe" in done.stderr


def test_a_schedule_and_its_gamma_replace_the_learning_of_lambda(mcgc, fake_fit):
    assert mcgc("fit", "--problem", "lorenz", "--schedule", "geometric", "--gamma", 0.99).exit_code == 0
    assert fake_fit.calls == [RECIPE._replace(schedule="geometric", gamma=0.99)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--lr nan", "--lr must be a positive number, got nan"),
        ("--lr-lam inf", "--lr-lam must be a positive number, got inf"),
        ("--lr 0", "--lr must be a positive number, got 0.0"),
        ("--rtol -1", "--rtol must be a positive number, got -1.0"),
        ("--beta nan", "--beta must be a number of at least 0, got nan"),
        ("--epochs 0", "--epochs must be a whole number of at least 1, got 0"),
        ("--epochs 1.5", "'--epochs': '1.5' is not a valid integer"),
        ("--batch-size -4", "--batch-size must be a whole number of at least 1, got -4"),
        ("--members 0", "--members must be"),
        ("--num-samples 0", "--num-samples must be"),
        ("--seed -1", "--seed must be"),
        ("--log-lam0 inf", "--log-lam0 must be a number from -60 to 60, got inf"),
        ("--step-size 0", "--step-size must be a positive number, got 0.0"),
        ("--estimator magic", "--estimator must be one of score, "),
        ("--gamma 0.9", "--gamma must be left out where the --schedule is learned, got 0.9"),
        (
            "--schedule geometric --gamma 2",
            "--gamma of a geometric --schedule, its rate, must lie between 0 and 1, got 2.0",
        ),
        ("--dtype float16", "--dtype must be one of float32, float64, got 'float16'"),
        ("--solver rk4", "--step-size"),
        ("--loss cross-entropy", "--loss does not apply to the problem 'lorenz': leave it out"),
        ("--device tpu", "unknown device 'tpu'"),
        ("--device cuda:x", "unknown device 'cuda:x'"),
        ("--bad", "No such option"),
        ("--lr", "requires an argument"),
        ("--problem nothing", "unknown problem 'nothing': choose one of mnist, lotka-volterra, lorenz"),
        ("-o no/such/new.h5", "No such file or directory"),
        ("-o have.h5", "exists: choose another name, or replace it with --force"),
        ("-o dir.h5", "is a directory"),
        ("-o dir.h5 --force", "is a directory"),
    ],
)
def test_a_mistake_gets_one_sentence_and_no_work_is_done(mcgc, fake_fit, data, tmp_path, options, sentence):
    (tmp_path / "have.h5").touch()
    (tmp_path / "dir.h5").mkdir()
    result = mcgc("fit", "--problem", "lorenz", *options.split())
    assert result.exit_code == 2
    assert result.stderr.startswith("mcgc: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert fake_fit.calls == data == []
    assert sorted(os.listdir()) == ["dir.h5", "have.h5"]


@pytest.mark.parametrize("option", ["--solver dopri5", "--adjoint direct", "--rtol 1", "--atol 1", "--step-size 1"])
def test_options_of_the_solver_do_not_apply_to_images(mcgc, fake_fit, option):
    result = mcgc("fit", "--problem", "mnist", *option.split())
    assert result.exit_code == 2
    sentence = f"{option.split()[0]} does not apply to the problem 'mnist': leave it out"
    assert result.stderr == f"mcgc: {sentence}\n"
    assert fake_fit.calls == []


def test_the_loss_of_images_can_be_chosen(mcgc, fake_fit):
    assert mcgc("fit", "--problem", "mnist", "--loss", "cross-entropy").exit_code == 0
    assert fake_fit.calls == [problems.get("mnist").recipe._replace(loss="cross-entropy")]


def test_without_a_problem_the_missing_option_is_named(mcgc):
    result = mcgc("fit")
    assert (result.exit_code, result.stderr) == (2, "mcgc: Missing a table, or option '--problem'.\n")


def test_an_unknown_command_is_one_sentence(mcgc):
    result = mcgc("fti")
    assert result.exit_code == 2
    assert result.stderr.startswith("mcgc: No such command 'fti'.")
    assert result.stderr.count("\n") == 1


def test_a_bad_dataset_is_one_sentence_and_no_file(mcgc, tmp_path):
    (tmp_path / "junk.h5").write_text("not hdf5")
    result = mcgc("fit", "--problem", "lorenz", "--dataset", "junk.h5", "-o", "new.h5")
    assert result.exit_code == 2
    assert result.stderr == "mcgc: dataset file 'junk.h5' is not an HDF5 file: give one of the format mcgc-series\n"
    assert os.listdir() == ["junk.h5"]


def test_mnist_without_a_network_is_one_sentence_with_the_remedies(mcgc, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    entry = registry._ENTRIES["mnist"]._replace(build=lambda: download.fetch(["http://mirror.invalid/"]))
    monkeypatch.setitem(registry._ENTRIES, "mnist", entry)
    result = mcgc("fit", "--problem", "mnist", "-o", "new.h5")
    assert result.exit_code == 2
    assert result.stderr.startswith("mcgc: MNIST is not in the cache and cannot be downloaded (mirror.invalid: ")
    assert "'mcgc data import mnist --from DIRECTORY'" in result.stderr
    assert "--dataset" in result.stderr
    assert result.stderr.count("\n") == 1
    assert os.listdir() == []


def test_the_dataset_given_is_the_one_loaded(mcgc, fake_fit, data):
    mcgc("fit", "--problem", "lorenz", "--dataset", "mine.h5", "-o", "new.h5")
    assert [(getattr(asked, "name", asked), path) for asked, path in data] == [("lorenz", "mine.h5")]
    assert run_file.load("new.h5").dataset == {"source": os.path.abspath("mine.h5"), "sha256": "ab" * 32}


def test_json_is_one_line_with_the_result_alone(mcgc, fake_fit):
    result = mcgc("fit", "--problem", "lorenz", "--epochs", 4, "--members", 2, "--json", "--seed", 3)
    assert result.stdout.count("\n") == 1
    last = {"train_loss": [25.0, 26.0], "validation_loss": None, "test_loss": [25.0, 26.0], "test_accuracy": None}
    assert json.loads(result.stdout) == {
        "problem": "lorenz",
        "members": 2,
        "epochs": 4,
        "steps": 28,  # 27 series to train on, in minibatches of 4, for 4 epochs
        "continuation": True,
        "estimator": "pathwise",
        "seed": 3,
        "dtype": "float32",
        "device": "cpu",
        "best_epoch": [4, 4],
        "train_loss": [25.0, 26.0],
        "validation_loss": None,
        "last": last,
        "test_loss": [25.0, 26.0],
        "test_accuracy": None,
        "log_lam": [-14.0, -14.0],
        "function_evaluations": 80,
        "seconds": 2.0,
        "output": "lorenz-seed3.h5",
    }


def test_json_has_no_lambda_without_continuation(mcgc, fake_fit):
    result = mcgc("fit", "--problem", "lorenz", "--epochs", 1, "--no-continuation", "--json")
    assert json.loads(result.stdout)["log_lam"] == [None]


def test_the_summary_gives_losses_lambda_and_file(mcgc, fake_fit):
    result = mcgc("fit", "--problem", "lorenz", "--epochs", 4, "--members", 2, "--quiet")
    lines = result.stdout.splitlines()
    assert lines[0] == "lorenz: continuation (pathwise), seed 0, 4 epochs, 2.0 s"
    assert lines[2].split() == ["0", "4", "25", "25", "8.315e-07", "25", "25"]
    assert lines[3].split() == ["1", "4", "26", "26", "8.315e-07", "26", "26"]
    assert lines[4] == "saved to lorenz-seed0.h5"


def test_quiet_leaves_stderr_empty(mcgc, fake_fit):
    assert mcgc("fit", "--problem", "lorenz", "--quiet").stderr == ""


def test_stderr_has_the_device_first_and_few_lines_with_the_first_and_last_epoch(mcgc, fake_fit):
    lines = mcgc("fit", "--problem", "lorenz", "--recipe", "paper", "--device", "cpu").stderr.splitlines()
    assert lines[0] == "running on the CPU (NumPy)"
    assert lines[1].startswith("epoch 1 of 200: train 100, test 100, lambda 1.67e-05, ")
    assert lines[-1].startswith("epoch 200 of 200: train 0.5, test 0.5, lambda ")
    assert 20 <= len(lines) <= 40


def test_the_run_file_holds_the_run(mcgc, fake_fit):
    mcgc("fit", "--problem", "lorenz", "--epochs", 3, "--members", 2, "-o", "new.h5", "--seed", 2**64 - 1)
    run = run_file.load("new.h5")
    assert run.settings == RECIPE._replace(epochs=3, members=2, seed=2**64 - 1)._asdict()
    assert run.finished
    assert run.device == "cpu"
    assert run.versions == run_file.versions()
    assert run.epochs["train_loss"].tolist() == [[100, 101], [50, 51], [100 / 3, 100 / 3 + 1]]
    assert run.theta.tolist() == [[3.0] * 4] * 2
    assert run.log_lam.tolist() == [-13.0, -13.0]


def test_the_default_output_is_the_first_free_name(mcgc, fake_fit):
    for _ in range(3):
        assert mcgc("fit", "--problem", "lorenz", "--epochs", 1).exit_code == 0
    assert sorted(os.listdir()) == ["lorenz-seed0-2.h5", "lorenz-seed0-3.h5", "lorenz-seed0.h5"]


def test_force_replaces_the_output(mcgc, fake_fit, tmp_path):
    (tmp_path / "have.h5").touch()
    assert mcgc("fit", "--problem", "lorenz", "--epochs", 1, "-o", "have.h5", "--force").exit_code == 0
    assert run_file.load("have.h5").finished


def test_the_result_is_the_best_epoch_and_a_worse_last_epoch_gives_a_warning(mcgc, fake_fit):
    result = mcgc("fit", "--problem", "lorenz", "--epochs", 4, "--json", "--quiet")
    assert result.stderr == ""
    fake_fit.losses = {4: 380.0}
    result = mcgc("fit", "--problem", "lorenz", "--epochs", 4, "--json", "--quiet")
    found = json.loads(result.stdout)
    assert (found["best_epoch"], found["train_loss"]) == ([3], [pytest.approx(100 / 3)])
    assert found["last"]["train_loss"] == [380.0]
    assert result.stderr == (
        "mcgc: member 0 ended with a train loss of 380, but epoch 3 had 33.33: the result is the best epoch\n"
    )


def test_a_file_made_during_the_run_is_not_replaced_and_the_run_is_saved_beside_it(mcgc, fake_fit, tmp_path):
    fake_fit.after[0] = lambda: (tmp_path / "new.h5").write_text("precious")
    result = mcgc("fit", "--problem", "lorenz", "--epochs", 1, "-o", "new.h5", "--json")
    assert json.loads(result.stdout)["output"] == "new-2.h5"
    assert (tmp_path / "new.h5").read_text() == "precious"
    assert run_file.load("new-2.h5").finished


@pytest.mark.parametrize(
    ("failure", "status", "sentence"),
    [
        (KeyboardInterrupt(), 130, "interrupted, "),
        (SolveError("too stiff at t = 1"), 1, "too stiff at t = 1; "),
    ],
)
def test_a_run_that_stops_saves_the_epochs_so_far(mcgc, fake_fit, failure, status, sentence):
    fake_fit.fail = {5: failure}
    result = mcgc("fit", "--problem", "lorenz", "--quiet", "--json")
    assert result.exit_code == status
    assert result.stdout == ""
    assert result.stderr == f"mcgc: {sentence}{SAVED}\n"
    run = run_file.load("lorenz-seed0.h5")
    assert not run.finished
    assert run.epochs["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert run.theta.tolist() == [[5.0] * 4]


@pytest.mark.parametrize(("failure", "status"), [(KeyboardInterrupt(), 130), (SolveError("no"), 1)])
def test_a_run_that_stops_in_its_first_epoch_leaves_no_file(mcgc, fake_fit, failure, status):
    fake_fit.fail = {0: failure}
    result = mcgc("fit", "--problem", "lorenz", "--quiet")
    assert result.exit_code == status
    assert result.stderr.endswith("nothing was saved\n")
    assert result.stderr.count("\n") == 1
    assert os.listdir() == []


def test_an_interrupt_before_the_training_is_one_line(mcgc, fake_fit, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("mcgc_datasets.load", interrupted)
    result = mcgc("fit", "--problem", "lorenz")
    assert (result.exit_code, result.stderr) == (130, "mcgc: interrupted, nothing was saved\n")


def test_a_bug_is_a_traceback_and_the_run_is_saved(mcgc, fake_fit):
    fake_fit.fail = {2: ZeroDivisionError("bug")}
    result = mcgc("fit", "--problem", "lorenz", "--quiet")
    assert isinstance(result.exception, ZeroDivisionError)
    assert len(run_file.load("lorenz-seed0.h5").epochs["epoch"]) == 2


def test_members_on_a_device_are_trained_together_and_a_resumed_run_has_the_same_bits(mcgc, strict, monkeypatch):
    monkeypatch.setattr(devices, "select_device", lambda name, *run: (strict, "running on a device that is none"))
    shapes, run_epoch = set(), _strategies.run_epoch

    def noted(study, member, *args, **options):
        shapes.add(member.state.theta.shape)
        return run_epoch(study, member, *args, **options)

    monkeypatch.setattr(_strategies, "run_epoch", noted)
    times, states = np.linspace(0.0, 0.5, 4), np.random.default_rng(0).normal(size=(6, 4, 2))
    write_series("data.h5", "lotka-volterra", times, np.ones((6, 2)), states)
    options = "--dataset data.h5 --rtol 1e-2 --atol 1e-2 --members 3 --warmup-epochs 1 --device cuda"
    command = ("fit", "--problem", "lotka-volterra", "--recipe", "paper", *options.split())
    for args in (
        (*command, "--epochs", "3", "-o", "whole.h5"),
        (*command, "--epochs", "2", "-o", "parts.h5"),
        ("fit", "--resume", "parts.h5", "--epochs", "3", "--device", "cuda"),
    ):
        assert mcgc(*args).exit_code == 0
    assert shapes == {(3, 8002)}
    whole, parts = (run_file.load(path) for path in ("whole.h5", "parts.h5"))
    assert whole.epochs["train_loss"].tolist() == parts.epochs["train_loss"].tolist()
    for name, array in whole.states[0].items():
        np.testing.assert_array_equal(array, parts.states[0][name])
