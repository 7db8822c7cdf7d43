"""What ensembles come to: their spread, and how sure a difference of their means is."""

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
    """Numbers of the members: mean, standard deviation (n − 1; NaN for one member), minimum and maximum."""

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
    """Return the spread of `values`, one at least; NaN among them makes NaN of all."""
    if any(map(math.isnan, values)):
        return Spread(*(math.nan,) * 4)
    mean = math.fsum(values) / len(values)
    length = math.hypot(*(value - mean for value in values))  # whose squares do not overflow
    sd = length / math.sqrt(len(values) - 1) if len(values) > 1 else math.nan
    return Spread(mean, sd, min(values), max(values))


def final(epochs: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return each of `QUANTITIES` that there is after the last epoch, one number a member.

    `epochs` maps each to a host array (epochs, members), as `mcgc.train.run_file.RunFile.epochs` does.
    """
    return {name: epochs[name][-1].tolist() for name in QUANTITIES if _known(epochs[name])}


def best(epochs: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the best of each of `QUANTITIES` that there is over the epochs, by itself: lowest loss, highest accuracy.

    The best of a noisy curve is better than what any rule of stopping would have found. Argument as for `final`.
    """
    choose = {"test_accuracy": max}
    return {
        name: [
            choose.get(name, min)([value for value in path if not math.isnan(value)], default=math.nan)
            for path in epochs[name].T.tolist()
        ]
        for name in QUANTITIES
        if _known(epochs[name])
    }


def best_records(records: Sequence[Any]) -> list[Any]:
    """Return, for each member, the record of its best epoch, whose state is the result of the run.

    That is the first with the lowest loss of the validation set, or of the training set where there is none; the last
    record if no loss is finite.
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
    """Return, as plain values, what the run with these `epochs` came to: final and best numbers with their spread."""

    def described(found: Mapping[str, list[float]]) -> dict[str, Any]:
        return {name: {**spread(values)._asdict(), "members": values} for name, values in found.items()}

    return {
        "members": epochs["train_loss"].shape[1],
        "epochs": epochs["train_loss"].shape[0],
        "seconds": float(epochs["seconds"].sum()),
        "final": described(final(epochs)),
        "best": described(best(epochs)),
    }


def _known(values: Any) -> bool:
    return bool((values == values).any())  # NaN is equal to nothing


def interval(first: Sequence[float], other: Sequence[float], paired: bool, seed: int = 0) -> Interval:
    """Return mean(other) − mean(first) with its bootstrap interval of the level 0.95 (Efron 1979).

    Its ends are the quantiles 0.025 and 0.975 of the difference over 10,000 resamples by `scipy.stats.bootstrap`, drawn
    with replacement: of the members of both alike if `paired`, when number i of `first` belongs to number i of
    `other`, else of each by itself. The same `seed`, a whole number in [0, 2⁶⁴), gives the same ends. With few members
    the interval is too narrow: for 5 it covers less than the level says. A number that is not finite makes NaN of all
    three.

    Raises `InputError` if one has no numbers, or paired ones are not as many.
    """
    from scipy.stats import bootstrap

    if not first or not other or (paired and len(first) != len(other)):
        raise InputError(f"an interval needs numbers in both, in pairs as many, got {len(first)} and {len(other)}")
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
    """Return the fraction right of each class: c_kk / Σⱼ c_kj, NaN for a class without examples.

    `confusion` counts the examples by true class and named class, as `mcgc.losses.confusion` does.
    """
    return [row[k] / sum(row) if sum(row) else math.nan for k, row in enumerate(confusion)]
