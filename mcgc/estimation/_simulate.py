"""Solutions of many experiments at many parameters, and their derivatives, in few compiled calls.

Experiments whose inputs are constant are solved in one call: shorter lists of times are filled up between their last
two, which changes no step. Where inputs vary, a solution goes from knot to knot, so that no step crosses a kink.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit import Jitted
from mcgc.estimation._experiment import Series, input_at
from mcgc.estimation._field import Layout
from mcgc.ode import sensitivities, solve


class Options(NamedTuple):
    """Options of the solver, as those of `mcgc.ode.solve`."""

    solver: Any
    rtol: float
    atol: float
    max_steps: int


class Segment(NamedTuple):
    """A part of the solutions of a group between knots.

    Parameters
    ----------
    ts : array of shape (members, times)
        The times, with the start of the part.
    tail : array of shape (members, width)
        The numbers after the parameters.
    source, to : array of int
        Which of these times are requested, and their indices among all.
    """

    ts: np.ndarray
    tail: np.ndarray
    source: np.ndarray
    to: np.ndarray


class Group(NamedTuple):
    """Experiments that are solved together: their numbers, the indices of their times, and the parts in turn."""

    members: tuple[int, ...]
    indices: tuple[np.ndarray, ...]
    length: int
    segments: tuple[Segment, ...]


def groups_of(series: Sequence[Series], times: Sequence[np.ndarray], layout: Layout, kind: str) -> list[Group]:
    """Return the groups. `times` are the requested ones of each experiment, in order."""
    together: dict[Any, list[int]] = {}
    for i, one in enumerate(series):
        key = (_knots(one, times[i]).tobytes(), times[i].tobytes(), one.t0) if one.varying else None
        together.setdefault(key, []).append(i)
    found = []
    for members in together.values():
        grids = [np.unique(np.append(times[i], series[i].t0)) for i in members]
        length = max(max(map(len, grids)), 2)
        filled = np.stack([_filled(grid, length) for grid in grids])
        indices = tuple(np.searchsorted(grid, times[i]) for grid, i in zip(filled, members, strict=True))
        segments = _segments([series[i] for i in members], filled, layout, kind)
        found.append(Group(tuple(members), indices, length, segments))
    return found


def _filled(grid: np.ndarray, length: int) -> np.ndarray:
    missing = length - len(grid)
    if missing == 0:
        return grid
    if len(grid) == 1:  # only the start is asked for
        return np.linspace(grid[0], grid[0] + 1.0, length)
    return np.concatenate([grid[:-1], np.linspace(grid[-2], grid[-1], missing + 2)[1:]])


def _knots(one: Series, times: np.ndarray) -> np.ndarray:
    """Return where the inputs of an experiment have kinks, between its start and its last time."""
    knots = np.unique(np.concatenate([value[0] for value in one.inputs.values() if isinstance(value, tuple)]))
    return knots[(knots > one.t0) & (knots < times.max())]


def _segments(members: list[Series], grids: np.ndarray, layout: Layout, kind: str) -> tuple[Segment, ...]:
    first, grid = members[0], grids[0]
    if not first.varying:
        constants = np.asarray([[one.inputs[name] for name in layout.inputs] for one in members])
        tail = np.zeros((len(members), layout.width))
        tail[:, : len(layout.inputs)] = constants
        return (Segment(grids, tail, np.arange(grids.shape[1]), np.arange(grids.shape[1])),)
    edges = np.concatenate([grid[:1], _knots(first, grid), grid[-1:]])
    found = []
    for a, b in pairwise(edges.tolist()):
        inside = np.flatnonzero((grid >= a) & (grid <= b) if a == edges[0] else (grid > a) & (grid <= b))
        ts = np.unique(np.concatenate([[a, b], grid[inside]]))
        tail = np.stack([_ramp(one, a, b, layout, kind) for one in members])
        found.append(Segment(np.tile(ts, (len(members), 1)), tail, np.searchsorted(ts, grid[inside]), inside))
    return tuple(found)


def _ramp(one: Series, a: float, b: float, layout: Layout, kind: str) -> np.ndarray:
    """Return the inputs at a, their slopes up to b, and a."""
    inputs = [one.inputs[name] for name in layout.inputs]
    begin = np.asarray([float(input_at(value, np.asarray(a), kind)) for value in inputs])
    if kind == "previous":
        return np.concatenate([begin, np.zeros(len(inputs)), [a]])
    end = np.asarray([float(input_at(value, np.asarray(b), kind)) for value in inputs])
    return np.concatenate([begin, (end - begin) / (b - a), [a]])


def states_at(field: Jitted, group: Group, options: Options, p: np.ndarray, y0: np.ndarray) -> np.ndarray:
    """Return the states (rows, times, states) of a group at parameters (rows, ...) and starts (rows, states).

    The rows are those of the members for one draw after the other. What failed is NaN.
    """
    y, bad = y0, np.zeros(len(y0), bool)
    out = np.empty((len(y0), group.length, y0.shape[1]))
    for segment in group.segments:
        ts, q = _given(segment, p)
        ys = solve(field, y, ts, q, throw=False, **options._asdict()).ys
        out[:, segment.to] = ys[:, segment.source]
        bad |= ~np.isfinite(ys).all((1, 2))
        y = np.where(bad[:, None], y0, ys[:, -1])
    out[bad] = np.nan
    return out


def slopes_at(
    field: Jitted, group: Group, options: Options, p: np.ndarray, y0: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the states, as `states_at`, and their derivatives by the starts and by the parameters."""
    rows, n = y0.shape
    m = p.shape[1]
    y, total = y0, np.concatenate([np.broadcast_to(np.eye(n), (rows, n, n)), np.zeros((rows, n, m))], axis=2)
    out, slopes = np.full((rows, group.length, n), np.nan), np.full((rows, group.length, n, n + m), np.nan)
    for segment in group.segments:
        ts, q = _given(segment, p)
        found = sensitivities(field, y, ts, q, throw=False, **options._asdict())
        if (found.status != 0).any():
            return np.full_like(out, np.nan), slopes[..., :n], slopes[..., n:]
        chained = found.of_y0 @ total[:, None]
        of_p = found.of_params.reshape(*found.ys.shape, -1)  # a single row counts as shared
        chained[..., n:] += of_p[..., :m]
        out[:, segment.to], slopes[:, segment.to] = found.ys[:, segment.source], chained[:, segment.source]
        y, total = found.ys[:, -1], chained[:, -1]
    return out, slopes[..., :n], slopes[..., n:]


def _given(segment: Segment, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the times and the numbers of each row."""
    draws = len(p) // len(segment.ts)
    alike = (segment.ts == segment.ts[0]).all()
    ts = segment.ts[0] if alike else np.tile(segment.ts, (draws, 1))
    return ts, np.concatenate([p, np.tile(segment.tail, (draws, 1))], axis=1)
