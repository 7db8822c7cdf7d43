"""Levenberg–Marquardt from a point, on all residuals or on those up to a horizon, by SciPy; derivatives from values."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mcgc._integers import whole
from mcgc.continuation._least_squares._evaluate import Residuals
from mcgc.continuation._least_squares._workers import Failed, attempt
from mcgc.errors import InputError

POINTS = ("2-point", "3-point")
STEPS = {"2-point": 2.0**-26, "3-point": 2.0 ** (-52 / 3)}  # relative: the square and the cube root of the rounding

SHORTEST = 0.1  # of the whole time: the first of several horizons
MORE = 1.25  # the number of lengths of a restart over that of the last
MOST = 4.0  # and the largest such factor
LOOSE = 1e-2  # the tolerance of the searches before the last horizon
WORSE = 2.0  # a run ends at a horizon where its cost is above this multiple of that of an earlier run
SAME = 0.01  # or where its cost differs by at most this part from that of an earlier run: it is the same minimum


class Local(NamedTuple):
    """The end of a local search on what was kept: u (d,), the cost, SciPy's status and sentence, and the Jacobian."""

    u: np.ndarray
    cost: float
    status: int
    message: str
    jacobian: np.ndarray


class Slopes(NamedTuple):
    """Where the derivatives of the residuals by u come from.

    Parameters
    ----------
    jac : function or {"2-point", "3-point"}
        The user's function, of what the residuals take, or the kind of differences.
    step : float, optional
        The step of the differences, relative to |u|.
    """

    jac: Any = "2-point"
    step: float | None = None

    def __call__(self, residuals: Residuals, u: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return the Jacobian (n, d) at u, where the residuals are `at` (n,). What cannot be known is 0."""
        if callable(self.jac):
            given = self._given(residuals, u, at.size)
            if given is not None:
                return given
        kind = self.jac if self.jac in POINTS else "2-point"
        steps = self.steps(residuals, u, kind)
        found = one_sided(residuals, u, at, steps) if kind == "2-point" else central(residuals, u, at, steps)
        return np.where(np.isfinite(found), found, 0.0)

    def steps(self, residuals: Residuals, u: np.ndarray, kind: str) -> np.ndarray:
        """Return the steps (d,) of the differences: relative to |u|, or to the scale where u is nearly 0."""
        relative = self.step or STEPS[kind]
        return relative * np.maximum(np.abs(u), 1e-3 * residuals.space.scale)

    def _given(self, residuals: Residuals, u: np.ndarray, size: int) -> np.ndarray | None:
        space = residuals.space
        residuals.njev += 1
        x = space.decode(u)
        found = attempt(self.jac, space.build(x))
        if isinstance(found, Failed):
            residuals.failures["jac raised"] += 1
            return None
        found = np.asarray(found, dtype="float64")
        if found.shape != (size, x.size):
            raise InputError(f"jac must return an array of shape {(size, x.size)}, got one of shape {found.shape}")
        return found[:, space.free] * space.slopes(u) if np.isfinite(found).all() else None


def one_sided(residuals: Residuals, u: np.ndarray, at: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the Jacobian (n, d) by differences on one side: the other where the first fails or is out of bounds."""
    signed = np.where(u + steps > residuals.space.upper, -steps, steps)
    columns = _differences(residuals, u, at, signed)
    failed = ~np.isfinite(columns).all(0)
    for j in np.flatnonzero(failed):
        if residuals.space.lower[j] <= u[j] - signed[j] <= residuals.space.upper[j]:
            columns[:, j] = _differences(residuals, u, at, -signed, [j])[:, 0]
    return columns


def _differences(
    residuals: Residuals, u: np.ndarray, at: np.ndarray, steps: np.ndarray, which: Any = slice(None)
) -> np.ndarray:
    points = (u + np.diag(steps))[which]
    moved = (points - u).sum(1)  # what the steps are after rounding
    return ((residuals(points) - at) / moved[:, None]).T


def central(residuals: Residuals, u: np.ndarray, at: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the Jacobian (n, d) by central differences; one-sided ones at a bound, and where a side fails."""
    ahead, behind = residuals.space.clip(u + np.diag(steps)), residuals.space.clip(u - np.diag(steps))
    rows = residuals(np.concatenate([ahead, behind]))
    plus, minus = rows[: u.size], rows[u.size :]
    width = np.stack([(ahead - u).sum(1), (u - behind).sum(1)])[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        both = (plus - minus) / width.sum(0)
        right, left = (plus - at) / width[0], (at - minus) / width[1]
    found = np.where(np.isfinite(both), both, np.where(np.isfinite(right), right, left))
    return found.T


def levenberg_marquardt(
    residuals: Residuals, start: np.ndarray, slopes: Slopes, tol: float, keep: np.ndarray | None = None, most: int = 0
) -> Local:
    """Return where Levenberg–Marquardt ends from `start`, on the residuals `keep` (n,) alone if they are given.

    It tries at most `most` points, 200 for each parameter by default.

    With bounds it is SciPy's trust region within them. Points at which a residual is not a number count as worse than
    any other.
    """
    from scipy import optimize

    space, held = residuals.space, _Held(residuals, slopes, keep)
    first = held.plain(start)
    if first.size == 0 or not np.isfinite(first).all():
        return Local(
            start, np.inf, -1, "the local search cannot start where a residual is not a number", np.empty((0, 0))
        )
    held.bad = 1e3 * (1.0 + float(np.abs(first).max()))
    few = first.size < start.size
    found = optimize.least_squares(
        held.values,
        start,
        jac=held.jacobian,
        bounds=(space.lower, space.upper) if space.bounded else (-np.inf, np.inf),
        method="trf" if few or space.bounded else "lm",
        x_scale=space.scale,
        ftol=tol,
        xtol=tol,
        gtol=max(tol * 1e-2, 1e-15),
        max_nfev=most or 200 * start.size,
    )
    return Local(found.x, float(found.cost), int(found.status), str(found.message), found.jac)


class _Held:
    """The residuals and the Jacobian as SciPy takes them, with the last points kept: SciPy asks for some twice."""

    def __init__(self, residuals: Residuals, slopes: Slopes, keep: np.ndarray | None):
        self._residuals, self._slopes = residuals, slopes
        self._keep: Any = slice(None) if keep is None else keep
        self._rows: dict[bytes, np.ndarray] = {}
        self._jacobians: dict[bytes, np.ndarray] = {}
        self.bad = 0.0

    def _whole(self, u: np.ndarray) -> np.ndarray:
        return _kept(self._rows, u, lambda: self._residuals(u[None])[0])

    def plain(self, u: np.ndarray) -> np.ndarray:
        """Return the kept residuals, with NaN where a call failed."""
        row = self._whole(u)
        return row[self._keep] if row.size else row

    def values(self, u: np.ndarray) -> np.ndarray:
        """Return the kept residuals, with a large number where a call failed."""
        row = self.plain(u)
        return np.where(np.isfinite(row), row, self.bad)

    def jacobian(self, u: np.ndarray) -> np.ndarray:
        """Return the Jacobian of the kept residuals."""
        find = lambda: self._slopes(self._residuals, u, self._whole(u))[self._keep]
        return _kept(self._jacobians, u, find)


def _kept(known: dict[bytes, np.ndarray], u: np.ndarray, find: Callable[[], np.ndarray]) -> np.ndarray:
    name = u.tobytes()
    if name not in known:
        while len(known) > 3:
            del known[next(iter(known))]
        known[name] = find()
    return known[name]


class Horizons(NamedTuple):
    """The residuals that lie within growing lengths of time.

    Parameters
    ----------
    times : array of shape (n,)
        The time of each residual.
    lengths : int or array of shape (lengths,)
        How many lengths there are, or the lengths as fractions of the whole time.
    """

    times: np.ndarray
    lengths: Any

    def masks(self, number: int = 0) -> list[np.ndarray]:
        """Return which residuals (n,) lie within each length, up to the whole, for the restart with this number.

        Lengths that are not given grow geometrically. Each restart has more of them than the last.
        """
        lengths = self.lengths
        if isinstance(lengths, int):
            lengths = (
                np.geomspace(SHORTEST, 1.0, round(lengths * min(MORE**number, MOST))) if lengths > 1 else np.ones(1)
            )
        low, high = self.times.min(), self.times.max()
        masks = [self.times <= low + length * (high - low) for length in lengths]
        return [*masks[:-1], np.ones(self.times.size, bool)]


def horizons_of(horizons: Any, times: Any, size: int | None) -> Horizons:
    """Return the horizons of n = `size` residuals. Raises `InputError` for what cannot be used."""
    if times is None:
        raise InputError("horizons need times: the time of each residual")
    times = np.asarray(times, dtype="float64").reshape(-1)
    if size is not None and times.size != size:
        raise InputError(f"times must have one number for each of the {size} residuals, got {times.size}")
    if isinstance(horizons, int | np.integer):
        return Horizons(times, whole(horizons, "horizons"))
    fractions = np.unique(np.append(np.asarray(horizons, dtype="float64").reshape(-1), 1.0))
    if not ((fractions > 0) & (fractions <= 1)).all():
        raise InputError(f"horizons must be a number of them or fractions of the whole time, got {horizons!r}")
    return Horizons(times, fractions)


class Visit(NamedTuple):
    """The cost at which an earlier run left a horizon, by the number of residuals within it."""

    kept: int
    cost: float


def grow(
    residuals: Residuals, start: np.ndarray, masks: list[np.ndarray], slopes: Slopes, tol: float, visits: list[Visit]
) -> Local:
    """Return where Levenberg–Marquardt ends on growing horizons, each from the parameters of the last.

    A run ends early where an earlier one was as well, or where one was much better. `visits` has them, and is added to.
    """
    end = Local(start, np.inf, -1, "", np.empty((0, 0)))
    for keep in masks:
        end = levenberg_marquardt(residuals, end.u, slopes, LOOSE, keep)
        residuals.step(0.0, end.u)
        if end.status < 0:
            return end
        earlier = [visit.cost for visit in visits if visit.kept == keep.sum()]
        visits.append(Visit(int(keep.sum()), end.cost))
        if any(end.cost > WORSE * cost or abs(end.cost - cost) <= SAME * cost for cost in earlier):
            return end._replace(status=0, message="an earlier run came to the same or a better point at this horizon")
    return levenberg_marquardt(residuals, end.u, slopes, tol)
