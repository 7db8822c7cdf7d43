"""A member of a run, and the records of its epochs."""

import math
from typing import Any, NamedTuple

from mcgc.continuation import State
from mcgc.random import Keys

Numbers = tuple[float | None, ...]  # one entry a member
Counts = tuple[int | None, ...]


class Member(NamedTuple):
    """A model in training: its state, and the keys of its noise and of the order of its minibatches.

    `best` is its state after the best epoch: the one with the lowest loss of the validation set, or of the training
    set where there is none, and `lowest` is that loss. It was taken up again `restores` times, last at step number
    `restored_at`.
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


class Record(NamedTuple):
    """One epoch; tuples have one entry a member.

    `horizon` is the length of the epoch's windows in observed intervals, 0 where it trains on whole examples.
    `train_loss`, `validation_loss` and `test_loss` are those of θ itself after the epoch, over whole examples: infinite
    where a field that was trained on short windows cannot be solved over whole series yet. `smoothed_loss` is the mean
    over the epoch's steps of the loss at the perturbed parameters. `log_lam` is φ after the epoch, `grad_log_lam` the
    mean of the estimates of ∂g/∂φ, and `grad_log_lam_total` that of the gradients that drove φ, with the term of β.
    Losses are in the units of the data; the gradients of φ are those of the loss that is minimised. `test_accuracy` is
    the fraction of the test set that θ names rightly. Evaluations, and accepted and rejected steps, of the solver are
    those of the training steps, of which there were `steps` from the start of the run on. `skipped` of the epoch's
    steps failed and were left out. `restored` tells that the epoch diverged, and the member went back to its best
    state. `seconds` is what the epoch took, of all members. None stands where there is no such number.
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
