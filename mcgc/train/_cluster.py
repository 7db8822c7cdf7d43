"""Members on a Dask cluster: workers take some of them through some epochs, and this process keeps what they did."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mcgc._integers import whole
from mcgc.arrays import HOST, Device
from mcgc.errors import InputError
from mcgc.train._cluster_work import Order, advance_some, read_answer, share_of, write_order
from mcgc.train._hooks import Hook
from mcgc.train._members import Advanced, Member
from mcgc.train._strategies import MOST_DEATHS, Advance
from mcgc.train._task import Task

SHARES = 4  # of the members that each thread gets in turn, so that all end at about the same time
MOST = 64  # members in one call
SECONDS, PACE = 2.0, 20.0  # of a call at least, and answers a second that this process gets at most


class Cluster:
    """Members are advanced by the workers of a Dask cluster, some of them in each call.

    A call takes its members through as many epochs as fit in `seconds`, and one at least. Its records and states then
    come back, and the next call goes on from there, on any worker. Those that are behind go first. With a `patience`
    all members do an epoch before one of them does the next.

    If a worker dies, its members go on elsewhere from the state that came back last. If the scheduler is started again
    within Dask's time limit, the run goes on. A worker of another version of mcgc, NumPy, Numba or Python is refused.
    None of this changes a bit of the result. Workers use the kind of device that the task has, and one thread.

    Parameters
    ----------
    client : distributed.Client
        A client of the cluster.
    seconds : float, optional
        How long a call goes on, so that at most this much work is lost with a worker. By default 2, or with more than
        40 threads as long as makes 20 answers a second.
    chunk : int, optional
        The number of members in a call. By default each thread gets `SHARES` of them in turn.
    repeat : float, optional
        How many times the median a call may take before another worker is given it too, and the first answer counts.
        By default none is.

    Attributes
    ----------
    traffic : Traffic
        The numbers of workers and calls, and the sizes of the messages.

    Examples
    --------
    >>> from distributed import Client, LocalCluster
    >>> from mcgc_datasets import load
    >>> from mcgc import train
    >>> recipe = train.problems.get("lotka-volterra").recipe._replace(epochs=1, members=2)
    >>> task = train.bind(recipe, load("lotka-volterra"))
    >>> with LocalCluster(processes=False, dashboard_address=":0") as cluster, Client(cluster) as client:
    ...     for record, members in train.epochs(task, strategy=train.Cluster(client)):
    ...         print(record.epoch, len(members))
    1 2
    """

    def __init__(
        self, client: Any, seconds: float | None = None, chunk: int | None = None, repeat: float | None = None
    ):
        from mcgc._cluster import Traffic

        self.client, self.seconds = client, None if seconds is None else float(seconds)
        self.chunk = None if chunk is None else whole(chunk, "chunk")
        self.repeat = repeat
        self.traffic = Traffic()
        if self.seconds is not None and not self.seconds >= 0:
            raise InputError(f"seconds must not be negative, got {seconds!r}")
        if repeat is not None and not repeat > 1:
            raise InputError(f"repeat must be above 1, got {repeat!r}")

    @contextmanager
    def start(self, task: Task, hook: Hook) -> Iterator[Advance]:
        """Give what takes members through an epoch, and drop at the end what is in flight."""
        from mcgc._cluster import Calls

        work = (advance_some.__module__, advance_some.__name__)
        calls = Calls(self.client, *work, share_of(task), hook.message, self.repeat, MOST_DEATHS)
        final, lockstep = task.settings.epochs, task.settings.patience is not None
        flying: set[int] = set()  # numbers of members

        def send(numbers: list[int], members: list[Member], epoch: int) -> None:
            last = epoch + 1 if lockstep else final
            seconds = max(SECONDS, calls.threads / PACE) if self.seconds is None else self.seconds
            order = Order(numbers, epoch, last, final, seconds)
            flying.update(numbers)
            calls.submit((tuple(numbers), epoch), write_order(order, members), priority=-epoch)

        def advance_all(members: Mapping[int, Member], epoch: int) -> Iterator[Advanced]:
            left = set(members)
            fresh = [number for number in members if number not in flying]
            size = self._size(len(fresh), calls.threads, task.device)
            for some in (fresh[i : i + size] for i in range(0, len(fresh), size)):
                send(some, [members[number] for number in some], epoch - 1)
            while left:
                hook.before_step()
                failure: BaseException | None = None
                for (numbers, done), result in calls.collect():
                    self.traffic = calls.traffic
                    if isinstance(result, BaseException):  # what others did is not lost with it
                        failure = failure or result
                        continue
                    answer = read_answer(result, task)
                    reached = done + len(answer.records[0])
                    flying.difference_update(numbers)
                    if reached < final and not lockstep:
                        send([*numbers], answer.members, reached)
                    for i, number in enumerate(numbers):
                        before = answer.before[i] if answer.before else None
                        yield Advanced(number, answer.members[i], answer.records[i], before, answer.where)
                    left.difference_update(numbers)
                if failure is not None:
                    raise failure

        try:
            calls.collect(0.0)  # which sees the workers
            yield advance_all
        finally:
            self.traffic = calls.traffic
            calls.close()

    def _size(self, members: int, threads: int, device: Device) -> int:
        if self.chunk is not None:
            return self.chunk
        if device != HOST:  # where those of a call are stacked
            return max(1, -(-members // max(threads, 1)))
        return max(1, min(MOST, members // (SHARES * max(threads, 1))))
