"""Profiles of the likelihood: the lowest cost with one parameter held, and where it has risen by a quantile."""

import math
from typing import Any, NamedTuple

import numpy as np

from mcgc.continuation import least_squares
from mcgc.errors import InputError, unknown
from mcgc.estimation._problem import Problem

MOST = 30  # points on one side before the end is taken to be at infinity
CLOSE = 1e-3  # of the root of the quantile: how near the end of the interval is found
LONGER = 1.3  # a step over the last


class Profile(NamedTuple):
    """The profile of the likelihood of one parameter.

    Parameters
    ----------
    name : str
        The parameter.
    values : array of shape (points,)
        Its values, increasing. The estimate is among them.
    rises : array of shape (points,)
        Twice the rise of the cost above that of the estimate, when all others are fitted again. Where it is negative,
        the estimate is not the optimum.
    x : array of shape (points, m)
        All parameters there.
    low, high : float
        The interval. An end is infinite where the cost never rises so far, and at a bound it is the bound.
    level : float
        The probability of the interval.
    """

    name: str
    values: np.ndarray
    rises: np.ndarray
    x: np.ndarray
    low: float
    high: float
    level: float


class _Point(NamedTuple):
    u: float
    rise: float
    x: np.ndarray


def profile_of(estimate: Any, name: str, level: float) -> Profile:
    """Return the profile of a parameter of an `Estimate`."""
    from scipy.stats import chi2

    problem: Problem = estimate.problem
    if name not in problem.parameters:
        raise InputError(unknown("parameter", name, problem.parameters))
    if problem.parameters[name].fixed:
        raise InputError(f"{name!r} is fixed, so it has no profile: choose a free parameter")
    if not 0 < level < 1:
        raise InputError(f"level must be a probability between 0 and 1, got {level!r}")
    wanted = math.sqrt(float(chi2.ppf(level, 1)))
    line = _Line(problem, estimate, name)
    begin = _Point(line.u0, 0.0, np.asarray(estimate.x))
    (before, low), (after, high) = (_side(line, begin, side, wanted) for side in (-1, 1))
    points = [begin, *before, *after]
    points.sort(key=lambda point: point.u)
    values = np.asarray([line.value(point.u) for point in points])
    rises, x = np.asarray([point.rise for point in points]), np.stack([point.x for point in points])
    return Profile(name, values, rises, x, low, high, level)


class _Line:
    """The fits with one parameter held at u, its value or the logarithm of it."""

    def __init__(self, problem: Problem, estimate: Any, name: str):
        self.problem, self.name, self.base = problem, name, float(estimate.cost)
        self.one, self.names = problem.parameters[name], estimate.names
        value = estimate.parameters[name]
        self.u0 = math.log(value) if self.one.log else value
        error = estimate.errors[name] / (value if self.one.log else 1.0)
        scale = self.one.scale or (1.0 if self.one.log else (self.one.max - self.one.min) / 4)
        self.error = error if 0 < error < 1e3 * scale else scale / 10
        low, high = self.one.min, self.one.max
        if self.one.log:
            low, high = math.log(low) if low > 0 else -math.inf, math.log(high) if high < math.inf else math.inf
        self.low, self.high = low, high

    def value(self, u: float) -> float:
        """Return the value of the parameter at u."""
        return math.exp(u) if self.one.log else u

    def at(self, u: float, near: np.ndarray) -> _Point:
        """Return the point where all other parameters are fitted again, from `near`."""
        values = dict(zip(self.names, near.tolist(), strict=True))
        parts = {
            name: one._replace(value=self.value(u), fixed=True)
            if name == self.name
            else one._replace(value=values[name])
            for name, one in self.problem.parameters.items()
        }
        if all(one.fixed for one in parts.values()):
            x = np.asarray([float(one.value) for one in parts.values()])
            rows = self.problem.residuals(dict(zip(self.names, x.tolist(), strict=True)))
            cost = float((rows**2).sum() / 2)
        else:
            found = least_squares(
                self.problem.residuals, parts, method="lm", batched=True, jac=self.problem.jacobian,
                absolute_sigma=True,
            )  # fmt: skip
            x, cost = np.asarray(found.x), float(found.cost)
        return _Point(u, 2 * (cost - self.base) if math.isfinite(cost) else math.inf, x)


def _side(line: _Line, begin: _Point, side: int, wanted: float) -> tuple[list[_Point], float]:
    """Return the points on one side of the estimate, and where the interval ends there."""
    points, last, step = [], begin, line.error * wanted / 2
    limit = line.high if side > 0 else line.low
    for _ in range(MOST):
        u = last.u + side * step
        at_limit = side * (u - limit) >= 0
        point = line.at(limit if at_limit else u, last.x)
        points.append(point)
        if _root(point) >= wanted:
            between = _crossing(line, last, point, wanted)
            return points + between, line.value(between[-1].u if between else point.u)
        if at_limit:
            return points, line.value(limit)
        last, step = point, step * LONGER
    return points, (side * math.inf if side > 0 or not line.one.log else 0.0)


def _root(point: _Point) -> float:
    return math.sqrt(max(point.rise, 0.0))


def _crossing(line: _Line, inner: _Point, outer: _Point, wanted: float) -> list[_Point]:
    """Return points between two, the last of which is where the root of the rise is as wanted: it is nearly linear."""
    found: list[_Point] = []
    point = outer
    for _ in range(20):
        if abs(_root(point) - wanted) <= CLOSE * wanted:
            break
        a, b = _root(inner), _root(outer)
        share = (wanted - a) / (b - a) if math.isfinite(b) else 0.5
        point = line.at(inner.u + (outer.u - inner.u) * min(max(share, 0.05), 0.95), inner.x)
        found.append(point)
        inner, outer = (inner, point) if _root(point) >= wanted else (point, outer)
    return found
