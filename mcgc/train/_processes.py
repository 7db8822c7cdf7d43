"""Members of a run advanced by processes of their own, to the same bits as one after the other."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from contextlib import contextmanager
from typing import Any

from mcgc import train
from mcgc._integers import whole
from mcgc.arrays import HOST
from mcgc.errors import McgcError
from mcgc.train._epoch import Advance, Member, MemberRecord, Task, advance
from mcgc.train.problems import Problem
from mcgc.train.settings import Settings

MOST_DEATHS = 10  # of worker processes in a run: then it is not chance
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

_tasks: list[Task] = []  # of a worker process: the one that it was started for


class WorkerError(McgcError):
    """Worker processes died too often."""


@contextmanager
def workers(
    count: int,
    settings: Settings,
    data: Any,
    problem: Problem | None = None,
    pause: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Advance]:
    """Give what takes all members through an epoch in `count` processes on the CPU, for `training.epochs`.

    A process has one thread. If one dies, `say` is told, and the members whose epoch was lost are advanced again from
    the state before. `pause()` is called now and then; an exception that it raises ends the processes.

    Raises `InputError` if `count` is not positive, and from an epoch `WorkerError` if more than
    `MOST_DEATHS` processes die, or whatever a member raises.
    """
    count = whole(count, "the number of workers")
    from joblib.externals.loky import ProcessPoolExecutor  # which also carries a problem made of closures

    def start() -> Any:
        return ProcessPoolExecutor(
            count,
            initializer=_begin,
            initargs=(os.getpid(), settings, data, problem),
            env=dict.fromkeys(_THREADS, "1"),
        )

    pool, deaths = start(), 0

    def advance_all(task: Task, members: Sequence[Member], epoch: int) -> list[tuple[Member, MemberRecord]]:
        nonlocal pool, deaths
        found: dict[int, tuple[Member, MemberRecord]] = {}
        while len(found) < len(members):
            try:
                futures = {
                    pool.submit(_advance, member, index, epoch): index
                    for index, member in enumerate(members)
                    if index not in found
                }
                while futures:
                    for future in wait(futures, timeout=0.1, return_when=FIRST_COMPLETED).done:
                        found[futures.pop(future)] = future.result()
                    pause()
            except BrokenExecutor:
                deaths += 1
                if deaths > MOST_DEATHS:
                    raise WorkerError(f"{deaths} worker processes died: see if memory is short") from None
                say(f"a worker process died in epoch {epoch}: its members go on from the epoch before")
                pool.shutdown(kill_workers=True)
                pool = start()
        return [found[index] for index in range(len(members))]

    try:
        yield advance_all
    finally:
        pool.shutdown(kill_workers=True)


def _begin(parent: int, settings: Settings, data: Any, problem: Problem | None) -> None:
    for name in {"SIGINT", "SIGHUP"} & {*dir(signal)}:  # Windows has no SIGHUP
        signal.signal(getattr(signal, name), signal.SIG_IGN)  # a terminal sends it to all; the parent decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _tasks[:] = [train.bind(settings, data, HOST, problem)]


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _advance(member: Member, index: int, epoch: int) -> tuple[Member, MemberRecord]:
    return advance(_tasks[0], member, index, epoch)
