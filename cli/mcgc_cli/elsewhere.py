"""Members on a cluster: how far they are, and the log of each."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from mcgc.train import Hook

if TYPE_CHECKING:
    from mcgc.train import Advanced, Run


class Progress(Hook):
    """Notes how many epochs the members of a run have done on all workers."""

    def __init__(self, run: "Run", note: Callable[[str], None]) -> None:
        self.members, self.epochs, self.note = run.task.settings.members, run.task.settings.epochs, note
        self.done = dict.fromkeys(range(self.members), run.epoch) | run.ahead
        self.workers: set[str] = set()

    def after_member(self, advanced: "Advanced", epoch: int) -> None:
        """Count the epochs of a member."""
        self.done[advanced.number] += len(advanced.records)
        self.workers.add(advanced.where)
        finished = sum(done == self.epochs for done in self.done.values())
        self.note(
            f"members have done {sum(self.done.values())} of {self.members * self.epochs} epochs, {finished} of "
            f"{self.members} are finished, on {len(self.workers)} workers"
        )


class MemberLog(Hook):
    """Writes a line of JSON for each epoch of each member: its number, the worker, and its record."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def after_member(self, advanced: "Advanced", epoch: int) -> None:
        """Write what a member did."""
        first = epoch - len(advanced.records) + 1
        for i, record in enumerate(advanced.records):
            line: dict[str, Any] = {"member": advanced.number, "epoch": first + i, "worker": advanced.where}
            self.file.write(json.dumps(line | record._asdict()) + "\n")
        self.file.flush()

    def message(self, sentence: str) -> None:
        """Write a sentence."""
        self.file.write(json.dumps({"message": sentence}) + "\n")
        self.file.flush()
