"""The way forward: the field, the controller, a step, and the march of one trajectory."""

import inspect

from mcgc._jit import CPU, Target
from mcgc.ode import _scalar as scalar
from mcgc.ode._program._text import Text, inset


def functions(text: Text) -> list[str]:
    """Return the source of `march` and of what it calls."""
    field = text.programs.field.value.source("field", ["=t", "y", "p"], ["out"])
    return [
        *(inspect.getsource(scalar.adapt), inspect.getsource(scalar.growth), field),
        *(_step(text), _extra(text), _first_size(text), _march(text)),
    ]


def _step(text: Text) -> str:
    stages = [text.stage(s) for s in range(1, text.last + 1)]
    return f"""def step(t, h, p, at_p, k, z):
    {inset(stages, 1)}
"""


def _extra(text: Text) -> str:
    stages = [text.stage(s) for s in range(text.last + 1, text.stages)]
    return f"""def extra(t, h, p, at_p, k, z):
    {inset(stages, 1)}
"""


def _first_size(text: Text) -> str:
    n = text.n
    return f"""def first_size(t0, turn, end, p, at_p, rtol, atol, k, z):
    size, slope, bend = 0.0, 0.0, 0.0
    for d in range({n}):
        scale = atol[d] + rtol[d] * abs(float64(z[d]))
        size += (float64(z[d]) / scale) * (float64(z[d]) / scale)
        slope += (float64(k[d]) / scale) * (float64(k[d]) / scale)
    size, slope = math.sqrt(size / {n}), math.sqrt(slope / {n})
    h = min(kind(1e-6 if size < 1e-5 or slope < 1e-5 else 0.01 * size / slope), kind(end))
    for d in range({n}):
        z[{n} + d] = z[d] + h * turn * k[d]
    field(kind(t0 + h * turn), z, {n}, p, at_p, k, {n})
    for d in range({n}):
        ratio = float64(k[{n} + d] - k[d]) / (atol[d] + rtol[d] * abs(float64(z[d])))
        bend += ratio * ratio
    steepest = max(slope, math.sqrt(bend / {n}) / float64(h))
    return min(kind(growth(steepest, float64(h), {text.tableau.order})) * h, kind(end))
"""


def _norm(text: Text) -> str:
    """Return the lines that compute `control.error_norm` as `norm`."""
    n, new = text.n, text.last * text.n
    lines = []
    for name, weights in zip(("norm", "second"), text.tableau.error, strict=False):
        lines.append(f"""total = 0.0
for d in range({n}):
    scale = float64(max(abs(z[d]), abs(z[{new} + d])))
    ratio = float64(size * ({text.combined(weights)})) / (atol[d] + rtol[d] * scale)
    total += ratio * ratio
{name} = math.sqrt(total / {n})
""")
    if len(lines) > 1:
        lines.append("norm = norm * norm / math.sqrt(norm * norm + 0.01 * second * second + 1e-30)\n")
    return "".join(lines)


def _adaptive(text: Text) -> str:
    """Return the lines that judge a step by its error, or nothing for a method without an estimate."""
    if not text.tableau.error:
        return "good = False\n"
    return f"""{_norm(text)}finite = math.isfinite(norm)
good, factor, error = adapt(norm, error, was_rejected, {text.tableau.order})
was_rejected = not good
"""


OF_LANDING = "side, seen, point, value, t_bar, one, waste"
WORK = f"low, high, {OF_LANDING}"  # of the events of a trajectory
FOUND = "event_t, event_y, event_counts, log_e, log_f"


def _begun(text: Text) -> str:
    """Return the lines that look at the events where the trajectory starts."""
    if not text.events:
        return ""
    return f"""hits, event, fraction = 0, -1, kind(1)
for i in range({len(text.events)}):
    seen[i] = kind(0)
    side[i] = side_of(i, kind(t0), z, k, p, at_p, turn, kind(0), point, value, t_bar, one, waste)
"""


def _cut(text: Text) -> str:
    """Return the lines that end an accepted step at its first event."""
    if not text.events:
        return ""
    return """extra(t, h, p, at_p, k, z)
event, fraction = find(t, h, k, z, p, at_p, side, seen, low, high, point, value)
if event >= 0:
    after = now + size * fraction
if accepted < room:
    log_e[base + accepted], log_f[base + accepted] = event, fraction
"""


def _advanced(text: Text) -> str:
    """Return the lines that put the state and the field after the step where they were before it."""
    n, new = text.n, text.last * text.n
    lines = f"for d in range({n}):\n    z[d], k[d] = z[{new} + d], k[{new} + d]\n"
    if not text.events:
        return lines
    return f"""if event >= 0:
    hits += 1
    excess = land(r, event, fraction, t, h, p, at_p, turn, k, z, {OF_LANDING}, event_t, event_y)
    stopped = TERMINAL[event] == 1
else:
    {inset(lines, 1)}
"""


def _ended(text: Text) -> str:
    """Return the lines that end a trajectory because of its events."""
    if not text.events:
        return ""
    return f"""if excess:
    status = TOO_MANY_EVENTS
    break
if stopped:
    status = SUCCESS
    for j in range(reached, times):
        for d in range({text.n}):
            ys[(first + j) * {text.n} + d] = z[d]
    break
"""


def _counted(text: Text) -> str:
    if not text.events:
        return ""
    count = len(text.events)
    return f"""counts[r * 4 + 3] += hits + {text.tableau.extra} * accepted
for i in range({count}):
    event_counts[r * {count} + i] = min(int64(seen[i]), MOST[i])
"""


def _march(text: Text) -> str:
    n = text.n
    further = f", {WORK}, {FOUND}" if text.events else ""
    held = "" if text.events else "holding += 1\nextra(t, h, p, at_p, k, z)\n"
    first = "first_size(t0, turn, end, p, at_p, rtol, atol, k, z)" if text.tableau.error else "kind(0)"
    return f"""def march(
    r, times, t0, sign, elapsed, y0, p, at_p, rtol, atol, step_size, max_steps, max_step, smallest, room, k, z, ys,
    counts, log_t, log_h, log_y, log_k{further},
):
    first, base, turn = r * times, r * room, kind(sign)
    end = elapsed[first + times - 1]
    for d in range({n}):
        z[d] = y0[r * {n} + d]
        ys[first * {n} + d] = z[d]
    field(kind(t0), z, 0, p, at_p, k, 0)
    if step_size > 0:
        size = kind(end / math.ceil(end / min(step_size, max_step) - SNAP))
    else:
        size = min({first}, kind(max_step))
    now, error, was_rejected = 0.0, 1e-4, False
    {inset(_begun(text), 1)}
    accepted, rejected, reached, holding, status = 0, 0, 1, 0, TOO_MANY_STEPS
    for _ in range(max_steps):
        size = min(size, kind(end - now))
        t, h, factor, finite{", excess, stopped" if text.events else ""} = (
            t0 + sign * now, size * turn, 1.0, True{", False, False" if text.events else ""}
        )
        step(t, h, p, at_p, k, z)
        if step_size > 0:
            for d in range({n}):
                finite = finite and math.isfinite(z[{text.last * n} + d])
            good = finite
        else:
            {inset(_adaptive(text), 3)}
        if good:
            after = now + size
            if abs(end - after) < kind(SNAP) * size:
                after = end
            {inset(_cut(text), 3)}
            if accepted < room:
                log_t[base + accepted], log_h[base + accepted] = now, h
                for d in range({n}):
                    log_y[(base + accepted) * {n} + d], log_k[(base + accepted) * {n} + d] = z[d], k[d]
            accepted += 1
            if reached < times and elapsed[first + reached] <= after:
                {inset(held, 4)}
                while reached < times and elapsed[first + reached] <= after:
                    part = kind((elapsed[first + reached] - now) / size)
                    for d in range({n}):
                        {inset(text.dense_output(), 6)}
                        ys[(first + reached) * {n} + d] = z[d] + change
                    reached += 1
            now = after
            {inset(_advanced(text), 3)}
        else:
            rejected += 1
        {inset(_ended(text), 2)}
        if not now < end:
            status = SUCCESS
            break
        following = size * kind(factor)
        if not step_size > 0:
            following = min(following, kind(max_step))
        if not following > smallest or (step_size > 0 and not good):
            status = STEP_TOO_SMALL if finite else NOT_FINITE
            break
        size = following
    counts[r * 4], counts[r * 4 + 1], counts[r * 4 + 2] = accepted, rejected, status
    evaluations = {text.last} * (accepted + rejected) + {text.tableau.extra} * holding
    counts[r * 4 + 3] = evaluations + (1 if step_size > 0 else 2)
    {inset(_counted(text), 1)}
"""


def loop(text: Text, target: Target) -> str:
    """Return `forward`, the march of the trajectories from `begin` to `end`.

    On the CPU it returns the largest number of steps of one, the largest status, and the largest number of evaluations.
    """
    size, count = text.stages * text.n, len(text.events)
    found, work, scratch = f", {FOUND}" if count else "", f", {WORK}, {FOUND}" if count else "", {}
    if count:
        scratch = dict.fromkeys(("side", "seen", "low", "high"), count) | {"point": text.n, "waste": text.m}
        scratch |= dict.fromkeys(("value", "t_bar", "one"), 1)
    summary = """        most, failed = max(most, counts[r * 4]), max(failed, counts[r * 4 + 2])
        evaluations = max(evaluations, counts[r * 4 + 3])
    return most, failed, evaluations
"""
    return f"""def forward(
    begin, end, times, t0, sign, elapsed, y0, p, step_p, rtol, atol, step_size, max_steps, max_step, smallest, room, ys,
    counts, log_t, log_h, log_y, log_k{found},
):
    {text.scratch(target, k=size, z=size, **scratch)}
    most, failed, evaluations = 0, 0, 0
    for r in {target.rows}:
        march(
            r, times, t0[r], sign[r], elapsed, y0, p, r * step_p, rtol, atol, step_size, max_steps, max_step,
            smallest[r], room, k, z, ys, counts, log_t, log_h, log_y, log_k{work},
        )
{summary if target is CPU else ""}"""
