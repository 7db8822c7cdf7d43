"""Points of a space that are known beforehand: a grid, random points, and Sobol's."""

from collections.abc import Mapping, Sequence
from itertools import islice, product
from typing import Any

import numpy as np

from mcgc.errors import InputError
from mcgc.sweeps._space import Dimension

Point = Mapping[str, Any]  # a value for each searched setting
MOST = 100_000  # trials
MOST_SOBOL = 21_201  # dimensions that SciPy has


def grid(space: Sequence[Dimension]) -> list[Point]:
    """Return all combinations of the levels; the last setting changes fastest."""
    names = [one.name for one in space]
    points = islice(product(*(one.levels() for one in space)), MOST + 1)
    found: list[Point] = [dict(zip(names, values, strict=True)) for values in points]
    if len(found) > MOST:
        raise InputError(f"the grid has more than {MOST} points: give fewer, or another method")
    return found


def random(space: Sequence[Dimension], count: int, seed: int) -> list[Point]:
    """Return independent points. More points begin with the same ones."""
    return _points(space, np.random.default_rng(seed).random((count, len(space))))


def sobol(space: Sequence[Dimension], count: int, seed: int) -> list[Point]:
    """Return the first points of a scrambled Sobol sequence. More points begin with the same ones.

    Source: Sobol 1967; Owen 1998, by `scipy.stats.qmc.Sobol`.
    """
    from scipy.stats import qmc

    if len(space) > MOST_SOBOL:
        raise InputError(f"the space has more than {MOST_SOBOL} settings: choose the method random")
    units = qmc.Sobol(len(space), scramble=True, rng=seed).random_base2((count - 1).bit_length())
    return _points(space, units[:count])


def _points(space: Sequence[Dimension], units: np.ndarray) -> list[Point]:
    return [{one.name: one.value(unit) for one, unit in zip(space, row, strict=True)} for row in units.tolist()]
