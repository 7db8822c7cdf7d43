"""Bands of what an estimate predicts: the errors of the parameters carried to the states by the delta method."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from mcgc.errors import InputError

LEVEL = 0.9


class Bands(NamedTuple):
    """States at some times, with bands.

    Parameters
    ----------
    times : array of shape (times,)
        The times.
    states : array of shape (times, states)
        The states with the estimated parameters.
    standard_errors : array of shape (times, states)
        Their standard errors: the root of the diagonal of J Σ Jᵀ, with J the derivatives of the states at a time by
        the parameters, and Σ the covariance of these. Infinite where the data do not determine every parameter.
    low, high : array of shape (times, states)
        The band of each state at each time, for a probability of `level`.
    data_low, data_high : array of shape (times, states)
        The band of a new measurement, whose noise comes on top. NaN for a state that is not observed by itself.
    """

    times: np.ndarray
    states: np.ndarray
    standard_errors: np.ndarray
    low: np.ndarray
    high: np.ndarray
    data_low: np.ndarray
    data_high: np.ndarray


def bands_of(
    times: np.ndarray,
    states: np.ndarray,
    slopes: np.ndarray,
    covariance: np.ndarray,
    said: Mapping[str, Any],
    seen: Collection[str],
    level: float,
) -> Bands:
    """Return the bands of states (times, states) with slopes (times, states, m).

    `said` is the summary of the estimate, and `seen` are the names of the columns that have values.
    Quantiles are those of t with the degrees of freedom of the fit, or of the normal distribution if the noise was
    given.
    """
    from scipy.special import ndtri, stdtrit

    if not 0 < level < 1:
        raise InputError(f"level must be a probability between 0 and 1, got {level!r}")
    if np.isfinite(covariance).all():
        variance = np.maximum(np.einsum("tsi,ij,tsj->ts", slopes, covariance, slopes), 0.0)
    else:
        variance = np.full(states.shape, np.inf)
    noise = np.asarray([said["sigma"].get(name, np.nan) if name in seen else np.nan for name in said["states"]])
    free, tail = said["data_points"] - said["free_parameters"], (1 + level) / 2
    quantile = ndtri(tail) if said["sigma_known"] else stdtrit(free, tail) if free > 0 else np.inf
    errors = np.sqrt(variance)
    with np.errstate(invalid="ignore"):
        half, wide = quantile * errors, quantile * np.sqrt(variance + noise**2)
    return Bands(times, states, errors, states - half, states + half, states - wide, states + wide)
