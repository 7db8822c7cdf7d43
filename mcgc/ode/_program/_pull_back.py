"""The way back: the cotangents of y0, the times and p, along the log of one trajectory.

The steps are differentiated, with their sizes as constants.

The stages of a step are computed again from its state. yb is the cotangent of the state after the step, xb that of the
state before it from the requested times, kb has those of the stages, zb those of their points. The first of the stages
is the field before the step.
"""

from mcgc._jit import Target
from mcgc.ode._program._text import Text, inset
from mcgc.ode._tableaux import Row


def functions(text: Text) -> list[str]:
    """Return the source of `pull_back` and of what it calls."""
    names = ["=t", "y", "p", "g"], ["t_bar", "y_bar", "p_bar"]
    return [text.programs.field.pullback.source("pull", *names, add=True), _replay(text), _pull_back(text)]


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
    """Return the lines that gather the cotangent of stage `s` from the points of later stages, and pull it back."""
    at = s * text.n
    start = "kind(0)" if s != text.last else "yb[d]"
    return f"""for d in range({text.n}):
    kb[{at} + d] += h * ({text.combined(_column(text, s), "zb")})
    zb[{at} + d] = {start}
pull({text.time(s)}, z, {at}, p, at_p, kb, {at}, tb, 0, zb, {at}, p_bar, r * {text.m})
"""


def _column(text: Text, s: int) -> Row:
    """Return the weights of stage `s` in the points of all stages."""
    return tuple(row[s] if s < len(row) else 0.0 for row in text.tableau.a)


def _requested(text: Text) -> str:
    """Return the lines for the requested time j: the cotangents of its state, and of the time itself.

    The time moves within its step, and the step begins a fixed time after the first.
    """
    n = text.n
    weights = [f"w{s} = h * ({text.dense_weight(s)})\n" for s in text.dense_stages]
    spread = [f"    kb[{s * n} + d] += w{s} * cotangent[at + d]\n" for s in text.dense_stages]
    slopes = [f"w{s} = {text.dense_slope(s)}\n" for s in text.dense_stages]
    slope = " + ".join(f"w{s} * k[{s * n} + d]" for s in text.dense_stages)
    return f"""part = kind((elapsed[first + j] - now) / (turn * h))
at = (first + j) * {n}
{"".join(weights)}for d in range({n}):
    xb[d] += cotangent[at + d]
{"".join(spread)}if {"True" if text.events else "of_ts"}:
    total = kind(0)
    {inset(slopes, 1)}
    for d in range({n}):
        total += ({slope}) * cotangent[at + d]
    ts_bar[first + j] += total
    {"tb[0]" if text.events else "ts_bar[first]"} -= total
"""


WORK = "seen, y1, point, moved, ye_bar, g_bar, te_bar, one, waste"  # of the events of a trajectory
GIVEN = "log_e, log_f, event_t_bar, event_y_bar"


def _begun(text: Text) -> str:
    """Return the lines that count the events, and begin with the times after a terminal one."""
    if not text.events:
        return ""
    return f"""for i in range({len(text.events)}):
    seen[i] = kind(0)
for i in range(base, base + counts[r * 4]):
    if log_e[i] >= 0:
        seen[log_e[i]] += 1
i = base + counts[r * 4] - 1
if i >= base and log_e[i] >= 0 and TERMINAL[log_e[i]] == 1:
    until = log_t[i] + log_h[i] * turn * log_f[i]
    while j > 0 and elapsed[first + j] > until:
        for d in range({text.n}):
            yb[d] += cotangent[(first + j) * {text.n} + d]
        j -= 1
"""


def _carried(text: Text) -> str:
    """Return the lines that give the cotangent of the field after the step to its last stage, or to the landing."""
    n, at = text.n, text.last * text.n
    if not text.events:
        return f"for d in range({n}):\n    kb[{at} + d] = kb[d]\n"
    return f"for d in range({n}):\n    kf[d] = kb[d]\n    kb[{at} + d] = kind(0) if event >= 0 else kb[d]\n"


def _landed(text: Text) -> str:
    """Return the lines that go back through the event of a step: nothing remains of the state at its end."""
    if not text.events:
        return ""
    return f"""if event >= 0:
    seen[event] -= 1
    from_landing(
        r, event, int64(seen[event]), log_f[i], t, h, p, at_p, k, z, kf, kb, yb, xb, tb, {WORK.partition(", ")[2]},
        p_bar, r * {text.m}, event_t_bar, event_y_bar,
    )
    for d in range({text.n}):
        yb[d] = kind(0)
"""


def _pull_back(text: Text) -> str:
    n, last = text.n, text.last
    further = f", kf, {WORK}, {GIVEN}" if text.events else ""
    event = "event = log_e[i]\n" if text.events else ""
    dense = "(event >= 0 or inside)" if text.events else f"inside and {'True' if text.tableau.extra else 'of_ts'}"
    extra = [_pulled(text, s) for s in range(text.stages - 1, last, -1)]
    return f"""def pull_back(
    r, times, t0, sign, elapsed, y0, p, at_p, room, of_ts, k, z, kb, yb, xb, zb, tb, cotangent, counts, log_t, log_h,
    log_y, log_k, y_bar, p_bar, ts_bar{further},
):
    first, base, turn, j = r * times, r * room, kind(sign), times - 1
    tb[0] = kind(0)
    for d in range({n}):
        yb[d], kb[d] = kind(0), kind(0)
    {inset(_begun(text), 1)}
    for i in range(base + counts[r * 4] - 1, base - 1, -1):
        now, h = log_t[i], log_h[i]
        t = t0 + sign * now
        for d in range({n}):
            z[d], k[d], xb[d] = log_y[i * {n} + d], log_k[i * {n} + d], kind(0)
        inside = j > 0 and elapsed[first + j] > now
        {inset(event, 2)}
        replay(t, h, p, at_p, {dense}, k, z)
        {inset(_carried(text), 2)}
        for d in range({last * n}):
            kb[d] = kind(0)
        for d in range({(last + 1) * n}, {text.stages * n}):
            kb[d], zb[d] = kind(0), kind(0)
        {inset(_landed(text), 2)}
        while j > 0 and elapsed[first + j] > now:
            {inset(_requested(text), 3)}
            j -= 1
        if {"event >= 0 or inside" if text.events else "inside"}:
            {inset(extra, 3)}
        {inset([_pulled(text, s) for s in range(last, 0, -1)], 2)}
        for d in range({n}):
            kb[d] += h * ({text.combined(_column(text, 0), "zb")})
            yb[d] = xb[d] + {text.combined((0.0, *(1.0,) * (text.stages - 1)), "zb")}
    for d in range({n}):
        z[d], zb[d] = y0[r * {n} + d], yb[d]
    pull(kind(t0), z, 0, p, at_p, kb, 0, tb, 0, zb, 0, p_bar, r * {text.m})
    for d in range({n}):
        y_bar[r * {n} + d] = zb[d] + cotangent[first * {n} + d]
    ts_bar[first] += tb[0]
"""


def loop(text: Text, target: Target) -> str:
    """Return `backward`, the way back of the trajectories from `begin` to `end` that succeeded."""
    n, size, count = text.n, text.stages * text.n, len(text.events)
    given, work, scratch = f", {GIVEN}" if count else "", f", kf, {WORK}, {GIVEN}" if count else "", {}
    if count:
        scratch = dict.fromkeys(("kf", "y1", "point", "moved", "ye_bar", "g_bar"), n) | {"seen": count}
        scratch |= {"waste": text.m, "te_bar": 1, "one": 1}
    return f"""def backward(
    begin, end, times, t0, sign, elapsed, y0, p, step_p, room, of_ts, cotangent, counts, log_t, log_h, log_y, log_k,
    y_bar, p_bar, ts_bar{given},
):
    {text.scratch(target, k=size, z=size, kb=size, yb=n, xb=n, zb=size, tb=1, **scratch)}
    for r in {target.rows}:
        if counts[r * 4 + 2] == SUCCESS:
            pull_back(
                r, times, t0[r], sign[r], elapsed, y0, p, r * step_p, room, of_ts, k, z, kb, yb, xb, zb, tb, cotangent,
                counts, log_t, log_h, log_y, log_k, y_bar, p_bar, ts_bar{work},
            )
"""
