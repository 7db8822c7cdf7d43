"""The way back: the cotangents of y0, the times and p, along the log of one trajectory.

The steps are differentiated, with their sizes as constants.

The stages of a step are computed again from its state. xb gathers the cotangent of the state before the step, yb is
that of the state after it, kb has those of the stages, whose first is that of the field before the step.
"""

from mcgc._jit import Target
from mcgc.ode._program._text import Text, inset


def functions(text: Text) -> list[str]:
    """Return the source of `pull_back` and of what it calls."""
    names = ["=t", "y", "p", "g"], ["t_bar", "y_bar", "p_bar"]
    return [text.programs.pullback.source("pull", *names, add=True), _replay(text), _pull_back(text)]


def _replay(text: Text) -> str:
    """Return `replay`: the stages of a logged step, the last and the extra ones where the dense output is needed."""
    at = text.last * text.n
    stages = [text.stage(s) for s in range(1, text.last)]
    return f"""def replay(t, h, p, at_p, inside, k, z):
    {inset([*stages, text.point(text.last)], 1)}
    if inside:
        field({text.time(text.last)}, z, {at}, p, at_p, k, {at})
        extra(t, h, p, at_p, k, z)
"""


def _pulled(text: Text, s: int) -> str:
    """Return the lines that pull the cotangent of stage `s` back to those of the stages before and of the state."""
    n = text.n
    weights = [(j, weight) for j, weight in enumerate(text.tableau.a[s]) if weight]
    to_stages = [f"    kb[{j * n} + d] += h * {text.number(weight)} * zb[d]\n" for j, weight in weights]
    return f"""for d in range({n}):
    zb[d] = {"yb[d]" if s == text.last else "kind(0)"}
pull({text.time(s)}, z, {s * n}, p, at_p, kb, {s * n}, tb, 0, zb, 0, p_bar, r * {text.m})
for d in range({n}):
    xb[d] += zb[d]
{"".join(to_stages)}"""


def _requested(text: Text) -> str:
    """Return the lines for the requested time j: the cotangents of its state, and of the time itself.

    The time moves within its step, and the step begins a fixed time after the first.
    """
    n = text.n
    spread = [
        f"weight = h * ({text.dense_weight(s)})\n"
        f"for d in range({n}):\n    kb[{s * n} + d] += weight * cotangent[at + d]\n"
        for s in text.dense_stages
    ]
    slopes = [
        f"weight = {text.dense_slope(s)}\n"
        f"for d in range({n}):\n    total += weight * k[{s * n} + d] * cotangent[at + d]\n"
        for s in text.dense_stages
    ]
    return f"""part = kind((elapsed[first + j] - now) / (turn * h))
at = (first + j) * {n}
{"".join(spread)}for d in range({n}):
    xb[d] += cotangent[at + d]
if of_ts:
    total = kind(0)
    {inset(slopes, 1)}
    ts_bar[first + j] += total
    ts_bar[first] -= total
"""


def _pull_back(text: Text) -> str:
    n, last = text.n, text.last
    extra = [_pulled(text, s) for s in range(text.stages - 1, last, -1)]
    return f"""def pull_back(
    r, times, t0, sign, elapsed, y0, p, at_p, room, of_ts, k, z, kb, yb, xb, zb, tb, cotangent, counts, log_t, log_h,
    log_y, log_k, y_bar, p_bar, ts_bar,
):
    first, base, turn, j = r * times, r * room, kind(sign), times - 1
    tb[0] = kind(0)
    for d in range({n}):
        yb[d], kb[d] = kind(0), kind(0)
    for i in range(base + counts[r * 4] - 1, base - 1, -1):
        now, h = log_t[i], log_h[i]
        t = t0 + sign * now
        for d in range({n}):
            z[d], k[d], xb[d] = log_y[i * {n} + d], log_k[i * {n} + d], kind(0)
        inside = j > 0 and elapsed[first + j] > now
        replay(t, h, p, at_p, inside and {"True" if text.tableau.extra else "of_ts"}, k, z)
        for d in range({n}):
            kb[{last * n} + d] = kb[d]
        for d in range({last * n}):
            kb[d] = kind(0)
        for d in range({(last + 1) * n}, {text.stages * n}):
            kb[d] = kind(0)
        while j > 0 and elapsed[first + j] > now:
            {inset(_requested(text), 3)}
            j -= 1
        if inside:
            {inset(extra, 3)}
        {inset([_pulled(text, s) for s in range(last, 0, -1)], 2)}
        for d in range({n}):
            yb[d] = xb[d]
    for d in range({n}):
        z[d], zb[d] = y0[r * {n} + d], yb[d]
    pull(kind(t0), z, 0, p, at_p, kb, 0, tb, 0, zb, 0, p_bar, r * {text.m})
    for d in range({n}):
        y_bar[r * {n} + d] = zb[d] + cotangent[first * {n} + d]
    ts_bar[first] += tb[0]
"""


def loop(text: Text, target: Target) -> str:
    """Return `backward`, the way back of the trajectories from `begin` to `end` that succeeded."""
    n, size = text.n, text.stages * text.n
    return f"""def backward(
    begin, end, times, t0, sign, elapsed, y0, p, step_p, room, of_ts, cotangent, counts, log_t, log_h, log_y, log_k,
    y_bar, p_bar, ts_bar,
):
    {text.scratch(target, k=size, z=size, kb=size, yb=n, xb=n, zb=n, tb=1)}
    for r in {target.rows}:
        if counts[r * 4 + 2] == SUCCESS:
            pull_back(
                r, times, t0[r], sign[r], elapsed, y0, p, r * step_p, room, of_ts, k, z, kb, yb, xb, zb, tb, cotangent,
                counts, log_t, log_h, log_y, log_k, y_bar, p_bar, ts_bar,
            )
"""
