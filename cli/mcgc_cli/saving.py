"""When a run in progress is saved, and what must hold for it to go on."""

import hashlib
import os
import time
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from mcgc.arrays import Device, is_array, to_host
from mcgc.autodiff.pytree import flatten
from mcgc.errors import InputError, OutputError
from mcgc.train import Settings, run_file
from mcgc.train._packing import differences, pack, records
from mcgc.train.run_file import Run, columns, save
from mcgc_cli.sentences import FAILURE, Stopped

SECONDS = 2.0  # between two saves, at least


class Saver:
    """Keeps the records and the last two states of a run, and writes them to `path` from time to time.

    Which states a file holds depends on its last epoch alone: the one after it, and the one before.
    """

    def __init__(self, path: str, overwrite: bool, every: int, start: Run) -> None:
        self.path, self.overwrite, self.every, self.run = path, overwrite, every, start
        self.records: list[Any] = []
        self.states: list[Any] = []  # of the last epoch and the one before: members, or leaves by name
        self.saved, self.when = 0, -SECONDS

    @property
    def epoch(self) -> int:
        """The number of epochs done."""
        return len(self.records)

    def scale(self, scaling: Any) -> None:
        """Keep in the file what the series are standardised by, if they are."""
        if scaling is not None:
            numbers = {field: to_host(values).tolist() for field, values in scaling._asdict().items()}
            self.run = self.run._replace(scaling=numbers)

    def take(self, record: Any, members: Sequence[Any]) -> None:
        """Take in an epoch, and save if it is time, or the last one."""
        self.records.append(record)
        self.states = [members, *self.states[:1]]
        last = self.epoch == self.run.settings["epochs"]
        due = self.epoch % self.every == 0 and time.monotonic() - self.when >= SECONDS
        if last or due:
            self.save()

    def save(self) -> None:
        """Write what is not yet on the disk; an `OutputError` ends the command with the status of a failure."""
        if self.epoch == self.saved:
            return
        states = [state if isinstance(state, dict) else pack(state) for state in self.states]
        finished = self.epoch == self.run.settings["epochs"]
        run = self.run._replace(finished=finished, epochs=columns(self.records), states=states)
        if not self.overwrite:
            self.path = free(self.path)  # a file made meanwhile must not cost a long run
        epoch, self.saved = self.saved, self.epoch  # one that cannot be written is not tried again
        try:
            save(self.path, run, self.overwrite)
        except OutputError as error:
            kept = f"; the epochs up to {epoch} are still there" if epoch else ""
            raise Stopped(f"{error}{kept}", FAILURE) from error
        self.overwrite, self.when = True, time.monotonic()


def begun(path: str, overwrite: bool, every: int, settings: Settings, data: Any, place: Device) -> Saver:
    """Return what saves a run that begins."""
    start = Run(settings._asdict(), run_file.versions(), dataset_of(data), place.name, False, {}, ())
    return Saver(path, overwrite, every, start)


def free(path: str) -> str:
    """Return `path`, or the first of path-2, path-3, ... where there is something already."""
    whole = Path(path)
    numbered = (str(whole.with_name(f"{whole.stem}-{number}{whole.suffix}")) for number in count(2))
    return next(name for name in chain([path], numbered) if not os.path.lexists(name))


def dataset_of(data: Any) -> dict[str, str]:
    """Return where `data` came from, and its SHA-256, computed from its arrays if it does not say."""
    from mcgc_datasets.registry import IN_MEMORY

    source, sha256 = getattr(data, "source", IN_MEMORY), getattr(data, "sha256", None)
    if sha256 is None:
        found = hashlib.sha256()
        for leaf in flatten(data)[0]:
            found.update(f"{leaf.dtype} {leaf.shape}".encode() + to_host(leaf).tobytes() if is_array(leaf) else b"")
        sha256 = found.hexdigest()
    return {"source": source if source == IN_MEMORY else os.path.abspath(source), "sha256": sha256}


def same_run(saver: Saver, old: Run, allow_changed: bool, remedy: str = "undo that, or add --allow-changed") -> Saver:
    """Return `saver` with what `old` holds, to go on from there.

    Raises `InputError`, with what differs and the remedy, if the run would not be the same one, unless that is
    allowed: then it is kept in the file.
    """
    now = saver.run
    changed = differences(old, settings=now.settings, versions=now.versions, dataset=now.dataset, device=now.device)
    if old.epoch > now.settings["epochs"]:
        raise InputError(f"{saver.path} has {old.epoch} epochs already: give --epochs that many or more")
    if changed and not allow_changed:
        raise InputError(
            f"{saver.path} would not go on as the run that it is, for the {', the '.join(changed)}: {remedy}"
        )
    notes = [f"after epoch {old.epoch}, the {change}" for change in changed]
    saver.run = now._replace(changes=[*old.changes, *notes])
    saver.records, saver.states, saver.saved = records(old), list(old.states), old.epoch
    return saver
