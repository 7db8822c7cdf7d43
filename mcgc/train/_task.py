"""A task: what all epochs of all members share. `bind` makes it, and `draw` draws its members."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from mcgc.arrays import HOST, Array, Device, to_device
from mcgc.autodiff import flatten, tree_map
from mcgc.continuation import SCHEDULES, Continuation, Estimator, Objective, continuation, descent
from mcgc.errors import InputError
from mcgc.optim import OPTIMIZERS, Optimizer, adam, chain, clip_by_global_norm, decay_weights, schedules
from mcgc.optim.schedules import Rate
from mcgc.random import Key, fold_in, permutation, split
from mcgc.train import problems
from mcgc.train._members import Member
from mcgc.train._problem import Problem
from mcgc.train._windows import by_epoch, take_rows
from mcgc.train.settings import CheckedSettings, Settings, validate

TEST_FRACTION = 0.1  # of the examples, set apart
SPLIT, FIRST_MEMBER = 0, 1  # what is folded into the seed: the split of the data, and the members from here on


class Task(NamedTuple):
    """What all epochs of all members share. `bind` makes it.

    Parameters
    ----------
    problem : Problem
        What is trained.
    settings : Settings
        The settings, checked.
    device : Device
        Where the examples are.
    objective : function (θ, examples) → (loss, aux)
        The loss that is minimised.
    method : function (restores, since) → Continuation
        The method of a member that was restored so often, last at step number `since`. Each time halves the learning
        rate of θ.
    train, test, validation : pytree
        The examples. `validation` chooses the best epoch. A part that is empty is None.
    scaling : Scaling, optional
        What series are standardised by.
    horizon : function (epoch) → int
        The length of the windows of an epoch in intervals, 0 for whole examples.
    data : Any
        What was given to `bind`.
    replaced : mapping
        "optimizer" and "estimator": objects in place of what the settings name.
    folds : sequence of tuples
        The training and validation sets of each member where it has its own (`of_member`). `train` and `validation` are
        then those of the first.
    """

    problem: Problem
    settings: Settings
    device: Device
    objective: Callable[[Array, Any], tuple[Array, Any]]
    method: Callable[..., Continuation]
    train: Any
    test: Any
    validation: Any = None
    scaling: Any = None
    horizon: Callable[[int], int] = lambda epoch: 0
    data: Any = None
    replaced: Mapping[str, Any] = MappingProxyType({})
    folds: Sequence[tuple[Any, Any]] = ()

    def of_member(self, index: int) -> "Task":
        """Return the task as member number `index` has it."""
        if not self.folds:
            return self
        train, validation = self.folds[index]
        return self._replace(train=train, validation=validation, folds=())


def bind(
    settings: Settings,
    data: Any,
    device: Device = HOST,
    problem: Problem | None = None,
    optimizer: Optimizer | None = None,
    estimator: Estimator | None = None,
) -> Task:
    """Return what all epochs of all members share: settings checked, data on the device, split and scaled, once.

    Parameters
    ----------
    settings : Settings
        The recipe. What `validate` returned is not checked again.
    data : Any
        What the problem's `examples` takes, such as what `mcgc_datasets.load` returns.
    device : Device
        Where to train. The host by default.
    problem : Problem, optional
        A problem of your own. By default the one that `settings` names.
    optimizer : Optimizer, optional
        The optimiser of θ. By default the one that `settings` names, with its schedule, weight decay and clipping.
    estimator : Estimator, optional
        The estimator of the gradients. By default the one that `settings` names.

    Returns
    -------
    Task
        For `draw` and `epochs`, or `Run.create` and `Run.resume`.

    Raises
    ------
    InputError
        If a setting is out of range or the data are too few.

    Examples
    --------
    >>> from mcgc_datasets import load
    >>> from mcgc import train
    >>> recipe = train.problems.get("lotka-volterra").recipe
    >>> task = train.bind(recipe, load("lotka-volterra"))
    >>> task.settings == recipe, task.train.states.shape[0] > task.test.states.shape[0]
    (True, True)
    """
    problem = problems.get(settings.problem) if problem is None else problem
    if not isinstance(settings, CheckedSettings):
        settings = validate(settings, problem.options)
    root = Key(settings.seed)
    own: list[tuple[Any, Any]] = []
    if problem.divide is None:
        examples = problem.examples(data, settings.dtype, device)
        train, validation, test = _parts(examples, fold_in(root, SPLIT), device, settings.validation)
    else:
        divided, parts_of = problem.divide(data, settings)
        examples = problem.examples(divided, settings.dtype, device)
        every = np.atleast_2d(parts_of)
        train, validation, test = _given_parts(examples, every[0], device)
        own = [_given_parts(examples, parts, device)[:2] for parts in every] if len(every) > 1 else []
    scaling = problem.scaling(train) if settings.standardize and problem.scaling else None
    scaled = problem.scaled
    if scaling is not None and scaled is not None:
        scale = lambda part: None if part is None else scaled(part, scaling)
        train, validation, test = map(scale, (train, validation, test))
        own = [(scale(a), scale(b)) for a, b in own]
    plain = scaling is None or scaled is not None
    objective = problem.objective(settings) if plain else problem.objective(settings, scaling)

    @cache
    def method(restores: int = 0, since: int = 0) -> Continuation:
        optimizer_theta = _optimizer(settings, steps(train, settings), restores, since, problem.beside_net)
        return _method(objective, settings, steps(train, settings), optimizer or optimizer_theta, estimator)

    horizon = lambda epoch: 0
    if settings.horizons is not None and problem.intervals is not None:
        horizon = by_epoch(settings.horizons, problem.intervals(train), settings.epochs)
    parts = {"train": train, "test": test, "validation": validation}
    given = {"optimizer": optimizer, "estimator": estimator}
    replaced = {name: value for name, value in given.items() if value is not None}
    parts |= {"scaling": scaling, "horizon": horizon, "data": data, "replaced": replaced, "folds": own}
    return Task(problem, settings, device, objective, method, **parts)


def draw(task: Task) -> list[Member]:
    """Return the members of a run that begins.

    Parameters
    ----------
    task : Task
        What `bind` returned.

    Returns
    -------
    list of Member
        One for each of `task.settings.members`. The parameters and keys of a member depend on the seed and its number
        alone.

    Examples
    --------
    >>> from mcgc_datasets import load
    >>> from mcgc import train
    >>> recipe = train.problems.get("lotka-volterra").recipe._replace(members=2)
    >>> task = train.bind(recipe, load("lotka-volterra"))
    >>> [member.state.theta.shape for member in train.draw(task)]
    [(8002,), (8002,)]
    """
    settings, device, members = task.settings, task.device, []
    for index in range(settings.members):
        init_key, noise, order = split(fold_in(Key(settings.seed), FIRST_MEMBER + index), 3)
        state = task.method().init(task.problem.init(init_key, settings.dtype, device))
        members.append(Member(state, noise, order, state))
    return members


def count(examples: Any) -> int:
    """Return the number of examples."""
    return flatten(examples)[0][0].shape[0]


def held_out(total: int) -> int:
    """Return how many of so many examples are the test set."""
    return max(1, round(TEST_FRACTION * total))


def set_apart(total: int, validation: float) -> tuple[int, int]:
    """Return how many of so many examples are the test set, and the validation set: a fraction of the others."""
    test = held_out(total)
    return test, max(1, round(validation * (total - test))) if validation else 0


def steps(train: Any, settings: Settings) -> int:
    """Return the number of steps of an epoch."""
    return -(-count(train) // settings.batch_size)


def rows_at(examples: Any, indices: Array) -> Any:
    """Return the examples at `indices`, (rows,), or for each member its own: (members, rows)."""
    return tree_map(lambda x: take_rows(x, indices), examples)


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


def _given_parts(examples: Any, parts: Any, device: Device) -> tuple[Any, Any, Any]:
    """Return the training, validation and test sets of examples whose parts are given; None for one that is empty."""
    found = [
        rows_at(examples, to_device(np.flatnonzero(parts == part), device)) if (parts == part).any() else None
        for part in range(3)
    ]
    return found[0], found[1], found[2]


def _optimizer(settings: Settings, steps_per_epoch: int, restores: int, since: int, undecayed: int = 0) -> Optimizer:
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
        optimizer = decay_weights(shrink, OPTIMIZERS["adam" if name == "adamw" else name](rate_at), undecayed)
    return optimizer if settings.clip is None else chain(clip_by_global_norm(settings.clip), optimizer)


def _method(
    objective: Objective,
    settings: Settings,
    steps_per_epoch: int,
    optimizer: Optimizer,
    estimator: Estimator | None = None,
) -> Continuation:
    if not settings.continuation:
        return descent(objective, optimizer, has_aux=True)
    gamma = settings.gamma
    return continuation(
        objective,
        optimizer,
        adam(settings.learning_rate_lam) if gamma is None else SCHEDULES[settings.schedule](gamma),
        log_lam0=settings.log_lam0,
        estimator=estimator or settings.estimator,
        num_samples=settings.num_samples,
        beta=settings.beta,
        warmup=settings.warmup_epochs * steps_per_epoch,
        has_aux=True,
    )
