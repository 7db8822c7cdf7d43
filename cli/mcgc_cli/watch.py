"""`mcgc watch`: a run in progress elsewhere, as its file is saved."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mcgc_cli.errors import FAILURE, INTERRUPTED, Stopped
from mcgc_cli.members import members_table
from mcgc_cli.progress import describe
from mcgc_cli.values import FILE

if TYPE_CHECKING:
    from mcgc.train import Record

RECENT = 10  # epochs, whose time tells how long the others take


class Look(NamedTuple):
    """What a look at a run file saw: the last record, those of the best epochs, and when the file was saved.

    `ahead` says how far members on a cluster are. The record is None before all have done the first epoch.
    """

    record: "Record | None"
    best: list["Record"]
    epochs: int
    finished: bool
    seconds: float
    saved: float
    ahead: str = ""

    @property
    def epoch(self) -> int:
        """The number of epochs that all members have done."""
        return 0 if self.record is None else self.record.epoch

    def head(self, run: str) -> str:
        """Return a sentence on how far the run is."""
        if self.finished:
            return f"{run} is finished after {self.epoch} epochs"
        ago = max(time.time() - self.saved, 0)
        if self.ahead:
            return f"{run}: epoch {self.epoch} of {self.epochs}, saved {ago:.0f} s ago, {self.ahead}"
        left = (self.epochs - self.epoch) * self.seconds
        return f"{run}: epoch {self.epoch} of {self.epochs}, saved {ago:.0f} s ago, about {left:.0f} s left"


@click.command()
@click.argument("run", type=FILE)
@click.option(
    "--every",
    type=click.FloatRange(0.05),
    default=1.0,
    show_default=True,
    help="Seconds between two looks at the file.",
)
def watch(run: str, every: float) -> None:
    """Show the run in the file RUN, which another process trains, until it is finished.

    In a terminal it is a table of the members. Where stdout is no terminal, each saved epoch is a line. The run is only
    read. An interrupt ends the watching and leaves the run alone.
    """
    try:
        with _shown(run) as show:
            last = None
            for look in _looks(run, every):
                show(look)
                last = look
        if last is not None and not last.finished:
            raise Stopped(
                f"nobody trains {run} any more, after epoch {last.epoch} of {last.epochs}: continue it with "
                f"mcgc fit --resume {run}",
                FAILURE,
            )
    except KeyboardInterrupt:
        raise Stopped("stopped watching; the run itself was left alone", INTERRUPTED) from None


def _looks(run: str, every: float) -> Iterator[Look | None]:
    """Yield a look at the file after each save, and None in between, until the run is finished or has no process."""
    from mcgc._lock import held

    seen: tuple[int, ...] = ()
    while True:
        going = held(run)  # asked before the file is read: what was saved at the end is then seen
        try:
            stat = os.stat(run)
            now: tuple[int, ...] = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            now = ()
        if now != seen or not (now or going):  # a file that nobody is about to write is refused as it is read
            seen = now
            look = _look(run)
            yield look
            if look.finished:
                return
        if not going:
            return
        yield None
        time.sleep(every)


def _look(run: str) -> Look:
    from mcgc.paper.comparison import best_records
    from mcgc.train import run_file
    from mcgc.train._resume import records

    found = run_file.load(run, begun=True)
    made = records(found)
    seconds = [record.seconds for record in made[-RECENT:]]
    epochs = int(found.settings.get("epochs") or len(made))
    saved, mean = os.stat(run).st_mtime, sum(seconds) / max(len(seconds), 1)
    done = found.ahead.get("done", ())
    ahead = f"members have done {sum(done)} of {len(done) * epochs} epochs" if len(done) else ""
    last, best = (made[-1], best_records(made)) if made else (None, [])
    return Look(last, best, epochs, found.finished, mean, saved, ahead)


@contextmanager
def _shown(run: str) -> Iterator[Callable[[Look | None], None]]:
    """Yield a function that shows a look: as a table on a terminal, or else as a line. None is no new look."""
    if sys.stdout is None or not sys.stdout.isatty():
        yield lambda look: None if look is None else click.echo(_line(look))
        return
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    latest: list[Look] = []

    def drawn() -> Any:
        if not latest:
            return Text(f"{run}: waiting for the first epoch")
        head, record = Text(latest[0].head(run)), latest[0].record
        return head if record is None else Group(head, members_table(record, latest[0].best))

    with Live(drawn(), console=Console(highlight=False), auto_refresh=False) as live:

        def show(look: Look | None) -> None:
            latest[:] = latest if look is None else [look]
            live.update(drawn(), refresh=True)

        yield show


def _line(look: Look) -> str:
    parts = [describe(look.record)] if look.record else []
    parts += [look.ahead] * bool(look.ahead) + ["finished"] * look.finished
    return f"epoch {look.epoch} of {look.epochs}: {', '.join(parts)}"
