"""The way forward: the field, the controller, a step, and the march of the trajectories."""

import inspect

from mcgc._jit import CPU, Target
from mcgc.ode import _scalar as scalar
from mcgc.ode._program._text import Text, inset

OF_DEVICE = "def log2_of(x):\n    return log2(x)\n", "def exp2_of(y):\n    return 2.0 ** y\n"


def functions(text: Text, target: Target) -> list[str]:
    """Return the source of what the march calls."""
    field = text.programs.field.value.source("field", ["=t", "y", "p"], ["out"], stride=text.lanes)
    own = (scalar.log2_of, scalar.exp2_of) if target is CPU else ()
    copied = [inspect.getsource(function) for function in (*own, scalar.adapt, scalar.growth)]
    return [*(() if own else OF_DEVICE), *copied, field, _extra(text), _first_size(text)]


def _extra(text: Text) -> str:
    stages = [text.stage_of_one(s) for s in range(text.last + 1, text.stages)]
    return f"""def extra(t, h, {text.held}):
    {inset(stages, 1)}
"""


def _first_size(text: Text) -> str:
    n, z, k = text.n, text.at("z", "d"), text.at("k", "d")
    next_z, next_k = text.at("z", f"{n} + d"), text.at("k", f"{n} + d")
    return f"""def first_size(t0, turn, end, {text.held}, rtol, atol):
    size, slope, bend = 0.0, 0.0, 0.0
    for d in range({n}):
        scale = atol[d] + rtol[d] * abs(float64({z}))
        size += (float64({z}) / scale) * (float64({z}) / scale)
        slope += (float64({k}) / scale) * (float64({k}) / scale)
    size, slope = math.sqrt(size / {n}), math.sqrt(slope / {n})
    h = min(kind(1e-6 if size < 1e-5 or slope < 1e-5 else 0.01 * size / slope), kind(end))
    for d in range({n}):
        {next_z} = {z} + h * turn * {k}
    field(kind(t0 + h * turn), {text.given("z", n)}, {text.given("p")}, {text.given("k", n)})
    for d in range({n}):
        ratio = float64({next_k} - {k}) / (atol[d] + rtol[d] * abs(float64({z})))
        bend += ratio * ratio
    steepest = max(slope, math.sqrt(bend / {n}) / float64(h))
    return min(kind(growth(steepest, float64(h), {text.tableau.order})) * h, kind(end))
"""


def _norm(text: Text) -> str:
    """Return the lines that judge a step by `control.error_norm`, for all lanes, or nothing without an estimate."""
    n, weights_of = text.n, text.tableau.error
    lines = []
    norms = [text.kept("norm"), text.kept("second")]
    for name, weights in zip(norms, weights_of, strict=False):
        of_state = f"""scale = float64(max(abs({text.at("z", "d")}), abs({text.at("z", f"{text.last * n} + d")})))
ratio = float64(h * ({text.combined(weights)})) / (atol[d] + rtol[d] * scale)
{name} += ratio * ratio
"""
        root = f"{name} = math.sqrt({name} / {n})\n"
        lines += [text.of_lanes(f"{name} = 0.0\n"), text.of_states(of_state), text.of_lanes(root)]
    if len(weights_of) > 1:
        one, two = norms
        joined = f"{one} = {one} * {one} / math.sqrt({one} * {one} + 0.01 * {two} * {two} + 1e-30)\n"
        lines.append(text.of_lanes(joined))
    good, factor, error, was_rejected = map(text.kept, ("good", "factor", "error", "was_rejected"))
    judged = f"{good}, {factor}, {error} = adapt({norms[0]}, {error}, {was_rejected} == 1, {text.tableau.order})\n"
    lines.append(text.of_lanes(judged))
    return f"if not step_size > 0:\n    {inset(text.side_by_side(lines), 1)}\n" if weights_of else ""


def _judged(text: Text) -> str:
    """Return the lines that take that judgement, or for steps of a given size whether the new state is finite."""
    norm = text.kept("norm")
    adaptive = f"finite, was_rejected = math.isfinite({norm}), not good\n" if text.tableau.error else "good = False\n"
    return f"""if step_size > 0:
    factor, finite = 1.0, True
    for d in range({text.n}):
        finite = finite and math.isfinite({text.at("z", f"{text.last * text.n} + d")})
    good = finite
else:
    {inset(adaptive, 1)}
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
    n, new = text.n, f"{text.last * text.n} + d"
    lines = f"""for d in range({n}):
    {text.at("z", "d")}, {text.at("k", "d")} = {text.at("z", new)}, {text.at("k", new)}
"""
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
    """Return the conditions that end a trajectory because of its events, before the others."""
    if not text.events:
        return ""
    return f"""if excess:
    status = TOO_MANY_EVENTS
elif stopped:
    status = SUCCESS
    for j in range(reached, times):
        for d in range({text.n}):
            ys[(first + j) * {text.n} + d] = z[d]
el"""


def _counted(text: Text) -> str:
    if not text.events:
        return ""
    count = len(text.events)
    return f"""counts[r * 4 + 3] += hits + {text.tableau.extra} * accepted
for i in range({count}):
    event_counts[r * {count} + i] = min(int64(seen[i]), MOST[i])
"""


KEPT = (
    "t",
    "h",
    "now",
    "size",
    "error",
    "factor",
    "good",
    "was_rejected",
    "accepted",
    "rejected",
    "reached",
    "holding",
)


def _fixed(text: Text) -> str:
    """Return the lines that find again what does not change along trajectory `r`."""
    return """first, base, at_p, t0, sign = r * times, r * room, r * step_p, starts[r], signs[r]
turn, span = kind(sign), elapsed[first + times - 1]
"""


def _begin(text: Text) -> str:
    """Return the lines that begin trajectory `r`."""
    n = text.n
    own = f"for i in range({text.m}):\n    {text.at('p', 'i')} = p[at_p + i]\n" if text.lanes > 1 else ""
    size = f"first_size(t0, turn, span, {text.held}, rtol, atol)" if text.tableau.error else "kind(0)"
    return f"""{own}for d in range({n}):
    {text.at("z", "d")} = y0[r * {n} + d]
    ys[first * {n} + d] = y0[r * {n} + d]
field(kind(t0), {text.given("z")}, {text.given("p")}, {text.given("k")})
if step_size > 0:
    size = kind(span / math.ceil(span / min(step_size, max_step) - SNAP))
else:
    size = min({size}, kind(max_step))
now, error, factor, good, was_rejected, finite = 0.0, SMALLEST, 1.0, False, False, True
{_begun(text)}accepted, rejected, reached, holding, status = 0, 0, 1, 0, RUNNING
"""


AIMED = """size = min(size, kind(span - now))
t, h = t0 + sign * now, size * turn
"""


def _settled(text: Text) -> str:
    """Return the lines that end a step: log it, compute the requested states, and choose the size of the next."""
    n, z, k = text.n, text.at("z", "d"), text.at("k", "d")
    held = "" if text.events else f"holding += 1\nextra(t, h, {text.held})\n"
    return f"""{_judged(text)}{"excess, stopped = False, False" if text.events else ""}
if good:
    after = now + size
    if abs(span - after) < kind(SNAP) * size:
        after = span
    {inset(_cut(text), 1)}
    if accepted < room:
        log_t[base + accepted], log_h[base + accepted] = now, h
        for d in range({n}):
            log_y[(base + accepted) * {n} + d], log_k[(base + accepted) * {n} + d] = {z}, {k}
    accepted += 1
    if reached < times and elapsed[first + reached] <= after:
        {inset(held, 2)}
        while reached < times and elapsed[first + reached] <= after:
            part = kind((elapsed[first + reached] - now) / size)
            for d in range({n}):
                {inset(text.dense_output(), 4)}
                ys[(first + reached) * {n} + d] = {z} + change
            reached += 1
    now = after
    {inset(_advanced(text), 1)}
else:
    rejected += 1
{_ended(text)}if not now < span:
    status = SUCCESS
else:
    following = size * kind(factor)
    if not step_size > 0:
        following = min(following, kind(max_step))
    if not following > least[r] or (step_size > 0 and not good):
        status = STEP_TOO_SMALL if finite else NOT_FINITE
    elif accepted + rejected >= max_steps:
        status = TOO_MANY_STEPS
    size = following
"""


def _finished(text: Text, target: Target) -> str:
    """Return the lines that count what a trajectory took."""
    summary = """most, failed = max(most, counts[r * 4]), max(failed, counts[r * 4 + 2])
evaluations = max(evaluations, counts[r * 4 + 3])
"""
    return f"""counts[r * 4], counts[r * 4 + 1], counts[r * 4 + 2] = accepted, rejected, status
counts[r * 4 + 3] = {text.last} * (accepted + rejected) + {text.tableau.extra} * holding + (1 if step_size > 0 else 2)
{_counted(text)}{summary if target is CPU else ""}"""


def _one_by_one(text: Text, target: Target) -> str:
    """Return the loop over the trajectories, one after the other."""
    stages = [text.stage(s) for s in range(1, text.last + 1)]
    return f"""for r in {target.rows}:
    {inset(_fixed(text) + _begin(text), 1)}
    while status == RUNNING:
        {inset(AIMED, 2)}
        {inset([*stages, _norm(text), _settled(text)], 2)}
    {inset(_finished(text, target), 1)}
"""


def _side_by_side(text: Text, target: Target) -> str:
    """Return the loop over the steps of all lanes. A lane whose trajectory is finished takes the next."""
    stages = [text.stage(s) for s in range(1, text.last + 1)]
    return f"""queue, active = begin, 1
while active > 0:
    active = 0
    for l in range({text.lanes}):
        r, status = {text.kept("r")}, RUNNING
        if r >= 0:
            {inset(_fixed(text) + text.load(KEPT) + _settled(text), 3)}
            if status != RUNNING:
                {inset(_finished(text, target), 4)}
                r = -1
        if r < 0 and queue < end:
            r = queue
            queue += 1
            {inset(_fixed(text) + _begin(text), 3)}
        {text.kept("r")} = r
        if r >= 0:
            active += 1
            {inset(AIMED + text.store(KEPT), 3)}
    {inset(text.side_by_side(stages) + _norm(text), 1)}
"""


def loop(text: Text, target: Target) -> str:
    """Return `forward`, the march of the trajectories from `begin` to `end`.

    On the CPU it returns the largest number of steps of one, the largest status, and the largest number of evaluations.
    """
    size, count = text.stages * text.n, len(text.events)
    found, scratch = f", {FOUND}" if count else "", {}
    if count:
        scratch = dict.fromkeys(("side", "seen", "low", "high"), count) | {"point": text.n, "waste": text.m}
        scratch |= dict.fromkeys(("value", "t_bar", "one"), 1)
    if text.lanes == 1:
        made, loop = text.scratch(target, k=size, z=size, **scratch), _one_by_one(text, target)
    else:
        made, loop = text.scratch_of_lanes(text.sizes), _side_by_side(text, target)
    return f"""def forward(
    begin, end, times, starts, signs, elapsed, y0, p, step_p, rtol, atol, step_size, max_steps, max_step, least, room,
    ys, counts, log_t, log_h, log_y, log_k{found},
):
    {inset(made, 1)}
    most, failed, evaluations = 0, 0, 0
    {inset(loop, 1)}
{"    return most, failed, evaluations" if target is CPU else ""}
"""
