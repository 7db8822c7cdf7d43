"""fit: an iterator of epoch records over pure training steps."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from mcgc.arrays import Array, Device, namespace_of
from mcgc.continuation import SCHEDULES, Continuation, continuation, descent
from mcgc.errors import InputError
from mcgc.optim import OPTIMIZERS, Optimizer, adam, chain, clip_by_global_norm, decay_weights, schedules
from mcgc.optim.schedules import Rate
from mcgc.random import Key, fold_in, permutation, split
from mcgc.train import problems
from mcgc.train._epoch import Advance, Member, Task, count, rows_at, set_apart, steps
from mcgc.train._memory import foreseen
from mcgc.train._stacked import advance_on
from mcgc.train._windows import by_epoch
from mcgc.train.problems import Problem
from mcgc.train.settings import Settings, validate

SPLIT, FIRST_MEMBER = 0, 1  # what is folded into the seed: the split of the data, and the members from here on

Numbers = tuple[float | None, ...]  # one entry a member
Counts = tuple[int | None, ...]


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


def fit(
    settings: Settings, data: Any, device: Device, problem: Problem | None = None
) -> Iterator[tuple[Record, Array]]:
    """Train `settings.members` models on `data` and yield, after each epoch, its record and all θ, (members, m).

    `problem` is the one that `settings` names, if none of your own is given. Member i is the same whatever the number
    of members: its initial parameters, its noise and the order of its minibatches are functions of (seed, i), and the
    test set, a random tenth of the examples, is the same for all.

    Raises `InputError` if a setting is out of range or the data are too few, `SolveError` if a solution fails, and
    `mcgc.train._memory.OutOfMemoryError` if the memory does not suffice.
    """
    task = bind(settings, data, device, problem)
    return ((record, _thetas(members)) for record, members in epochs(task, draw(task)))


def bind(
    settings: Settings,
    data: Any,
    device: Device,
    problem: Problem | None = None,
    optimizer: Optimizer | None = None,
) -> Task:
    """Return what all epochs of all members share: settings checked, data on the device, split and scaled, once.

    `problem` is the one that `settings` names, if none of your own is given; `optimizer` is that of θ, if not the one
    of the settings. Raises `InputError` if a setting is out of range or the data are too few.
    """
    problem = problems.get(settings.problem) if problem is None else problem
    settings = validate(settings, problem.options)
    root = Key(settings.seed)
    examples = problem.examples(data, settings.dtype, device)
    train, validation, test = _parts(examples, fold_in(root, SPLIT), device, settings.validation)
    scaling = problem.scaling(train) if settings.standardize and problem.scaling else None
    objective = problem.objective(settings) if scaling is None else problem.objective(settings, scaling)

    @cache
    def method(restores: int = 0, since: int = 0) -> Continuation:
        optimizer_theta = _optimizer(settings, steps(train, settings), restores, since)
        return _method(objective, settings, steps(train, settings), optimizer or optimizer_theta)

    horizon = lambda epoch: 0
    if settings.horizons is not None and problem.intervals is not None:
        horizon = by_epoch(settings.horizons, problem.intervals(train), settings.epochs)
    parts = {"train": train, "test": test, "validation": validation}
    return Task(problem, settings, device, objective, method, **parts, scaling=scaling, horizon=horizon)


def draw(task: Task) -> list[Member]:
    """Return the members of a run that begins, each with parameters and keys that depend on (seed, number) alone."""
    settings, device, members = task.settings, task.device, []
    with foreseen(task.problem, settings, device, task.train):
        for index in range(settings.members):
            init_key, noise, order = split(fold_in(Key(settings.seed), FIRST_MEMBER + index), 3)
            state = task.method().init(task.problem.init(init_key, settings.dtype, device))
            members.append(Member(state, noise, order, state))
    return members


def _parts(examples: Any, key: Key, device: Device, fraction: float = 0.0) -> tuple[Any, Any, Any]:
    """Return the training, validation and test sets, each in the order that the examples have.

    The test set is a random tenth, and the validation set a random `fraction` of the others, None if that is 0.
    """
    total = count(examples)
    num_test, num_validation = set_apart(total, fraction)
    if total - num_test - num_validation < 1:
        needed = 3 if fraction else 2
        raise InputError(
            f"the dataset has {total} examples, of which {num_test + num_validation} are set apart, so none is left to "
            f"train on: give at least {needed}, or a smaller validation part"
        )
    order = permutation(key, total, device)
    ends = num_test, num_test + num_validation
    parts = order[: ends[0]], order[ends[0] : ends[1]], order[ends[1] :]
    test, validation, train = (rows_at(examples, device.namespace.sort(part)) for part in parts)
    return train, validation if num_validation else None, test


def _optimizer(settings: Settings, steps_per_epoch: int, restores: int, since: int) -> Optimizer:
    """Return the optimiser of θ of a member that was restored so often, last at step `since`."""
    start, total = settings.learning_rate, settings.epochs * steps_per_epoch
    end = start / 100 if settings.learning_rate_end is None else settings.learning_rate_end
    paths = {
        "cosine": schedules.cosine(start, total, end),
        "exponential": schedules.exponential(start, end / start, total),
    }
    path, rate = paths.get(settings.rate_schedule), start / 2**restores
    rate_at: Rate = rate if path is None else lambda n: path(n + since) / 2**restores
    name, decay = settings.optimizer, settings.weight_decay
    if decay is None:
        optimizer = OPTIMIZERS[name](rate_at)
    else:
        shrink: Rate = decay * rate if path is None else lambda n: decay * path(n + since) / 2**restores
        optimizer = decay_weights(shrink, OPTIMIZERS["adam" if name == "adamw" else name](rate_at))
    return optimizer if settings.clip is None else chain(clip_by_global_norm(settings.clip), optimizer)


def _method(objective: Callable, settings: Settings, steps_per_epoch: int, optimizer: Optimizer) -> Continuation:
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
    task: Task, members: Sequence[Member], done: int = 0, advance_all: Advance | None = None
) -> Iterator[tuple[Record, tuple[Member, ...]]]:
    """Yield the record and the members of each epoch after number `done`, of which `members` are the state.

    `advance_all` is how the members of an epoch are advanced, as `advance_on` has it if not given. On
    the host the bits depend neither on that nor on where a run was taken up. Raises what that raises.
    """
    advance_all = advance_all or advance_on(task.device)
    for epoch in range(done + 1, task.settings.epochs + 1):
        began = time.perf_counter()
        with foreseen(task.problem, task.settings, task.device, task.train):
            found = advance_all(task, members, epoch)
        members = tuple(member for member, _ in found)
        columns = dict(zip(Record._fields[2:-1], zip(*(row for _, row in found), strict=True), strict=True))
        horizon = task.horizon(epoch)
        yield Record(epoch=epoch, horizon=horizon, **columns, seconds=time.perf_counter() - began), members


def _thetas(members: Sequence[Member]) -> Array:
    return namespace_of(members[0].state.theta).stack([member.state.theta for member in members])
