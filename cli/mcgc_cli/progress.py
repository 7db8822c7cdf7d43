"""Progress of a training: a bar and a table of the members on a terminal, and otherwise some lines."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from mcgc_cli.errors import tell
from mcgc_cli.members import members_table

MOST_LINES = 30
NOTE = 10.0  # seconds between two lines of notes


class Show(Protocol):
    """Shows a record of `mcgc.train`. If there are several runs, `epoch` counts over all, and `run` names the run."""

    def __call__(self, record: Any, epoch: int | None = None, run: str = "") -> None:
        """Show `record`."""

    def note(self, sentence: str) -> None:
        """Show how far members are that are ahead of the others."""


@contextmanager
def progress(epochs: int, quiet: bool) -> Iterator[Show]:
    """Yield a function that shows a record on stderr: as a bar and a table on a terminal, or else as a line."""
    if quiet:
        yield _Quiet()
    elif sys.stderr is not None and sys.stderr.isatty():
        with _bar(epochs) as show:
            yield show
    else:
        yield _Lines(epochs)


class _Quiet:
    """Shows nothing."""

    def __call__(self, record: Any, epoch: int | None = None, run: str = "") -> None:
        pass

    def note(self, sentence: str) -> None:
        pass


@contextmanager
def _bar(epochs: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, auto_refresh=False)
    task = bar.add_task("first epoch", total=epochs)
    with Live(bar, console=console) as live:
        try:
            yield _Bar(live, bar, task)
        finally:
            live.update(bar)  # the table of the result follows


class _Bar:
    """Shows a bar, what is noted, and a table of the members on a terminal."""

    def __init__(self, live: Any, bar: Any, task: Any) -> None:
        self._live, self._bar, self._task = live, bar, task
        self._parts: dict[str, Any] = {"bar": bar}

    def __call__(self, record: Any, epoch: int | None = None, run: str = "") -> None:
        self._bar.update(self._task, completed=epoch or record.epoch, description=run + describe(record))
        self._update(table=members_table(record))

    def note(self, sentence: str) -> None:
        from rich.text import Text

        self._update(note=Text(sentence))

    def _update(self, **parts: Any) -> None:
        from rich.console import Group

        self._parts |= parts
        self._live.update(Group(*(self._parts[name] for name in ("bar", "note", "table") if name in self._parts)))


class _Lines:
    """Shows some epochs as lines, and what is noted now and then."""

    def __init__(self, epochs: int) -> None:
        self._epochs, self._every = epochs, math.ceil(epochs / MOST_LINES)
        self._start = self._noted = time.monotonic()
        self._first = 0  # epoch shown; a resumed run spent no time on those before

    def __call__(self, record: Any, epoch: int | None = None, run: str = "") -> None:
        epoch = epoch or record.epoch
        self._first = self._first or epoch
        if epoch % self._every == 0 or epoch in (1, self._epochs) or any(record.restored + record.skipped):
            left = (time.monotonic() - self._start) / (epoch - self._first + 1) * (self._epochs - epoch)
            tell(f"epoch {epoch} of {self._epochs}: {run}{describe(record)}, {left:.0f} s left")

    def note(self, sentence: str) -> None:
        if time.monotonic() - self._noted >= NOTE:
            self._noted = time.monotonic()
            tell(sentence)


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
