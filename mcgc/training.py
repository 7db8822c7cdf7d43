"""fit: an iterator of epoch records over pure training steps."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from mcgc import problems
from mcgc.arrays import Array, Device, namespace_of
from mcgc.continuation import Continuation, continuation, descent
from mcgc.errors import InputError
from mcgc.members import Advance, Member, Study, count, held_out, rows_at, steps
from mcgc.memory import foreseen
from mcgc.optim import Optimizer, adam
from mcgc.problems import Problem
from mcgc.random import Key, fold_in, permutation, split
from mcgc.schedules import SCHEDULES
from mcgc.settings import Settings, validate
from mcgc.together import advance_on

SPLIT, FIRST_MEMBER = 0, 1  # what is folded into the seed: the split of the data, and the members from here on

Numbers = tuple[float | None, ...]  # one entry a member
Counts = tuple[int | None, ...]


class Record(NamedTuple):
    """One epoch; tuples have one entry a member.

    `train_loss` and `test_loss` are those of θ itself after the epoch; `smoothed_loss` is the mean over the epoch's
    steps of the loss at the perturbed parameters, and `grad_log_lam` that of the gradient that drove φ, β included,
    `grad_log_lam_alone` without β; `log_lam` is φ after the epoch. `test_accuracy` is the fraction of the test set that
    θ names rightly. Evaluations, and accepted and rejected steps, of the solver are those of the training steps, of
    which there were `steps` from the start of the run on. `skipped` of the epoch's steps failed and were left out.
    `restored` tells that the epoch diverged, and the member went back to its best state. `seconds` is what the epoch
    took, of all members. None stands where there is no such number.
    """

    epoch: int
    train_loss: Numbers
    smoothed_loss: Numbers
    test_loss: Numbers
    test_accuracy: Numbers
    log_lam: Numbers
    grad_log_lam: Numbers
    grad_log_lam_alone: Numbers
    function_evaluations: Counts
    accepted_steps: Counts
    rejected_steps: Counts
    steps: tuple[int, ...]
    skipped: tuple[int, ...]
    restored: tuple[bool, ...]
    member_seconds: tuple[float, ...]
    seconds: float


def fit(
    settings: Settings, data: Any, device: Device, problem: Problem | None = None
) -> Iterator[tuple[Record, Array]]:
    """Train `settings.members` models on `data` and yield, after each epoch, its record and all θ, (members, m).

    `problem` is the one that `settings` names, if none of your own is given. Member i is the same whatever the number
    of members: its initial parameters, its noise and the order of its minibatches are functions of (seed, i), and the
    test set, a random tenth of the examples, is the same for all.

    Raises `InputError` if a setting is out of range or the data are too few, `SolveError` if a solution fails, and
    `mcgc.memory.OutOfMemoryError` if the memory does not suffice.
    """
    return ((record, _thetas(members)) for record, members in epochs(*begin(settings, data, device, problem)))


def begin(
    settings: Settings,
    data: Any,
    device: Device,
    problem: Problem | None = None,
    optimizer: Optimizer | None = None,
) -> tuple[Study, list[Member]]:
    """Return what `fit` starts from; `optimizer` is that of θ, if not the recipe's. Errors are those of `fit`."""
    problem = problems.get(settings.problem) if problem is None else problem
    settings = validate(settings, problem.options)
    root = Key(settings.seed)
    train, test = _parts(problem.examples(data, settings.dtype, device), fold_in(root, SPLIT), device)
    objective = problem.objective(settings)

    @cache
    def method(restores: int) -> Continuation:
        rate = settings.learning_rate / 2**restores
        return _method(objective, settings._replace(learning_rate=rate), steps(train, settings), optimizer)

    study, members = Study(problem, settings, device, objective, method, train, test), []
    with foreseen(problem, settings, device, train):
        for index in range(settings.members):
            init_key, noise, order = split(fold_in(root, FIRST_MEMBER + index), 3)
            state = method(0).init(problem.init(init_key, settings.dtype, device))
            members.append(Member(state, noise, order, state))
    return study, members


def _parts(examples: Any, key: Key, device: Device) -> tuple[Any, Any]:
    """Return the training set and the test set, a random tenth, each in the order that the examples have."""
    total = count(examples)
    num_test = held_out(total)
    if total - num_test < 1:
        raise InputError(
            f"the dataset has {total} examples, but at least 2 are needed: one to train on, one to test on"
        )
    order = permutation(key, total, device)
    test, train = (rows_at(examples, device.namespace.sort(part)) for part in (order[:num_test], order[num_test:]))
    return train, test


def _method(objective: Callable, settings: Settings, steps_per_epoch: int, optimizer: Optimizer | None) -> Continuation:
    optimizer = adam(settings.learning_rate) if optimizer is None else optimizer
    if not settings.continuation:
        return descent(objective, optimizer, has_aux=True)
    gamma = settings.gamma
    return continuation(
        objective,
        optimizer,
        adam(settings.learning_rate_lam) if gamma is None else SCHEDULES[settings.schedule](gamma),
        log_lam0=settings.log_lam0,
        estimator=settings.estimator,
        num_samples=settings.num_samples,
        beta=settings.beta,
        warmup=settings.warmup_epochs * steps_per_epoch,
        has_aux=True,
    )


def epochs(
    study: Study, members: Sequence[Member], done: int = 0, advance_all: Advance | None = None
) -> Iterator[tuple[Record, tuple[Member, ...]]]:
    """Yield the record and the members of each epoch after number `done`, of which `members` are the state.

    `advance_all` is how the members of an epoch are advanced, as `mcgc.together.advance_on` has it if not given. On
    the host the bits depend neither on that nor on where a run was taken up. Raises what that raises.
    """
    advance_all = advance_all or advance_on(study.device)
    for epoch in range(done + 1, study.settings.epochs + 1):
        began = time.perf_counter()
        with foreseen(study.problem, study.settings, study.device, study.train):
            found = advance_all(study, members, epoch)
        members = tuple(member for member, _ in found)
        columns = dict(zip(Record._fields[1:-1], zip(*(row for _, row in found), strict=True), strict=True))
        yield Record(epoch=epoch, **columns, seconds=time.perf_counter() - began), members


def _thetas(members: Sequence[Member]) -> Array:
    return namespace_of(members[0].state.theta).stack([member.state.theta for member in members])
