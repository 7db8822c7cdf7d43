"""`mcgc fit --resume`: killed and stopped runs lose no saved epoch, and end with the same bits."""

import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from mcgc_datasets import write_series
from running import running

from mcgc._lock import locked
from mcgc.errors import InputError
from mcgc.train import _run, problems, run_file

COMMAND = (sys.executable, "-m", "mcgc_cli", "fit")
EPOCHS = 30
ALWAYS_SAVING = "import mcgc_cli, mcgc.train._run as run; run.SECONDS = 0; mcgc_cli.main()"


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    """Give the arguments of a run of two members on a small dataset, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    times, states = np.linspace(0.0, 0.5, 4), np.random.default_rng(0).normal(size=(6, 4, 2))
    write_series("data.h5", "lotka-volterra", times, np.ones((6, 2)), states)
    problem = "--problem lotka-volterra --recipe paper --dataset data.h5"
    options = f"{problem} --rtol 1e-2 --atol 1e-2 --warmup-epochs 3 --members 2"
    return [*options.split(), "--epochs", str(EPOCHS), "--quiet", "--device", "cpu"]


def command(*args, **how):
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=120, **how)


def saving(*args):
    """Start a run that saves every epoch, and return its process after the first was saved."""
    run = [sys.executable, "-c", ALWAYS_SAVING, "fit", *args]
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists(args[-1]):
        assert process.poll() is None, "the run ended before it saved"
        time.sleep(0.001)
    return process


@pytest.mark.parametrize(
    ("number", "count"),
    [
        (signal.SIGKILL, 6),
        (signal.SIGTERM, 3),
        pytest.param(signal.SIGKILL, 50, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, 50, marks=pytest.mark.long),
    ],
)
def test_a_run_stopped_at_random_times_ends_with_the_bits_of_the_whole_run(arguments, number, count, contents):
    spans = []  # from the first save, before which kernels may be compiled, to the last
    for path in ("whole.h5", "second.h5", "third.h5"):
        with saving(*arguments, "-o", path) as process:
            first = time.time()
        assert process.returncode == 0
        spans.append(os.stat(path).st_mtime - first)
    whole, rng = contents("whole.h5"), random.Random(count)
    same = stopped = lost = 0
    for i in range(count):
        path = f"run{i}.h5"
        with saving(*arguments, "-o", path) as process:
            time.sleep(rng.uniform(0, min(spans)))
            process.send_signal(number)
        try:
            stopped += not run_file.load(path).finished
        except InputError:
            lost += 1
        assert command("--resume", path).returncode == 0
        same += contents(path) == whole
    name = signal.Signals(number).name
    print(f"{count} times {name}: {stopped} runs stopped, {lost} files lost, {same} bit-equal after resume")
    assert (same, lost) == (count, 0)
    assert stopped > 0


@pytest.fixture
def long_run(arguments):
    """Give the arguments of a run that does not end by itself, and shows its epochs."""
    return [*(arg for arg in arguments if arg != "--quiet"), "--epochs", "100000", "-o", "run.h5"]


@pytest.mark.parametrize(
    ("number", "status", "workers"), [(signal.SIGTERM, 143, 1), (signal.SIGTERM, 143, 2), (signal.SIGINT, 130, 2)]
)
def test_a_signal_saves_the_last_epoch_and_says_how_to_continue(long_run, number, status, workers):
    with running([*COMMAND, *long_run, "--workers", str(workers)]) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    sentence = "mcgc: interrupted, the epochs so far are saved in run.h5: continue with mcgc fit --resume run.h5"
    assert err.splitlines()[-1] == sentence
    epoch = run_file.load("run.h5").epoch
    assert command("--resume", "run.h5", "--epochs", str(epoch + 1), "--quiet").returncode == 0
    assert run_file.load("run.h5").epoch == epoch + 1


def test_a_second_process_on_the_same_output_is_refused(long_run):
    with running([*COMMAND, *long_run]) as process:
        second = command(*long_run, "--force")
        third = command("--resume", "run.h5")
        process.kill()
    for found in (second, third):
        assert found.returncode == 2
        assert f"'run.h5' is being written by process {process.pid} on {socket.gethostname()}" in found.stderr
        assert found.stderr.count("\n") == 1
    taken = command("--resume", "run.h5", "--epochs", str(run_file.load("run.h5").epoch))
    assert taken.returncode == 0
    assert f"taking over run.h5: process {process.pid}, which was writing it, is gone" in taken.stderr


def test_a_full_disk_is_one_sentence_and_the_saved_epochs_stay(arguments):
    assert command(*arguments, "--epochs", "2", "-o", "run.h5").returncode == 0
    before, size = run_file.load("run.h5"), os.path.getsize("run.h5")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    found = command("--resume", "run.h5", "--epochs", "4", "--quiet", preexec_fn=limit)
    assert found.returncode == 1
    assert "cannot be written (File too large): make room there; the epochs up to 2 are still there" in found.stderr
    assert found.stderr.count("\n") == 1
    assert run_file.load("run.h5").epoch == before.epoch
    assert sorted(os.listdir()) == ["data.h5", "run.h5"]
    assert command("--resume", "run.h5", "--epochs", "4").returncode == 0


def test_the_numbers_do_not_depend_on_the_workers(arguments, contents):
    for workers in (1, 2):
        args = [*arguments, "--epochs", "4", "--workers", str(workers), "-o", f"{workers}.h5"]
        assert command(*args).returncode == 0
    assert contents("1.h5") == contents("2.h5")


def stopped(mcgc, fake_fit, *args, after=3):
    """Make run.h5 of a run that was stopped after some epochs."""
    fake_fit.fail = {after: KeyboardInterrupt()}
    result = mcgc("fit", "--problem", "lorenz", "--epochs", 5, "-o", "run.h5", "--quiet", *args)
    assert result.exit_code == 130
    fake_fit.fail = {}


def test_a_resumed_run_has_its_own_settings_and_ends_as_a_whole_one(mcgc, fake_fit, contents):
    stopped(mcgc, fake_fit, "--beta", 0.5, "--members", 2)
    result = mcgc("fit", "--resume", "run.h5", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["train_loss"] == [20.0, 21.0]
    assert (
        fake_fit.calls[0]
        == fake_fit.calls[1]
        == problems.get("lorenz").recipe_of()._replace(epochs=5, beta=0.5, members=2)
    )
    mcgc("fit", "--problem", "lorenz", "--epochs", 5, "--beta", 0.5, "--members", 2, "-o", "whole.h5")
    assert contents("run.h5") == contents("whole.h5")
    assert run_file.load("run.h5").finished


def test_epochs_that_another_process_saves_before_the_lock_are_read(mcgc, fake_fit, monkeypatch):
    stopped(mcgc, fake_fit, after=4)
    os.rename("run.h5", "later.h5")
    stopped(mcgc, fake_fit, after=1)

    def taken_late(path, say):
        os.replace("later.h5", path)
        return locked(path, say)

    monkeypatch.setattr(_run, "locked", taken_late)
    trained = []
    fake_fit.after = {done: partial(trained.append, done + 1) for done in range(5)}
    assert mcgc("fit", "--resume", "run.h5", "--quiet").exit_code == 0
    assert trained == [5]
    assert run_file.load("run.h5").epoch == 5


def test_a_finished_run_says_so_and_continues_with_more_epochs(mcgc, fake_fit):
    mcgc("fit", "--problem", "lorenz", "--recipe", "paper", "--epochs", 3, "-o", "run.h5")
    result = mcgc("fit", "--resume", "run.h5")
    assert result.exit_code == 0
    assert result.stderr == "run.h5 is finished with all 3 epochs: give --epochs to add some\n"
    assert "3 epochs, 1.5 s" in result.stdout
    assert mcgc("fit", "--resume", "run.h5", "--epochs", 5).exit_code == 0
    assert run_file.load("run.h5").epoch == 5


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ("--beta 0.25", "the beta was 0.01 and is 0.25: undo that, or add --allow-changed"),
        ("--dataset other.h5 --seed 1", "the seed was 0 and is 1, the sha256 of the dataset was "),
        ("--epochs 2", "run.h5 has 3 epochs already: give --epochs that many or more"),
        ("--problem mnist", "the run is for lorenz, not for mnist"),
        ("-o x.h5", "leave out --output and --force"),
        ("--force", "leave out --output and --force"),
        ("--members 3 --allow-changed", "the run file holds "),
        ("--no-continuation --dtype float64 --allow-changed --lr 0", "--lr must be a positive number"),
    ],
)
def test_a_changed_run_is_not_resumed(mcgc, fake_fit, data, args, sentence):
    stopped(mcgc, fake_fit)
    before = run_file.load("run.h5")
    result = mcgc("fit", "--resume", "run.h5", "--quiet", *args.split())
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert run_file.load("run.h5").settings == before.settings
    assert os.listdir() == ["run.h5"]


def test_changed_versions_are_named_and_allowed_changes_are_recorded(mcgc, fake_fit, monkeypatch):
    stopped(mcgc, fake_fit)
    monkeypatch.setattr(run_file, "versions", lambda: {**before, "numba": "9.9"})
    before = run_file.load("run.h5").versions
    result = mcgc("fit", "--resume", "run.h5", "--quiet")
    assert result.exit_code == 2
    change = f"the version of numba was {before['numba']} and is 9.9"
    assert change in result.stderr
    assert mcgc("fit", "--resume", "run.h5", "--allow-changed", "--beta", 0.25).exit_code == 0
    run = run_file.load("run.h5")
    assert run.changes == ["after epoch 3, the beta was 0.01 and is 0.25", f"after epoch 3, {change}"]
    assert run.settings["beta"] == 0.25


@pytest.mark.parametrize("name", ["missing.h5", "no/run.h5", "directory.h5", "fifo.h5", "text.h5", "data.h5"])
def test_a_file_that_is_not_a_run_file_is_refused_in_one_sentence(mcgc, name, arguments, tmp_path):
    (tmp_path / "directory.h5").mkdir()
    os.mkfifo(tmp_path / "fifo.h5")
    (tmp_path / "text.h5").write_text("text")
    result = mcgc("fit", "--resume", name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"mcgc: run file '{name}' ")
    assert result.stderr.count("\n") == 1


def test_a_run_is_saved_during_training_but_at_most_every_two_seconds(mcgc, fake_fit, monkeypatch):
    saves, save, clock = [], run_file.save, iter(range(0, 1000, 2))
    monkeypatch.setattr(run_file, "save", lambda path, run, force: (saves.append(run.epoch), save(path, run, force)))
    monkeypatch.setattr(_run.time, "monotonic", lambda: next(clock))
    mcgc("fit", "--problem", "lorenz", "--epochs", 10, "-o", "run.h5", "--quiet", "--checkpoint-every", 4)
    assert saves == [4, 8, 10]
    monkeypatch.setattr(_run.time, "monotonic", lambda: 0.0)
    saves.clear()
    mcgc("fit", "--problem", "lorenz", "--epochs", 10, "-o", "run.h5", "--quiet", "--force")
    assert saves == [1, 10]


@pytest.mark.parametrize("debug", [False, True])
def test_an_output_whose_directory_vanishes_is_one_sentence(mcgc, fake_fit, tmp_path, debug):
    (tmp_path / "there").mkdir()
    fake_fit.after[0] = lambda: shutil.rmtree(tmp_path / "there")
    args = ["--epochs", 3, "-o", "there/run.h5", "--quiet", *["--debug"] * debug]
    result = mcgc("fit", "--problem", "lorenz", *args)
    assert result.exit_code == 1
    *others, last = result.stderr.splitlines()
    assert last.startswith("mcgc: output ")
    assert "cannot be written (No such file or directory)" in last
    assert others[:1] == ["Traceback (most recent call last):"] * debug


def test_a_second_interrupt_ends_the_process_at_once():
    begin = "import signal, time\nfrom mcgc_cli.signals import interruptible\nwith interruptible():\n"
    stuck = begin + "    print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", stuck], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        for _ in range(2):
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert process.wait(timeout=10) == -signal.SIGINT
