"""fit: an iterator of epoch records over pure training steps."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from mcgc import problems
from mcgc.arrays import Array, Device, namespace_of, to_host
from mcgc.autodiff.pytree import flatten, tree_map
from mcgc.continuation import Continuation, Info, State, continuation, descent
from mcgc.errors import InputError, SolveError
from mcgc.optim import adam
from mcgc.problems import Problem
from mcgc.random import Key, fold_in, permutation, split
from mcgc.settings import Settings, validate

TEST_FRACTION = 0.1
ROWS_AT_ONCE = 1000  # when θ is evaluated on all examples: more would take memory, and save no time

SPLIT, FIRST_MEMBER = 0, 1  # what is folded into the seed: the split of the data, and the members from here on

Numbers = tuple[float | None, ...]  # one entry a member
Counts = tuple[int | None, ...]


class Record(NamedTuple):
    """One epoch; tuples have one entry a member.

    `train_loss` and `test_loss` are those of θ itself after the epoch; `smoothed_loss` is the mean over the epoch's
    steps of the loss at the perturbed parameters, and `grad_log_lam` that of the gradient that drove φ, β included;
    `log_lam` is φ after the epoch. `test_accuracy` is the fraction of the test set that θ names rightly. Evaluations
    and steps of the solver are those of the training steps. `seconds` is what the epoch took, of all members. None
    stands where there is no such number.
    """

    epoch: int
    train_loss: Numbers
    smoothed_loss: Numbers
    test_loss: Numbers
    test_accuracy: Numbers
    log_lam: Numbers
    grad_log_lam: Numbers
    function_evaluations: Counts
    accepted_steps: Counts
    rejected_steps: Counts
    seconds: float


class Member(NamedTuple):
    """A model in training: its state, and the keys of its noise and of the order of its minibatches."""

    state: State
    noise: Key
    order: Key


class Study(NamedTuple):
    """What all epochs of all members share: the problem, how it is minimised, and its examples on the device."""

    problem: Problem
    settings: Settings
    device: Device
    objective: Callable
    method: Continuation
    train: Any
    test: Any


def fit(
    settings: Settings, data: Any, device: Device, problem: Problem | None = None
) -> Iterator[tuple[Record, Array]]:
    """Train `settings.members` models on `data` and yield, after each epoch, its record and all θ, (members, m).

    `problem` is the one that `settings` names, if none of your own is given. Member i is the same whatever the number
    of members: its initial parameters, its noise and the order of its minibatches are functions of (seed, i), and the
    test set, a random tenth of the examples, is the same for all.

    Raises `InputError` if a setting is out of range or the data are too few, `SolveError` if a solution fails.
    """
    problem = problems.get(settings.problem) if problem is None else problem
    validate(settings, problem.options)
    root = Key(settings.seed)
    train, test = _parts(problem.examples(data, settings.dtype, device), fold_in(root, SPLIT), device)
    objective = problem.objective(settings)
    method = _method(objective, settings, -(-_count(train) // settings.batch_size))
    members = []
    for index in range(settings.members):
        init_key, noise, order = split(fold_in(root, FIRST_MEMBER + index), 3)
        members.append(Member(method.init(problem.init(init_key, settings.dtype, device)), noise, order))
    return _epochs(Study(problem, settings, device, objective, method, train, test), members)


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


def _rows(examples: Any, indices: Array) -> Any:
    return tree_map(lambda x: namespace_of(x).take(x, indices, axis=0), examples)


def _batches(examples: Any, size: int, order: Array | None = None) -> Iterator[Any]:
    """Yield all examples, `size` at a time, as they come or in the given order."""
    count = _count(examples)
    for a, b in ((a, min(a + size, count)) for a in range(0, count, size)):
        yield tree_map(lambda x, a=a, b=b: x[a:b, ...], examples) if order is None else _rows(examples, order[a:b])


def _method(objective: Callable, settings: Settings, steps_per_epoch: int) -> Continuation:
    optimizer = adam(settings.learning_rate)
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


def _epochs(study: Study, members: list[Member]) -> Iterator[tuple[Record, Array]]:
    for epoch in range(1, study.settings.epochs + 1):
        began = time.perf_counter()
        rows: list[tuple] = []
        for index, member in enumerate(members):
            try:
                state, row = _epoch(study, member, epoch)
            except SolveError as failure:
                raise SolveError(f"member {index}, epoch {epoch}: {failure}") from failure
            members[index] = member._replace(state=state)
            rows.append(row)
        columns = dict(zip(Record._fields[1:-1], zip(*rows, strict=True), strict=True))
        record = Record(epoch=epoch, **columns, seconds=time.perf_counter() - began)
        yield record, namespace_of(members[0].state.theta).stack([member.state.theta for member in members])


def _epoch(study: Study, member: Member, epoch: int) -> tuple[State, tuple]:
    """Take one member through all minibatches, and return its state and its entries of the record."""
    problem, settings, train = study.problem, study.settings, study.train
    order = None
    if problem.shuffled:
        order = permutation(fold_in(member.order, epoch), _count(train), study.device)
    state, infos = member.state, []
    for batch in _batches(train, settings.batch_size, order):
        state, info = study.method.step(state, batch, fold_in(member.noise, state.steps))
        infos.append(info)
    loss, accuracy = (lambda rows: study.objective(state.theta, rows)[0]), problem.accuracy
    scores = [
        _mean_over(loss, train),
        _average([info.smoothed for info in infos]),
        _mean_over(loss, study.test),
        None if accuracy is None else _mean_over(partial(accuracy, state.theta), study.test),
        *((state.log_lam, _average([i.regularised for i in infos])) if settings.continuation else (None, None)),
    ]
    return state, (*_on_host(scores), *_effort(infos))


def _mean_over(function: Callable[[Any], Array], examples: Any) -> Array:
    """Return the mean over all examples of `function`, which is a mean over the rows it is given."""
    count = _count(examples)
    parts = [function(rows) * (_count(rows) / count) for rows in _batches(examples, ROWS_AT_ONCE)]
    return sum(parts[1:], start=parts[0])


def _on_host(scores: list[Array | None]) -> list[float | None]:
    """Return the scores as numbers, in one transfer."""
    there = [score for score in scores if score is not None]
    numbers = iter(to_host(namespace_of(*there).stack(there)).tolist())
    return [None if score is None else next(numbers) for score in scores]


def _average(values: list[Array]) -> Array:
    return namespace_of(values[0]).mean(namespace_of(values[0]).stack(values))


def _effort(infos: list[Info]) -> tuple[int | None, int | None, int | None]:
    """Return the evaluations of the field, the accepted and the rejected steps, summed over solves and trajectories."""
    solves = [stats for info in infos for stats in info.aux]
    if None in solves:
        return None, None, None
    accepted, rejected = (
        sum(int(to_host(counts).sum()) for counts in column)
        for column in ([s.accepted for s in solves], [s.rejected for s in solves])
    )
    return sum(s.evaluations for s in solves), accepted, rejected
