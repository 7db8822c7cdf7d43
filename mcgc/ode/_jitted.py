"""Whole solutions of jitted fields on the CPU, and their derivatives, in one compiled call each."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from mcgc._jit import DECORATOR, Argument, FieldPrograms, Jitted, field_programs, load
from mcgc.arrays import is_host
from mcgc.autodiff.pytree import Structure, unflatten
from mcgc.kernels import platform
from mcgc.ode._integrate import Method, Stats, Status, timeline
from mcgc.ode._program import whole
from mcgc.ode._tableaux import Tableau

ROOM = 32  # steps of a trajectory that the first log has room for


class Compiled(NamedTuple):
    """A field with a method: the compiled functions, and the programs that they are made of."""

    module: ModuleType
    programs: FieldPrograms
    tableau: Tableau  # held, so that no other has its id
    room: list[int]  # what the largest log so far had


class Solved(NamedTuple):
    """A solution by one call, and its derivatives.

    `pull_back` maps the cotangent of `ys` to those of y0, of ts (zeros unless asked for), and of the numbers of params,
    (batch, numbers) each. `tangents` returns the derivatives of `ys` by y0 and these numbers, (batch, times, states,
    states + numbers). `by_leaf` parts an array whose last axis are these numbers into one for each leaf.
    """

    ys: np.ndarray
    stats: Stats
    status: np.ndarray
    pull_back: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
    tangents: Callable[[], np.ndarray]
    by_leaf: Callable[[np.ndarray], list]

    def vjp(self, cotangent: np.ndarray) -> list:
        """Return the cotangents of y0, ts and the leaves of params; those of a shared leaf are added up, in order."""
        y_bar, ts_bar, p_bar = self.pull_back(cotangent)
        return [y_bar, ts_bar, *self.by_leaf(p_bar)]


_compiled: WeakKeyDictionary[Jitted, dict[tuple, Compiled]] = WeakKeyDictionary()


def solve_jitted(
    field: Jitted,
    method: Method,
    y0: Any,
    ts: Any,
    leaves: Sequence[Any],
    structure: Structure,
    single: bool,
    with_vjp: bool,
    of_ts: bool,
) -> Solved | None:
    """Return the solution of `mcgc.ode._integrate.march`, or None where there is no compiled one.

    y0 is (batch, states), ts (batch, times) in float64; `leaves` and `structure` are those of params. There is no
    compiled solution on other devices, where a float array of params has another dtype than y0, where times are not in
    order, and, with `method.throw`, where a trajectory fails.
    """
    dtype = y0.dtype
    if platform(y0) != "cpu" or not all(_fits(leaf, dtype) for leaf in leaves):
        return None
    times = _times(ts[0].tobytes() if ts.strides[0] == 0 else ts.tobytes(), ts.shape)
    if times is None:
        return None
    compiled = _of(field, method.tableau, leaves, structure, y0, single)
    (batch, n), forward, threads = y0.shape, compiled.module.forward, field.threads
    p, step_p = _packed(leaves, compiled.programs, y0)
    problem = ts.shape[1], times.start, times.sign, times.elapsed, y0.ravel(), p, step_p
    limits = (
        *(_of_each(method.rtol, n), _of_each(method.atol, n), float(method.step_size or 0)),
        *(method.max_steps, float(method.max_step), times.smallest),
    )
    ys, counts = np.empty((*ts.shape, n), dtype), np.empty((batch, 4), np.int64)
    flat_ys, flat_counts = ys.ravel(), counts.ravel()
    room = compiled.room[0] if with_vjp else 0
    while True:
        entries = batch * room
        log = np.empty(entries), np.empty(entries, dtype), np.empty(entries * n, dtype), np.empty(entries * n, dtype)
        found = _split(threads, batch, forward, *problem, *limits, room, flat_ys, flat_counts, *log)
        most, failed, evaluations = found[0] if len(found) == 1 else map(max, *found)
        if not with_vjp or most <= room:
            break
        room = compiled.room[0] = 1 << int(most).bit_length()
    status = counts[:, 2]
    if failed:
        if method.throw:
            return None
        ys[status != Status.SUCCESS] = np.nan

    def pull_back(cotangent: np.ndarray) -> tuple:
        y_bar, ts_bar = np.zeros(y0.shape, dtype), np.zeros(ts.shape)
        p_bar = np.zeros((batch, step_p or p.size), dtype)
        given = np.ascontiguousarray(cotangent, dtype).ravel(), flat_counts
        bars = y_bar.ravel(), p_bar.ravel(), ts_bar.ravel()
        _split(threads, batch, compiled.module.backward, *problem, room, of_ts, *given, *log, *bars)
        return y_bar, ts_bar, p_bar

    def tangents() -> np.ndarray:
        out = np.zeros((*ys.shape, n + (step_p or p.size)), dtype)
        _split(threads, batch, compiled.module.sensitivities, *problem, room, flat_counts, *log, out.ravel())
        return out

    by_leaf = lambda x: _by_leaf(x, leaves, compiled.programs.by_row)
    return Solved(ys, Stats(counts[:, 0], counts[:, 1], evaluations), status, pull_back, tangents, by_leaf)


class Times(NamedTuple):
    """The requested times of each trajectory: their start, direction and elapsed times, and the smallest step."""

    start: np.ndarray
    sign: np.ndarray
    elapsed: np.ndarray
    smallest: np.ndarray


@lru_cache(maxsize=16)
def _times(raw: bytes, shape: tuple[int, int]) -> Times | None:
    """Return what a march must know of the times `raw`, of all trajectories or of each; None if not in order.

    It is found again by these bytes: most users solve for the same times again and again.
    """
    ts = np.broadcast_to(np.frombuffer(raw).reshape(-1, shape[1]), shape)
    start, sign, elapsed = timeline(ts, ts.dtype)
    if not ((elapsed[:, 1:] > elapsed[:, :-1]).all() and np.isfinite(elapsed[:, -1]).all()):
        return None
    smallest = 16 * np.finfo(np.float64).eps * (np.abs(start[:, 0]) + elapsed[:, -1])
    return Times(start.ravel(), sign.ravel(), elapsed.ravel(), smallest)


def _fits(leaf: Any, dtype: np.dtype) -> bool:
    """Tell whether the compiled solution takes this leaf of params."""
    if type(leaf) is np.ndarray:
        return leaf.dtype == dtype or leaf.dtype.kind in "iub"
    return type(leaf) in (float, int, bool) or (is_host(leaf) and _fits(np.asarray(leaf), dtype))


def _is_constant(leaf: Any) -> bool:
    """Tell whether a leaf has no derivative: the program is made for its value."""
    return type(leaf) is not float and (type(leaf) in (int, bool) or leaf.dtype.kind in "iub")


def _of(
    field: Jitted, tableau: Tableau, leaves: Sequence[Any], structure: Structure, y0: np.ndarray, single: bool
) -> Compiled:
    """Return the compiled functions for arguments like these."""
    varied = [i for i, leaf in enumerate(leaves) if not _is_constant(leaf)]
    arguments = tuple([Argument(np.shape(leaves[i]), y0.dtype) for i in varied])
    known: tuple = ()
    if len(varied) < len(leaves):
        constants = [(i, np.asarray(leaf)) for i, leaf in enumerate(leaves) if _is_constant(leaf)]
        known = tuple([(i, x.dtype, x.shape, x.tobytes()) for i, x in constants])
    batch = None if single else len(y0)
    key = (id(tableau), y0.dtype, y0.shape[1], batch, structure, arguments, known)
    of_field = _compiled.setdefault(field, {})
    found = of_field.get(key)
    if found is None:

        def function(t: Any, y: Any, some: list) -> Any:
            full = list(leaves)
            for i, leaf in zip(varied, some, strict=True):
                full[i] = leaf
            return field.function(t, y, unflatten(structure, full))

        listed = Structure(list, (), (_LEAF,) * len(varied))
        programs = field_programs(function, listed, arguments, y0.dtype, y0.shape[1], batch)
        rows = iter(programs.by_row)
        programs = programs._replace(by_row=tuple(next(rows) if i in varied else False for i in range(len(leaves))))
        found = of_field[key] = Compiled(load(whole(programs, tableau, DECORATOR)), programs, tableau, [ROOM])
    return found


_LEAF = Structure(None)


def _packed(leaves: Sequence[Any], programs: FieldPrograms, y0: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the numbers of params one after the other, and how many each trajectory has: 0 if all share them."""
    varied = [(leaf, row) for leaf, row in zip(leaves, programs.by_row, strict=True) if not _is_constant(leaf)]
    if len(varied) == 1 and not varied[0][1]:
        return np.ascontiguousarray(varied[0][0], y0.dtype).ravel(), 0
    if not any(row for _, row in varied):
        parts = [np.ravel(leaf) for leaf, _ in varied]
        return np.concatenate([np.empty(0, y0.dtype), *parts], dtype=y0.dtype, casting="same_kind"), 0
    batch = len(y0)
    parts = [
        np.reshape(leaf, (batch, -1)) if row else np.broadcast_to(np.ravel(leaf), (batch, np.size(leaf)))
        for leaf, row in varied
    ]
    joined = np.concatenate(parts, axis=1, dtype=y0.dtype, casting="same_kind")
    return joined.ravel(), joined.shape[1]


def _by_leaf(x: np.ndarray, leaves: Sequence[Any], by_row: Sequence[bool]) -> list:
    """Part `x`, (batch, ..., numbers of params), by the leaves of params: None for a constant.

    The part of a leaf has the shape of one row of it, or of the leaf if it is shared. Its rows are added up if there
    are no axes between.
    """
    parts: list = []
    at = 0
    for leaf, row in zip(leaves, by_row, strict=True):
        if _is_constant(leaf):
            parts.append(None)
            continue
        shape = np.shape(leaf)[row:]
        size = math.prod(shape)
        part = x[..., at : at + size]
        if x.ndim == 2 and not row:
            part = part.sum(axis=0)
        parts.append(part.reshape((*part.shape[:-1], *shape)))
        at += size
    return parts


def _of_each(tolerance: Any, states: int) -> np.ndarray:
    return _filled(tolerance, states) if type(tolerance) is float else np.full(states, tolerance, np.float64)


@lru_cache
def _filled(tolerance: float, states: int) -> np.ndarray:
    return np.full(states, tolerance)


def _split(threads: int, batch: int, function: Callable, *args: Any) -> list:
    """Call `function(begin, end, *args)` for all trajectories, by as many threads as asked for; return the results."""
    parts = min(threads, batch)
    if parts == 1:
        return [function(0, batch, *args)]
    from concurrent.futures import ThreadPoolExecutor

    ends = [batch * i // parts for i in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        return [done.result() for done in [pool.submit(function, a, b, *args) for a, b in pairwise(ends)]]
