"""Where trials are trained: in this process one after the other, in worker processes, or on a cluster."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

from mcgc.arrays import HOST, Device
from mcgc.sweeps._elsewhere import OnCluster
from mcgc.sweeps._source import Source
from mcgc.sweeps._trial import FAILED, Job, Trial, train_trial
from mcgc.train import Hook, Serial, Strategy
from mcgc.train._strategies import THREADS, begin_worker

MOST_DEATHS = 3  # of worker processes with one trial: then it is not chance

_source: list[tuple[Source, str]] = []  # of a worker process: source and metric


class Pool(Protocol):
    """Trains trials."""

    @property
    def size(self) -> int:
        """How many trials are trained at once."""

    def submit(self, job: Job) -> None:
        """Take up a trial."""

    def done(self) -> list[Trial]:
        """Wait until one trial or more are done, and return them."""


class InProcess:
    """Trains a trial when it is waited for."""

    size = 1

    def __init__(self, source: Source, metric: str, device: Device, hook: Hook, strategy: Strategy | None) -> None:
        self._train: Callable[[Job], Trial] = lambda job: train_trial(source, job, device, metric, hook, strategy)
        self._jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        """Take up a trial."""
        self._jobs.append(job)

    def done(self) -> list[Trial]:
        """Train the trial that was taken up."""
        job = self._jobs.pop()
        return [self._train(job)]


class _Worker(NamedTuple):
    """A process, and the trial that it trains."""

    executor: Any
    job: Job
    future: Future
    deaths: int


class InProcesses:
    """Trains trials in processes on the CPU, each with one thread. A process that dies costs its own trial alone.

    That trial goes on in another process, from its run file. It has failed if `MOST_DEATHS` processes died with it.
    """

    def __init__(self, source: Source, metric: str, size: int, hook: Hook) -> None:
        self.size, self._hook = size, hook
        self._begin = (os.getpid(), source, metric)
        self._idle: list[Any] = []
        self._working: list[_Worker] = []

    def submit(self, job: Job) -> None:
        """Take up a trial."""
        self._submit(job, 0)

    def done(self) -> list[Trial]:
        """Wait until one trial or more are done, and return them."""
        found: list[Trial] = []
        while not found:
            self._hook.before_step()
            ready = wait([one.future for one in self._working], timeout=0.1, return_when=FIRST_COMPLETED).done
            for one in [one for one in self._working if one.future in ready]:
                self._working.remove(one)
                try:
                    trial = one.future.result()
                except BrokenExecutor:
                    one.executor.shutdown(kill_workers=True)
                    self._again(one, found)
                    continue
                self._idle.append(one.executor)
                found.append(trial)
        return found

    def close(self) -> None:
        """End all processes."""
        for executor in [*self._idle, *(one.executor for one in self._working)]:
            executor.shutdown(kill_workers=True)

    def _submit(self, job: Job, deaths: int) -> None:
        from joblib.externals.loky import ProcessPoolExecutor  # which also carries a problem made of closures

        if not self._idle:
            env = dict.fromkeys(THREADS, "1")
            self._idle.append(ProcessPoolExecutor(1, initializer=_begin, initargs=self._begin, env=env))
        executor = self._idle.pop()
        try:
            future = executor.submit(_train, job)
        except BrokenExecutor:  # it died while it was idle
            executor.shutdown(kill_workers=True)
            self._submit(job, deaths)
            return
        self._working.append(_Worker(executor, job, future, deaths))

    def _again(self, one: _Worker, found: list[Trial]) -> None:
        """Go on with a trial whose process died, or give it up."""
        deaths = one.deaths + 1
        if deaths < MOST_DEATHS:
            self._hook.message(f"a worker process died: trial {one.job.number} goes on in another")
            self._submit(one.job, deaths)
            return
        sentence = f"{deaths} worker processes died with it: see if memory is short"
        found.append(Trial(one.job.number, one.job.key, one.job.values, FAILED, sentence))


@contextmanager
def pool_for(source: Source, metric: str, workers: int, device: Device, hook: Hook, cluster: Any) -> Iterator[Pool]:
    """Give the pool that trains on a device with so many workers, or on a Dask cluster, and close it afterwards."""
    if cluster is None and workers == 1:
        yield InProcess(source, metric, device, hook, None)
        return
    with ExitStack() as stack:
        pool: InProcesses | OnCluster
        if cluster is None:
            pool = InProcesses(source, metric, workers, hook)
        else:
            from mcgc._cluster import client_of

            pool = OnCluster(source, metric, stack.enter_context(client_of(cluster)), hook)
        stack.callback(pool.close)
        yield pool


def _begin(parent: int, source: Source, metric: str) -> None:
    begin_worker(parent)
    _source[:] = [(source, metric)]


def _train(job: Job) -> Trial:
    source, metric = _source[0]
    return train_trial(source, job, HOST, metric, Hook(), Serial())
