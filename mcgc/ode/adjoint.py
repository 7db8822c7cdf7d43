"""Derivatives of a solution: the replay of its steps, on one tape (direct) or in segments (checkpointed)."""

from collections.abc import Callable, Sequence
from typing import Any

from mcgc.arrays import Array, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.transforms import vjp
from mcgc.ode.plan import Plan, Step, emit, timeline
from mcgc.ode.step import Field, stages
from mcgc.ode.tableaux import Tableau

FieldOf = Callable[..., Field]  # the varied inputs after y0 and ts -> the field with them put in


def _segment(
    tableau: Tableau, field: Field, ts: Array, steps: Sequence[Step], y: Array, k1: Array | None
) -> tuple[Array, Array, Array | None]:
    """Replay `steps` from (y, k₁): the state and field after them, and the states at the times they reach.

    The times are those of the steps' joint window, or None where it is empty; a trajectory that reaches a time of
    the window in another segment has zeros there.
    """
    start, sign, elapsed = timeline(ts)
    sign = ops.astype(sign, y.dtype)
    low, high = window(steps)
    out: list = [None] * high
    if k1 is None:
        k1 = field(ops.astype(start, y.dtype), y)
    for step in steps:
        y1, ks = stages(tableau, field, start + sign * step.elapsed, step.size * sign, y, k1)
        emit(tableau, elapsed, sign, step, y, ks, out)
        moves = step.size > 0
        y, k1 = ops.where(moves, y1, y), ops.where(moves, ks[-1], k1)
    empty = ops.zeros_like(y)
    reached = [empty if state is None else state for state in out[low:high]]
    return y, k1, ops.stack(reached, axis=1) if reached else None


def window(steps: Sequence[Step]) -> tuple[int, int]:
    """Return the range of the requested times that `steps` reach, (0, 0) if none."""
    reaching = [step.window for step in steps if step.window[0] < step.window[1]]
    return (min(low for low, _ in reaching), max(high for _, high in reaching)) if reaching else (0, 0)


def direct(tableau: Tableau, field_of: FieldOf, plan: Plan, y0: Array, ts: Array, *rest: Array) -> Array:
    """Return the states (batch, times, states) as a function of the inputs, by replaying the whole plan."""
    _, _, reached = _segment(tableau, field_of(*rest), ts, plan.steps, y0, None)
    assert reached is not None  # every requested time is reached by some step
    return ops.concat([y0[:, None, :], reached], axis=1)


def checkpointed(
    tableau: Tableau, field_of: FieldOf, plan: Plan, ts: Array, rest: Sequence[Array], cotangent: Array
) -> tuple:
    """Return the cotangents of y0, ts and the rest, segment by segment from the last.

    Each segment is replayed from its checkpoint on a tape of its own, so no more than one segment's stages are held.
    """
    xp = namespace_of(cotangent)
    y_bar: Any = xp.zeros_like(plan.checkpoints[0].y)
    k_bar: Any = xp.zeros_like(y_bar)
    totals: list = [None] * (1 + len(rest))
    ends = [checkpoint.before for checkpoint in plan.checkpoints[1:]] + [len(plan.steps)]
    for (index, y, k1), end in zip(reversed(plan.checkpoints), reversed(ends), strict=True):
        steps = plan.steps[index:end]

        def replay(y: Array, k1: Array | None, ts: Array, *rest: Array, steps: Any = steps) -> tuple:
            return _segment(tableau, field_of(*rest), ts, steps, y, k1)

        low, high = window(steps)
        _, pullback = vjp(replay, y, k1, ts, *rest)
        y_bar, k_bar, *bars = pullback((y_bar, k_bar, cotangent[:, low:high, :] if low < high else None))
        totals = [bar if total is None else total + bar for total, bar in zip(totals, bars, strict=True)]
    return (y_bar + cotangent[:, 0, :], *totals)
