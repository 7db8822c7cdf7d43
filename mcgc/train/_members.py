"""A member of a run, and the records of its epochs."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from mcgc.continuation import State
from mcgc.random import Keys

Numbers = tuple[float | None, ...]  # one entry a member
Counts = tuple[int | None, ...]


class Member(NamedTuple):
    """A model in training.

    Parameters
    ----------
    state : State
        θ, φ and the optimisers.
    noise, order : Key
        The keys of its noise, and of the order of its minibatches. Stacked members have tuples of them.
    best : State
        The state after the best epoch: the one with the lowest loss of the validation set, or of the training set where
        there is none.
    lowest : float
        That loss.
    restores, restored_at : int
        How often the best state was taken up again, and at which step last.
    """

    state: State
    noise: Keys
    order: Keys
    best: State
    lowest: float = math.inf
    restores: int = 0
    restored_at: int = 0

    @property
    def past(self) -> tuple[int, int]:
        """What the method depends on (`Task.method`): how often it was restored, and at which step last."""
        return self.restores, self.restored_at


class MemberRecord(NamedTuple):
    """What an epoch of one member came to; `Record` has each of these for all members, and says what it is.

    Where members are stacked, entries that differ between them are lists (`Stacked`).
    """

    train_loss: Any
    smoothed_loss: Any
    validation_loss: Any
    test_loss: Any
    test_accuracy: Any
    log_lam: Any
    grad_log_lam: Any
    grad_log_lam_total: Any
    function_evaluations: Any
    accepted_steps: Any
    rejected_steps: Any
    steps: int
    skipped: int
    restored: bool
    seconds: float

    @property
    def score(self) -> float:
        """The loss that the best epoch is chosen by: of the validation set, or of the training set if there is none."""
        return self.train_loss if self.validation_loss is None else self.validation_loss


class Advanced(NamedTuple):
    """A member that came through an epoch or several.

    Parameters
    ----------
    number : int
        Its number.
    member : Member
        Its state after them.
    records : sequence of MemberRecord
        Their records.
    before : Member, optional
        Its state after the last epoch but one, where that is known.
    where : str
        The worker that did it, "" for this process and its children.
    """

    number: int
    member: Member
    records: Sequence[MemberRecord]
    before: Member | None = None
    where: str = ""


class Record(NamedTuple):
    """One epoch; tuples have one entry a member, and None where there is no such number.

    Parameters
    ----------
    epoch : int
        Its number, from 1.
    horizon : int
        The length of its windows in observed intervals, 0 where it trains on whole examples.
    train_loss, validation_loss, test_loss : tuple of float
        Losses of θ after the epoch, over whole examples, in the units of the data. They are infinite where a field that
        was trained on short windows cannot be solved over whole series yet.
    smoothed_loss : tuple of float
        The mean over the steps of the loss at the perturbed parameters.
    test_accuracy : tuple of float
        The fraction of the test set that θ names rightly.
    log_lam : tuple of float
        φ after the epoch.
    grad_log_lam, grad_log_lam_total : tuple of float
        Means over the steps: of the estimates of ∂g/∂φ, and of the gradients that drove φ, with the term of β. They are
        those of the loss that is minimised.
    function_evaluations, accepted_steps, rejected_steps : tuple of int
        Of the solver, in the training steps of the epoch.
    steps : tuple of int
        Training steps since the start of the run.
    skipped : tuple of int
        Steps of the epoch that failed and were left out.
    restored : tuple of bool
        Whether the epoch diverged, and the member went back to its best state.
    member_seconds : tuple of float
        Wall-clock time of each member.
    seconds : float
        Wall-clock time of the epoch.
    """

    epoch: int
    horizon: int
    train_loss: Numbers
    smoothed_loss: Numbers
    validation_loss: Numbers
    test_loss: Numbers
    test_accuracy: Numbers
    log_lam: Numbers
    grad_log_lam: Numbers
    grad_log_lam_total: Numbers
    function_evaluations: Counts
    accepted_steps: Counts
    rejected_steps: Counts
    steps: tuple[int, ...]
    skipped: tuple[int, ...]
    restored: tuple[bool, ...]
    member_seconds: tuple[float, ...]
    seconds: float
