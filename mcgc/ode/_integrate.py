"""The forward march: it chooses the steps, and records what their replay needs.

No derivative passes through here. The step sizes, and which steps are accepted, are data of the plan. The solution as a
function of its inputs is the replay of these steps (see `_adjoint`).
"""

import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from mcgc import arrays
from mcgc.arrays import Array, namespace_of
from mcgc.autodiff import ops
from mcgc.errors import InputError, SolveError
from mcgc.ode import _control as control
from mcgc.ode._events import (
    Crossing,
    Event,
    Landing,
    Occurrences,
    System,
    Tracker,
    after_resets,
    begin,
    collected,
    find,
    land,
)
from mcgc.ode._step import Rate, dense_output, errors, evaluate, interpolate, stages
from mcgc.ode._tableaux import Tableau

OnStep = Callable[[Array, Array, Array, list[Array]], None]

SNAP = 1e-3  # a step that ends within this fraction of its size from the last requested time ends there


class Status(IntEnum):
    """How the solution of a trajectory ended: 0 is success, every other code a failure."""

    SUCCESS = 0
    TOO_MANY_STEPS = 1
    STEP_TOO_SMALL = 2
    NOT_FINITE = 3
    TOO_MANY_EVENTS = 4


class Method(NamedTuple):
    """How to solve: the solver, its tolerances or its `step_size`, and the limits of the steps.

    A tolerance is a number, or a float64 array (states,). No step is longer than `max_step`. With `throw`, the first
    trajectory that fails ends the march by a `SolveError`.
    """

    tableau: Tableau
    rtol: float | Array
    atol: float | Array
    step_size: float | None
    max_steps: int
    max_step: float = math.inf
    throw: bool = True


class Step(NamedTuple):
    """A step in which some trajectory advanced: `elapsed` time before it, `size` (0 for those that did not), and
    the range `window` of the requested times that lie in it for some trajectory. Both arrays have shape (batch, 1).
    `crossing` are the events that end it earlier, if any.
    """

    elapsed: Array
    size: Array
    window: tuple[int, int]
    crossing: Crossing | None = None


class Checkpoint(NamedTuple):
    """The state before step number `before`, and the field there: None before the first step."""

    before: int
    y: Array
    k1: Array | None


class Stats(NamedTuple):
    """Steps accepted and rejected, each of shape (batch,), and how often the field was evaluated on the whole batch."""

    accepted: Array
    rejected: Array
    evaluations: int


class Failures(NamedTuple):
    """Some trajectories failed: which ones succeeded, (batch, 1), and the number of the first of these, if any."""

    succeeded: Array
    first: int | None


class Plan(NamedTuple):
    """The solution at the requested times, (batch, times, states), and the steps that led to it.

    `status` has shape (batch,). A trajectory that failed has rows of NaN in `ys`. `failures` is None if none failed.
    With events, `stopped` (batch, times) tells which times come after a trajectory stopped.
    """

    ys: Array
    method: Method
    steps: list[Step]
    checkpoints: list[Checkpoint]
    stats: Stats
    status: Array
    failures: Failures | None
    events: tuple[Event, ...] = ()
    occurrences: tuple[Occurrences, ...] = ()
    stopped: Array | None = None


class Timeline(NamedTuple):
    """The start and the direction ±1, both (batch, 1), and the time elapsed at the requested times (batch, times)."""

    start: Array
    sign: Array
    elapsed: Array


def timeline(ts: Array, dtype: Any) -> Timeline:
    """Return the timeline of the requested times `ts`, with the direction in the dtype of the states."""
    start = ts[:, :1]
    sign = ops.astype(ops.sign(ts[:, -1:] - start), dtype)
    return Timeline(start, sign, (ts - start) * sign)


def emit(
    tableau: Tableau,
    field: Rate,
    times: Timeline,
    step: Step,
    y: Array,
    ks: Sequence[Array],
    out: list,
    shift: Array | None = None,
) -> None:
    """Put the states at the requested times that lie in `step` into `out`, a list of (batch, states) or None.

    `shift` is what a replay adds to the time of the step.
    """
    low, high = step.window
    if low >= high:
        return
    h, since = step.size * times.sign, step.elapsed if shift is None else step.elapsed + shift
    _, ks = stages(tableau, field, times.start + times.sign * since, h, y, ks, dense=True)
    moved, elapsed = step.size > 0, times.elapsed[:, low:high]
    fraction = ops.astype((elapsed - since) / ops.where(moved, step.size, 1), y.dtype)
    states = interpolate(tableau, fraction, h, y, ks)
    inside = moved & (elapsed > step.elapsed) & (elapsed <= _end_of(step, times.elapsed))
    for i in range(low, high):
        before = 0.0 if out[i] is None else out[i]
        out[i] = ops.where(inside[:, i - low, None], states[:, i - low, :], before)


def _end_of(step: Step, elapsed: Array) -> Array:
    """Return the time elapsed after `step`; one that all but reaches the last requested time counts as reaching it."""
    end, after = elapsed[:, -1:], step.elapsed + step.size
    after = ops.where(ops.abs(end - after) < SNAP * step.size, end, after)
    if step.crossing:
        within = step.elapsed + step.size * step.crossing.fraction
        after = ops.where((step.crossing.event >= 0)[:, None], within, after)
    return after


def march(
    method: Method,
    field: Rate,
    ts: Array,
    y: Array,
    most_checkpoints: int = 0,
    on_step: OnStep | None = None,
    events: Sequence[Event] = (),
) -> Plan:
    """Solve dy/dt = field(t, y) from y at ts[:, 0], `y` (batch, states) and `ts` (batch, times) in float64.

    All trajectories step together, each with a step size of its own. A trajectory that is done, or whose step was
    rejected, stays where it is. At most `most_checkpoints` are stored, at even distances: when there are more, every
    second one is dropped and the distance doubles. `on_step(t, h, y, ks)` is called with each step: the time and state
    before it, its signed size (0 for a trajectory that stays), and its stages. Each step reads once from the device.
    With `events`, `field` is a `System`.

    A trajectory fails if its step size becomes too small to advance the time, its state is not finite, or it needs more
    than `max_steps` steps. Then `SolveError` is raised, or without `throw` the others go on and it gets a status.
    Raises `InputError` if `ts` is not strictly monotonic.
    """
    xp = namespace_of(y)
    tableau, rtol, atol, step_size, max_steps, max_step, throw = method
    start, sign, elapsed = times = timeline(ts, y.dtype)
    end = elapsed[:, -1:]
    smallest = 16 * xp.finfo(ts.dtype).eps * (xp.abs(start) + end)
    ordered = xp.all(elapsed[:, 1:] > elapsed[:, :-1], axis=-1, keepdims=True) & xp.isfinite(end)

    k1 = field(xp.astype(start, y.dtype), y)
    evaluations = 1
    if step_size is None:
        after = lambda h, z: field(xp.astype(start + h, y.dtype), z)
        size = control.first_step(after, y, k1, xp.astype(sign * end, y.dtype), tableau.order, rtol, atol)
        size, evaluations = xp.clip(size, 0.0, max_step), 2
    else:
        size = xp.astype(end / xp.clip(xp.ceil(end / min(step_size, max_step) - SNAP), 1.0, math.inf), y.dtype)
    size = ops.where(ordered, size, xp.nan)  # caught by the first step's read

    active = ordered | True
    now = xp.zeros_like(end)
    reached = xp.ones_like(xp.astype(end[:, 0], xp.int64))
    accepted, rejected, status = xp.zeros_like(reached), xp.zeros_like(reached), xp.zeros_like(reached)
    controller = control.start(y)
    steps: list[Step] = []
    checkpoints: list[Checkpoint] = []
    stride, some_failed = 1, False
    tracker: Any = begin(field, start, y, k1, sign) if isinstance(field, System) else None
    landings: list[Landing] = []
    stopped: Any = active & False
    out: list = [y] + [None] * (ts.shape[1] - 1)
    for _ in range(max_steps):
        size = ops.where(active, xp.minimum(size, xp.astype(end - now, y.dtype)), 0)
        t, h = start + sign * now, sign * size
        y1, ks = stages(tableau, field, t, h, y, [k1])
        evaluations += len(ks) - 1
        if step_size is None:
            scale = xp.maximum(xp.abs(y), xp.abs(y1))
            norm = control.error_norm(errors(tableau, size, ks), scale, rtol, atol)
            good, factor, controller = control.adapt(norm, controller, tableau.order)
            good, following = good[:, None], size * xp.astype(factor, y.dtype)[:, None]
            following = following if max_step == math.inf else xp.clip(following, 0.0, max_step)
        else:
            good, following = xp.all(xp.isfinite(y1), axis=-1, keepdims=True), size
        moves, crossing = active & good, None
        if tracker:
            assert isinstance(field, System)
            dense = dense_output(tableau, h, stages(tableau, field, t, h, y, ks, dense=True)[1])
            tracker, crossing = find(events, field, tracker, t, h, y, dense, moves)
            evaluations += tableau.extra
        step = Step(now, ops.where(moves, size, 0), (0, 0), crossing)
        now = _end_of(step, elapsed)
        size = following
        before, reached = reached, xp.sum(xp.astype(elapsed <= now, xp.int64), axis=-1)
        accepted = accepted + xp.astype(moves[:, 0], xp.int64)
        rejected = rejected + xp.astype((active & ~good)[:, 0], xp.int64)
        active, k_last, excess = active & (now < end), ks[-1], None
        if crossing:
            assert isinstance(field, System)
            landing = Landing(t + crossing.fraction * h, evaluate(y, dense, crossing.fraction))
            y1, k_last = land(events, field, crossing, landing, y1, k_last)
            tracker, ended, excess = after_resets(events, field, tracker, crossing, landing, y1, k_last, sign)
            stopped, active, evaluations = stopped | ended, active & ~ended, evaluations + 1
            landings.append(landing)
        failed = (active & ~((size > smallest) & (good | (step_size is None)))) | ~ordered
        if excess is not None:
            failed = failed | excess
        going, lost, moving, low, high = _read(active, failed, moves, before, reached)
        if lost:
            if throw or not _all(ordered):
                raise _failure(ordered, failed, start + sign * now, size, method, excess=excess)
            finite = xp.isfinite(norm) if step_size is None else good[:, 0]
            status = _coded(status, failed[:, 0] & finite, Status.STEP_TOO_SMALL)
            status = _coded(status, failed[:, 0] & ~finite, Status.NOT_FINITE)
            status = status if excess is None else _coded(status, excess[:, 0], Status.TOO_MANY_EVENTS)
            some_failed = True
            active = active & ~failed
            going = not _all(~active)
        if moving:
            if most_checkpoints and len(steps) % stride == 0:
                checkpoints.append(Checkpoint(len(steps), y, k1 if steps else None))
            step = step._replace(window=(low, high))
            emit(tableau, field, times, step, y, ks, out)
            evaluations += tableau.extra if low < high else 0
            if on_step:
                on_step(t, sign * step.size, y, ks)
            steps.append(step)
            if len(checkpoints) > most_checkpoints > 0:
                checkpoints, stride = checkpoints[::2], 2 * stride
            y, k1 = xp.where(moves, y1, y), xp.where(moves, k_last, k1)
        if not going:
            break
    else:
        if throw:
            raise _failure(ordered, ops.where(active, 1 - now / end, 0), start + sign * now, size, method, spent=True)
        status, some_failed = _coded(status, active[:, 0], Status.TOO_MANY_STEPS), True
    ys = ops.stack([xp.zeros_like(y) if state is None else state for state in out], axis=1)
    resting = stopped & (elapsed > now) if tracker else None
    if resting is not None:
        ys = ops.where(resting[:, :, None], y[:, None, :], ys)
    failures = _failures(status) if some_failed else None
    if failures:
        ys = ops.where(failures.succeeded[:, :, None], ys, xp.nan)
    occurrences = _occurrences(events, steps, landings, tracker, ys, failures) if tracker else ()
    stats = Stats(accepted, rejected, evaluations)
    return Plan(ys, method, steps, checkpoints, stats, status, failures, tuple(events), occurrences, resting)


def _occurrences(
    events: Sequence[Event],
    steps: Sequence[Step],
    landings: Sequence[Landing],
    tracker: Tracker,
    ys: Array,
    failures: Failures | None,
) -> tuple[Occurrences, ...]:
    xp = namespace_of(ys)
    missing = xp.full_like(ys[:, 0, :], xp.nan)
    crossings = [step.crossing for step in steps if step.crossing]
    found = collected(events, crossings, landings, missing, xp.astype(missing[:, :1], xp.float64))
    if failures:
        found = [ops.where(ops.reshape(failures.succeeded, (-1, *(1,) * (x.ndim - 1))), x, xp.nan) for x in found]
    counts = [xp.minimum(count, xp.full_like(count, e.most)) for e, count in zip(events, tracker.counts, strict=True)]
    return tuple(map(Occurrences, found[::2], found[1::2], counts))


def _all(flags: Array) -> bool:
    return bool(arrays.to_host(flags).all())


def _coded(status: Array, where: Array, code: Status) -> Array:
    xp = namespace_of(status)
    return xp.where(where, xp.full_like(status, int(code)), status)


def _failures(status: Array) -> Failures:
    good = [row for row, code in enumerate(arrays.to_host(status).tolist()) if code == Status.SUCCESS]
    return Failures((status == 0)[:, None], good[0] if good else None)


def _read(active: Array, failed: Array, moves: Array, before: Array, reached: Array) -> tuple:
    """Bring what the loop must know to the host, in one transfer: flags, and the range of times just reached."""
    xp = namespace_of(before)
    new = reached > before
    low = xp.min(xp.where(new, before, xp.full_like(before, 2**62)))
    high = xp.max(xp.where(new, reached, xp.zeros_like(reached)))
    flags = (xp.astype(xp.any(flag), xp.int64) for flag in (active, failed, moves))
    going, lost, moving, first, last = arrays.to_host(xp.stack([*flags, low, high])).tolist()
    return bool(going), bool(lost), bool(moving), first, last


def _failure(
    ordered: Array,
    badness: Array,
    t: Array,
    dt: Array,
    method: Method,
    spent: bool = False,
    excess: Array | None = None,
) -> Exception:
    if not _all(ordered):
        return InputError("the requested times ts must increase strictly, or decrease strictly, and be finite")
    worst = int(arrays.to_host(badness)[:, 0].argmax())
    t, dt = (float(arrays.to_host(x)[worst, 0]) for x in (t, dt))
    where = f"at t = {t:.6g} with dt = {dt:.3g} (worst: trajectory {worst})"
    step_size, max_steps = method.step_size, method.max_steps
    if excess is not None and arrays.to_host(excess).any():
        message = (
            f"an event resets the state more often than its `most` {where}: try a larger most, or a terminal event"
        )
    elif spent:
        larger = "rtol and atol" if step_size is None else "step_size"
        message = f"more than max_steps = {max_steps} steps are needed {where}: try a larger max_steps or {larger}"
    elif step_size is not None:
        message = f"the state is no longer finite {where}: try a smaller step_size"
    else:
        message = (
            f"the step size has become too small to advance {where}: the field is not finite there, or is too stiff "
            "or too rough for these tolerances; try a larger rtol and atol, float64, or a field that stays finite"
        )
    return SolveError(message)
