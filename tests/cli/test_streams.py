"""Output that cannot be printed, missing characters and missing directories never give a traceback."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from mcgc_datasets import write_series
from running import running

from mcgc.train import run_file

COMMAND = (sys.executable, "-m", "mcgc_cli")
OPTIONS = ("--epochs", "2", "--rtol", "1e-2", "--atol", "1e-2", "-o", "run.h5")
MINIMIZE = ["minimize", "rastrigin", "--dimension", "2"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in an empty directory, with the caches there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data():
    """Give the name of a small dataset."""
    states = np.random.default_rng(0).normal(size=(6, 4, 3))
    write_series("data.h5", "lorenz", np.linspace(0.0, 0.5, 4), np.ones((6, 2)), states)
    return "data.h5"


@pytest.fixture
def fit(data):
    """Give the arguments of a short run."""
    return ["fit", "--problem", "lorenz", "--dataset", data, *OPTIONS]


def shell(words, args, **how):
    """Run the command with what the shell does to its streams; return what is left of them and the status."""
    script = f'"$@" {words}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, *args], capture_output=True, text=True, timeout=120, **how
    )


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["fit", "-h"], MINIMIZE, [*MINIMIZE, "--json"]])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("> /dev/full", "mcgc: the output cannot be read or written (No space left on device)\n"),
        (">&-", "mcgc: stdout is closed, so nothing could be printed\n"),
    ],
)
def test_output_that_cannot_be_printed_is_a_failure_with_one_sentence(args, words, sentence):
    found = shell(words, args)
    assert (found.returncode, found.stderr) == (1, sentence)


def test_a_closed_pipe_is_a_failure_without_a_message():
    read, write = os.pipe()
    os.close(read)
    found = subprocess.run([*COMMAND, *MINIMIZE], stdout=write, stderr=subprocess.PIPE, timeout=120)
    os.close(write)
    assert (found.returncode, found.stderr) == (1, b"")


@pytest.mark.parametrize(("words", "status"), [("2> /dev/full", 0), ("2>&-", 0), ("2>&- >&- <&-", 1)])
def test_a_run_whose_progress_cannot_be_shown_is_saved_whole(fit, words, status):
    assert shell(words, fit).returncode == status
    assert run_file.load("run.h5").finished


def test_a_mistake_that_cannot_be_printed_has_the_same_status():
    assert shell("2> /dev/full", ["fit", "--lr", "x"]).returncode == 2


def test_a_run_whose_output_cannot_be_printed_is_saved_whole(fit):
    assert shell("> /dev/full", fit).returncode == 1
    assert run_file.load("run.h5").finished


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8", "utf-16"])
def test_every_encoding_prints_tables_and_descriptions(fit, data, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    assert shell("", [*fit, "--quiet"]).returncode == 0
    for args, words in ((["compare", "run.h5"], "train loss"), (["data", "info", data], "6 ")):
        done = subprocess.run([*COMMAND, *args], capture_output=True, env=environment, timeout=120)
        assert (done.returncode, done.stderr) == (0, b"")
        # an encoding of ASCII alone is taken for a mistake of the system's, and UTF-8 is written
        assert words in done.stdout.decode("utf-8" if encoding == "ascii" else encoding)


def test_what_an_encoding_lacks_is_printed_in_plain_letters(data):
    environment = os.environ | {"PYTHONIOENCODING": "cp437"}  # which has no multiplication sign
    done = subprocess.run([*COMMAND, "data", "info", data], capture_output=True, env=environment, timeout=120)
    assert b"series       6 x 4 x 3 float64" in done.stdout.splitlines()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_file_whose_name_is_not_unicode_is_described(data, encoding, more):
    os.rename(data, b"a\xff.h5")
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([*COMMAND, "data", "info", b"a\xff.h5", *more], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (rb'"a\udcff.h5"' if more else b"a\xff.h5") in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["fit", "--problem", "lorenz", "--epochs", "1"],
        ["fit", "--problem", "lorenz", "-o", "run.h5"],
        ["compare", "run.h5"],
        ["reproduce", "figure-1"],
        ["data", "make", "lorenz", "-o", "data.h5"],
        ["compare", "--help"],
    ],
)
def test_a_missing_working_directory_is_one_sentence(tmp_path, args):
    script = 'mkdir gone && cd gone && rmdir ../gone && "$@"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, *args], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    if args[-1] == "--help":
        assert done.returncode == 0
        return
    assert done.returncode == 2
    assert done.stderr.startswith("mcgc: ")
    assert done.stderr.count("\n") == 1


def test_sighup_saves_the_run(fit):
    with running([*COMMAND, *fit, "--epochs", "100000"]) as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)  # a shell sends one, too
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGHUP
    assert run_file.load("run.h5").epoch >= 1


def test_an_ignored_sighup_stays_ignored(fit):
    script = "trap '' HUP; \"$@\""
    with running(["/bin/bash", "-c", script, "bash", *COMMAND, *fit]) as process:
        process.send_signal(signal.SIGHUP)  # bash waits for the command, or has become it
        process.communicate(timeout=60)
    assert run_file.load("run.h5").finished


WITHOUT_POSIX = """
import os, signal, sys, types
import fcntl as real

def locking(number, mode, count):
    real.lockf(number, real.LOCK_EX | real.LOCK_NB, count, os.lseek(number, 0, os.SEEK_CUR))

def opened(path, flags, *args, open=os.open, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied")
    return open(path, flags, *args, **options)

sys.modules |= {name: None for name in ("fcntl", "resource", "pwd", "grp", "termios", "_posixshmem")}
sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
import tempfile
os.open = opened
for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "pread", "pwrite", "sched_getaffinity", "mkfifo", "getuid"):
    delattr(os, name)
del signal.SIGHUP
from mcgc_cli import main
main(sys.argv[1:])
"""


def test_a_run_is_trained_and_resumed_without_the_posix_functions(fit):
    run = [sys.executable, "-c", WITHOUT_POSIX]
    for args in (
        [*fit, "--recipe", "paper"],
        ["fit", "--resume", "run.h5", "--epochs", "3"],
        ["compare", "run.h5"],
        ["doctor"],
    ):
        done = subprocess.run([*run, *args], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "taking over" not in done.stderr
    assert run_file.load("run.h5").epoch == 3


def test_two_processes_do_not_write_one_output_without_the_posix_functions(fit):
    run = [sys.executable, "-c", WITHOUT_POSIX]
    with running([*run, *fit, "--epochs", "100000"]) as process:
        second = subprocess.run([*run, *fit, "--force"], capture_output=True, text=True, timeout=120)
        process.kill()
    assert second.returncode == 2
    assert f"is being written by process {process.pid} on " in second.stderr
    done = subprocess.run([*run, "fit", "--resume", "run.h5", "--epochs", "1"], capture_output=True, text=True)
    assert f"taking over run.h5: process {process.pid}, which was writing it, is gone" in done.stderr
