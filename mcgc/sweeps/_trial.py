"""A trial: a run with its own run file, which is trained, resumed or pruned; and what it came to."""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, NamedTuple, Protocol

from mcgc.arrays import Device
from mcgc.errors import InputError, McgcError, OutputError
from mcgc.paper.comparison import best_records
from mcgc.sweeps._designs import Point
from mcgc.sweeps._source import Source
from mcgc.train import Hook, Record, Run, SaveError, Strategy, epochs

FINISHED, PRUNED, FAILED = STATUSES = ("finished", "pruned", "failed")
METRICS = {"test": "test_loss", "validation": "validation_loss", "train": "train_loss"}
SCORES = ("train_loss", "validation_loss", "test_loss", "test_accuracy")

Numbers = tuple[float, ...]  # one a member


class Trial(NamedTuple):
    """A trial that is done.

    Parameters
    ----------
    number : int
        Its place in the sweep, from 0.
    key : str
        SHA-256 of all that determines it: settings, data, versions.
    values : mapping
        The value of each searched setting.
    status : {"finished", "pruned", "failed"}
        How it ended.
    sentence : str
        Why it failed, or "".
    epochs : int
        The epochs that were trained.
    seconds : float
        The wall-clock time of these.
    best_epoch : tuple of int
        The best epoch of each member: of the lowest validation loss, or training loss where there is no validation set.
    train_loss, validation_loss, test_loss, test_accuracy : tuple of float
        What each member has at its best epoch, in the units of the data: infinity where it is not finite, and nothing
        where there is no such number.
    """

    number: int
    key: str
    values: Point
    status: str
    sentence: str = ""
    epochs: int = 0
    seconds: float = 0.0
    best_epoch: tuple[int, ...] = ()
    train_loss: Numbers = ()
    validation_loss: Numbers = ()
    test_loss: Numbers = ()
    test_accuracy: Numbers = ()

    def losses(self, metric: str) -> Numbers:
        """Return the loss of each member: "test", "validation" or "train"."""
        return getattr(self, METRICS[metric])

    def value(self, metric: str) -> float:
        """Return the mean loss of the members. It is infinite if one is, and NaN if there is none."""
        found = self.losses(metric)
        if not found:
            return math.nan
        return math.fsum(found) / len(found) if all(map(math.isfinite, found)) else math.inf


Stops = Callable[[int, float], bool]  # whether a trial ends after an epoch, whose mean loss is this


class Pruning(Protocol):
    """Decides whether a trial goes on."""

    def begin(self, epochs: int) -> AbstractContextManager[Stops]:
        """Give the decision for a trial of so many epochs."""


class Job(NamedTuple):
    """A trial that is to be done: its number, its key, its values, its run file if any, and how it is pruned."""

    number: int
    key: str
    values: Point
    path: str | None
    pruning: Pruning | None = None


class Pruned(Exception):
    """A trial was pruned."""


class _Passed(BaseException):
    """What a hook of the caller raised: it ends the sweep, not the trial."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Guard(Hook):
    """Hands on what a run calls. What the hooks of the caller raise is passed through."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    def before_step(self) -> None:
        self._pass(self._hook.before_step)

    def after_epoch(self, record: Record) -> None:
        self._pass(self._hook.after_epoch, record)

    def message(self, sentence: str) -> None:
        self._pass(self._hook.message, sentence)

    def _pass(self, called: Callable[..., None], *args: Any) -> None:
        try:
            called(*args)
        except Exception as error:
            raise _Passed(error) from error


class _Pruner(Hook):
    """Asks after each epoch whether the trial goes on."""

    def __init__(self, stops: Stops, metric: str, epochs: int) -> None:
        self._stops, self._metric, self._epochs = stops, metric, epochs

    def after_epoch(self, record: Record) -> None:
        if record.epoch < self._epochs and self._stops(record.epoch, mean_loss(record, self._metric)):
            raise Pruned


class _Kept(Hook):
    """Keeps the records of a run without a file."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    def after_epoch(self, record: Record) -> None:
        self._records.append(record)


def mean_loss(record: Record, metric: str) -> float:
    """Return the mean loss of the members after an epoch, or infinity."""
    losses = [math.inf if loss is None else loss for loss in getattr(record, METRICS[metric])]
    return math.fsum(losses) / len(losses) if all(map(math.isfinite, losses)) else math.inf


def train_trial(
    source: Source, job: Job, device: Device, metric: str, hook: Hook, strategy: Strategy | None = None
) -> Trial:
    """Train a trial to its end, from its run file if there is one, and return what it came to.

    A trial that raises has failed. It may be of a problem of the user's, so this is so for any exception.

    Raises `SaveError` and `OutputError` if its run file cannot be written, and what `hook` raises.
    """
    done = Trial(job.number, job.key, job.values, FAILED)
    try:
        task = source.task(job.values, device)
        with ExitStack() as stack:
            run = None if job.path is None else stack.enter_context(_run(job.path, task, hook.message))
            records = [] if run is None else run.records
            hooks: list[Hook] = [Guard(hook)]
            status = FINISHED
            try:
                if job.pruning is not None:
                    stops = stack.enter_context(job.pruning.begin(task.settings.epochs))
                    hooks.append(_Pruner(stops, metric, task.settings.epochs))
                    for record in records[-1:]:  # the sweep may have stopped before this was asked
                        hooks[-1].after_epoch(record)
                if run is None:
                    for _ in epochs(task, strategy=strategy, hooks=[_Kept(records), *hooks]):
                        pass
                elif not run.finished:
                    for _ in run.epochs(strategy, hooks):
                        pass
            except Pruned:
                status = PRUNED
            return _scored(done._replace(status=status), records)
    except (SaveError, OutputError):
        raise
    except _Passed as passed:
        raise passed.error from None
    except Exception as error:
        kind = "" if isinstance(error, McgcError) else f"{type(error).__name__}: "
        return done._replace(sentence=kind + " ".join(str(error).split()))


def _run(path: str, task: Any, message: Callable[[str], None]) -> Run:
    """Return the run of a trial: where its file says, or from the start if there is none that can be used."""
    with suppress(InputError):
        if os.path.lexists(path):
            return Run.resume(path, task, message=message)
    return Run.create(path, task, overwrite=True, message=message)


def _scored(done: Trial, records: Sequence[Record]) -> Trial:
    """Return a trial with the numbers of its records."""
    best = best_records(records)

    def at_best(name: str) -> Numbers:
        found = [getattr(record, name)[i] for i, record in enumerate(best)]
        return () if None in found else tuple(x if math.isfinite(x) else math.inf for x in found)

    scores: dict[str, Any] = {name: at_best(name) for name in SCORES}
    at, seconds = tuple(record.epoch for record in best), math.fsum(record.seconds for record in records)
    return done._replace(epochs=len(records), seconds=seconds, best_epoch=at, **scores)
