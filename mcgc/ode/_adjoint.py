"""Derivatives of a solution: by replay of its steps, on one tape (direct) or in segments (checkpointed), or by the
continuous adjoint equation (backsolve).

A trajectory that failed has derivative zero. In a replay its rate is zero, and the field is evaluated where another
trajectory starts that succeeded: the states of the one that failed may lie where the field is not finite.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.autodiff.transforms import vjp
from mcgc.errors import SolveError
from mcgc.ode._integrate import Plan, Step, emit, march, timeline
from mcgc.ode._step import Rate, combine, stages

FieldOf = Callable[..., Rate]  # the varied inputs after y0 and ts -> the field with them put in


def without_failures(field_of: FieldOf, plan: Plan, ts: Array) -> FieldOf:
    """Return a field that is zero for the trajectories that failed, and depends on none of their states."""
    assert plan.failures is not None
    succeeded, first = plan.failures
    assert first is not None
    y_first = plan.ys[first : first + 1, 0, :]
    t_first = ops.astype(ts[first : first + 1, :1], y_first.dtype)

    def masked_of(*rest: Any) -> Rate:
        field = field_of(*rest)
        at = lambda t, y: field(ops.where(succeeded, t, t_first), ops.where(succeeded, y, y_first))
        return lambda t, y: ops.where(succeeded, at(t, y), 0)

    return masked_of


def _segment(plan: Plan, steps: Sequence[Step], field: Rate, ts: Array, y: Array, k1: Array | None) -> tuple:
    """Replay `steps` from (y, k₁): the state and field after them, and the states at the times they reach.

    The times are those of the steps' joint window, or None where it is empty; a trajectory that reaches a time of
    the window in another segment has zeros there.
    """
    tableau, times = plan.method.tableau, timeline(ts, y.dtype)
    low, high = window(steps)
    out: list = [None] * high
    if k1 is None:
        k1 = field(ops.astype(times.start, y.dtype), y)
    for step in steps:
        y1, ks = stages(tableau, field, times.start + times.sign * step.elapsed, step.size * times.sign, y, [k1])
        emit(tableau, field, times, step, y, ks, out)
        moves = step.size > 0
        y, k1 = ops.where(moves, y1, y), ops.where(moves, ks[-1], k1)
    empty = ops.zeros_like(y)
    reached = [empty if state is None else state for state in out[low:high]]
    return y, k1, ops.stack(reached, axis=1) if reached else None


def window(steps: Sequence[Step]) -> tuple[int, int]:
    """Return the range of the requested times that `steps` reach, (0, 0) if none."""
    reaching = [step.window for step in steps if step.window[0] < step.window[1]]
    return (min(low for low, _ in reaching), max(high for _, high in reaching)) if reaching else (0, 0)


def direct(field_of: FieldOf, plan: Plan, y0: Array, ts: Array, *rest: Array) -> Array:
    """Return the states (batch, times, states) as a function of the inputs, by replaying the whole plan."""
    if plan.failures:
        succeeded, first = plan.failures
        if first is None:
            return plan.ys
        field_of = without_failures(field_of, plan, strip(ts))
        y0 = ops.where(succeeded, y0, plan.ys[first : first + 1, 0, :])
    _, _, reached = _segment(plan, plan.steps, field_of(*rest), ts, y0, None)
    assert reached is not None  # every requested time is reached by some step
    ys = ops.concat([y0[:, None, :], reached], axis=1)
    return ops.where(plan.failures.succeeded[:, :, None], ys, plan.ys) if plan.failures else ys


def pull_back(
    adjoint: Callable, field_of: FieldOf, plan: Plan, ts: Array, rest: Sequence, cotangent: Array, of_ts: bool
) -> tuple:
    """Return the cotangents of y0, ts (None unless `of_ts`) and the rest by `adjoint`, zero for what failed."""
    if plan.failures is None:
        return adjoint(field_of, plan, ts, rest, cotangent, of_ts)
    xp, (succeeded, first) = namespace_of(cotangent), plan.failures
    if first is None:
        return tuple(xp.zeros_like(x) for x in (cotangent[:, 0, :], ts, *rest))
    field_of = without_failures(field_of, plan, ts)
    plan = plan._replace(ys=ops.where(succeeded[:, :, None], plan.ys, plan.ys[first : first + 1, :1, :]))
    cotangent = ops.where(succeeded[:, :, None], cotangent, 0)
    y0_bar, ts_bar, *bars = adjoint(field_of, plan, ts, rest, cotangent, of_ts)
    return ops.where(succeeded, y0_bar, 0), ops.where(succeeded, ts_bar, 0) if of_ts else None, *bars


def checkpointed(field_of: FieldOf, plan: Plan, ts: Array, rest: Sequence, cotangent: Array, of_ts: bool) -> tuple:
    """Return the cotangents of y0, ts (None unless `of_ts`) and the rest, segment by segment from the last.

    Each segment is replayed from its checkpoint on a tape of its own, so no more than one segment's stages are held.
    """
    xp = namespace_of(cotangent)
    y_bar: Any = xp.zeros_like(plan.checkpoints[0].y)
    k_bar: Any = xp.zeros_like(y_bar)
    varied = [ts, *rest] if of_ts else rest  # times that are constants keep many operations off the tape
    totals: list = [None] * len(varied)
    at = lambda free: (field_of(*free[of_ts:]), free[0] if of_ts else ts)
    ends = [checkpoint.before for checkpoint in plan.checkpoints[1:]] + [len(plan.steps)]
    for (index, y, k1), end in zip(reversed(plan.checkpoints), reversed(ends), strict=True):
        steps = plan.steps[index:end]
        replay = lambda y, k1, *free, steps=steps: _segment(plan, steps, *at(free), y, k1)
        low, high = window(steps)
        bars = (y_bar, k_bar, cotangent[:, low:high, :] if low < high else None)
        y_bar, k_bar, *bars = vjp(replay, y, k1, *varied)[1](bars)  # no name holds a tape while the next is made
        totals = [bar if total is None else total + bar for total, bar in zip(totals, bars, strict=True)]
    return (y_bar + cotangent[:, 0, :], *(totals if of_ts else [None, *totals]))


def backsolve(field_of: FieldOf, plan: Plan, ts: Array, rest: Sequence[Array], cotangent: Array, of_ts: bool) -> tuple:
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
