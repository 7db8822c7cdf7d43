"""Processes that call a function of one argument, each call within a time limit, and that may die without harm."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from mcgc.errors import InputError

PATIENCE = 60.0  # seconds that a process may take to start, which the time limit of a call does not count
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class Failed(NamedTuple):
    """A call that gave nothing: the kind of failure, and a sentence about it."""

    kind: str
    sentence: str


def attempt(function: Callable[[Any], Any], argument: Any) -> Any:
    """Return what the function returns, or `Failed` if it raises."""
    try:
        return function(argument)
    except Exception as error:
        return Failed("raised", f"{type(error).__name__}: {' '.join(str(error).split())}")


def _serve(pipe: Any, function: bytes) -> None:
    """Answer the arguments that come through the pipe, until it closes. This is what a process runs."""
    import pickle

    if hasattr(os, "setsid"):
        os.setsid()  # a simulator that it starts ends together with it
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    call = pickle.loads(function)
    pipe.send(None)  # it is ready
    while True:
        try:
            argument = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt(call, argument))


def _end_with(parent: int) -> None:
    """End this process and what it started once its parent is gone, in whatever it hangs."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(os.getpid(), signal.SIGKILL)


class _Worker:
    """One process, with the pipe to it, the number of the call that it is at, and when that call must have ended."""

    def __init__(self, function: bytes):
        from joblib.externals.loky.backend import get_context  # its processes do not run the main script again

        context = get_context("loky")
        self.pipe, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, function), daemon=True, env=ALONE)
        self.process.start()
        there.close()
        self.ready, self.call, self.deadline = False, -1, time.monotonic() + PATIENCE

    def begin(self, call: int, argument: Any, timeout: float) -> None:
        self.call, self.deadline = call, time.monotonic() + timeout
        self.pipe.send(argument)

    def end(self) -> None:
        if self.process.exitcode is None:
            if hasattr(os, "killpg") and self.ready:
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.terminate()
        self.process.join()
        self.pipe.close()


class Workers:
    """Processes that call one function.

    A process that hangs in a call is killed at the time limit. One that was killed from outside is noticed at once. In
    either case the call counts as failed, another process takes its place, and no other call is lost.

    Parameters
    ----------
    function : function
        Called in the processes. It may be a closure.
    number : int
        The number of processes.
    timeout : float
        The seconds that one call may take. It may be infinite.
    """

    def __init__(self, function: Callable[[Any], Any], number: int, timeout: float):
        from joblib.externals.loky.cloudpickle_wrapper import dumps

        try:
            self._function, self._timeout, self._began = dumps(function), timeout, False
        except Exception as error:
            raise InputError(f"residuals cannot be sent to another process ({error}): do without workers") from error
        self._workers = [_Worker(self._function) for _ in range(number)]

    def map(self, arguments: Sequence[Any]) -> list:
        """Return what the function returns for each argument, or `Failed`."""
        from multiprocessing.connection import wait

        results: list = [None] * len(arguments)
        waiting, left = list(range(len(arguments)))[::-1], len(arguments)
        while left:
            for worker in self._workers:
                if worker.ready and worker.call < 0 and waiting:
                    call = waiting.pop()
                    try:
                        worker.begin(call, arguments[call], self._timeout)
                    except OSError:  # it died while it was idle, which `wait` notices below
                        waiting.append(call)
                        worker.call = -1
            busy = [worker for worker in self._workers if worker.call >= 0 or not worker.ready]
            idle = [worker for worker in self._workers if worker not in busy]
            rest = min((worker.deadline for worker in busy), default=0.0) - time.monotonic()
            pipes = {worker.pipe: worker for worker in (*busy, *idle)}
            for pipe in wait(list(pipes), None if rest == math.inf else max(rest, 0.0)):
                left -= self._receive(pipes[pipe], results)
            for worker in busy:
                if worker in self._workers and self._late(worker):
                    left -= self._replace(worker, results, Failed("timed out", f"no answer in {self._timeout:g} s"))
        return results

    def _late(self, worker: _Worker) -> bool:
        waits = worker.call >= 0 or not worker.ready
        return waits and time.monotonic() > worker.deadline and not worker.pipe.poll()

    def _receive(self, worker: _Worker, results: list) -> int:
        """Take the answer of a process, and return the number of calls that ended: 0 or 1."""
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            if not (worker.ready or self._began):
                raise InputError(
                    "a process that is to call the residuals ended before it could begin: what they import must be "
                    "importable there"
                ) from None
            return self._replace(worker, results, Failed("killed", "the process died"))
        if not worker.ready:
            worker.ready = self._began = True
            return 0
        results[worker.call], worker.call = answer, -1
        return 1

    def _replace(self, worker: _Worker, results: list, failed: Failed) -> int:
        worker.end()
        self._workers[self._workers.index(worker)] = _Worker(self._function)
        if worker.call < 0:
            return 0
        results[worker.call] = failed
        return 1

    def parts(self, count: int) -> int:
        """Return into how many calls so many points of a batched function are divided: one."""
        return 1

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.end()
        self._workers = []
