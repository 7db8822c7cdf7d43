"""Whole solutions of jitted fields, and their derivatives, in one call each, compiled for the device of the arrays.

A thread of a GPU solves a trajectory. The host reads once, when all are solved: whether the log had room, and how it
went.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from mcgc._jit import CPU, TARGETS, Argument, FieldPrograms, Jitted, Target, field_programs, loops, split
from mcgc.arrays import Array, is_array, is_host, namespace_of, to_host
from mcgc.autodiff import ops
from mcgc.autodiff.pytree import Structure, unflatten
from mcgc.kernels import platform
from mcgc.ode._events import Event, Occurrences
from mcgc.ode._integrate import Method, Stats, Status, timeline
from mcgc.ode._occurrences import bars_of_events, occurrences_of, room_for_events
from mcgc.ode._program import sensitivities, whole
from mcgc.ode._tableaux import Tableau

ROOM = 32  # steps of a trajectory that the first log has room for


class Compiled(NamedTuple):
    """A field with a method: the compiled functions, and the programs that they are made of."""

    loops: Any
    tangents: Callable[[], Callable]  # returns the loop of the sensitivities, which few need
    programs: FieldPrograms
    tableau: Tableau  # held, so that no other has its id
    room: list[int]  # what the largest log so far had


class Solved(NamedTuple):
    """A solution by one call, and its derivatives.

    `pull_back` maps the cotangents of `ys` and of the times and states of each event, None for zero, to those of y0, of
    ts (zeros unless asked for), and of the numbers of params, (batch, numbers) each. `tangents` returns the derivatives
    of `ys` by y0 and these numbers, (batch, times, states, states + numbers); there are none with events. `by_leaf`
    parts an array whose last axis are these numbers into one for each leaf.
    """

    ys: Array
    stats: Stats
    status: Array
    pull_back: Callable[..., tuple[Array, Array, Array]]
    tangents: Callable[[], Array]
    by_leaf: Callable[[Array], list]
    occurrences: tuple[Occurrences, ...] = ()

    def vjp(self, *cotangents: Any) -> list:
        """Return the cotangents of y0, ts and the leaves of params; those of a shared leaf are added up, in order."""
        y_bar, ts_bar, p_bar = self.pull_back(*cotangents)
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
    events: Sequence[Event] = (),
) -> Solved | None:
    """Return the solution of `mcgc.ode._integrate.march`, or None where there is no compiled one.

    y0 is (batch, states), ts (batch, times) in float64; `leaves` and `structure` are those of params. There is no
    compiled solution on devices without a compiler, where a float array of params has another dtype than y0 or lies
    elsewhere, where times are not in order, for events on a GPU, and, with `method.throw`, where a trajectory fails.
    """
    xp, dtype, target = namespace_of(y0), y0.dtype, TARGETS.get(platform(y0) or "")
    if (
        target is None
        or (events and target is not CPU)
        or namespace_of(ts) is not xp
        or not all(_fits(leaf, y0) for leaf in leaves)
    ):
        return None
    times = _times(ts)
    if times is None:
        return None
    compiled = _of(field, method.tableau, leaves, structure, y0, single, target, tuple(events))
    (batch, n), made, threads = y0.shape, compiled.loops, field.threads
    p, step_p = _packed(leaves, compiled.programs, y0)
    problem = ts.shape[1], times.start, times.sign, times.elapsed, _flat(y0), p, step_p
    limits = (
        *(_of_each(method.rtol, y0), _of_each(method.atol, y0), float(method.step_size or 0)),
        *(method.max_steps, float(method.max_step), times.smallest),
    )
    ys, counts = xp.empty((*ts.shape, n), dtype=dtype), xp.empty((batch, 4), dtype=xp.int64)
    flat_ys, flat_counts = ys.reshape(-1), counts.reshape(-1)
    room = compiled.room[0] if with_vjp else 0
    while True:
        entries = batch * room
        log = xp.empty(entries, dtype=xp.float64), *(xp.empty(entries * k, dtype=dtype) for k in (1, n, n))
        log_of_events = (np.empty(entries, np.int64), np.empty(entries, dtype)) if events else ()
        of_events = room_for_events(events, y0)
        given = *limits, room, flat_ys, flat_counts, *log, *of_events, *log_of_events
        found = split(threads, batch, made.forward, *problem, *given)
        ordered, most, failed, evaluations = _summary(found, counts, times)
        if not with_vjp or most <= room:
            break
        room = compiled.room[0] = 1 << int(most).bit_length()
    if not ordered or (failed and method.throw):
        return None
    status = counts[:, 2]
    if failed:
        succeeded = status == int(Status.SUCCESS)
        ys = ops.where(succeeded[:, None, None], ys, xp.nan)
        for x in of_events[:2]:
            x.reshape(batch, -1)[~succeeded] = np.nan

    def pull_back(cotangent: Any, *cotangents: Any) -> tuple:
        y_bar, ts_bar = xp.zeros(y0.shape, dtype=dtype), xp.zeros(ts.shape, dtype=xp.float64)
        p_bar = xp.zeros((batch, step_p or p.size), dtype=dtype)
        bars = y_bar.reshape(-1), p_bar.reshape(-1), ts_bar.reshape(-1)
        given = xp.zeros_like(flat_ys) if cotangent is None else _flat(cotangent, dtype), flat_counts
        of_landings = bars_of_events(cotangents, events, y0)
        split(threads, batch, made.backward, *problem, room, of_ts, *given, *log, *bars, *log_of_events, *of_landings)
        return y_bar, ts_bar, p_bar

    def tangents() -> Array:
        out = xp.zeros((*ys.shape, n + (step_p or p.size)), dtype=dtype)
        split(threads, batch, compiled.tangents(), *problem, room, flat_counts, *log, out.reshape(-1))
        return out

    by_leaf = lambda x: _by_leaf(x, leaves, compiled.programs.by_row)
    stats = Stats(counts[:, 0], counts[:, 1], evaluations)
    return Solved(ys, stats, status, pull_back, tangents, by_leaf, occurrences_of(events, y0, *of_events))


def _summary(found: list, counts: Array, times: "Times") -> tuple:
    """Return whether the times are in order, the most steps of a trajectory, the largest status, and the evaluations.

    A loop of the CPU returns them. From a device they are read, once.
    """
    if found[0] is not None:
        return (True, *(found[0] if len(found) == 1 else map(max, *found)))
    xp = namespace_of(counts)
    read = to_host(xp.concat([counts, xp.astype(times.ordered[:, None], xp.int64)], axis=1))
    return bool(read[:, 4].all()), *(int(read[:, i].max()) for i in (0, 2, 3))


class Times(NamedTuple):
    """The requested times of each trajectory: their start, direction and elapsed times, and the smallest step.

    `ordered` (batch,) tells whether they are in order.
    """

    start: Array
    sign: Array
    elapsed: Array
    smallest: Array
    ordered: Array


def _times(ts: Array) -> Times | None:
    """Return what a march must know of the times (batch, times); None on the host if they are not in order."""
    if not is_host(ts):
        return _times_of(ts)
    return _times_again(ts[0].tobytes() if ts.strides[0] == 0 else ts.tobytes(), ts.shape)


@lru_cache(maxsize=16)
def _times_again(raw: bytes, shape: tuple[int, int]) -> Times | None:
    """Return `_times` of times that are found again by their bytes: users solve for the same times again and again."""
    found = _times_of(np.broadcast_to(np.frombuffer(raw).reshape(-1, shape[1]), shape))
    return found if found.ordered.all() else None


def _times_of(ts: Array) -> Times:
    xp = namespace_of(ts)
    start, sign, elapsed = timeline(ts, ts.dtype)
    ordered = xp.all(elapsed[:, 1:] > elapsed[:, :-1], axis=1) & xp.isfinite(elapsed[:, -1])
    smallest = 16 * float(np.finfo(np.float64).eps) * (xp.abs(start[:, 0]) + elapsed[:, -1])
    return Times(_flat(start), _flat(sign), _flat(elapsed), smallest, ordered)


def _fits(leaf: Any, y0: Array) -> bool:
    """Tell whether the compiled solution takes this leaf of params."""
    if type(leaf) in (float, int, bool):
        return True
    return is_array(leaf) and (
        _is_constant(leaf) or (leaf.dtype == y0.dtype and namespace_of(leaf) is namespace_of(y0))
    )


def _is_constant(leaf: Any) -> bool:
    """Tell whether a leaf has no derivative: the program is made for its value."""
    if type(leaf) is float:
        return False
    return type(leaf) in (int, bool) or (leaf.dtype.kind in "iub" and is_host(leaf))


def _of(
    field: Jitted,
    tableau: Tableau,
    leaves: Sequence[Any],
    structure: Structure,
    y0: Array,
    single: bool,
    target: Target,
    events: tuple[Event, ...],
) -> Compiled:
    """Return the compiled loops for arguments like these."""
    varied = [i for i, leaf in enumerate(leaves) if not _is_constant(leaf)]
    arguments = tuple([Argument(getattr(leaves[i], "shape", ()), y0.dtype) for i in varied])
    known: tuple = ()
    if len(varied) < len(leaves):
        constants = [(i, np.asarray(leaf)) for i, leaf in enumerate(leaves) if _is_constant(leaf)]
        known = tuple([(i, x.dtype, x.shape, x.tobytes()) for i, x in constants])
    batch = None if single else len(y0)
    lanes = _lanes(len(y0), y0.dtype) if target is CPU and not events else 1
    key = (id(tableau), y0.dtype, y0.shape[1], batch, structure, arguments, known, target, events)
    of_field = _compiled.setdefault(field, {})
    found = of_field.get(key)
    if found is None:

        def of_varied(function: Callable) -> Callable:
            def of_some(t: Any, y: Any, some: list) -> Any:
                full = list(leaves)
                for i, leaf in zip(varied, some, strict=True):
                    full[i] = leaf
                return function(t, y, unflatten(structure, full))

            return of_some

        listed = Structure(list, (), (_LEAF,) * len(varied))
        of_events = [(of_varied(e.function), e.reset and of_varied(e.reset)) for e in events]
        function = of_varied(field.function)
        programs = field_programs(function, listed, arguments, y0.dtype, y0.shape[1], batch, of_events)
        rows = iter(programs.by_row)
        programs = programs._replace(by_row=tuple(next(rows) if i in varied else False for i in range(len(leaves))))
        found = of_field[key] = Compiled(
            loops(whole(programs, tableau, target, events, lanes), target),
            cache(lambda: loops(sensitivities(programs, tableau, target), target).sensitivities),
            programs,
            tableau,
            [ROOM],
        )
    return found


def _lanes(batch: int, dtype: np.dtype) -> int:
    """Return how many trajectories of a batch march side by side: measured, two vectors of 64 bytes are best."""
    return 1 if batch == 1 else 4 if batch <= 8 else 128 // dtype.itemsize


_LEAF = Structure(None)


def _packed(leaves: Sequence[Any], programs: FieldPrograms, y0: Array) -> tuple[Array, int]:
    """Return the numbers of params one after the other, and how many each trajectory has: 0 if all share them."""
    xp, batch = namespace_of(y0), len(y0)
    varied = [(leaf, row) for leaf, row in zip(leaves, programs.by_row, strict=True) if not _is_constant(leaf)]
    if len(varied) == 1 and not varied[0][1]:
        return _flat(xp.asarray(varied[0][0]), y0.dtype), 0
    parts = [xp.reshape(xp.asarray(leaf, dtype=y0.dtype), (batch if row else 1, -1)) for leaf, row in varied]
    if any(row for _, row in varied):
        joined = xp.concat([xp.broadcast_to(part, (batch, part.shape[1])) for part in parts], axis=1)
        return _flat(joined), joined.shape[1]
    return xp.concat([xp.empty((1, 0), dtype=y0.dtype), *parts], axis=1).reshape(-1), 0


def _by_leaf(x: Array, leaves: Sequence[Any], by_row: Sequence[bool]) -> list:
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
        shape = getattr(leaf, "shape", ())[row:]
        size = math.prod(shape)
        part = x[..., at : at + size]
        if x.ndim == 2 and not row:
            part = namespace_of(x).sum(part, axis=0)
        parts.append(part.reshape((*part.shape[:-1], *shape)))
        at += size
    return parts


def _flat(array: Array, dtype: Any = None) -> Array:
    """Return the elements one after the other in memory."""
    return namespace_of(array).ascontiguousarray(array, dtype).reshape(-1)


def _of_each(tolerance: Any, y0: Array) -> Array:
    """Return a tolerance as an array of one for each state."""
    if type(tolerance) is float and is_host(y0):
        return _filled(tolerance, y0.shape[1])
    return namespace_of(y0).zeros(y0.shape[1]) + tolerance


@lru_cache
def _filled(tolerance: float, states: int) -> np.ndarray:
    return np.full(states, tolerance)
