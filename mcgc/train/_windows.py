"""Windows of time series, and horizons: how long the windows are that an epoch trains on.

A window of w intervals starts at any observed time of a series and holds the w observations that follow. A run with
horizons trains on short windows first and on longer ones later.
"""

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from mcgc.arrays import Array, device_of, namespace_of
from mcgc.errors import InputError

ALL = "all"  # the length of a whole series


class Horizon(NamedTuple):
    """A length of windows, and the share of the epochs that trains on it, relative to the other shares.

    `length` is a number of observed intervals if it is an integer, else a fraction of the series in (0, 1].
    """

    length: int | float
    share: float


def parse_horizons(text: str) -> tuple[Horizon, ...]:
    """Return the horizons that a text such as "1:0.5,4:0.3,all:0.2" says.

    Parameters
    ----------
    text : str
        Entries separated by commas. An entry is a length and, after a colon, its share of the epochs, 1 if left out. A
        length is a whole number of observed intervals, a fraction of the series with a decimal point, or "all".

    Returns
    -------
    tuple of Horizon
        Lengths and shares.

    Raises
    ------
    InputError
        If an entry is not of that form.

    Examples
    --------
    >>> from mcgc.train import parse_horizons
    >>> parse_horizons("1:0.5,all")
    (Horizon(length=1, share=0.5), Horizon(length=1.0, share=1.0))
    """
    if not isinstance(text, str):
        raise InputError(f"horizons must be a text such as '1:0.5,4:0.3,all:0.2', got {text!r}")
    found = []
    for entry in text.split(","):
        length, colon, share = (part.strip() for part in entry.partition(":"))
        try:
            number: int | float = 1.0 if length == ALL else float(length) if "." in length else int(length)
            horizon = Horizon(number, float(share) if colon else 1.0)
            valid = number >= 1 if isinstance(number, int) else 0 < number <= 1
            if not (valid and 0 < horizon.share < float("inf")):
                raise ValueError
        except ValueError:
            raise InputError(
                f"horizons has the entry {entry.strip()!r}: give a number of intervals, a fraction such as 0.5, or "
                f"{ALL}, then a colon and a positive share"
            ) from None
        found.append(horizon)
    return tuple(found)


def by_epoch(text: str, intervals: int, epochs: int) -> Callable[[int], int]:
    """Return the length of windows, in intervals, by the number of the epoch, which counts from 1.

    Series have `intervals` intervals, and longer windows are the whole series. The shares divide the run of `epochs`
    epochs, each end rounded to an epoch.

    Raises `InputError` if `parse_horizons` refuses the text, or if a length is shorter than the one before.
    """
    horizons = parse_horizons(text)
    if intervals < 1:
        raise InputError("horizons need series of at least two times")
    lengths = [
        min(h.length, intervals) if isinstance(h.length, int) else max(1, round(h.length * intervals)) for h in horizons
    ]
    if any(a > b for a, b in pairwise(lengths)):
        raise InputError(f"horizons must not shrink, got windows of {', '.join(map(str, lengths))} intervals")
    shares = list(accumulate(h.share for h in horizons))
    ends = [round(epochs * share / shares[-1]) for share in shares]
    return lambda epoch: next((length for length, end in zip(lengths, ends, strict=True) if epoch <= end), lengths[-1])


def batch_bounds(total: int, parts: int) -> list[int]:
    """Return 0 and the ends of `parts` batches of `total` rows, or of as many batches as there are rows, if fewer.

    All but the last are of one size, or where that would leave no row to the last, they are as equal as can be.
    """
    parts = min(parts, total)
    size = -(-total // parts)
    if (parts - 1) * size < total:
        return [min(i * size, total) for i in range(parts + 1)]
    return [total * i // parts for i in range(parts + 1)]


def take_rows(x: Array, indices: Array) -> Array:
    """Return the rows of `x` at `indices`, whose shape stands in front of the shape of a row."""
    xp = namespace_of(x)
    return xp.reshape(xp.take(x, xp.reshape(indices, (-1,)), axis=0), (*indices.shape, *x.shape[1:]))


def per_epoch(series: int, intervals: int, length: int) -> int:
    """Return how many windows of `length` an epoch has: as many as hold the intervals of all series once."""
    return series * intervals // length


def rows_of(indices: Array, times: int, length: int) -> tuple[Array, Array]:
    """Return where windows lie: their series, (...), and the rows of their observations, (..., length + 1).

    Window number i (T - w) + j, with T `times` a series, starts series i at its time j, both from 0. Rows count the
    observations of all series one after the other.
    """
    xp = namespace_of(indices)
    starts = times - length
    series = indices // starts
    first = series * times + indices % starts
    return series, first[..., None] + xp.arange(length + 1, dtype=indices.dtype, device=device_of(indices))


def ragged_counts(lengths: np.ndarray, length: int) -> tuple[int, int]:
    """Return how many windows of `length` there are in all, and how many an epoch has.

    `lengths` are the numbers of intervals of the series. A shorter series is one window.
    """
    return int(np.maximum(lengths - length + 1, 1).sum()), int(np.maximum(lengths // length, 1).sum())


def ragged_rows_of(indices: Array, lengths: Array, length: int) -> tuple[Array, Array, Array]:
    """Return where windows lie in series of different lengths: series, (...); columns and excess, (..., length + 1).

    Windows are numbered series after series, by where they start. `columns` are those of the observations in their
    series, at most the last one. `excess` is how far beyond it a column would be: there is nothing observed.
    """
    xp = namespace_of(indices)
    ones = xp.ones_like(lengths)
    starts = xp.maximum(lengths - length + 1, ones)
    ends = xp.cumulative_sum(starts)
    series = xp.reshape(xp.searchsorted(ends, xp.reshape(indices, (-1,)), side="right"), indices.shape)
    first = indices - take_rows(ends - starts, series)
    columns = first[..., None] + xp.arange(length + 1, dtype=indices.dtype, device=device_of(indices))
    last = take_rows(lengths, series)[..., None]
    return series, xp.minimum(columns, last), xp.maximum(columns - last, xp.zeros_like(last))
