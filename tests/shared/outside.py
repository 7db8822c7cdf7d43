"""A Dask cluster of processes that a test starts, kills and starts again by itself."""

import os
import socket
import subprocess
import sys
import time

QUIET = ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
OTHER = "import sys, mcgc; mcgc.__version__ = '0.0.1'; from distributed.cli.dask_worker import main; main(sys.argv[1:])"


class Outside:
    """A scheduler on a free port of this machine, and workers of one thread."""

    def __init__(self, directory, **settings):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.directory, self.processes = directory, []
        self.env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | settings
        self.scheduler = self.schedule()

    def __enter__(self):
        """Return the cluster."""
        return self

    def __exit__(self, *error):
        """Kill all of its processes."""
        for process in self.processes:
            process.kill()
            process.wait()

    def schedule(self):
        """Start the scheduler, and return its process once it listens."""
        args = ["-m", "distributed.cli.dask_scheduler", "--port", str(self.port), *QUIET]
        self.scheduler = self._start(args)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as found:
                if found.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self.scheduler
            time.sleep(0.05)
        raise TimeoutError("the scheduler does not listen")

    def work(self, other=False):
        """Start a worker, of an `other` version of mcgc, and return its process."""
        begin = ["-c", OTHER] if other else ["-m", "distributed.cli.dask_worker"]
        return self._start([*begin, self.address, "--nthreads", "1", "--no-nanny", *QUIET])

    def _start(self, args):
        with open(self.directory / "dask.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, *args], cwd=self.directory, env=self.env, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process
