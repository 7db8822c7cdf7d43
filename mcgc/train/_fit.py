"""Epochs of a task as an iterator, without a file."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from mcgc.arrays import HOST, Array, Device, namespace_of
from mcgc.errors import McgcError
from mcgc.train._hooks import Hook, Hooks
from mcgc.train._members import Member, MemberRecord, Record
from mcgc.train._problem import Problem
from mcgc.train._strategies import Strategy, strategy_for
from mcgc.train._task import Task, bind, draw, steps
from mcgc.train.settings import Settings


class OutOfMemoryError(McgcError, MemoryError):
    """The memory of the device does not suffice for a run."""


def fit(
    settings: Settings, data: Any, device: Device = HOST, problem: Problem | None = None
) -> Iterator[tuple[Record, Array]]:
    """Train models on data, without a file, and yield the record and the parameters of each epoch.

    Member i is the same whatever the number of members: its initial parameters, its noise and the order of its
    minibatches are functions of (seed, i). The test set, a random tenth of the examples, is the same for all.

    Parameters
    ----------
    settings : Settings
        The recipe.
    data : Any
        What the problem's `examples` takes.
    device : Device
        Where to train. The host by default.
    problem : Problem, optional
        A problem of your own. By default the one that `settings` names.

    Yields
    ------
    Record
        The record of the epoch.
    array (members, m)
        The parameters of all members.

    Raises
    ------
    InputError
        If a setting is out of range or the data are too few.
    SolveError
        If a solution fails where the setting `on_divergence` does not go on.
    OutOfMemoryError
        If the memory does not suffice.

    Examples
    --------
    >>> from mcgc_datasets import load
    >>> from mcgc import train
    >>> recipe = train.problems.get("lotka-volterra").recipe._replace(epochs=1)
    >>> for record, theta in train.fit(recipe, load("lotka-volterra")):
    ...     print(record.epoch, theta.shape)
    1 (1, 8002)
    """
    task = bind(settings, data, device, problem)
    return ((record, _thetas(members)) for record, members in epochs(task))


def epochs(
    task: Task,
    members: Sequence[Member] | None = None,
    done: int = 0,
    strategy: Strategy | None = None,
    hooks: Sequence[Hook] = (),
    ahead: Mapping[int, Sequence[MemberRecord]] = MappingProxyType({}),
) -> Iterator[tuple[Record, tuple[Member, ...]]]:
    """Yield the record and the members of each epoch after number `done`.

    On the host the bits depend neither on the strategy nor on where a run was taken up. On a cluster some members may
    be further than the epoch whose record is yielded, and are yielded as they are.

    Parameters
    ----------
    task : Task
        What `bind` returned.
    members : sequence of Member, optional
        Their state after epoch `done`. By default they are drawn.
    done : int
        The number of epochs done, 0 by default.
    strategy : Strategy, optional
        How members are advanced. By default `strategy_for(task.device)`.
    hooks : sequence of Hook
        What is called while the run goes.
    ahead : mapping of int to sequence of MemberRecord
        The records of members that are further than epoch `done` already, by their numbers.

    Yields
    ------
    Record
        The record of the epoch.
    tuple of Member
        The members after the epoch.

    Raises
    ------
    SolveError
        If a solution fails where the setting `on_divergence` does not go on, or a member diverges too often.
    OutOfMemoryError
        If the memory does not suffice.

    Examples
    --------
    >>> from mcgc_datasets import load
    >>> from mcgc import train
    >>> recipe = train.problems.get("lotka-volterra").recipe._replace(epochs=2)
    >>> task = train.bind(recipe, load("lotka-volterra"))
    >>> for record, members in train.epochs(task):
    ...     print(record.epoch, members[0].state.steps)
    1 7
    2 14
    """
    hook, strategy = Hooks(hooks), strategy_for(task.device) if strategy is None else strategy
    with _memory_errors(task):
        latest = [*(draw(task) if members is None else members)]
    rows = [deque(ahead.get(index, ())) for index in range(len(latest))]  # of epochs that are not yielded yet
    with strategy.start(task, hook) as advance:
        for epoch in range(done + 1, task.settings.epochs + 1):
            if not any(rows) and out_of_patience(task, latest):
                return
            began = time.perf_counter()
            behind = {index: member for index, member in enumerate(latest) if not rows[index]}
            with _memory_errors(task):
                for found in advance(behind, epoch) if behind else ():
                    latest[found.number] = found.member
                    rows[found.number].extend(found.records)
                    hook.after_member(found, epoch - 1 + len(rows[found.number]))
            firsts = [row.popleft() for row in rows]
            columns = dict(zip(Record._fields[2:-1], zip(*firsts, strict=True), strict=True))
            record = Record(epoch=epoch, horizon=task.horizon(epoch), **columns, seconds=time.perf_counter() - began)
            yield record, tuple(latest)
            hook.after_epoch(record)


def out_of_patience(task: Task, members: Sequence[Member]) -> bool:
    """Tell whether no member had a new best epoch in the last `patience` epochs.

    With horizons, the epochs of the last one count.
    """
    settings = task.settings
    if settings.patience is None:
        return False
    per_epoch = [steps(task.of_member(index).train, settings) for index in range(len(members))]
    pairs = list(zip(members, per_epoch, strict=True))
    epoch = begun = members[0].state.steps // per_epoch[0]
    while begun > 0 and task.horizon(begun) == task.horizon(settings.epochs):
        begun -= 1
    latest = max(member.best.steps // count for member, count in pairs)
    return epoch - max(latest, begun) >= settings.patience


@contextmanager
def _memory_errors(task: Task) -> Iterator[None]:
    """Raise `OutOfMemoryError`, which names the settings to change, in place of any other error of memory.

    Others are the `MemoryError` of Python, NumPy and Numba, CuPy's, which is one, and what the libraries of CUDA say.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemoryError) or not _is_of_memory(error):
            raise
        settings, stacked = task.settings, task.device.name != "cpu" and task.settings.members > 1
        fewer = f", or members, now {settings.members}" if stacked else ""
        raise OutOfMemoryError(
            f"out of memory on {task.device.name}: give a smaller batch_size, now {settings.batch_size}{fewer}"
        ) from error


def _is_of_memory(error: Exception) -> bool:
    told = f"{type(error).__name__}: {error}"
    marks = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(mark in told for mark in marks)


def _thetas(members: Sequence[Member]) -> Array:
    return namespace_of(members[0].state.theta).stack([member.state.theta for member in members])
