"""What a worker of a cluster does: it takes some members through epochs. And the messages to it and from it.

A message is a file of NumPy without pickled objects: the states of the members as `pack` names them, and JSON.
"""

import io
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from mcgc.arrays import HOST
from mcgc.train._hooks import Hook
from mcgc.train._members import Member, MemberRecord
from mcgc.train._resume import pack, unpack
from mcgc.train._strategies import strategy_for
from mcgc.train._task import Task, bind

_tasks: dict[str, Task] = {}  # of this process, by the hash of what they are made from
_lock = Lock()  # a process of several threads trains in one of them


class Order(NamedTuple):
    """What a worker is to do: with which members, from which epoch, to which, and after how long it may stop.

    It stops at the end of an epoch after `seconds`, or after epoch `last`. After the last epoch of the run, `final`, it
    returns the states before that epoch too.
    """

    numbers: Sequence[int]
    epoch: int
    last: int
    final: int
    seconds: float


class Answer(NamedTuple):
    """What a worker did: the states of the members, those of the epoch before, and the records of each."""

    members: list[Member]
    before: list[Member]
    records: list[list[MemberRecord]]
    where: str
    seconds: float


def share_of(task: Task) -> bytes:
    """Return what all calls share: a task as it was given to `bind`, as Dask sends objects."""
    from distributed.protocol.pickle import dumps

    kind = task.device.name.partition(":")[0]
    found: bytes = dumps((task.settings, task.data, task.problem, dict(task.replaced), kind))
    return found


def advance_some(key: str, shared: bytes, message: bytes) -> bytes:
    """Take members through epochs, and return the answer as a message."""
    with _lock:
        task, began = _task_of(key, shared), time.perf_counter()
        order, members = read_order(message, task)
        rows: dict[int, list[MemberRecord]] = {number: [] for number in order.numbers}
        before: dict[int, Member] = {}
        with strategy_for(task.device).start(task, Hook()) as advance:
            for epoch in range(order.epoch + 1, order.last + 1):
                if epoch == order.final:
                    before = dict(members)
                for found in advance(members, epoch):
                    members[found.number] = found.member
                    rows[found.number].extend(found.records)
                if time.perf_counter() - began >= order.seconds:
                    break
        where = ""
        with suppress(ImportError, ValueError):  # a test calls it without a worker
            from distributed import get_worker

            where = get_worker().address
        said = {"records": list(rows.values()), "where": where, "seconds": time.perf_counter() - began}
        return _written(said, members=list(members.values()), before=list(before.values()))


def _task_of(key: str, shared: bytes) -> Task:
    """Return the task, bound once in each process."""
    from distributed.protocol.pickle import loads

    if key not in _tasks:
        settings, data, problem, replaced, kind = loads(shared)
        device = HOST
        if kind != HOST.name:
            from mcgc.devices import select_device

            device = select_device(kind)[0]
        _tasks.clear()  # of a run that has ended
        _tasks[key] = bind(settings, data, device, problem, **replaced)
    return _tasks[key]


def write_order(order: Order, members: Sequence[Member]) -> bytes:
    """Return an order and the states of its members as a message."""
    return _written(order._asdict(), members=members)


def read_order(message: bytes, task: Task) -> tuple[Order, dict[int, Member]]:
    """Return what `write_order` wrote, the members by their numbers."""
    said, arrays = _read(message)
    order = Order(**said)
    return order, dict(zip(order.numbers, _members(arrays, "members", task, len(order.numbers)), strict=True))


def read_answer(message: bytes, task: Task) -> Answer:
    """Return the answer of a worker."""
    said, arrays = _read(message)
    records = [[MemberRecord(*row) for row in rows] for rows in said["records"]]
    members, before = (_members(arrays, part, task, len(records)) for part in ("members", "before"))
    return Answer(members, before, records, said["where"], said["seconds"])


def _members(arrays: Mapping[str, np.ndarray], part: str, task: Task, count: int) -> list[Member]:
    leaves = {name.partition(":")[2]: array for name, array in arrays.items() if name.partition(":")[0] == part}
    return unpack(leaves, task, count) if leaves else []


def _written(said: Any, **parts: Sequence[Member]) -> bytes:
    arrays = {f"{part}:{name}": array for part, some in parts.items() if some for name, array in pack(some).items()}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, said=np.frombuffer(json.dumps(said).encode(), "u1"), **arrays)
    return file.getvalue()


def _read(message: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    with np.load(io.BytesIO(message), allow_pickle=False) as file:
        arrays = dict(file)
    return json.loads(arrays.pop("said").tobytes()), arrays
