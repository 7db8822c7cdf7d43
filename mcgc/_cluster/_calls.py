"""Calls in flight on a Dask cluster, which are sent again where a worker or the scheduler was lost."""

import hashlib
import logging
import math
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from heapq import heapify, heappop, heappush
from itertools import count
from statistics import median
from typing import Any, NamedTuple

from mcgc._cluster import _store
from mcgc._cluster._versions import LACKING, REFUSED, guarded, versions
from mcgc.errors import ClusterError, InputError

LOOK, POLL = 1.0, 0.01  # seconds between two looks at the workers, and at what has come
FEW = 3  # calls that must have ended before one can be called slow


_LOG = logging.getLogger("mcgc")


class Traffic(NamedTuple):
    """What went between a caller and its workers, and what was lost on the way.

    Parameters
    ----------
    workers, lost, refused : int
        Workers that were seen, that vanished, and that were refused for their versions.
    calls, again, repeated : int
        Calls that were sent, those of them that were sent again after a loss, and that were repeated because the first
        was slow.
    data_bytes : int
        The size of what all calls share.
    data_copies : int
        How often that was sent, which is once to each worker.
    sent_bytes, received_bytes : int
        The sizes of the arguments and of the results, without what Dask adds.
    """

    workers: int = 0
    lost: int = 0
    refused: int = 0
    calls: int = 0
    again: int = 0
    repeated: int = 0
    data_bytes: int = 0
    data_copies: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class _Call(NamedTuple):
    label: Hashable
    argument: bytes
    priority: int
    began: float = 0.0
    deaths: int = 0
    repeat: bool = False  # whether it is the second of its kind
    repeated: bool = False  # whether there is a second one


class Calls:
    """Calls of one function on the workers of a cluster.

    A call whose worker dies is done elsewhere by Dask. What Dask gives up, and what is lost with the scheduler, is sent
    again from here. A worker of other versions is refused, and gets no further calls.

    Parameters
    ----------
    client : distributed.Client
        A client of the cluster.
    module, name : str
        The function. It takes the hash of `shared`, `shared` and the argument of a call, and returns bytes.
    shared : bytes
        What all calls share.
    message : function
        Is called with a sentence for the user. By default it is logged as a warning.
    repeat : float, optional
        How many times the median a call may take before it is done on another worker too. By default none is.
    most_deaths : int
        How many workers may die over a call before its result is a `ClusterError`.
    """

    def __init__(
        self,
        client: Any,
        module: str,
        name: str,
        shared: bytes,
        message: Callable[[str], None] = _LOG.warning,
        repeat: float | None = None,
        most_deaths: int = 0,
    ):
        from distributed import as_completed

        self._client, self._shared, self._message, self._repeat = client, shared, message, repeat
        self._most_deaths, self._given_up = most_deaths, list[tuple[Any, Any]]()
        self._function = guarded(module, name, versions())
        self._done = as_completed(loop=client.loop, with_results=True, raise_errors=False)
        self._flying: dict[str, tuple[Any, _Call]] = {}  # futures and calls by the key that Dask has for them
        self._waiting: list[tuple[int, int, _Call]] = []  # a heap by priority, and then by age
        self._order = count()
        self._seconds: list[float] = []
        self._threads: dict[str, int] = {}  # of the workers that are there and not refused
        self._refused: set[str] = set()
        self._avoided: set[str] = set()  # where slow calls are
        self.key = hashlib.sha256(shared).hexdigest()
        self._told, self._looked = False, -math.inf
        self._back = -math.inf  # when the scheduler was last away
        self.traffic = Traffic(data_bytes=len(shared))

    @property
    def threads(self) -> int:
        """How many calls can run at once."""
        return sum(self._threads.values())

    def submit(self, label: Hashable, argument: bytes, priority: int = 0) -> None:
        """Send a call. Those of a higher priority are begun first."""
        self._wait(_Call(label, argument, priority))

    def collect(self, seconds: float = 0.1) -> list[tuple[Any, Any]]:
        """Return the labels of calls that have ended, with results or exceptions; wait for them so long at most.

        Raises `ClusterError` if the scheduler is gone for good, and `InputError` if all workers are of other versions.
        """
        until = time.monotonic() + seconds
        while True:
            if self._connected():
                self._look()
                self._send()
            ended = self._ended()
            if ended or time.monotonic() >= until:
                return ended
            time.sleep(POLL)

    def close(self) -> None:
        """Cancel what is in flight."""
        futures = [future for future, _ in self._flying.values()]
        self._flying, self._waiting = {}, []
        if self._client.status == "running":
            self._client.cancel(futures)

    def _connected(self) -> bool:
        """Tell whether the scheduler is there. Raises `ClusterError` if Dask has given it up."""
        status = self._client.status
        if status in ("closing", "closed"):
            raise ClusterError("the Dask scheduler is gone, and did not come back: start it again")
        if status != "running" and not self._told:
            self._message("the Dask scheduler is gone: waiting for it to come back")
        elif status == "running" and self._told:
            self._message("the Dask scheduler is back: what was in flight goes on from its last state")
        self._told = status != "running"
        self._back = time.monotonic() if self._told else self._back
        return status == "running"

    def look(self) -> None:
        """See which workers are there."""
        if self._connected():
            self._look()

    def _look(self) -> None:
        """See which workers have come and gone, and which calls are lost or slow."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        try:
            found = dict(self._client.nthreads())
        except (OSError, TimeoutError):  # the scheduler went this moment
            return
        self._avoided &= found.keys()
        gone = [address for address in self._threads if address not in found]
        for address in gone:
            self._message(f"the worker {address} is gone: what it had goes on elsewhere")
        there = {address: count for address, count in found.items() if address not in self._refused}
        if not there and (self._threads or self.traffic.workers == 0):
            self._message("the cluster has no worker: waiting for one")
        new = len(there.keys() - self._threads.keys())
        self._count(workers=new, lost=len(gone))
        self._threads = there
        for key in [key for key, (future, _) in self._flying.items() if future.status in ("cancelled", "lost")]:
            self._lose(key, 1)
        if self._repeat is not None and len(self._seconds) >= FEW:
            self._repeat_slow(now - self._repeat * median(self._seconds))

    def _repeat_slow(self, began: float) -> None:
        """Let calls that began before be sent a second time, and leave the workers alone that they are at."""
        slow = {key: call for key, (_, call) in self._flying.items() if call.began < began}
        if not slow:
            self._avoided = set()
            return
        at = {worker for worker, keys in self._client.processing().items() if not slow.keys().isdisjoint(keys)}
        held = [self._flying[key][0] for key in slow if self._flying[key][0].status == "finished"]
        if held:  # by a worker that does not give it away
            at.update(worker for workers in self._client.who_has(held).values() for worker in workers)
        self._avoided = at
        for key, call in slow.items():
            if not call.repeated and self._threads.keys() - self._avoided:
                future, _ = self._flying[key]
                self._flying[key] = (future, call._replace(repeated=True))
                self._wait(call._replace(repeat=True))

    def _send(self) -> None:
        """Send what waits, if there are workers."""
        if not (self._waiting and self._threads):
            return
        workers = [worker for worker in self._threads if worker not in self._avoided]
        if not workers:
            return
        chosen = workers if self._refused or self._avoided else None
        try:
            slow = sum(call.repeated for _, call in self._flying.values())
            each = (
                1 if self._repeat else 2
            )  # one more, so that none is idle; or else how long a call takes is not known
            most = slow + each * sum(self._threads[worker] for worker in workers)
            while self._waiting and len(self._flying) < most:
                call = self._waiting[0][2]._replace(began=time.monotonic())
                future = self._client.submit(
                    self._function, self.key, call.argument, pure=False, priority=call.priority, workers=chosen
                )
                heappop(self._waiting)
                self._flying[future.key] = (future, call)
                self._done.add(future)
                self._count(calls=1, repeated=int(call.repeat), sent_bytes=len(call.argument))
        except (OSError, TimeoutError):  # the scheduler went this moment
            return

    def _ended(self) -> list[tuple[Any, Any]]:
        """Return what has ended, and note what must be sent again."""
        from distributed import KilledWorker

        found: list[tuple[Any, Any]] = []
        lacking: set[str] = set()
        for future, result in self._done.next_batch(block=False):
            future_and_call = self._flying.get(future.key)
            if future_and_call is None:  # another of its kind was faster
                continue
            call = future_and_call[1]
            if future.status == "error":
                error = result[1]
                if isinstance(error, KilledWorker):
                    self._lose(future.key, error.allowed_failures + 1)
                    continue
                result = error
            elif future.status != "finished" or isinstance(result, BaseException):
                self._lose(future.key, 1)  # with the scheduler, or with the worker after it had ended
                continue
            elif isinstance(result, tuple):
                why, address, sentence = result
                self._wait(self._flying.pop(future.key)[1])
                self._count(calls=-1)
                if why == REFUSED:
                    self._refuse(address, sentence)
                elif why == LACKING:
                    lacking.add(address)
                continue
            else:
                self._seconds.append(time.monotonic() - call.began)
                self._count(received_bytes=len(result))
            self._forget(call.label)
            found.append((call.label, result))
        self._give(lacking & self._threads.keys())
        if lacking - self._threads.keys():  # it came since the last look
            self._looked = -math.inf
        found, self._given_up = [*found, *self._given_up], []
        return found

    def _give(self, workers: set[str]) -> None:
        """Send workers what all calls share."""
        if workers:
            with suppress(OSError, TimeoutError):  # a worker that went lacks it no more, and others say so again
                self._client.run(_store.put, self.key, self._shared, workers=[*workers], on_error="return")
                self._count(data_copies=len(workers))

    def _lose(self, key: str, deaths: int) -> None:
        """Let a call be sent again, but not for ever if so many workers died over it."""
        _, call = self._flying.pop(key)
        if call.began > self._back:
            call = call._replace(deaths=call.deaths + deaths)
        if call.deaths > self._most_deaths:
            error = ClusterError(f"{call.deaths} workers died over one call: see if their memory is short")
            self._given_up.append((call.label, error))
            return
        self._wait(call)
        self._count(again=1)

    def _refuse(self, address: str, what: str) -> None:
        """Give a worker no more calls. Raises `InputError` if no other is left."""
        if address in self._refused:
            return
        self._refused.add(address)
        self._threads.pop(address, None)
        self._count(refused=1, workers=-1)
        sentence = f"the worker {address} has {what}: install the same version there"
        if not self._threads:
            raise InputError(sentence)
        self._message(f"{sentence}; it is given nothing")

    def _forget(self, label: Hashable) -> None:
        """Drop all calls of a label, which has its result."""
        others = [key for key, (_, call) in self._flying.items() if call.label == label]
        futures = [self._flying.pop(key)[0] for key in others]
        if any(call.label == label for *_, call in self._waiting):
            self._waiting = [one for one in self._waiting if one[2].label != label]
            heapify(self._waiting)
        slow = [future for future in futures if not future.done()]
        if slow:
            self._client.cancel(slow)

    def _wait(self, call: _Call) -> None:
        heappush(self._waiting, (-call.priority, next(self._order), call))

    def _count(self, **more: int) -> None:
        self.traffic = self.traffic._replace(**{name: getattr(self.traffic, name) + n for name, n in more.items()})
