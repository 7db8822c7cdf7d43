"""Progress of a training: a bar on a terminal, and otherwise some lines."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from mcgc_cli.errors import tell

MOST_LINES = 30


class Show(Protocol):
    """Shows a record of `mcgc.train`. If there are several runs, `epoch` counts over all, and `run` names the run."""

    def __call__(self, record: Any, epoch: int | None = None, run: str = "") -> None:
        """Show `record`."""


@contextmanager
def progress(epochs: int, quiet: bool) -> Iterator[Show]:
    """Yield a function that shows a record on stderr: as a bar on a terminal, or else as a line."""
    if quiet:
        yield lambda record, epoch=None, run="": None
    elif sys.stderr is not None and sys.stderr.isatty():
        with _bar(epochs) as show:
            yield show
    else:
        yield _lines(epochs)


@contextmanager
def _bar(epochs: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("first epoch", total=epochs)

        def show(record: Any, epoch: int | None = None, run: str = "") -> None:
            bar.update(task, completed=epoch or record.epoch, description=run + describe(record))

        yield show


def _lines(epochs: int) -> Show:
    start, every = time.monotonic(), math.ceil(epochs / MOST_LINES)
    first: list[int] = []  # first epoch shown; a resumed run spent no time on those before

    def show(record: Any, epoch: int | None = None, run: str = "") -> None:
        epoch = epoch or record.epoch
        first[:] = first or [epoch]
        if epoch % every == 0 or epoch in (1, epochs) or any(record.restored + record.skipped):
            left = (time.monotonic() - start) / (epoch - first[0] + 1) * (epochs - epoch)
            tell(f"epoch {epoch} of {epochs}: {run}{describe(record)}, {left:.0f} s left")

    return show


def describe(record: Any) -> str:
    """Return the losses, accuracy and λ of `record` as means over the members. For λ it is the mean of φ."""
    parts = [f"windows of {record.horizon}"] if record.horizon else []
    losses = {"train": record.train_loss, "test": record.test_loss}
    parts += [f"{name} {_mean(values):.4g}" for name, values in losses.items() if None not in values]
    if None not in record.test_accuracy:
        parts.append(f"accuracy {_mean(record.test_accuracy):.2%}")
    if None not in record.log_lam:
        parts.append(f"lambda {math.exp(_mean(record.log_lam)):.2e}")
    if any(record.skipped):
        parts.append(f"{sum(record.skipped)} steps failed and were skipped")
    if any(record.restored):
        parts.append(f"{sum(record.restored)} diverged and went back to the best epoch")
    return ", ".join(parts)


def _mean(values: tuple) -> float:
    return sum(values) / len(values)
