"""How good predictions are, in the units of the data, and how wide the bands are that cover what is observed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

LEVELS = tuple(round(0.01 * i, 2) for i in range(1, 100))  # of the bands that a calibration knows
LEVEL = 0.9  # of a band, if nobody says
Numbers = dict[str, float | None]


class Predicted(NamedTuple):
    """Predictions beside what was observed, all (rows, columns), in the units of the data.

    Parameters
    ----------
    truth : array
        What was observed, NaN where nothing was.
    mean, variance : array
        The mean of the members, and their variance.
    """

    truth: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @property
    def residuals(self) -> np.ndarray:
        """What was observed less the prediction."""
        return self.truth - self.mean


def of_members(ys: np.ndarray) -> Predicted:
    """Return the mean and the variance of members, (members, rows, columns)."""
    variance = ys.var(axis=0, ddof=1) if len(ys) > 1 else np.zeros_like(ys[0])
    return Predicted(np.full_like(ys[0], np.nan), ys.mean(axis=0), variance)


class Calibration(NamedTuple):
    """What makes bands of predictions: mean ± factor · √(noise² + variance of the members).

    Parameters
    ----------
    noise : array of shape (columns,)
        The root mean square of the residuals of the calibration set.
    factors : array of shape (99,)
        For each of `LEVELS`, the quantile of the residuals of the calibration set in units of that root (split
        conformal prediction, Lei et al. 2018), one for all columns.
    spread : bool
        Whether the variance of the members takes part. It does where each trained on data of its own.
    """

    noise: np.ndarray
    factors: np.ndarray
    spread: bool

    def half_width(self, variance: np.ndarray, level: float = LEVEL) -> np.ndarray:
        """Return the half width of the bands of a level, in the units of the data."""
        factor = np.interp(level, LEVELS, self.factors)
        return factor * _size(self.noise, variance, self.spread)


def _size(noise: np.ndarray, variance: np.ndarray, spread: bool) -> np.ndarray:
    """Return √(noise² + variance), without the variance if the `spread` does not take part."""
    square = noise**2 + (variance if spread else np.zeros_like(variance))
    return np.maximum(np.sqrt(square), noise)  # the square of a noise that is almost nothing is 0


def calibrate(found: Predicted, spread: bool) -> Calibration:
    """Return the calibration of a set of predictions."""
    solved = np.isfinite(found.mean)
    noise = _root_mean(found.residuals, np.isfinite(found.truth) & solved)
    noise = np.where(noise > 0, noise, np.finfo(float).tiny)
    scale = _size(noise, found.variance, spread)
    ratios = np.where(solved, np.abs(found.residuals) / scale, np.inf)  # what cannot be solved lies in no band
    ratios = np.sort(ratios[np.isfinite(found.truth)])
    if len(ratios) == 0:
        return Calibration(noise, np.full(len(LEVELS), np.nan), spread)
    ranks = [min(math.ceil((len(ratios) + 1) * level), len(ratios)) - 1 for level in LEVELS]
    return Calibration(noise, ratios[ranks], spread)


def coverage(found: Predicted, calibration: Calibration, names: Sequence[str], level: float = LEVEL) -> Numbers:
    """Return the share of what was observed that lies in the bands, of each column and of "all"."""
    there = np.isfinite(found.truth)
    inside = np.abs(found.residuals) <= calibration.half_width(found.variance, level)
    each = [_share(inside[there[:, i], i]) for i in range(len(names))]
    return {**dict(zip(names, each, strict=True)), "all": _share(inside[there])}


def _share(inside: np.ndarray) -> float | None:
    return float(inside.mean()) if inside.size else None


def scores(truth: np.ndarray, mean: np.ndarray, names: Sequence[str]) -> dict[str, Numbers]:
    """Return the scores of predictions (rows, columns), of each column and, where units allow it, of "all".

    "rmse" and "mae" are in the units of the data. "r2" is 1 less the squared errors over those of the mean of what is
    predicted; its "all" is the mean of the columns. A score is None where nothing was observed, or where a prediction
    of what was observed is not finite.
    """
    residuals, there = truth - mean, np.isfinite(truth)
    rmse = _root_mean(residuals, there)
    with np.errstate(invalid="ignore", divide="ignore"):
        absolute = _mean(np.abs(residuals), there)
        spread = truth - _mean(truth, there)
        r2 = 1 - rmse**2 / _mean(spread**2, there)
    named = lambda values: {name: _or_none(value) for name, value in zip(names, values, strict=True)}
    every = residuals[there]
    return {
        "rmse": {**named(rmse), "all": _or_none(np.sqrt(np.mean(every**2))) if every.size else None},
        "mae": {**named(absolute), "all": _or_none(np.mean(np.abs(every))) if every.size else None},
        "r2": {**named(r2), "all": _or_none(np.mean(r2))},
    }


def _mean(x: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the mean of each column over what is there, NaN where nothing is."""
    count = there.sum(axis=0)
    return np.where(count > 0, np.where(there, x, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _root_mean(x: np.ndarray, there: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean(x**2, there))


def _or_none(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def beats(ours: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether scores are better than others: a larger accuracy, or a larger mean R²; one that is None is worst."""
    number = lambda scores: scores["accuracy"] if "accuracy" in scores else scores["r2"]["all"]
    mine, theirs = number(ours), number(other)
    return mine is not None and (theirs is None or mine > theirs)


def class_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """Return the accuracy and the mean of −log p of what was observed, from probabilities (rows, classes)."""
    chosen = probabilities[np.arange(len(labels)), labels]
    right = probabilities.argmax(axis=1) == labels
    return {
        "accuracy": float(right.mean()),
        "log_loss": _or_none(-np.log(np.maximum(chosen, np.finfo(float).tiny)).mean()),
    }


def calibration_of(found: Mapping[str, Any]) -> Calibration:
    """Return the calibration that a run file holds."""
    numbers = lambda values: np.asarray([np.nan if value is None else value for value in values], np.float64)
    return Calibration(numbers(found["noise"]), numbers(found["factors"]), bool(found["spread"]))
