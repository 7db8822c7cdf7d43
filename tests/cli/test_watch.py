"""`mcgc watch` shows what another process saves, ends with it, and leaves it alone."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from mcgc_cli.members import MOST, members_table

from mcgc import files, train
from mcgc._lock import held
from mcgc.train import run_file
from mcgc.train._resume import records

COMMAND = (sys.executable, "-m", "mcgc_cli")
X = np.linspace(-1, 1, 40)
TABLE = {"x": X, "y": 2 * X}


@pytest.fixture
def task():
    problem, settings, own = train.prepare(TABLE, "regression", target="y", hidden=4, epochs=4, members=2)
    return train.bind(settings, own, problem=problem)


@pytest.fixture
def part(task, tmp_path):
    """Give a function that writes r.h5 as it was after some epochs, and is finished after the fourth."""
    with train.Run.create(tmp_path / "whole.h5", task) as run:
        assert len(list(run.epochs())) == 4
    whole = run_file.load(tmp_path / "whole.h5")

    def write(count):
        epochs = {name: values[:count] for name, values in whole.epochs.items()}
        run_file.save(tmp_path / "r.h5", whole._replace(epochs=epochs, finished=count == 4), overwrite=True)

    return write


def test_each_save_is_a_line_and_the_last_ends_it(mcgc, part, tmp_path):
    files.write(files.beside(tmp_path / "r.h5", ".holder"), f"{socket.gethostname()} {os.getpid()}\n".encode())

    def later():
        for count in (1, 3, 4):
            time.sleep(0.6)
            part(count)

    thread = threading.Thread(target=later)
    thread.start()
    done = mcgc("watch", "r.h5", "--every", 0.05)
    thread.join()
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"epoch {n} of 4" for n in (1, 3, 4)]
    assert lines[-1].endswith(", finished")
    expected = run_file.load(tmp_path / "whole.h5").epochs["train_loss"][-1].mean()
    assert f"train {expected:.4g}," in lines[-1]


def test_a_run_that_is_finished_is_shown_once(mcgc, part):
    part(4)
    done = mcgc("watch", "r.h5")
    assert (done.exit_code, done.stdout.count("\n")) == (0, 1)


def test_a_run_that_nobody_trains_any_more_is_a_failure_with_the_command_that_continues_it(mcgc, part):
    part(2)
    done = mcgc("watch", "r.h5")
    assert done.exit_code == 1
    assert done.stdout.startswith("epoch 2 of 4: ")
    assert "continue it with mcgc fit --resume r.h5" in done.stderr


def test_a_file_that_is_not_there_is_a_mistake(mcgc):
    done = mcgc("watch", "none.h5")
    assert done.exit_code == 2
    assert "'none.h5' does not exist" in done.stderr


@pytest.fixture
def long_run(tmp_path):
    """Start a run of very many epochs on r.h5, and give its process."""
    lines = [f"{a},{b}" for a, b in zip(TABLE["x"], TABLE["y"], strict=True)]
    (tmp_path / "mine.csv").write_text("\n".join(["x,y", *lines]) + "\n")
    options = ("--task", "regression", "--target", "y", "--epochs", "100000", "--patience", "100000", "-o", "r.h5")
    with subprocess.Popen([*COMMAND, "fit", "mine.csv", *options, "--quiet"], cwd=tmp_path) as process:
        yield process
        process.kill()


def test_an_interrupt_ends_the_watching_with_130_and_the_run_goes_on(long_run, tmp_path):
    deadline = time.monotonic() + 60
    while not (tmp_path / ".r.h5.holder").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    before = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored in the background
    with subprocess.Popen([*COMMAND, "watch", "r.h5", "--every", "0.1"], preexec_fn=before, **pipes) as watching:
        assert watching.stdout.readline().startswith("epoch ")
        assert watching.stdout.readline().startswith("epoch ")
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert told == "mcgc: stopped watching; the run itself was left alone\n"
    assert long_run.poll() is None
    epoch = run_file.load(tmp_path / "r.h5").epoch
    long_run.send_signal(signal.SIGTERM)
    long_run.wait(timeout=30)
    assert run_file.load(tmp_path / "r.h5").epoch >= epoch > 0


def test_a_terminal_gets_a_table_of_the_members(part, tmp_path):
    import pty

    part(4)
    main, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen([*COMMAND, "watch", "r.h5"], stdout=end, cwd=tmp_path, env=environment) as process:
        assert process.wait(timeout=60) == 0
    os.close(end)
    shown = os.read(main, 10**5).decode()
    os.close(main)
    run = run_file.load(tmp_path / "r.h5")
    assert "r.h5 is finished after 4 epochs" in shown
    for member in (0, 1):
        assert f"{run.epochs['validation_loss'][-1, member]:.4g}" in shown


def test_a_table_has_the_last_and_the_best_numbers_of_each_member(part, tmp_path):
    part(4)
    (*_, last) = made = records(run_file.load(tmp_path / "r.h5"))
    table = members_table(last, [made[1], made[2]])
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells["member"] == ["0", "1"]
    assert cells["train"] == [f"{loss:.4g}" for loss in last.train_loss]
    assert cells["lambda"] == [f"{np.exp(phi):.2e}" for phi in last.log_lam]
    assert cells["best epoch"] == ["2", "3"]
    assert cells["best"] == [f"{made[1].validation_loss[0]:.4g}", f"{made[2].validation_loss[1]:.4g}"]


def test_a_table_of_very_many_members_fits_a_terminal(part, tmp_path):
    part(4)
    record = records(run_file.load(tmp_path / "r.h5"))[-1]
    many = record._replace(**{name: value * 20 for name, value in record._asdict().items() if isinstance(value, tuple)})
    table = members_table(many)
    assert table.row_count == MOST + 1
    assert table.caption == f"{40 - MOST} more members"


def test_an_output_is_held_by_a_process_that_lives(tmp_path):
    path, here = str(tmp_path / "r.h5"), socket.gethostname()
    assert not held(path)
    for text, expected in ((f"{here} {os.getpid()}", True), (f"{here} {2**22 + 1}", False), ("elsewhere 1", True)):
        files.write(files.beside(path, ".holder"), text.encode())
        assert held(path) == expected
