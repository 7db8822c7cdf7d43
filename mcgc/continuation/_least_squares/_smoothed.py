"""Gauss–Newton on smoothed residuals, weighted by what the linear model leaves unexplained, while λ falls.

At a point u with scale s, residuals r are seen at u ± √λ s∘ε for blocks of orthogonal ε. The seen values give a linear
model of each residual and tell how far it is from linear over the length √λ s. Residuals that are far from linear get
little weight, so that those that cannot be fitted yet switch themselves off. They return as λ falls.
"""

import math
from typing import NamedTuple

import numpy as np

from mcgc.continuation._least_squares._evaluate import Residuals
from mcgc.random import Key, fold_in, normal


class Model(NamedTuple):
    """The linear model r̄ + B ε of the residuals in units of the noise, and what it leaves unexplained.

    Parameters
    ----------
    mean : array of shape (n,)
        r̄. 0 where nothing is known.
    slope : array of shape (n, d)
        B.
    unexplained : array of shape (n,)
        Ω, infinite where too few values are known.
    """

    mean: np.ndarray
    slope: np.ndarray
    unexplained: np.ndarray


class Step(NamedTuple):
    """One step of the path: λ, the point before it, the weights (n,) relative to the largest, and the best cost."""

    lam: float
    x: np.ndarray
    weights: np.ndarray
    cost: float


def directions(key: Key, d: int, blocks: int) -> np.ndarray:
    """Return ε (blocks · max(d, 2), d): in each block the mean of ε εᵀ is the unit matrix.

    The rows of a block are √p q_i with q_i those of a Haar-orthogonal matrix (p, p), p = max(d, 2). A single parameter
    takes the first of two columns, so that the lengths of its steps differ.
    """
    p = max(d, 2)
    found = []
    for i in range(blocks):
        q, r = np.linalg.qr(normal(fold_in(key, i), (p, p), "float64"))
        found.append(math.sqrt(p) * (q * np.sign(np.diag(r)))[:, :d])  # without the signs it were not uniform
    return np.concatenate(found)


def linear_model(plus: np.ndarray, minus: np.ndarray, eps: np.ndarray) -> Model:
    """Return the model of the residuals from their values (k, n) at u + √λ s∘ε and u − √λ s∘ε, with NaN for unknown.

    Where one of a pair is unknown, it is taken as the mirror image of the other about r̄, and Ω does without it.
    Where both are, B has no slope along their ε. Ω needs two whole pairs.
    """
    if not (np.isnan(plus).any() or np.isnan(minus).any()):  # as below, without the copies
        return _whole_model(plus, minus, eps)
    known_plus, known_minus = ~np.isnan(plus), ~np.isnan(minus)
    plus, minus = np.where(known_plus, plus, 0.0), np.where(known_minus, minus, 0.0)
    whole = known_plus & known_minus
    pairs, total = whole.sum(0), len(eps)
    middle = np.where(whole, (plus + minus) / 2, 0.0)
    mean = middle.sum(0) / np.maximum(pairs, 1)
    half = (plus - minus) / 2
    half = np.where(whole, half, np.where(known_plus, plus - mean, np.where(known_minus, mean - minus, 0.0)))
    half[:, pairs == 0] = 0.0
    spread = np.where(whole, (middle - mean) ** 2, 0.0).sum(0) / np.maximum(pairs - 1, 1)
    unexplained = np.where(pairs >= 2, spread * (total - 1) / total, np.inf)  # the mean over all pairs if all are known
    return Model(mean, half.T @ eps / total, unexplained)


def _whole_model(plus: np.ndarray, minus: np.ndarray, eps: np.ndarray) -> Model:
    """Return the model where all values are known."""
    total = len(eps)
    middle = (plus + minus) / 2
    mean = middle.sum(0) / total
    middle -= mean
    np.square(middle, out=middle)
    unexplained = middle.sum(0) / max(total - 1, 1) * (total - 1) / total if total >= 2 else np.full(mean.shape, np.inf)
    np.subtract(plus, minus, out=middle)
    middle /= 2
    return Model(mean, middle.T @ eps / total, unexplained)


def bounded_step(gram: np.ndarray, slope: np.ndarray, radius: float) -> np.ndarray:
    """Return δ = −(G + μI)⁻¹ g (d,) with the smallest μ ≥ 1e-6 ‖G‖ for which |δ| ≤ radius."""
    values, vectors = np.linalg.eigh(gram)
    values, along = np.maximum(values, 0.0), vectors.T @ slope
    lowest = 1e-6 * values[-1]
    if lowest == 0.0:
        return np.zeros_like(slope)
    length = lambda mu: float(np.linalg.norm(along / (values + mu)))
    if length(lowest) <= radius:
        return -(vectors @ (along / (values + lowest)))
    low, high = lowest, max(float(np.linalg.norm(along)) / radius, lowest)  # |δ| ≤ |g| / μ
    for _ in range(60):
        mid = math.sqrt(low * high)
        low, high = (mid, high) if length(mid) > radius else (low, mid)
    return -(vectors @ (along / (values + high)))


def window(residuals: Residuals, u: np.ndarray, reach: np.ndarray, eps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the centre nearest to u and the size of the noise for which all centre ± size∘ε lie within the bounds."""
    space, widest = residuals.space, np.abs(eps).max(0)
    size = np.minimum(reach, (space.upper - space.lower) / 2 / widest)
    return np.clip(u, space.lower + size * widest, np.maximum(space.upper - size * widest, space.lower)), size


class Path(NamedTuple):
    """How λ falls over a run.

    Parameters
    ----------
    lam0 : float
        λ₀.
    shrink : float
        The last λ over λ₀.
    steps : int
        The number K of steps.
    floor : float
        ρ, in units of the lowest mean square of the residuals in the first step.
    blocks : int
        The number of orthogonal blocks a step.
    """

    lam0: float
    shrink: float
    steps: int
    floor: float
    blocks: int

    def lam(self, k: int) -> float:
        """Return λ of step k."""
        return self.lam0 * self.shrink ** (k / max(self.steps - 1, 1))


def descend(
    residuals: Residuals, start: np.ndarray, path: Path, key: Key, record: list[Step], linear: float = 0.0
) -> np.ndarray:
    """Return the point u (d,) where a run along the path ends. Each step is added to `record`.

    The run ends early where the sum of Ω is at most `linear` times that of r̄²: a local search can take over there.
    """
    u, d, unit = start, start.size, 0.0
    for k in range(path.steps):
        lam = path.lam(k)
        eps = directions(fold_in(key, k), d, path.blocks)
        centre, size = window(residuals, u, math.sqrt(lam) * residuals.space.scale, eps)
        seen = residuals(np.concatenate([centre + size * eps, centre - size * eps]))
        unit = unit or mean_square(seen)
        model = linear_model(seen[: len(eps)], seen[len(eps) :], eps)
        weights = 1 / (model.unexplained + path.floor * (unit or 1.0))
        weighted = weights[:, None] * model.slope
        delta = bounded_step(model.slope.T @ weighted, weighted.T @ model.mean, math.sqrt(d))
        record.append(Step(lam, u, weights / weights.max(initial=1e-300), residuals.best_of_run.cost))
        u = residuals.space.clip(centre + size * delta)
        residuals.step(lam, u)
        if model.unexplained.sum() <= linear * (model.mean**2).sum():
            break
    return u


def mean_square(seen: np.ndarray) -> float:
    """Return the lowest mean square of the rows (k, n), 0 if no row is whole."""
    squares = (seen**2).mean(1) if seen.size else np.empty(0)
    squares = squares[np.isfinite(squares)]
    return float(squares.min()) if squares.size else 0.0
