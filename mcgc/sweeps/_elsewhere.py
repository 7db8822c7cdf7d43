"""Trials on a Dask cluster, and what its workers do. Messages to them and from them are JSON.

A worker has no file of the caller's, so a trial on a cluster has no run file: one that is lost begins again.
"""

import json
from threading import Lock
from typing import Any

from mcgc.arrays import HOST
from mcgc.errors import ClusterError
from mcgc.sweeps._source import Source
from mcgc.sweeps._study import MedianPruning, Where
from mcgc.sweeps._trial import FAILED, SCORES, Job, Trial, train_trial
from mcgc.train import Hook, Serial

MOST_DEATHS = 3  # of workers with one trial: then it is not chance

_sources: dict[str, tuple[Source, str]] = {}  # of this process, with the metric, by the hash of what they are made from
_lock = Lock()  # a process of several threads trains in one of them


class OnCluster:
    """Trains trials on the workers of a Dask cluster, each by one thread, and one more so that none is idle.

    What a worker does is done again elsewhere if it dies. A trial has failed if `MOST_DEATHS` died with it.
    """

    def __init__(self, source: Source, metric: str, client: Any, hook: Hook) -> None:
        from distributed.protocol.pickle import dumps

        from mcgc._cluster import Calls

        self._hook, self._jobs = hook, dict[int, Job]()
        shared = dumps((source, metric))
        self.calls = Calls(client, __name__, train.__name__, shared, hook.message, most_deaths=MOST_DEATHS - 1)
        self.calls.collect(0.0)  # which sees the workers

    @property
    def size(self) -> int:
        """How many trials are sent."""
        return self.calls.threads + 1

    def submit(self, job: Job) -> None:
        """Take up a trial."""
        self._jobs[job.number] = job
        self.calls.submit(job.number, _written(job._replace(path=None)), priority=-job.number)

    def done(self) -> list[Trial]:
        """Wait until one trial or more are done, and return them."""
        found: list[Trial] = []
        while not found:
            self._hook.before_step()
            for number, result in self.calls.collect():
                job = self._jobs.pop(number)
                if isinstance(result, ClusterError):
                    found.append(Trial(job.number, job.key, job.values, FAILED, str(result)))
                elif isinstance(result, BaseException):
                    raise result
                else:
                    found.append(_trial(result))
        return found

    def close(self) -> None:
        """Drop what is in flight."""
        self.calls.close()


def train(key: str, shared: bytes, message: bytes) -> bytes:
    """Train a trial on a worker, and return what it came to."""
    with _lock:
        source, metric = _source_of(key, shared)
        return json.dumps(train_trial(source, _job(message), HOST, metric, Hook(), Serial())._asdict()).encode()


def _source_of(key: str, shared: bytes) -> tuple[Source, str]:
    """Return source and metric, made once in each process."""
    from distributed.protocol.pickle import loads

    if key not in _sources:
        _sources.clear()  # of a sweep that has ended
        _sources[key] = loads(shared)
    return _sources[key]


def _written(job: Job) -> bytes:
    return json.dumps(job._asdict()).encode()


def _job(message: bytes) -> Job:
    said = json.loads(message)
    if said["pruning"] is not None:
        where, number, first = said["pruning"]
        said["pruning"] = MedianPruning(Where(*where), number, first)
    return Job(**said)


def _trial(message: bytes) -> Trial:
    said: dict[str, Any] = json.loads(message)
    return Trial(**said | {name: tuple(said[name]) for name in ("best_epoch", *SCORES)})
