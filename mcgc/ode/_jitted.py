"""Whole solutions of jitted fields, and their derivatives, in one call each, compiled for the device of the arrays.

A thread of a GPU solves a trajectory. The host reads once, when all are solved: whether the log had room, and how it
went.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from mcgc._jit import TARGETS, FieldPrograms, Jitted, Target, argument, field_programs, loops
from mcgc.arrays import Array, is_array, is_host, namespace_of, to_host
from mcgc.autodiff import ops
from mcgc.autodiff.pytree import Structure, unflatten
from mcgc.kernels import platform
from mcgc.ode._integrate import Method, Stats, Status, timeline
from mcgc.ode._program import whole
from mcgc.ode._tableaux import Tableau

ROOM = 32  # steps of a trajectory that the first log has room for


class Compiled(NamedTuple):
    """A field with a method: the compiled loops over trajectories, and the programs that they are made of."""

    loops: Any
    programs: FieldPrograms
    room: list[int]  # what the largest log so far had


class Solved(NamedTuple):
    """A solution by one call, and its derivatives.

    `vjp` maps the cotangent of `ys` to those of y0, ts (None unless asked for) and the leaves of params.
    """

    ys: Array
    stats: Stats
    status: Array
    vjp: Callable[[Array], list]


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
    compiled solution on devices without a compiler, where a float array of params has another dtype than y0 or lies
    elsewhere, where times are not in order, and, with `method.throw`, where a trajectory fails.
    """
    xp, target = namespace_of(y0), TARGETS.get(platform(y0) or "")
    if target is None or namespace_of(ts) is not xp or not all(_fits(leaf, y0) for leaf in leaves):
        return None
    start, sign, elapsed = timeline(ts, y0.dtype)
    compiled = _of(field, method.tableau, leaves, structure, y0, single, target)
    batch, n = y0.shape
    end = elapsed[:, -1]
    p, step_p = _packed(leaves, compiled.programs, y0)
    problem = (
        *(ts.shape[1], _flat(start), _flat(sign), _flat(elapsed)),
        *(_flat(y0), p, step_p),
    )
    limits = (
        *(_of_each(method.rtol, y0), _of_each(method.atol, y0), float(method.step_size or 0)),
        *(method.max_steps, float(method.max_step), 16 * np.finfo(np.float64).eps * (xp.abs(start[:, 0]) + end)),
    )
    ordered = xp.all(elapsed[:, 1:] > elapsed[:, :-1], axis=1) & xp.isfinite(end)
    ys, counts = xp.empty((*ts.shape, n), dtype=y0.dtype), xp.empty((batch, 4), dtype=xp.int64)
    room = compiled.room[0] if with_vjp else 0
    while True:
        log = [
            xp.empty(batch * room, dtype=xp.float64),
            *(xp.empty(batch * room * k, dtype=y0.dtype) for k in (1, n, n)),
        ]
        _split(field.threads, batch, compiled.loops.forward, *problem, *limits, room, _flat(ys), _flat(counts), *log)
        read = to_host(xp.concat([counts, xp.astype(ordered[:, None], xp.int64)], axis=1))
        most = int(read[:, 0].max())
        if not with_vjp or most <= room:
            break
        room = compiled.room[0] = 1 << most.bit_length()
    failed = bool((read[:, 2] != Status.SUCCESS).any())
    if not read[:, 4].all() or (failed and method.throw):
        return None
    status = counts[:, 2]
    if failed:
        ys = ops.where((status == int(Status.SUCCESS))[:, None, None], ys, xp.nan)
    stats = Stats(counts[:, 0], counts[:, 1], int(read[:, 3].max()))
    taken = *problem, room

    def vjp(cotangent: Array) -> list:
        y_bar, ts_bar = xp.zeros(y0.shape, dtype=y0.dtype), xp.zeros(ts.shape, dtype=xp.float64)
        p_bar = xp.zeros((batch, p.size if step_p == 0 else step_p), dtype=y0.dtype)
        given = _flat(cotangent, y0.dtype)
        bars = _flat(y_bar), _flat(p_bar), _flat(ts_bar)
        _split(field.threads, batch, compiled.loops.backward, *taken, of_ts, given, _flat(counts), *log, *bars)
        of_leaves = _unpacked(p_bar, leaves, compiled.programs.by_row)
        return [y_bar, ts_bar if of_ts else None, *of_leaves]

    return Solved(ys, stats, status, vjp)


def _fits(leaf: Any, y0: Array) -> bool:
    """Tell whether the compiled solution takes this leaf of params."""
    if not is_array(leaf):
        return type(leaf) in (float, int, bool)
    return _is_constant(leaf) or (leaf.dtype == y0.dtype and namespace_of(leaf) is namespace_of(y0))


def _is_constant(leaf: Any) -> bool:
    """Tell whether a leaf has no derivative: the program is made for its value."""
    return type(leaf) in (int, bool) or (is_host(leaf) and leaf.dtype.kind in "iub")


def _of(
    field: Jitted,
    tableau: Tableau,
    leaves: Sequence[Any],
    structure: Structure,
    y0: Array,
    single: bool,
    target: Target,
) -> Compiled:
    """Return the compiled loops for arguments like these."""
    varied = [i for i, leaf in enumerate(leaves) if not _is_constant(leaf)]
    arguments = tuple(argument(leaves[i])._replace(dtype=y0.dtype) for i in varied)
    constants = tuple((i, np.asarray(leaf)) for i, leaf in enumerate(leaves) if _is_constant(leaf))
    known = tuple((i, x.dtype, x.shape, x.tobytes()) for i, x in constants)
    batch = None if single else len(y0)
    key = (tableau, y0.dtype, y0.shape[1], batch, structure, arguments, known, target)
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
        found = of_field[key] = Compiled(loops(whole(programs, tableau, target), target), programs, [ROOM])
    return found


_LEAF = Structure(None)


def _packed(leaves: Sequence[Any], programs: FieldPrograms, y0: Array) -> tuple[Array, int]:
    """Return the numbers of params one after the other, and how many each trajectory has: 0 if all share them."""
    xp, batch = namespace_of(y0), len(y0)
    varied = [(leaf, row) for leaf, row in zip(leaves, programs.by_row, strict=True) if not _is_constant(leaf)]
    parts = [xp.reshape(xp.asarray(leaf, dtype=y0.dtype), (batch if row else 1, -1)) for leaf, row in varied]
    if any(row for _, row in varied):
        parts = [xp.broadcast_to(part, (batch, part.shape[1])) for part in parts]
        joined = xp.concat(parts, axis=1)
        return _flat(joined), joined.shape[1]
    return xp.concat([xp.empty((1, 0), dtype=y0.dtype), *parts], axis=1).reshape(-1), 0


def _unpacked(p_bar: Array, leaves: Sequence[Any], by_row: Sequence[bool]) -> list:
    """Return the cotangents of the leaves: those of a shared one are added up over the trajectories, in order."""
    xp, at = namespace_of(p_bar), 0
    bars: list = []
    for leaf, row in zip(leaves, by_row, strict=True):
        if _is_constant(leaf):
            bars.append(None)
            continue
        shape = getattr(leaf, "shape", ())
        size = math.prod(shape[1:] if row else shape)
        part = p_bar[:, at : at + size]
        bars.append((part if row else xp.sum(part, axis=0)).reshape(shape))
        at += size
    return bars


def _flat(array: Array, dtype: Any = None) -> Array:
    """Return the elements one after the other in memory."""
    return namespace_of(array).ascontiguousarray(array, dtype).reshape(-1)


def _of_each(tolerance: Any, y0: Array) -> Array:
    """Return a tolerance as an array of one for each state."""
    xp = namespace_of(y0)
    return xp.zeros(y0.shape[1], dtype=xp.float64) + tolerance


def _split(threads: int, batch: int, function: Callable, *args: Any) -> None:
    """Call `function(begin, end, *args)` for all trajectories, by as many threads of the host as asked for."""
    parts = min(threads, batch)
    if parts == 1:
        function(0, batch, *args)
        return
    from concurrent.futures import ThreadPoolExecutor

    ends = [math.ceil(batch * i / parts) for i in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        for done in [pool.submit(function, a, b, *args) for a, b in pairwise(ends)]:
            done.result()
