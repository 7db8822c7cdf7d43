"""A command as a process that is met while it runs."""

import subprocess
import sys
from contextlib import contextmanager

HEARING = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


@contextmanager
def running(command, shown="epoch 1 of"):
    """Start `command`, and give its process once it has shown these words; kill it if it is still there at the end.

    It does not inherit that SIGHUP is ignored, as it is where the tests were started by nohup.
    """
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HEARING, *command], **pipes) as process:
        try:
            while shown not in (line := process.stderr.readline()):
                assert line, "the command ended early"
            yield process
        finally:
            process.kill()
