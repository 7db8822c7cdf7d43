"""Results of ensembles: the spread of their members, and confidence intervals of differences of means."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mcgc._integers import whole
from mcgc.arrays import HOST
from mcgc.errors import InputError

QUANTITIES = ("train_loss", "test_loss", "test_accuracy")
RESAMPLES = 10_000
LEVEL = 0.95


class Spread(NamedTuple):
    """Mean, standard deviation (with n − 1; NaN for one member), minimum and maximum over the members."""

    mean: float
    sd: float
    min: float
    max: float


class Interval(NamedTuple):
    """A difference of two means, and the ends of its bootstrap interval."""

    difference: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of one or more numbers. A NaN among them makes all of it NaN.

    Parameters
    ----------
    values : sequence of float
        The numbers.

    Returns
    -------
    Spread
        The spread.

    Examples
    --------
    >>> from mcgc.paper.comparison import spread
    >>> spread([1.0, 2.0, 3.0])
    Spread(mean=2.0, sd=1.0, min=1.0, max=3.0)
    """
    if any(map(math.isnan, values)):
        return Spread(*(math.nan,) * 4)
    mean = math.fsum(values) / len(values)
    length = math.hypot(*(value - mean for value in values))  # whose squares do not overflow
    sd = length / math.sqrt(len(values) - 1) if len(values) > 1 else math.nan
    return Spread(mean, sd, min(values), max(values))


def final(epochs: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the `QUANTITIES` after the last epoch, one number for each member.

    Parameters
    ----------
    epochs : mapping of str to array of shape (epochs, members)
        The quantities on the host, as in `mcgc.train.run_file.RunFile.epochs`. One that is all NaN is left out.

    Returns
    -------
    dict of str to list of float
        The numbers of the members, by the name of the quantity.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.paper.comparison import final
    >>> none = np.full((2, 1), np.nan)
    >>> final({"train_loss": np.array([[0.5], [0.25]]), "test_loss": np.array([[0.3], [0.4]]), "test_accuracy": none})
    {'train_loss': [0.25], 'test_loss': [0.4]}
    """
    return {name: epochs[name][-1].tolist() for name in QUANTITIES if _present(epochs[name])}


def best(epochs: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the best of each of the `QUANTITIES` over the epochs: the lowest loss, the highest accuracy.

    Each is chosen by itself. The best of a noisy curve is better than what any rule of stopping would have found.

    Parameters
    ----------
    epochs : mapping of str to array of shape (epochs, members)
        As for `final`.

    Returns
    -------
    dict of str to list of float
        The numbers of the members, by the name of the quantity.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.paper.comparison import best
    >>> none = np.full((2, 1), np.nan)
    >>> best({"train_loss": np.array([[0.5], [0.25]]), "test_loss": np.array([[0.3], [0.4]]), "test_accuracy": none})
    {'train_loss': [0.25], 'test_loss': [0.3]}
    """
    choose = {"test_accuracy": max}
    return {
        name: [
            choose.get(name, min)([value for value in path if not math.isnan(value)], default=math.nan)
            for path in epochs[name].T.tolist()
        ]
        for name in QUANTITIES
        if _present(epochs[name])
    }


def best_records(records: Sequence[Any]) -> list[Any]:
    """Return, for each member, the record of its best epoch, whose state is the result of the run.

    The best epoch is the first with the lowest loss on the validation set, or on the training set where there is none.
    It is the last one if no loss is finite.

    Parameters
    ----------
    records : sequence of mcgc.train.Record
        The records of all epochs.

    Returns
    -------
    list of mcgc.train.Record
        The record of each member.
    """
    chosen = []
    for member in range(len(records[-1].train_loss)):
        finite = []
        for record in records:
            validation = record.validation_loss[member]
            score = record.train_loss[member] if validation is None else validation
            sound = score is not None and math.isfinite(score)
            if sound and not record.restored[member]:  # else the state is that of an earlier epoch
                finite.append((score, record))
        chosen.append(min(finite, key=lambda pair: pair[0])[1] if finite else records[-1])
    return chosen


def summary(epochs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results of a run as plain values: final and best numbers with their spread.

    Parameters
    ----------
    epochs : mapping of str to array of shape (epochs, members)
        As for `final`.

    Returns
    -------
    dict
        `members`, `epochs`, `seconds`, and `final` and `best`: for each quantity its spread, and the numbers of the
        members.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.paper.comparison import summary
    >>> loss, none = np.array([[0.5], [0.25]]), np.full((2, 1), np.nan)
    >>> epochs = {"train_loss": loss, "test_loss": loss, "test_accuracy": none, "seconds": np.ones(2)}
    >>> summary(epochs)["final"]["test_loss"]["members"], summary(epochs)["seconds"]
    ([0.25], 2.0)
    """

    def described(found: Mapping[str, list[float]]) -> dict[str, Any]:
        return {name: {**spread(values)._asdict(), "members": values} for name, values in found.items()}

    return {
        "members": epochs["train_loss"].shape[1],
        "epochs": epochs["train_loss"].shape[0],
        "seconds": float(epochs["seconds"].sum()),
        "final": described(final(epochs)),
        "best": described(best(epochs)),
    }


def _present(values: Any) -> bool:
    return bool((values == values).any())  # NaN is equal to nothing


def interval(first: Sequence[float], other: Sequence[float], paired: bool, seed: int = 0) -> Interval:
    """Return mean(other) − mean(first) with its bootstrap interval of the level 0.95.

    The ends are the quantiles 0.025 and 0.975 of the difference over 10,000 resamples with replacement, by
    `scipy.stats.bootstrap`. With few members the interval is too narrow: for 5 it covers less than the level says. The
    same seed gives the same ends. A number that is not finite makes NaN of all three.

    Parameters
    ----------
    first, other : sequence of float
        The numbers of the members. One that is not finite makes the interval NaN.
    paired : bool
        Whether number i of `first` belongs to number i of `other`. Then both are resampled alike.
    seed : int
        The seed of the resamples.

    Returns
    -------
    Interval
        The difference and the ends of its interval.

    Raises
    ------
    InputError
        If one has no numbers, or paired ones differ in number.

    References
    ----------
    Efron (1979), Bootstrap methods: another look at the jackknife.

    Examples
    --------
    >>> from mcgc.paper.comparison import interval
    >>> found = interval([1.0, 1.2, 0.9], [2.1, 2.0, 2.2], paired=False)
    >>> bool(found.low < found.difference < found.high)
    True
    """
    from scipy.stats import bootstrap

    if not first or not other or (paired and len(first) != len(other)):
        raise InputError(
            f"an interval needs numbers in both, and equally many in pairs, got {len(first)} and {len(other)}"
        )
    if not all(map(math.isfinite, (*first, *other))):
        return Interval(*(math.nan,) * 3)
    xp, seed = HOST.namespace, whole(seed, "a seed", 0, bits=64)
    drawn = bootstrap(
        [[*values] * (2 if len(values) == 1 else 1) for values in (first, other)],  # two at least, for SciPy
        lambda x, y, axis=-1: xp.mean(y, axis=axis) - xp.mean(x, axis=axis),
        n_resamples=RESAMPLES,
        paired=paired,
        confidence_level=LEVEL,
        method="percentile",
        rng=seed,
    )
    ends = map(float, drawn.confidence_interval)
    return Interval(float(xp.mean(xp.asarray(other)) - xp.mean(xp.asarray(first))), *ends)


def recall(confusion: Sequence[Sequence[float]]) -> list[float]:
    """Return the recall of each class: c_kk / Σⱼ c_kj, NaN for a class without examples.

    Parameters
    ----------
    confusion : matrix of shape (classes, classes)
        Counts of the examples by true class and predicted class, as from `mcgc.losses.confusion`.

    Returns
    -------
    list of float
        The recall of each class.

    Examples
    --------
    >>> from mcgc.paper.comparison import recall
    >>> recall([[3, 1], [0, 2]])
    [0.75, 1.0]
    """
    return [row[k] / sum(row) if sum(row) else math.nan for k, row in enumerate(confusion)]
