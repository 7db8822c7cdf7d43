"""A hook that writes what TensorBoard shows: losses, λ and scores of each member, by the epoch."""

import math
import os
import socket
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mcgc.errors import InputError, OutputError
from mcgc.train._hooks import Hook
from mcgc.train._members import Record

TAGS = {
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "test_loss": "loss/test",
    "smoothed_loss": "loss/smoothed",
    "test_accuracy": "accuracy/test",
    "log_lam": "lambda/log",
}


class TensorBoard(Hook):
    """Writes event files for TensorBoard: `tensorboard --logdir DIRECTORY` shows them while the run goes.

    Each member has a folder, `member-0` and so on, with `loss/train`, `loss/validation`, `loss/test`, `loss/smoothed`,
    `accuracy/test`, `lambda/value` and `lambda/log`, as far as the run has them. When a run on a table is done, the
    folders `train`, `validation` and `test` get the scores of all members together. Events are on the disk after each
    epoch. A run that goes on continues in its folder; one that begins takes the next free name if there is one already.

    Parameters
    ----------
    directory : str or path
        The folder of the run. It is made.

    Raises
    ------
    InputError
        If the package tensorboard is not installed.

    Examples
    --------
    >>> import mcgc
    >>> from mcgc import train
    >>> table = {"x": list(range(20)), "y": list(range(20))}
    >>> board = train.TensorBoard("logs/first")
    >>> found = mcgc.fit(table, "regression", target="y", epochs=2, hooks=[board])
    >>> sorted(path.name for path in board.directory.iterdir())
    ['member-0', 'test', 'train', 'validation']
    """

    def __init__(self, directory: str | os.PathLike) -> None:
        if find_spec("tensorboard") is None:
            raise InputError(
                "event files need the package tensorboard, which is not installed: pip install 'mcgc[tensorboard]'"
            )
        self.directory = Path(directory)
        self._file, self._epoch = "", 0

    def after_epoch(self, record: Record) -> None:
        """Write the numbers of each member."""
        if not self._file:
            self._begin(record.epoch == 1)
        self._epoch = record.epoch
        for member in range(len(record.steps)):
            values = {tag: getattr(record, field)[member] for field, tag in TAGS.items()}
            if values["lambda/log"] is not None:
                values["lambda/value"] = math.exp(values["lambda/log"])
            self._write(f"member-{member}", values)

    def after_run(self, results: Mapping[str, Any]) -> None:
        """Write the scores."""
        if not self._file:
            return
        for part, scores in results.get("scores", {}).items():
            named = {kind: values if isinstance(values, dict) else {"all": values} for kind, values in scores.items()}
            self._write(part, {f"{kind}/{name}": x for kind, values in named.items() for name, x in values.items()})

    def _begin(self, first: bool) -> None:
        """Choose the folder, and the name of the event files."""
        number, wanted = 1, self.directory
        while first and self.directory.exists():
            number += 1
            self.directory = wanted.with_name(f"{wanted.name}-{number}")
        self._file = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"

    def _write(self, folder: str, values: Mapping[str, float | None]) -> None:
        """Append an event with numbers to the file of a folder."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        there = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items() if value is not None]
        event = Event(wall_time=time.time(), step=self._epoch, summary=Summary(value=there))
        path = self.directory / folder / self._file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "ab") as file:
                writer = RecordWriter(file)
                if file.tell() == 0:
                    writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
                writer.write(event.SerializeToString())
        except OSError as error:
            raise OutputError(
                f"event files cannot be written in {str(self.directory)!r} ({error.strerror}): give another directory"
            ) from error
