"""Whole solutions of jitted fields on the CPU, and their derivatives, in one compiled call each."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from mcgc._jit import DECORATOR, FieldPrograms, Jitted, argument, field_programs, load
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
    room: list[int]  # what the largest log so far had


class Solved(NamedTuple):
    """A solution by one call, and its derivatives.

    `vjp` maps the cotangent of `ys` to those of y0, ts (None unless asked for) and the leaves of params.
    """

    ys: np.ndarray
    stats: Stats
    status: np.ndarray
    vjp: Callable[[np.ndarray], list]


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
    if platform(y0) != "cpu" or not all(_fits(leaf, y0.dtype) for leaf in leaves):
        return None
    start, sign, elapsed = timeline(ts, y0.dtype)
    if not ((elapsed[:, 1:] > elapsed[:, :-1]).all() and np.isfinite(elapsed[:, -1]).all()):
        return None
    compiled = _of(field, method.tableau, leaves, structure, y0, single)
    batch, n = y0.shape
    end = elapsed[:, -1]
    p, step_p = _packed(leaves, compiled.programs, y0)
    problem = (
        *(ts.shape[1], start.ravel(), sign.ravel(), np.ascontiguousarray(elapsed).ravel()),
        *(np.ascontiguousarray(y0).ravel(), p, step_p),
    )
    limits = (
        *(_of_each(method.rtol, n), _of_each(method.atol, n), float(method.step_size or 0)),
        *(method.max_steps, float(method.max_step), 16 * np.finfo(np.float64).eps * (np.abs(start[:, 0]) + end)),
    )
    ys, counts = np.empty((*ts.shape, n), y0.dtype), np.empty((batch, 4), np.int64)
    room = compiled.room[0] if with_vjp else 0
    while True:
        log = np.empty(batch * room), *(np.empty(batch * room * k, y0.dtype) for k in (1, n, n))
        _split(field.threads, batch, compiled.module.forward, *problem, *limits, room, ys.ravel(), counts.ravel(), *log)
        most = int(counts[:, 0].max())
        if not with_vjp or most <= room:
            break
        room = compiled.room[0] = 1 << most.bit_length()
    status = counts[:, 2]
    if (status != Status.SUCCESS).any():
        if method.throw:
            return None
        ys[status != Status.SUCCESS] = np.nan
    stats = Stats(counts[:, 0], counts[:, 1], int(counts[:, 3].max()))
    taken = *problem, room

    def vjp(cotangent: np.ndarray) -> list:
        y_bar, ts_bar = np.zeros_like(y0), np.zeros(ts.shape)
        p_bar = np.zeros((batch, p.size if step_p == 0 else step_p), y0.dtype)
        flat = np.ascontiguousarray(cotangent, y0.dtype).ravel()
        bars = y_bar.ravel(), p_bar.ravel(), ts_bar.ravel()
        _split(field.threads, batch, compiled.module.backward, *taken, of_ts, flat, counts.ravel(), *log, *bars)
        of_leaves = _unpacked(p_bar, leaves, compiled.programs.by_row)
        return [y_bar, ts_bar if of_ts else None, *of_leaves]

    return Solved(ys, stats, status, vjp)


def _fits(leaf: Any, dtype: np.dtype) -> bool:
    """Tell whether the compiled solution takes this leaf of params."""
    if not is_host(leaf):
        return type(leaf) in (float, int, bool)
    return leaf.dtype == dtype or leaf.dtype.kind in "iub"


def _is_constant(leaf: Any) -> bool:
    """Tell whether a leaf has no derivative: the program is made for its value."""
    return type(leaf) in (int, bool) or (is_host(leaf) and leaf.dtype.kind in "iub")


def _of(
    field: Jitted, tableau: Tableau, leaves: Sequence[Any], structure: Structure, y0: np.ndarray, single: bool
) -> Compiled:
    """Return the compiled functions for arguments like these."""
    varied = [i for i, leaf in enumerate(leaves) if not _is_constant(leaf)]
    arguments = tuple(argument(leaves[i])._replace(dtype=y0.dtype) for i in varied)
    constants = tuple((i, np.asarray(leaf)) for i, leaf in enumerate(leaves) if _is_constant(leaf))
    known = tuple((i, x.dtype, x.shape, x.tobytes()) for i, x in constants)
    batch = None if single else len(y0)
    key = (tableau, y0.dtype, y0.shape[1], batch, structure, arguments, known)
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
        found = of_field[key] = Compiled(load(whole(programs, tableau, DECORATOR)), programs, [ROOM])
    return found


_LEAF = Structure(None)


def _packed(leaves: Sequence[Any], programs: FieldPrograms, y0: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the numbers of params one after the other, and how many each trajectory has: 0 if all share them."""
    varied = [(leaf, row) for leaf, row in zip(leaves, programs.by_row, strict=True) if not _is_constant(leaf)]
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


def _unpacked(p_bar: np.ndarray, leaves: Sequence[Any], by_row: Sequence[bool]) -> list:
    """Return the cotangents of the leaves: those of a shared one are added up over the trajectories, in order."""
    bars: list = []
    at = 0
    for leaf, row in zip(leaves, by_row, strict=True):
        if _is_constant(leaf):
            bars.append(None)
            continue
        size = np.size(leaf) // (len(p_bar) if row else 1)
        part = p_bar[:, at : at + size]
        bars.append(np.reshape(part if row else part.sum(axis=0), np.shape(leaf)))
        at += size
    return bars


def _of_each(tolerance: Any, states: int) -> np.ndarray:
    return np.full(states, tolerance, np.float64)


def _split(threads: int, batch: int, function: Callable, *args: Any) -> None:
    """Call `function(begin, end, *args)` for all trajectories, by as many threads as asked for."""
    parts = min(threads, batch)
    if parts == 1:
        function(0, batch, *args)
        return
    from concurrent.futures import ThreadPoolExecutor

    ends = [math.ceil(batch * i / parts) for i in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        for done in [pool.submit(function, a, b, *args) for a, b in pairwise(ends)]:
            done.result()
