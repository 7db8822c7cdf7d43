"""How the members of an epoch are advanced: one after another, as one more axis of all arrays, or by processes."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from mcgc._integers import whole
from mcgc.arrays import HOST, Device, is_array, namespace_of
from mcgc.autodiff import flatten, unflatten
from mcgc.continuation import State
from mcgc.errors import InputError, McgcError, SolveError
from mcgc.random import Key
from mcgc.train._epoch import Result, advance, run_epoch
from mcgc.train._hooks import Hook
from mcgc.train._members import Advanced, Member, MemberRecord
from mcgc.train._task import Task, bind

MOST_DEATHS = 10  # of worker processes in a run: then it is not chance
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

_tasks: list[Task] = []  # of a worker process: the one that it was started for

Advance = Callable[[Mapping[int, Member], int], Iterable[Advanced]]


class Strategy(Protocol):
    """How the members of a run are advanced. On the host the numbers do not depend on it, to the last bit."""

    def start(self, task: Task, hook: Hook) -> AbstractContextManager[Advance]:
        """Give a function that takes members through an epoch: (members by number, epoch) → what came of them.

        It yields each of them once it is there, perhaps after more epochs than this one, and perhaps others too that
        are further. `hook.before_step()` is called before each step, or at least now and then. An exception that it
        raises goes through.
        """


def strategy_for(device: Device) -> "Strategy":
    """Return the strategy that suits a device.

    Parameters
    ----------
    device : Device
        The device.

    Returns
    -------
    Strategy
        `Serial` on the host, and `Stacked` elsewhere.

    Examples
    --------
    >>> from mcgc import train
    >>> from mcgc.arrays import HOST
    >>> train.strategy_for(HOST)
    Serial()
    """
    return Serial() if device == HOST else Stacked()


@dataclass(frozen=True)
class Serial:
    """Members are advanced one after another."""

    @contextmanager
    def start(self, task: Task, hook: Hook) -> Iterator[Advance]:
        """Give what takes members through an epoch."""

        def advance_all(members: Mapping[int, Member], epoch: int) -> Iterator[Advanced]:
            for index, member in members.items():
                after, row = advance(task, member, index, epoch, hook.before_step)
                yield Advanced(index, after, [row])

        yield advance_all


@dataclass(frozen=True)
class Stacked:
    """Members are one more axis of all arrays, and ten models one launch, if the problem is `stacked`.

    Members that train on data of their own (`bootstrap`, `rotate`) are advanced one after another.

    A member's numbers are those that it has alone, to rounding. Members are stacked whose states agree in shapes and
    numbers of steps, and that were restored equally often: one that diverged goes on beside the others. A member with a
    loss of NaN, as a solution that fails gives it, is taken through that epoch again by itself. If an objective raises
    `SolveError` instead, all members of the stack are. No other member is changed by the failure.
    """

    @contextmanager
    def start(self, task: Task, hook: Hook) -> Iterator[Advance]:
        """Give what takes members through an epoch."""

        def advance_all(members: Mapping[int, Member], epoch: int) -> Iterator[Advanced]:
            stackable = task.problem.stacked and not (task.settings.bootstrap or task.folds)
            stacks: dict[Any, list[int]] = {}
            for index, member in members.items():
                stacks.setdefault(_kind(member) if stackable else index, []).append(index)
            for stack in stacks.values():
                found = _advance_stack(task, members, stack, epoch, hook.before_step)
                yield from (Advanced(i, after, [row]) for i, (after, row) in zip(stack, found, strict=True))

        yield advance_all


def _kind(member: Member) -> tuple:
    """Return what members of a stack have in common: all of their states that is no array, and the shapes of arrays."""
    leaves, structure = flatten(member.state)
    return member.past, structure, tuple(leaf.shape if is_array(leaf) else leaf for leaf in leaves)


def _advance_stack(
    task: Task, members: Mapping[int, Member], stack: list[int], epoch: int, before_step: Callable[[], None]
) -> list[tuple[Member, MemberRecord]]:
    began = time.perf_counter()
    results = _run(task, [members[index] for index in stack], epoch, before_step) if len(stack) > 1 else None
    if results is None:
        return [advance(task, members[index], index, epoch, before_step) for index in stack]
    share, advanced = (time.perf_counter() - began) / len(stack), []
    for index, result in zip(stack, results, strict=True):
        found = None if _has_failed(result[1]) else result
        member, row = advance(task, members[index], index, epoch, before_step, found)
        advanced.append((member, row._replace(seconds=row.seconds + share)))
    return advanced


def _run(task: Task, members: Sequence[Member], epoch: int, before_step: Callable[[], None]) -> list[Result] | None:
    """Return what `run_epoch` gives for each of the members, or None if a solution fails."""
    several: Any = stacked_member(members)
    try:
        state, row = run_epoch(task, several, epoch, before_step, most_skips=0)  # a step left out would be one of all
    except SolveError:
        return None
    columns = (entry if isinstance(entry, list) else [entry] * len(members) for entry in row)
    rows = [MemberRecord(*entries) for entries in zip(*columns, strict=True)]
    return list(zip(_parted(state, len(members)), rows, strict=True))


def _has_failed(row: MemberRecord) -> bool:
    losses = (row.smoothed_loss, row.train_loss, row.validation_loss, row.test_loss)
    return any(loss is not None and math.isnan(loss) for loss in losses)


def stacked_member(members: Sequence[Member]) -> Member:
    """Return members as one whose arrays have them in front, and whose keys are tuples."""
    return members[0]._replace(
        state=_stacked([member.state for member in members]),
        noise=tuple(cast(Key, member.noise) for member in members),
        order=tuple(cast(Key, member.order) for member in members),
    )


def _stacked(states: Sequence[State]) -> State:
    columns = zip(*(flatten(state)[0] for state in states), strict=True)
    leaves = [namespace_of(x[0]).stack(x) if is_array(x[0]) else x[0] for x in columns]
    return unflatten(flatten(states[0])[1], leaves)


def _parted(state: State, count: int) -> list[State]:
    """Return the state of each member, copied, so that none keeps the others' arrays alive."""
    leaves, structure = flatten(state)
    return [
        unflatten(structure, [namespace_of(x).asarray(x[i, ...], copy=True) if is_array(x) else x for x in leaves])
        for i in range(count)
    ]


class WorkerError(McgcError):
    """Worker processes died too often."""


@dataclass(frozen=True)
class Processes:
    """Members are advanced by `count` processes on the CPU, each with one thread.

    If a process dies, the hooks are told, and the members whose epoch was lost are advanced again from the state
    before. An epoch raises `WorkerError` if more than `MOST_DEATHS` processes die.
    """

    count: int

    @contextmanager
    def start(self, task: Task, hook: Hook) -> Iterator[Advance]:
        """Give what takes members through an epoch, and end the processes afterwards.

        Raises `InputError` if `count` is not positive, or the task is on a GPU.
        """
        from joblib.externals.loky import ProcessPoolExecutor  # which also carries a problem made of closures

        count = whole(self.count, "the number of workers")
        if task.device != HOST:
            raise InputError(f"worker processes need the CPU, not {task.device.name}: bind the task to the CPU")

        def begin() -> Any:
            task_of = (task.settings, task.data, task.problem, dict(task.replaced))
            env = dict.fromkeys(THREADS, "1")
            return ProcessPoolExecutor(count, initializer=_begin, initargs=(os.getpid(), *task_of), env=env)

        pool, deaths = begin(), 0

        def advance_all(members: Mapping[int, Member], epoch: int) -> Iterator[Advanced]:
            nonlocal pool, deaths
            left = dict(members)
            while left:
                try:
                    futures = {pool.submit(_advance, left[index], index, epoch): index for index in left}
                    while futures:
                        for future in wait(futures, timeout=0.1, return_when=FIRST_COMPLETED).done:
                            index = futures.pop(future)
                            after, row = future.result()
                            del left[index]
                            yield Advanced(index, after, [row])
                        hook.before_step()
                except BrokenExecutor:
                    deaths += 1
                    if deaths > MOST_DEATHS:
                        raise WorkerError(f"{deaths} worker processes died: see if memory is short") from None
                    hook.message(f"a worker process died in epoch {epoch}: its members go on from the epoch before")
                    pool.shutdown(kill_workers=True)
                    pool = begin()

        try:
            yield advance_all
        finally:
            pool.shutdown(kill_workers=True)


def _begin(parent: int, settings: Any, data: Any, problem: Any, replaced: dict[str, Any]) -> None:
    begin_worker(parent)
    _tasks[:] = [bind(settings, data, HOST, problem, **replaced)]


def begin_worker(parent: int) -> None:
    """Leave the signals of a terminal to the process `parent`, and end with it."""
    for name in {"SIGINT", "SIGHUP"} & {*dir(signal)}:  # Windows has no SIGHUP
        signal.signal(getattr(signal, name), signal.SIG_IGN)  # a terminal sends it to all; the parent decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _advance(member: Member, index: int, epoch: int) -> tuple[Member, MemberRecord]:
    return advance(_tasks[0], member, index, epoch)
