"""fit: an iterator of epoch records over pure training steps."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mcgc import problems
from mcgc.arrays import Array, Device, namespace_of, to_host
from mcgc.autodiff.pytree import flatten, tree_map
from mcgc.continuation import Continuation, Info, State, continuation, descent
from mcgc.errors import InputError, SolveError
from mcgc.optim import adam
from mcgc.random import Key, fold_in, permutation, split
from mcgc.settings import Settings, validate

TEST_FRACTION = 0.1

SPLIT, FIRST_MEMBER = 0, 1  # what is folded into the seed: the split of the data, and the members from here on

Numbers = tuple[float | None, ...]  # one entry a member


class Record(NamedTuple):
    """One epoch; tuples have one entry a member.

    `train_loss` and `test_loss` are those of θ itself after the epoch; `smoothed_loss` is the mean over the epoch's
    steps of the loss at the perturbed parameters, and `grad_log_lam` that of the gradient that drove φ, β included;
    `log_lam` is φ after the epoch. Evaluations and steps of the solver are those of the training steps. `seconds` is
    what the epoch took, of all members. None stands where there is no such number.
    """

    epoch: int
    train_loss: Numbers
    smoothed_loss: Numbers
    test_loss: Numbers
    test_accuracy: Numbers
    log_lam: Numbers
    grad_log_lam: Numbers
    function_evaluations: tuple[int, ...]
    accepted_steps: tuple[int, ...]
    rejected_steps: tuple[int, ...]
    seconds: float


class Member(NamedTuple):
    """A model in training: its state, and the key its noise comes from."""

    state: State
    key: Key


class Data(NamedTuple):
    """The examples, placed on the device, parted into minibatches, the whole training set and the test set."""

    batches: list
    train: Any
    test: Any


def fit(settings: Settings, data: Any, device: Device) -> Iterator[tuple[Record, Array]]:
    """Train `settings.members` models on `data` and yield, after each epoch, its record and all θ, (members, m).

    Member i is the same whatever the number of members: its initial parameters and its noise are functions of
    (seed, i), and the test set, a random tenth of the examples, is the same for all.

    Raises `InputError` if a setting is out of range or the data are too few, `SolveError` if a solution fails.
    """
    validate(settings)
    problem = problems.get(settings.problem)
    root = Key(settings.seed)
    parts = _parts(problem.examples(data, settings.dtype, device), fold_in(root, SPLIT), settings.batch_size)
    objective = problem.objective(settings)
    method = _method(objective, settings, len(parts.batches))
    members = []
    for index in range(settings.members):
        init_key, noise_key = split(fold_in(root, FIRST_MEMBER + index))
        members.append(Member(method.init(problem.init(init_key, settings.dtype, device)), noise_key))
    return _epochs(settings, method, objective, parts, members)


def _parts(examples: Any, key: Key, batch_size: int) -> Data:
    leaves, _ = flatten(examples)
    count = leaves[0].shape[0]
    num_test = max(1, round(TEST_FRACTION * count))
    if count - num_test < 1:
        raise InputError(
            f"the dataset has {count} examples, but at least 2 are needed: one to train on, one to test on"
        )
    order, size = permutation(key, count).tolist(), count - num_test
    test, train = (_rows(examples, sorted(rows)) for rows in (order[:num_test], order[num_test:]))
    batches = [
        tree_map(lambda x, a=a: x[a : min(a + batch_size, size), ...], train) for a in range(0, size, batch_size)
    ]
    return Data(batches, train, test)


def _rows(examples: Any, rows: list[int]) -> Any:
    return tree_map(lambda x: namespace_of(x).stack([x[row, ...] for row in rows]), examples)


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


def _epochs(
    settings: Settings, method: Continuation, objective: Callable, parts: Data, members: list[Member]
) -> Iterator[tuple[Record, Array]]:
    for epoch in range(1, settings.epochs + 1):
        began = time.perf_counter()
        rows: list[tuple] = []
        for index, member in enumerate(members):
            try:
                state, row = _epoch(method, objective, parts, member, settings.continuation)
            except SolveError as failure:
                raise SolveError(f"member {index}, epoch {epoch}: {failure}") from failure
            members[index] = member._replace(state=state)
            rows.append(row)
        columns = dict(zip(Record._fields[1:-1], zip(*rows, strict=True), strict=True))
        record = Record(epoch=epoch, **columns, seconds=time.perf_counter() - began)
        yield record, namespace_of(members[0].state.theta).stack([member.state.theta for member in members])


def _epoch(
    method: Continuation, objective: Callable, parts: Data, member: Member, continued: bool
) -> tuple[State, tuple]:
    """Take one member through all minibatches, and return its state and its entries of the record."""
    state, infos = member.state, []
    for batch in parts.batches:
        state, info = method.step(state, batch, fold_in(member.key, state.steps))
        infos.append(info)
    smoothed = _average([info.smoothed for info in infos])
    grad_log_lam = _average([info.regularised for info in infos])
    train_loss, test_loss = (objective(state.theta, examples)[0] for examples in (parts.train, parts.test))
    xp = namespace_of(state.theta)
    numbers = to_host(xp.stack([train_loss, smoothed, test_loss, state.log_lam, grad_log_lam])).tolist()
    train_loss, smoothed, test_loss, log_lam, grad_log_lam = numbers
    path = (log_lam, grad_log_lam) if continued else (None, None)
    return state, (train_loss, smoothed, test_loss, None, *path, *_effort(infos))


def _average(values: list[Array]) -> Array:
    return namespace_of(values[0]).mean(namespace_of(values[0]).stack(values))


def _effort(infos: list[Info]) -> tuple[int, int, int]:
    """Return the evaluations of the field, the accepted and the rejected steps, summed over solves and trajectories."""
    solves = [stats for info in infos for stats in info.aux]
    accepted, rejected = (
        sum(int(to_host(counts).sum()) for counts in column)
        for column in ([s.accepted for s in solves], [s.rejected for s in solves])
    )
    return sum(s.evaluations for s in solves), accepted, rejected
