"""Fair timing: each side in a process of its own with the same threads, their runs interleaved, and the statistics."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple


class Side(NamedTuple):
    """One library's way to do a job: `run()` does it `count` times; `values` are numbers all sides must agree on."""

    run: Callable[[], Any]
    count: int
    values: Mapping[str, Any]


class Spread(NamedTuple):
    """A median with the first and the third quartile."""

    median: float
    low: float
    high: float


class Timing(NamedTuple):
    """Seconds a job of one side, one number a round, by both clocks; and the side's values."""

    wall: list[float]
    processor: list[float]
    values: Mapping[str, Any]

    def seconds(self, threads: int) -> list[float]:
        """Return the seconds to compare: on one thread the processor's, which other processes do not lengthen."""
        return self.processor if threads == 1 else self.wall


def spread(samples: Sequence[float]) -> Spread:
    """Return the median and the quartiles of `samples`, by linear interpolation."""
    if len(samples) == 1:
        return Spread(samples[0], samples[0], samples[0])
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Spread(median, low, high)


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the spread of the quotients round by round: what disturbs a round disturbs both sides of it."""
    return spread([a / b for a, b in zip(numerators, denominators, strict=True)])


def environment(threads: int) -> dict[str, str]:
    """Return the variables that hold every library to `threads` threads; they are read when a process starts."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    single = " intra_op_parallelism_threads=1" if threads == 1 else ""
    eigen = f"--xla_cpu_multi_thread_eigen={'false' if threads == 1 else 'true'}{single}"
    return {f"{name}_NUM_THREADS": str(threads) for name in names} | {
        "XLA_FLAGS": eigen,
        "JAX_PLATFORMS": "cpu",
        "NPROC": str(threads),
    }


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that start within."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def pin(threads: int) -> None:
    """Hold this process, and the threads it will start, to `threads` of the cores it may use, the last ones."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _serve(connection: Any, module: str, side: str, options: Mapping[str, Any], threads: int) -> None:
    """Build a side, send its count and values, then time as many runs as each number received says, until None."""
    pin(threads)
    try:
        built: Side = import_module(module).SIDES[side](**options)
        built.run()  # compiles, and fills the caches
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in ("bench", "mcgc", "mcgc_datasets"):
            raise
        connection.send(None)
        return
    connection.send((built.count, built.values))
    while (number := connection.recv()) is not None:
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(number):
            built.run()
        connection.send((time.perf_counter() - wall, time.process_time() - processor))


class Worker:
    """A side in a process of its own; `ready` is its count and values, or None if its library is not installed."""

    def __init__(self, module: str, side: str, options: Mapping[str, Any], threads: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        arguments = (theirs, module, side, options, threads)
        self._process = spawn.Process(target=_serve, args=arguments, daemon=True)
        with variables(environment(threads)):
            self._process.start()
        theirs.close()
        self.ready = self._receive()

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            raise RuntimeError("a side of the benchmark ended early; its traceback is above") from None

    def time(self, number: int) -> tuple[float, float]:
        """Return what `number` runs take, in seconds of the wall's clock and of the processor's."""
        self._connection.send(number)
        return self._receive()

    def close(self) -> None:
        """End the process."""
        if self._process.is_alive() and self.ready is not None:
            self._connection.send(None)
        self._process.join()


def measure(
    module: str,
    sides: Sequence[str],
    options: Mapping[str, Any],
    threads: int,
    rounds: int,
    seconds: float,
    own: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Timing | None]:
    """Time `sides` of `module`, one after another, `rounds` times over; a side that is not installed is None.

    Each turn is at least `seconds` of processor time, found by doubling. `options` go to the sides' builders, and
    `own` are further ones of a side by its name.
    """
    own = own or {}
    workers: dict[str, Worker] = {}
    try:
        for side in sides:
            workers[side] = Worker(module, side, {**options, **own.get(side, {})}, threads)
        present = {side: worker for side, worker in workers.items() if worker.ready is not None}
        numbers = {side: _number(worker, seconds, side in own) for side, worker in present.items()}
        turns: dict[str, list] = {side: [] for side in present}
        for _ in range(rounds):
            for side, worker in present.items():
                turns[side].append(worker.time(numbers[side]))
    finally:
        for worker in workers.values():
            worker.close()
    found: dict[str, Timing | None] = dict.fromkeys(sides)
    for side, worker in present.items():
        count, values = worker.ready
        wall, processor = ([t / (count * numbers[side]) for t in times] for times in zip(*turns[side], strict=True))
        found[side] = Timing(wall, processor, values)
    return found


def _number(worker: Worker, seconds: float, by_wall: bool) -> int:
    """Return how many runs take at least `seconds` of processor time, or by the wall's clock."""
    number = 1
    while worker.time(number)[0 if by_wall else 1] < seconds:
        number *= 2
    return number
