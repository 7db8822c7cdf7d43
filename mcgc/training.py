"""fit: an iterator of epoch records over pure training steps."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import Any, NamedTuple

from mcgc import problems
from mcgc.arrays import Array, Device, is_host, namespace_of, quietly, to_host
from mcgc.autodiff.pytree import flatten, tree_map
from mcgc.continuation import Continuation, Info, State, continuation, descent
from mcgc.errors import InputError, SolveError
from mcgc.optim import Optimizer, adam
from mcgc.problems import Problem
from mcgc.random import Key, Keys, fold_in, permutation, split
from mcgc.settings import Settings, validate

TEST_FRACTION = 0.1
ROWS_AT_ONCE = 1000  # when θ is evaluated on all examples: more would take memory, and save no time

SPLIT, FIRST_MEMBER = 0, 1  # what is folded into the seed: the split of the data, and the members from here on

MOST_SKIPS = 5  # steps of a member in a row that are left out; where more fail, so will the next
MOST_RESTORES = 10  # of a member in a run; a recipe that needs more of them does not work

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


class Member(NamedTuple):
    """A model in training: its state, and the keys of its noise and of the order of its minibatches.

    `best` is its state after the epoch with the lowest training loss, `lowest`; it was taken up again `restores` times.
    """

    state: State
    noise: Keys
    order: Keys
    best: State
    lowest: float = math.inf
    restores: int = 0


class Study(NamedTuple):
    """What all epochs of all members share: the problem, how it is minimised, and its examples on the device.

    `method(restores)` is the method of a member that was restored so often: half the learning rate of θ each time.
    """

    problem: Problem
    settings: Settings
    device: Device
    objective: Callable
    method: Callable[[int], Continuation]
    train: Any
    test: Any


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
    validate(settings, problem.options)
    root = Key(settings.seed)
    train, test = _parts(problem.examples(data, settings.dtype, device), fold_in(root, SPLIT), device)
    objective = problem.objective(settings)

    @cache
    def method(restores: int) -> Continuation:
        rate = settings.learning_rate / 2**restores
        return _method(objective, settings._replace(learning_rate=rate), _steps(train, settings), optimizer)

    study, members = Study(problem, settings, device, objective, method, train, test), []
    with _foreseen(study):
        for index in range(settings.members):
            init_key, noise, order = split(fold_in(root, FIRST_MEMBER + index), 3)
            state = method(0).init(problem.init(init_key, settings.dtype, device))
            members.append(Member(state, noise, order, state))
    return study, members


def _foreseen(study: Study) -> AbstractContextManager:
    from mcgc.memory import foreseen  # which is written in terms of this file

    return foreseen(study.problem, study.settings, study.device, study.train)


def minibatches(study: Study, member: Member, epoch: int) -> Iterator[Any]:
    """Yield the minibatches of the member's epoch, counted from 1."""
    order = None
    if study.problem.shuffled:
        order = permutation(fold_in(member.order, epoch), _count(study.train), study.device)
    return _batches(study.train, study.settings.batch_size, order)


def _parts(examples: Any, key: Key, device: Device) -> tuple[Any, Any]:
    """Return the training set and the test set, a random tenth, each in the order that the examples have."""
    count = _count(examples)
    num_test = max(1, round(TEST_FRACTION * count))
    if count - num_test < 1:
        raise InputError(
            f"the dataset has {count} examples, but at least 2 are needed: one to train on, one to test on"
        )
    order = permutation(key, count, device)
    test, train = (_rows(examples, device.namespace.sort(part)) for part in (order[:num_test], order[num_test:]))
    return train, test


def _count(examples: Any) -> int:
    return flatten(examples)[0][0].shape[0]


def _steps(train: Any, settings: Settings) -> int:
    """Return the number of steps of an epoch."""
    return -(-_count(train) // settings.batch_size)


def _rows(examples: Any, indices: Array) -> Any:
    """Return the examples at `indices`, (rows,), or for each member its own: (members, rows)."""

    def taken(x: Array) -> Array:
        xp = namespace_of(x)
        return xp.reshape(xp.take(x, xp.reshape(indices, (-1,)), axis=0), (*indices.shape, *x.shape[1:]))

    return tree_map(taken, examples)


def _batches(examples: Any, size: int, order: Array | None = None) -> Iterator[Any]:
    """Yield all examples, `size` at a time, as they come or in the given order."""
    count = _count(examples)
    for a, b in ((a, min(a + size, count)) for a in range(0, count, size)):
        yield tree_map(lambda x, a=a, b=b: x[a:b, ...], examples) if order is None else _rows(examples, order[..., a:b])


def _method(objective: Callable, settings: Settings, steps_per_epoch: int, optimizer: Optimizer | None) -> Continuation:
    optimizer = adam(settings.learning_rate) if optimizer is None else optimizer
    if not settings.continuation:
        return descent(objective, optimizer, has_aux=True)
    return continuation(
        objective,
        optimizer,
        adam(settings.learning_rate_lam),
        log_lam0=settings.log_lam0,
        estimator=settings.estimator,
        num_samples=settings.num_samples,
        beta=settings.beta,
        warmup=settings.warmup_epochs * steps_per_epoch,
        has_aux=True,
    )


Advance = Callable[[Study, Sequence[Member], int], list[tuple[Member, tuple]]]


def in_turn(pause: Callable[[], None] = lambda: None) -> Advance:
    """Return what takes all members through an epoch, one after the other; `pause()` is called before each step."""
    return lambda study, members, epoch: [
        advance(study, member, index, epoch, pause) for index, member in enumerate(members)
    ]


def advance(
    study: Study,
    member: Member,
    index: int,
    epoch: int,
    pause: Callable[[], None] = lambda: None,
    found: tuple[State, tuple] | None = None,
) -> tuple[Member, tuple]:
    """Take member number `index` through an epoch, counted from 1; return it and its entries of the record.

    `pause()` is called before each step. `found` is the result of its `run_epoch` where it is known already.
    Raises `SolveError` as `fit` does.
    """
    began = time.perf_counter()
    try:
        member, row = _survived(study, member, epoch, lambda: found or run_epoch(study, member, epoch, pause))
    except SolveError as failure:
        raise SolveError(f"member {index}, epoch {epoch}: {failure}") from failure
    return member, (*row, time.perf_counter() - began)


def epochs(
    study: Study, members: Sequence[Member], done: int = 0, advance_all: Advance | None = None
) -> Iterator[tuple[Record, tuple[Member, ...]]]:
    """Yield the record and the members of each epoch after number `done`, of which `members` are the state.

    `advance_all` is how the members of an epoch are advanced, as `mcgc.together.advance_on` has it if not given. On
    the host the bits depend neither on that nor on where a run was taken up. Raises what that raises.
    """
    from mcgc.together import advance_on  # which is written in terms of this file

    advance_all = advance_all or advance_on(study.device)
    for epoch in range(done + 1, study.settings.epochs + 1):
        began = time.perf_counter()
        with _foreseen(study):
            found = advance_all(study, members, epoch)
        members = tuple(member for member, _ in found)
        columns = dict(zip(Record._fields[1:-1], zip(*(row for _, row in found), strict=True), strict=True))
        yield Record(epoch=epoch, **columns, seconds=time.perf_counter() - began), members


def _thetas(members: Sequence[Member]) -> Array:
    return namespace_of(members[0].state.theta).stack([member.state.theta for member in members])


def _survived(study: Study, member: Member, epoch: int, run: Callable[[], tuple[State, tuple]]) -> tuple[Member, tuple]:
    """Take one member through an epoch, or back to its best state if the epoch diverges; return its entries too.

    An epoch diverges if a solution fails, or a loss or θ is not finite, and the step cannot be left out (`run_epoch`).
    The best state is the one of the lowest training loss after an epoch. Its θ and φ are taken up again by optimisers
    that start anew, with half the learning rate of θ and the noise of later steps, so the way on is another.

    Raises `SolveError` if that has happened `MOST_RESTORES` times, or the setting `on_divergence` is "stop".
    """
    try:
        state, row = run()
        failure = SolveError(f"the training loss has become {row[0]}: try a smaller learning rate")
    except SolveError as error:
        row, failure = (math.nan,), error
    if math.isfinite(row[0]):
        if row[0] < member.lowest:
            member = member._replace(best=state, lowest=row[0])
        return member._replace(state=state), (*row, False)
    if study.settings.on_divergence == "stop" or member.restores == MOST_RESTORES:
        raise failure
    best, steps = member.best, epoch * _steps(study.train, study.settings)
    state = study.method(0).init(best.theta)._replace(log_lam=best.log_lam, steps=steps)
    effort = (0, 0, 0) if "solver" in study.problem.options else (None, None, None)
    row = (*_scores(study, state, []), *effort, steps, 0, True)
    return member._replace(state=state, restores=member.restores + 1), row


def run_epoch(study: Study, member: Member, epoch: int, pause: Callable[[], None]) -> tuple[State, tuple]:
    """Take one member through all minibatches, and return its state and its entries of the record.

    The member may be several, stacked: then entries that differ between them are lists (see `mcgc.together`).

    A step that fails leaves the state as it was, but for the number of steps, if the setting `on_divergence` is
    "skip-step": at most `MOST_SKIPS` of them in a row, and not all of the epoch's. Raises `SolveError` otherwise.
    """
    state, infos, skipped, in_row = member.state, [], 0, 0
    most = MOST_SKIPS if study.settings.on_divergence == "skip-step" else 0
    for batch in minibatches(study, member, epoch):
        pause()
        try:
            state, info = _sound(*study.method(member.restores).step(state, batch, fold_in(member.noise, state.steps)))
            infos.append(info)
            in_row = 0
        except SolveError:
            skipped, in_row = skipped + 1, in_row + 1
            if in_row > most or skipped == _steps(study.train, study.settings):
                raise
            state = state._replace(steps=state.steps + 1)
    return state, (*_scores(study, state, infos), *_effort(infos), state.steps, skipped)


def _sound(state: State, info: Info) -> tuple[State, Info]:
    """Return both, or raise `SolveError` if one is seen not to be finite: on a device nobody waits to see it."""
    if is_host(state.theta) and state.theta.ndim == 1:
        with quietly():
            seen = {
                "loss of a step": info.smoothed,
                "sum of the parameters": namespace_of(state.theta).sum(state.theta),
            }
        for what, total in seen.items():
            if not math.isfinite(total):
                raise SolveError(f"the {what} has become {total}: try a smaller learning rate")
    return state, info


def _scores(study: Study, state: State, infos: list[Info]) -> list:
    """Return the entries of the record from the training loss to the gradients of φ."""
    loss, accuracy = (lambda rows: study.objective(state.theta, rows)[0]), study.problem.accuracy
    continued = study.settings.continuation
    scores = [
        _mean_over(loss, study.train),
        _average([info.smoothed for info in infos]) if infos else None,
        _mean_over(loss, study.test),
        None if accuracy is None else _mean_over(partial(accuracy, state.theta), study.test),
        state.log_lam if continued else None,
        _average([info.regularised for info in infos]) if continued and infos else None,
        _average([info.grad_log_lam for info in infos]) if continued and infos else None,
    ]
    return _on_host(scores)


def _mean_over(function: Callable[[Any], Array], examples: Any) -> Array:
    """Return the mean over all examples of `function`, which is a mean over the rows it is given."""
    count = _count(examples)
    parts = [function(rows) * (_count(rows) / count) for rows in _batches(examples, ROWS_AT_ONCE)]
    return sum(parts[1:], start=parts[0])


def _on_host(scores: list[Array | None]) -> list:
    """Return the scores as numbers, in one transfer."""
    there = [score for score in scores if score is not None]
    numbers = iter(to_host(namespace_of(*there).stack(there)).tolist())
    return [None if score is None else next(numbers) for score in scores]


def _average(values: list[Array]) -> Array:
    xp = namespace_of(values[0])
    return xp.mean(xp.stack(values, axis=-1), axis=-1)


def _effort(infos: list[Info]) -> list:
    """Return the evaluations of the field, the accepted and the rejected steps, summed over solves and trajectories."""
    solves = [stats for info in infos for stats in info.aux]
    if None in solves:
        return [None, None, None]
    xp = namespace_of(solves[0].accepted)
    accepted, rejected = (
        sum(xp.sum(counts, axis=-1) for counts in column)
        for column in ([s.accepted for s in solves], [s.rejected for s in solves])
    )
    evaluations = sum(s.evaluations for s in solves) + xp.zeros_like(accepted)
    return to_host(xp.stack([evaluations, accepted, rejected])).tolist()  # one transfer
