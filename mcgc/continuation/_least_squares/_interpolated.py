"""Gauss–Newton without derivatives: the slopes are those of the plane through d + 1 points that were evaluated.

At first these are the start and a point along each parameter, as far away as the trust region is wide. Each step
evaluates one point, which takes the place of one of the d + 1. The region narrows to the length over which the
residuals are near to linear, so kinks and jumps smaller than that do no harm.

References: Zhang, Conn and Scheinberg (2010), A derivative-free algorithm for least-squares minimization; Cartis and
Roberts (2019), A derivative-free Gauss–Newton method.
"""

import math

import numpy as np

from mcgc.continuation._least_squares._evaluate import Residuals
from mcgc.continuation._least_squares._smoothed import bounded_step

WIDEST = 10.0  # the trust region is at most this multiple of its first width
WRONG, RIGHT = 0.1, 0.7  # of the promised decrease: a step with less narrows the region, one with more widens it
FAR = 2.0  # widths: a point as far as this from the best is replaced before the region narrows
NARROWER = 0.1  # a least width over the one before
FLAT = 1e-3  # a point that would make the others lie nearer to a plane than this is not taken
MOST = 200  # steps for each of d + 1


class _Set:
    """The d + 1 points v (d + 1, d), in scales from the start, with their residuals (d + 1, n) and costs."""

    def __init__(self, residuals: Residuals, start: np.ndarray):
        self._residuals, self._start, self._scale = residuals, start, residuals.space.scale
        self.lower = (residuals.space.lower - start) / self._scale
        self.upper = (residuals.space.upper - start) / self._scale
        self.points = np.zeros((1, start.size))
        self.rows = self.evaluate(self.points)
        self.costs = _costs(self.rows)

    def evaluate(self, points: np.ndarray) -> np.ndarray:
        """Return the residuals (k, n) at points (k, d)."""
        return self._residuals(self._residuals.space.clip(self._start + self._scale * points))

    def begin(self, width: float) -> bool:
        """Add a point along each parameter, on the other side or nearer where it fails. Return if all are known."""
        signs = np.where(self.upper < width, -1.0, 1.0)
        added = np.clip(np.diag(signs * width), self.lower, self.upper)
        rows = self.evaluate(added)
        for share in (-1.0, 0.1, -0.1, 0.01):
            failed = ~np.isfinite(_costs(rows)) | (np.diag(added) == 0)
            if not failed.any():
                break
            added[failed] = np.clip(np.diag(signs * width * share), self.lower, self.upper)[failed]
            rows[failed] = self.evaluate(added[failed])
        self.points, self.rows = np.concatenate([self.points, added]), np.concatenate([self.rows, rows])
        self.costs = _costs(self.rows)
        return bool(np.isfinite(self.costs).all())

    @property
    def best(self) -> int:
        """Return which point has the lowest cost."""
        return int(np.argmin(self.costs))

    def slopes(self) -> np.ndarray:
        """Return the transposed inverse (d + 1, d) of the differences: row i is the slope of what is 1 at i, else 0."""
        rest = np.arange(len(self.points)) != self.best
        inverse = np.linalg.pinv(self.points[rest] - self.points[self.best])
        found = np.empty_like(self.points)
        found[rest], found[~rest] = inverse.T, -inverse.sum(1)
        return found

    def replace(self, i: int, point: np.ndarray, row: np.ndarray, cost: float) -> None:
        """Put a point in the place of point i."""
        self.points[i], self.rows[i], self.costs[i] = point, row, cost


def _costs(rows: np.ndarray) -> np.ndarray:
    costs = (rows**2).sum(1) / 2 if rows.shape[1] else np.full(len(rows), np.inf)
    return np.where(np.isnan(costs), np.inf, costs)


def interpolate(residuals: Residuals, start: np.ndarray, first: float, last: float) -> bool:
    """Search from `start` while the trust region narrows from one width to another, in scales. Return if it did.

    The width is no less than ρ, which falls by a factor of 10 where steps no longer help and no point is far away.
    """
    known = _Set(residuals, start)
    width = least = first
    if not np.isfinite(known.costs).all() or not known.begin(width):
        return False
    for _ in range(MOST * len(known.points)):
        here, cost, slopes = known.points[known.best], known.costs[known.best], known.slopes()
        jacobian = known.rows.T @ slopes  # the constant drops out: the slopes add up to 0
        gram, gradient = jacobian.T @ jacobian, jacobian.T @ known.rows[known.best]
        delta = _within(known, here, gram, gradient, width)
        length = float(np.linalg.norm(delta))
        promised = -float(gradient @ delta + delta @ gram @ delta / 2)
        tried = length >= least / 2 and promised > 0
        if tried:
            part = (cost - _tried(known, slopes, here + delta, width)) / promised
            if part <= RIGHT:
                width = min(width / 2, length) if part < WRONG else max(width / 2, length)
            width = min(max(width, 2 * length if part > RIGHT else least), WIDEST * first)
            residuals.step(0.0, residuals.best_of_run.u)
            if part >= WRONG:
                continue
        if _nearer(known, max(width, least)) or (tried and width > least):
            continue
        if least <= last:
            return True
        least = max(least * NARROWER, last)
        width = max(width / 2, least) if tried else least
    return False


def _within(known: _Set, here: np.ndarray, gram: np.ndarray, gradient: np.ndarray, width: float) -> np.ndarray:
    """Return the step (d,) of the model within the region and the bounds. What it would push out of them stays."""
    free = np.ones(here.size, bool)
    while free.any():
        delta = np.zeros(here.size)
        delta[free] = bounded_step(gram[np.ix_(free, free)], gradient[free], width)
        held = free & (((here >= known.upper) & (delta > 0)) | ((here <= known.lower) & (delta < 0)))
        if not held.any():
            return np.clip(here + delta, known.lower, known.upper) - here
        free &= ~held
    return np.zeros(here.size)


def _tried(known: _Set, slopes: np.ndarray, point: np.ndarray, width: float) -> float:
    """Evaluate a point, put it in the place of one that is far away, and return its cost."""
    row = known.evaluate(point[None])
    cost = float(_costs(row)[0])
    if math.isfinite(cost):
        best = known.best
        values = slopes @ (point - known.points[best])  # of what is 1 at one point and 0 at the others
        values[best] += 1.0
        lower = cost < known.costs[best]
        far = np.linalg.norm(known.points - (point if lower else known.points[best]), axis=1) / width
        worth = np.abs(values) * np.maximum(far, 1.0) ** 2
        worth[best] *= lower
        i = int(np.argmax(worth))
        if worth[i] > FLAT:
            known.replace(i, point, row[0], cost)
    return cost


def _nearer(known: _Set, width: float) -> bool:
    """Replace the point that is farthest from the best, if it is too far, by a near one. Return whether it did."""
    best = known.best
    far = np.linalg.norm(known.points - known.points[best], axis=1)
    i = int(np.argmax(far))
    if far[i] <= FAR * width:
        return False
    slope = known.slopes()[i]
    for share in (1.0, -1.0, 0.1):
        point = known.points[best] + share * width * slope / np.linalg.norm(slope)
        point = np.clip(point, known.lower, known.upper)
        row = known.evaluate(point[None])
        cost = float(_costs(row)[0])
        if math.isfinite(cost) and abs(slope @ (point - known.points[best])) > 0:
            known.replace(i, point, row[0], cost)
            return True
    return False
