"""The lock of an output: one process at a time, let go of however it ends, and named by host and process id."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from mcgc._lock import locked
from mcgc.errors import OutputError

HOLD = "import sys, time; from mcgc._lock import locked\nwith locked(sys.argv[1], print): print(); time.sleep(600)"
FORK = """
import os, sys, time
from mcgc._lock import locked
with locked(sys.argv[1], print):
    child = os.fork()
    if not child:
        time.sleep(600)
        os._exit(0)
print(child)
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run.h5")


def refused(path):
    with pytest.raises(OutputError) as caught, locked(path, pytest.fail):
        pass
    return str(caught.value)


def test_a_lock_that_is_let_go_of_leaves_no_file(path, tmp_path):
    for _ in range(2):
        with locked(path, pytest.fail):
            assert {file.name for file in tmp_path.iterdir()} == {".run.h5.lock", ".run.h5.holder"}
        assert [*tmp_path.iterdir()] == []


def test_the_holder_is_named_to_another_process_and_within_this_one(path):
    with locked(path, pytest.fail):
        assert f"is being written by process {os.getpid()} on {socket.gethostname()}: " in refused(path)
        done = subprocess.run([sys.executable, "-c", HOLD, path], capture_output=True, text=True, timeout=120)
        assert f"is being written by process {os.getpid()} on {socket.gethostname()}: " in done.stderr
    with locked(path, pytest.fail):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_dead_process_is_taken_over_and_that_is_said(path, tmp_path, number):
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert f"process {process.pid} on " in refused(path)
        process.send_signal(number)
    said = []
    with locked(path, said.append):
        pass
    assert said == [f"taking over {path}: process {process.pid}, which was writing it, is gone"]
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_was_forked_does_not_keep_the_lock(path):
    with subprocess.Popen([sys.executable, "-c", FORK, path], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        assert process.wait() == 0
        try:
            os.kill(child, 0)  # it is there
            with locked(path, pytest.fail):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_holder_on_another_host_is_not_taken_over(path, tmp_path):
    holder = tmp_path / ".run.h5.holder"
    holder.write_text("elsewhere 17\n")
    sentence = refused(path)
    assert "process 17 on elsewhere: wait for it, or choose another name" in sentence
    assert f"(if that process is gone, remove {str(holder)!r})" in sentence
    assert holder.read_text() == "elsewhere 17\n"
    holder.unlink()
    with locked(path, pytest.fail):
        pass


def test_an_error_within_lets_go_of_the_lock(path, tmp_path):
    with pytest.raises(ZeroDivisionError), locked(path, pytest.fail):
        raise ZeroDivisionError
    assert [*tmp_path.iterdir()] == []


def test_a_lock_that_is_a_link_or_in_no_directory_is_refused_in_a_sentence_and_nothing_is_made(path, tmp_path):
    (tmp_path / ".run.h5.lock").symlink_to(tmp_path / "target")
    assert "cannot be locked (" in refused(path)
    assert not (tmp_path / "target").exists()
    assert "cannot be locked (No such file or directory): " in refused(str(tmp_path / "absent/run.h5"))
    assert [file.name for file in tmp_path.iterdir()] == [".run.h5.lock"]
