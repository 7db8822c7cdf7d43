"""Ensemble Kalman inversion: an ensemble of points moves by the covariances of points and residuals alone."""

import math

import numpy as np

from mcgc.continuation._least_squares._evaluate import Residuals
from mcgc.random import Key, fold_in, normal

NARROW = 5e-2  # scales: from an ensemble as narrow as this a local search goes on
COLLAPSED = 1e-6  # scales: an ensemble as narrow as this moves no further


def share_of_step(misfits: np.ndarray, size: int) -> float:
    """Return 1/α of a step: the misfit controller of Iglesias and Yang (2021), without an end of time.

    `misfits` are Φ = ½ |r|²/σ² of the members. A step is short while they are large compared with the number n of
    residuals, or differ much.
    """
    mean, spread = float(misfits.mean()), float(misfits.var())
    return max(size / (2 * mean), math.sqrt(size / (2 * spread)) if spread > 0 else 0.0)


def kalman_step(points: np.ndarray, rows: np.ndarray, noise: np.ndarray, gamma: float) -> np.ndarray:
    """Return the moved points: u + C_ur (C_rr + γ I)⁻¹ (√γ ξ − r) with the ensemble's covariances.

    The inverse is taken in the space of the J members, which is smaller than that of the residuals:
    Rᵀ(RRᵀ + γI)⁻¹ = (RᵀR + γI)⁻¹Rᵀ.
    """
    count = len(points)
    du, dr = (points - points.mean(0)) / math.sqrt(count - 1), (rows - rows.mean(0)) / math.sqrt(count - 1)
    wanted = math.sqrt(gamma) * noise - rows
    inner = dr @ dr.T + gamma * np.eye(count)
    return points + (np.linalg.solve(inner, dr @ wanted.T)).T @ du


def invert(
    residuals: Residuals, start: np.ndarray, members: int, most: int, key: Key, sigma: float | None, narrow: float
) -> np.ndarray:
    """Return the mean (d,) of the ensemble once it is `narrow`, in scales, or after `most` steps.

    σ, the standard deviation of the residuals at the solution, is by default taken as the root of the least mean square
    of the ensemble. Members that failed are drawn anew from the others.
    """
    space, d = residuals.space, start.size
    points = space.clip(start + space.scale * normal(fold_in(key, 0), (members, d), "float64"))
    for k in range(1, most + 1):
        rows = residuals(points)
        good = np.isfinite(rows).all(1) if rows.size else np.zeros(members, bool)
        step_key = fold_in(key, k)
        if good.sum() < 2:
            points = space.clip(start + space.scale * normal(step_key, (members, d), "float64"))
            continue
        kept, seen = points[good], rows[good]
        squares = (seen**2).mean(1)
        variance = sigma**2 if sigma else max(float(squares.min()), 1e-300)
        share = share_of_step(squares * seen.shape[1] / (2 * variance), seen.shape[1])
        noise = normal(fold_in(step_key, 0), seen.shape, "float64")
        moved = kalman_step(kept, seen, noise, variance / share)
        mean, spread = moved.mean(0), moved.std(0)
        points = np.tile(mean, (members, 1))
        points[good] = moved
        fresh = normal(fold_in(step_key, 1), (members, d), "float64")
        points[~good] = (mean + spread * fresh)[~good]
        points = space.clip(points)
        residuals.step(0.0, space.clip(mean))
        if (spread < narrow * space.scale).all():
            break
    return space.clip(points.mean(0))
