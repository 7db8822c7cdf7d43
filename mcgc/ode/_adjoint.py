"""Derivatives of a solution: by replay of its steps, on one tape (direct) or in segments (checkpointed), or by the
continuous adjoint equation (backsolve).

A trajectory that failed has derivative zero. In a replay its rate is zero, and the field is evaluated where another
trajectory starts that succeeded: the states of the one that failed may lie where the field is not finite.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.autodiff.transforms import vjp
from mcgc.errors import SolveError
from mcgc.ode._events import Landing, System, collected, land, moved
from mcgc.ode._integrate import Plan, Step, emit, march, timeline
from mcgc.ode._step import Rate, combine, dense_output, evaluate, stages

FieldOf = Callable[..., Rate]  # the varied inputs after y0 and ts -> the field with them put in


def without_failures(field_of: FieldOf, plan: Plan, ts: Array) -> tuple[FieldOf, Plan]:
    """Return a field that is zero for the trajectories that failed, a plan in which they have no events."""
    assert plan.failures is not None
    succeeded, first = plan.failures
    assert first is not None
    y_first = plan.ys[first : first + 1, 0, :]
    t_first = ops.astype(ts[first : first + 1, :1], y_first.dtype)

    def masked(function: Rate) -> Rate:
        def at(t: Array, y: Array) -> Array:
            value = function(ops.where(succeeded, t, t_first), ops.where(succeeded, y, y_first))
            return ops.where(succeeded if value.ndim == 2 else succeeded[:, 0], value, 0)

        return at

    def masked_of(*rest: Any) -> Rate:
        field = field_of(*rest)
        if not isinstance(field, System):
            return masked(field)
        resets = (reset and masked(reset) for reset in field.resets)
        return System(masked(field.rate), tuple(map(masked, field.guards)), tuple(resets))

    def cleaned(step: Step) -> Step:
        if step.crossing is None:
            return step
        event = ops.where(succeeded[:, 0], step.crossing.event, -1)
        return step._replace(crossing=step.crossing._replace(event=event))

    return masked_of, plan._replace(steps=[cleaned(step) for step in plan.steps])


class Replayed(NamedTuple):
    """What the replay of some steps came to.

    `y`, `k1` and `shift` are the state, the field and the shift of the time after them; `reached`, the states at the
    times of their joint window, or None where it is empty; `occurrences`, the times and states of each event. What lies
    in other segments is zero.
    """

    y: Array
    k1: Array
    shift: Array | None
    reached: Array | None
    occurrences: list[Array]


def _segment(
    plan: Plan,
    steps: Sequence[Step],
    field: Rate,
    ts: Array,
    y: Array,
    k1: Array | None,
    shift: Array | None,
    order: int = 1,
) -> Replayed:
    """Replay `steps` from (y, k₁).

    With events, `shift` (batch, 1) is added to the times of the steps. It is zero, but varies with the inputs as the
    times of events do: their derivatives are right up to `order`.
    """
    tableau, times = plan.method.tableau, timeline(ts, y.dtype)
    low, high = window(steps)
    out: list = [None] * high
    crossings, landings = [], []
    if k1 is None:
        k1 = field(ops.astype(times.start, y.dtype), y)
    for step in steps:
        since = step.elapsed if shift is None else step.elapsed + shift
        t, h = times.start + times.sign * since, step.size * times.sign
        y1, ks = stages(tableau, field, t, h, y, [k1])
        emit(tableau, field, times, step, y, ks, out, shift)
        moves, k_last = step.size > 0, ks[-1]
        if step.crossing:
            assert isinstance(field, System)
            dense = dense_output(tableau, h, stages(tableau, field, t, h, y, ks, dense=True)[1])
            fraction = moved(field, step.crossing, t, h, y, dense, order)
            landing = Landing(t + fraction * h, evaluate(y, dense, fraction))
            y1, k_last = land(plan.events, field, step.crossing, landing, y1, k_last)
            shift = shift + ops.astype(step.size * (fraction - step.crossing.fraction), step.elapsed.dtype)
            crossings.append(step.crossing)
            landings.append(landing)
        y, k1 = ops.where(moves, y1, y), ops.where(moves, k_last, k1)
    empty = ops.zeros_like(y)
    reached = [empty if state is None else state for state in out[low:high]]
    zero = strip(empty)
    occurrences = collected(plan.events, crossings, landings, zero, _no_shift(plan))
    return Replayed(y, k1, shift, ops.stack(reached, axis=1) if reached else None, occurrences)


def window(steps: Sequence[Step]) -> tuple[int, int]:
    """Return the range of the requested times that `steps` reach, (0, 0) if none."""
    reaching = [step.window for step in steps if step.window[0] < step.window[1]]
    return (min(low for low, _ in reaching), max(high for _, high in reaching)) if reaching else (0, 0)


def direct(field_of: FieldOf, plan: Plan, y0: Array, ts: Array, *rest: Array) -> Array | tuple[Array, ...]:
    """Return the states (batch, times, states) as a function of the inputs, by replaying the whole plan.

    With events, the times and states of their occurrences follow in a tuple.
    """
    ys, found = plan.ys, [x for occurrences in plan.occurrences for x in occurrences[:2]]
    if plan.failures is None or plan.failures.first is not None:
        succeeded: Any = True
        if plan.failures:
            succeeded, first = plan.failures.succeeded, plan.failures.first or 0
            field_of, plan = without_failures(field_of, plan, strip(ts))
            y0 = ops.where(succeeded, y0, plan.ys[first : first + 1, 0, :])
        replayed = _segment(plan, plan.steps, field_of(*rest), ts, y0, None, _no_shift(plan), order=2)
        ys = ops.concat([y0[:, None, :], *([] if replayed.reached is None else [replayed.reached])], axis=1)
        if plan.stopped is not None:
            last = replayed.y[:, None, :]
            rest_of_times = ops.broadcast_to(last, (ys.shape[0], ts.shape[1] - ys.shape[1], ys.shape[2]))
            ys = ops.where(plan.stopped[:, :, None], last, ops.concat([ys, rest_of_times], axis=1))
        ys = ops.where(succeeded[:, :, None], ys, plan.ys) if plan.failures else ys
        found = [ops.where(ops.isnan(x), x, y) for x, y in zip(found, replayed.occurrences, strict=True)]
    return (ys, *found) if plan.events else ys


def _no_shift(plan: Plan) -> Array | None:
    return namespace_of(plan.ys).zeros_like(plan.steps[0].elapsed) if plan.events else None


def pull_back(
    adjoint: Callable[..., Any],
    field_of: FieldOf,
    plan: Plan,
    ts: Array,
    rest: Sequence,
    cotangents: Sequence,
    of_ts: bool,
) -> tuple:
    """Return the cotangents of y0, ts (None unless `of_ts`) and the rest by `adjoint`, zero for what failed.

    `cotangents` are those of the states, and with events those of what `direct` returns after these, None for zero.
    """
    found = [x for occurrences in plan.occurrences for x in occurrences[:2]]
    xp, (y_bar, *bars) = namespace_of(plan.ys), cotangents
    y_bar = xp.zeros_like(plan.ys) if y_bar is None else y_bar
    bars = [xp.zeros_like(x) if bar is None else bar for x, bar in zip(found, bars, strict=True)]
    if plan.failures is None:
        return adjoint(field_of, plan, ts, rest, y_bar, of_ts, bars)
    succeeded, first = plan.failures
    if first is None:
        return tuple(xp.zeros_like(x) for x in (y_bar[:, 0, :], ts, *rest))
    field_of, plan = without_failures(field_of, plan, ts)
    plan = plan._replace(ys=ops.where(succeeded[:, :, None], plan.ys, plan.ys[first : first + 1, :1, :]))
    y_bar = ops.where(succeeded[:, :, None], y_bar, 0)
    y0_bar, ts_bar, *bars = adjoint(field_of, plan, ts, rest, y_bar, of_ts, bars)
    return ops.where(succeeded, y0_bar, 0), ops.where(succeeded, ts_bar, 0) if of_ts else None, *bars


def checkpointed(
    field_of: FieldOf, plan: Plan, ts: Array, rest: Sequence, cotangent: Array, of_ts: bool, of_events: Sequence[Array]
) -> tuple:
    """Return the cotangents of y0, ts (None unless `of_ts`) and the rest, segment by segment from the last.

    Each segment is replayed from its checkpoint on a tape of its own, so no more than one segment's stages are held.
    `cotangent` is that of the states, `of_events` are those of the times and states of each event.
    """
    xp, shift = namespace_of(cotangent), _no_shift(plan)
    y_bar: Any = xp.zeros_like(plan.checkpoints[0].y)
    k_bar: Any = xp.zeros_like(y_bar)
    shift_bar: Any = shift
    if plan.stopped is not None:
        after = plan.stopped[:, :, None]
        y_bar, cotangent = xp.sum(ops.where(after, cotangent, 0), axis=1), ops.where(after, 0, cotangent)
    varied = [ts, *rest] if of_ts else rest  # times that are constants keep many operations off the tape
    totals: list = [None] * len(varied)
    at = lambda free: (field_of(*free[of_ts:]), free[0] if of_ts else ts)
    ends = [checkpoint.before for checkpoint in plan.checkpoints[1:]] + [len(plan.steps)]
    for (index, y, k1), end in zip(reversed(plan.checkpoints), reversed(ends), strict=True):
        steps = plan.steps[index:end]
        replay = lambda y, k1, shift, *free, steps=steps: tuple(_segment(plan, steps, *at(free), y, k1, shift))
        low, high = window(steps)
        bars = (y_bar, k_bar, shift_bar, cotangent[:, low:high, :] if low < high else None, list(of_events))
        # no name holds a tape while the next is made
        y_bar, k_bar, shift_bar, *bars = vjp(replay, y, k1, shift, *varied)[1](bars)
        totals = [bar if total is None else total + bar for total, bar in zip(totals, bars, strict=True)]
    return (y_bar + cotangent[:, 0, :], *(totals if of_ts else [None, *totals]))


def backsolve(
    field_of: FieldOf, plan: Plan, ts: Array, rest: Sequence[Array], cotangent: Array, of_ts: bool, _: Sequence[Array]
) -> tuple:
    """Return the cotangents of y0, ts (None unless `of_ts`) and the rest by solving the adjoint equation backwards.

    With a = ∂L/∂y(t): da/dt = −aᵀ ∂f/∂y, where a jumps by the cotangent ȳᵢ of y(tᵢ) at each requested time;
    ∂L/∂p = ∫ aᵀ ∂f/∂p dt; ∂L/∂tᵢ = ȳᵢᵀ f, but ∂L/∂t₀ = −aᵀ f (Pontryagin 1962; Chen et al. 2018).

    (y, a) is solved with the solver and tolerances of the solution, from the solution's own y at each requested time;
    where these differ between states, a has the smallest of them. It is in units of the trajectory's largest cotangent,
    so that the result is linear in the cotangents. The integral is summed with the weights of the steps, and has no say
    in their sizes (Kidger et al. 2021): it is shared by trajectories that each have their own.

    Raises `SolveError` if the equation cannot be solved backwards with these tolerances.
    """
    xp, tableau = namespace_of(cotangent), plan.method.tableau
    of_both = lambda x: x if isinstance(x, float) else xp.concat([x, xp.zeros_like(x) + xp.min(x)])
    method = plan.method._replace(throw=True, rtol=of_both(plan.method.rtol), atol=of_both(plan.method.atol))
    field, width, dtype = field_of(*rest), cotangent.shape[2], cotangent.dtype
    unit = xp.max(xp.abs(cotangent), axis=(1, 2))[:, None]
    unit = ops.where(unit > 0, unit, 1)
    totals = [xp.zeros_like(x) for x in rest]

    def augmented(t: Array, z: Array) -> Array:
        dy, pullback = vjp(lambda y: field(t, y), z[:, :width])
        return xp.concat([dy, -pullback(z[:, width:])[0]], axis=1)

    def integrate(t: Array, h: Array, z: Array, ks: Sequence[Array]) -> None:
        ks = [ops.where(h == 0, 0, k) for k in ks]  # those of a rejected step need not be finite
        for i, weight in enumerate(tableau.a[-1 - tableau.extra]):
            if rest and weight:
                time = xp.astype(t + tableau.c[i] * h, dtype)
                point = combine(z, h, tableau.a[i], ks[:i])
                at_point = lambda *rest, time=time, y=point[:, :width]: field_of(*rest)(time, y)
                bars = vjp(at_point, *rest)[1](-weight * h * unit * point[:, width:])
                totals[:] = [total + bar for total, bar in zip(totals, bars, strict=True)]

    a, t_bars = xp.zeros_like(plan.ys[:, 0, :]), []
    for i in reversed(range(ts.shape[1])):
        t, y, y_bar = ts[:, i], plan.ys[:, i, :], cotangent[:, i, :]
        if of_ts:
            rate = field(xp.astype(t[:, None], dtype), y)
            t_bars.append(xp.sum((y_bar if i else -a * unit) * rate, axis=1))
        a = a + y_bar / unit
        if i:
            span, z = xp.stack([t, ts[:, i - 1]], axis=1), xp.concat([y, a], axis=1)
            try:
                a = march(method, augmented, span, z, on_step=integrate).ys[:, 1, width:]
            except SolveError as error:
                raise SolveError(f"backwards in time, {error}, or adjoint='checkpointed'") from None
    return (a * unit, xp.astype(xp.stack(t_bars[::-1], axis=1), ts.dtype) if of_ts else None, *totals)
