"""How much of the differences between trials each setting explains by itself."""

from collections.abc import Sequence

import numpy as np

from mcgc.sweeps._space import Dimension


def importance(space: Sequence[Dimension], points: Sequence[dict], values: Sequence[float]) -> dict[str, float]:
    """Return for each setting the share of the variance of the ranks of `values` that it explains alone.

    The share is the adjusted R² of a regression of the ranks on the setting: on its unit and the square of that for a
    range, on the means of each choice for choices. It is 0 at least, and NaN where there are too few trials. Ranks make
    infinite losses usable, and do not depend on the scale of the loss.
    """
    from scipy.stats import rankdata

    ranks = rankdata(values)
    return {one.name: _share(one, [one.unit(point[one.name]) for point in points], ranks) for one in space}


def _share(one: Dimension, units: Sequence[float], ranks: np.ndarray) -> float:
    """Return the adjusted R² of the ranks on a setting."""
    x = np.asarray(units)
    levels, index = np.unique(x, return_inverse=True)
    if one.choices or len(levels) < 3:
        basis = np.eye(len(levels))[index]  # the mean of each level
    else:
        basis = np.stack([np.ones_like(x), x, x**2], axis=1)
    rows, columns = basis.shape
    total = float(((ranks - ranks.mean()) ** 2).sum())
    if rows <= columns:
        return float("nan")
    if len(levels) < 2 or total == 0:
        return 0.0
    rest = ranks - basis @ np.linalg.lstsq(basis, ranks)[0]
    return max(0.0, 1 - float(rest @ rest) / (rows - columns) / (total / (rows - 1)))
