"""Hooks: what a run calls while it goes, for progress, signals, logs and the like."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcgc.train._members import Advanced, Record


class Hook:
    """What a run calls while it goes. The methods do nothing: override those that you need.

    An exception that a method raises ends the run, after the epochs so far are saved.
    """

    def before_step(self) -> None:
        """Is called before each step of each member, or with processes ten times a second."""

    def after_member(self, advanced: "Advanced", epoch: int) -> None:
        """Is called when a member came to the end of epoch number `epoch`, on a cluster perhaps before the others."""

    def after_epoch(self, record: "Record") -> None:
        """Is called after each epoch, when it may have been saved, with its record."""

    def after_run(self, results: Mapping[str, Any]) -> None:
        """Is called when the last epoch is done and saved, with the results of a run on a table."""

    def message(self, sentence: str) -> None:
        """Is called with a sentence for the user, such as that a worker process died."""


class Hooks(Hook):
    """Several hooks as one."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self.hooks = hooks

    def before_step(self) -> None:
        """Call all hooks."""
        for hook in self.hooks:
            hook.before_step()

    def after_member(self, advanced: "Advanced", epoch: int) -> None:
        """Call all hooks."""
        for hook in self.hooks:
            hook.after_member(advanced, epoch)

    def after_epoch(self, record: "Record") -> None:
        """Call all hooks."""
        for hook in self.hooks:
            hook.after_epoch(record)

    def after_run(self, results: Mapping[str, Any]) -> None:
        """Call all hooks."""
        for hook in self.hooks:
            hook.after_run(results)

    def message(self, sentence: str) -> None:
        """Call all hooks."""
        for hook in self.hooks:
            hook.message(sentence)
