"""Residuals on the workers of a Dask cluster, each call in a process of its own that may hang or die."""

import io
import json
import math
import multiprocessing
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np

from mcgc.continuation._least_squares._workers import Failed, Workers
from mcgc.errors import ClusterError, InputError

ALONE = 2  # times that a call is tried again, by itself, before it is said to have killed its workers
PATIENCE = 5.0  # seconds for the workers to end their processes

_kept: dict[tuple[str, int], Workers] = {}  # of this process, by the hash of the function and the thread


class ClusterWorkers:
    """The workers of a cluster that call one function.

    A worker calls it in a process that it starts, once. That process is killed at the time limit, or may die, without
    harm to the worker. If a worker is lost, Dask does its calls elsewhere.

    Parameters
    ----------
    function : function
        Called in the processes. It may be a closure.
    cluster : distributed.Client or str
        A client, or an address (`mcgc._cluster.client_of`).
    timeout : float
        The seconds that one call may take, without the time that it waits. It may be infinite.
    repeat : float, optional
        How many times the median a call may take before it is done on another worker too. By default none is.
    """

    def __init__(self, function: Callable[..., Any], cluster: Any, timeout: float, repeat: float | None):
        from mcgc._cluster import Calls, client_of

        if repeat is not None and not repeat > 1:
            raise InputError(f"repeat must be above 1, got {repeat!r}")
        shared = _dumped((function, timeout))
        with ExitStack() as stack:
            self._client = stack.enter_context(client_of(cluster))
            self._calls = Calls(self._client, __name__, evaluate.__name__, shared, repeat=repeat)
            self._stack = stack.pop_all()

    @property
    def traffic(self) -> Any:
        """The numbers of workers and calls, and the sizes of the messages (`mcgc._cluster.Traffic`)."""
        return self._calls.traffic

    def parts(self, count: int) -> int:
        """Return into how many calls so many points of a batched function are divided."""
        self._calls.look()
        return max(1, min(count, self._calls.threads))

    def map(self, arguments: Sequence[Any]) -> list:
        """Return what the function returns for each argument, or `Failed`."""
        results: list = [None] * len(arguments)
        self._collect(results, {number: _dumped(argument) for number, argument in enumerate(arguments)})
        for number, result in enumerate(results):
            if result is not None:
                continue  # this one died, or was beside one that did: it is tried alone
            for _ in range(ALONE):
                self._collect(results, {number: _dumped(arguments[number])})
                if results[number] is not None:
                    break
            else:
                results[number] = Failed("killed", "the worker died")
        return results

    def _collect(self, results: list, arguments: dict[int, bytes]) -> None:
        """Enter what the calls return, and leave None where the worker died."""
        for number, argument in arguments.items():
            self._calls.submit(number, argument)
        left = len(arguments)
        while left:
            for number, result in self._calls.collect():
                left -= 1
                if isinstance(result, bytes):
                    results[number] = read(result)
                elif not isinstance(result, ClusterError):
                    raise result

    def close(self) -> None:
        """Drop what is in flight, end the processes, and close the client if it was made here."""
        with self._stack:
            self._calls.close()
            ending = threading.Thread(target=self._end, daemon=True)
            ending.start()
            ending.join(PATIENCE)

    def _end(self) -> None:
        with suppress(Exception):  # a worker may be gone, or hang
            self._client.run(drop, self._calls.key, on_error="return")


def evaluate(key: str, shared: bytes, argument: bytes) -> bytes:
    """Call the function on a worker, and return its numbers as a file of NumPy, or what failed as JSON."""
    from distributed.protocol.pickle import loads

    mine = key, threading.get_ident()
    if mine not in _kept:
        process = multiprocessing.current_process()
        if process.daemon:  # as Dask makes its workers, which may start no process then
            process.daemon = False
        function, timeout = loads(shared)
        _kept[mine] = Workers(function, 1, timeout)
    (found,) = _kept[mine].map([loads(argument)])
    if not isinstance(found, Failed):
        try:
            file = io.BytesIO()
            np.save(file, np.asarray(found, dtype="float64"), allow_pickle=False)
            return file.getvalue()
        except (TypeError, ValueError) as error:
            found = Failed("raised", f"the residuals are no numbers ({error})")
    return json.dumps(found).encode()


def drop(key: str) -> None:
    """End the processes of a worker that call the function of this key, in whatever they hang."""
    for found in [one for one in _kept if one[0] == key]:
        _kept.pop(found).close()


def read(answer: bytes) -> Any:
    """Return what `evaluate` found: an array, or `Failed`."""
    if answer[:1] == b"[":
        return Failed(*json.loads(answer))
    return np.load(io.BytesIO(answer), allow_pickle=False)


def _dumped(value: Any) -> bytes:
    from distributed.protocol.pickle import dumps

    try:
        found: bytes = dumps(value)
    except Exception as error:
        raise InputError(f"residuals cannot be sent to another process ({error}): do without a client") from error
    return found


def of_client(
    function: Callable[..., Any], client: Any, timeout: float | None, repeat: float | None
) -> ClusterWorkers | None:
    """Return the workers of a client, or None without one."""
    if client is None:
        if repeat is not None:
            raise InputError("repeat is for a cluster: give a client, or leave it out")
        return None
    return ClusterWorkers(function, client, math.inf if timeout is None else timeout, repeat)
