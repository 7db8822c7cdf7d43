"""The way back: the cotangents of y0, the times and p, along the log of each trajectory.

The steps are differentiated, with their sizes as constants.

The stages of a step are computed again from its state. yb is the cotangent of the state after the step, xb that of the
state before it from the requested times, kb has those of the stages, zb those of their points. The first of the stages
is the field before the step.
"""

from mcgc._jit import Target
from mcgc.ode._program._text import Text, inset
from mcgc.ode._tableaux import Row


def functions(text: Text) -> list[str]:
    """Return the source of what the way back calls."""
    names = ["=t", "y", "p", "g"], ["t_bar", "y_bar", "p_bar"]
    return [text.programs.field.pullback.source("pull", *names, add=True, stride=text.lanes)]


def replayed(text: Text) -> str:
    """Return the lines that compute the stages of a logged step again, but for the last and the extra ones."""
    stages = [text.stage(s) for s in range(1, text.last)]
    return "".join([*stages, text.of_states(text.point(text.last))])


def replayed_for_dense_output(text: Text) -> str:
    """Return the lines that compute the rest of the stages, which the dense output needs."""
    return f"{text.field(text.last)}extra(t, h, {text.held})\n"


def _gathered(text: Text, s: int) -> str:
    """Return the line that gathers the cotangent of stage `s` from the points of later stages."""
    return f"{text.at('kb', f'{s * text.n} + d')} += h * ({text.combined(_column(text, s), 'zb')})\n"


def _pulled(text: Text, s: int, one: bool = False) -> str:
    """Return the lines that gather the cotangent of stage `s` and pull it back, for all lanes or for one."""
    at = s * text.n
    start = "kind(0)" if s != text.last else text.at("yb", "d")
    of_state = f"{_gathered(text, s)}{text.at('zb', f'{at} + d')} = {start}\n"
    pull = f"""pull(
    {text.time(s)}, {text.given("z", at)}, {text.given("p")}, {text.given("kb", at)}, {text.given("tb")},
    {text.given("zb", at)}, {text.given("p_bar")},
)
"""
    if one:
        return f"for d in range({text.n}):\n    {inset(of_state, 1)}\n{pull}"
    return text.of_states(of_state) + text.of_lanes(pull)


def _column(text: Text, s: int) -> Row:
    """Return the weights of stage `s` in the points of all stages."""
    return tuple(row[s] if s < len(row) else 0.0 for row in text.tableau.a)


def _requested(text: Text) -> str:
    """Return the lines for the requested time j: the cotangents of its state, and of the time itself.

    The time moves within its step, and the step begins a fixed time after the first.
    """
    n = text.n
    weights = [f"w{s} = h * ({text.dense_weight(s)})\n" for s in text.dense_stages]
    spread = [f"    {text.at('kb', f'{s * n} + d')} += w{s} * cotangent[at + d]\n" for s in text.dense_stages]
    slopes = [f"w{s} = {text.dense_slope(s)}\n" for s in text.dense_stages]
    slope = " + ".join(f"w{s} * {text.at('k', f'{s * n} + d')}" for s in text.dense_stages)
    return f"""part = kind((elapsed[first + j] - now) / (turn * h))
at = (first + j) * {n}
{"".join(weights)}for d in range({n}):
    {text.at("xb", "d")} += cotangent[at + d]
{"".join(spread)}if {"True" if text.events else "of_ts"}:
    total = kind(0)
    {inset(slopes, 1)}
    for d in range({n}):
        total += ({slope}) * cotangent[at + d]
    ts_bar[first + j] += total
    {text.at("tb") if text.events else "ts_bar[first]"} -= total
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
    """Return the lines that give the cotangent of the field after the step to its last stage, or to the landing.

    The other stages begin with none.
    """
    n, size, at = text.n, text.stages * text.n, text.last * text.n
    clear = lambda begin, end, *names: text.of_states(
        "".join([f"{text.at(name, 'd')} = kind(0)\n" for name in names]), begin, end
    )
    after = clear(at + n, size, "kb", "zb")
    last = text.at("kb", f"{at} + d")
    if not text.events:
        return text.of_states(f"{last} = {text.at('kb', 'd')}\n") + clear(0, at, "kb") + after
    event = f"for d in range({n}):\n    kf[d] = kb[d]\n    {last} = kind(0) if event >= 0 else kb[d]\n"
    return event + clear(0, at, "kb") + after


def _landed(text: Text) -> str:
    """Return the lines that go back through the event of a step: nothing remains of the state at its end."""
    if not text.events:
        return ""
    return f"""if event >= 0:
    seen[event] -= 1
    from_landing(
        r, event, int64(seen[event]), log_f[i], t, h, p, at_p, k, z, kf, kb, yb, xb, tb, {WORK.partition(", ")[2]},
        p_bar, at_p_bar, event_t_bar, event_y_bar,
    )
    for d in range({text.n}):
        yb[d] = kind(0)
"""


KEPT = "t", "h", "now", "i", "j", "inside"


def _fixed(text: Text) -> str:
    """Return the lines that find again what does not change along trajectory `r`."""
    return f"""first, base, at_p, at_p_bar = r * times, r * room, r * step_p, r * {text.m}
t0, sign, turn = starts[r], signs[r], kind(signs[r])
"""


def _begin(text: Text) -> str:
    """Return the lines that begin at the end of trajectory `r`."""
    own = ""
    if text.lanes > 1:
        own = f"for i in range({text.m}):\n    {text.at('p', 'i')}, {text.at('p_bar', 'i')} = p[at_p + i], kind(0)\n"
    return f"""{own}j, {text.at("tb")} = times - 1, kind(0)
for d in range({text.n}):
    {text.at("yb", "d")}, {text.at("kb", "d")} = kind(0), kind(0)
{_begun(text)}i = base + counts[r * 4] - 1
"""


def _loaded(text: Text) -> str:
    """Return the lines that read step `i` from the log."""
    z, k, xb = (text.at(name, "d") for name in ("z", "k", "xb"))
    return f"""now, h = log_t[i], log_h[i]
t = t0 + sign * now
for d in range({text.n}):
    {z}, {k}, {xb} = log_y[i * {text.n} + d], log_k[i * {text.n} + d], kind(0)
inside = j > 0 and elapsed[first + j] > now
{"event = log_e[i]" if text.events else ""}
"""


def _dense(text: Text) -> str:
    """Return the lines for the requested times within the step, and for its event."""
    needed = "event >= 0 or inside" if text.events else "inside"
    extra = [_pulled(text, s, True) for s in range(text.stages - 1, text.last, -1)]
    return f"""if {needed}:
    if {"True" if text.events or text.tableau.extra else "of_ts"}:
        {inset(replayed_for_dense_output(text), 2)}
    {inset(_landed(text), 1)}
    while j > 0 and elapsed[first + j] > now:
        {inset(_requested(text), 2)}
        j -= 1
    {inset(extra, 1)}
"""


def _before(text: Text) -> str:
    """Return the lines that pull the stages back, and give the cotangent of the state before the step."""
    total = text.combined((0.0, *(1.0,) * (text.stages - 1)), "zb")
    of_state = f"{_gathered(text, 0)}{text.at('yb', 'd')} = {text.at('xb', 'd')} + {total}\n"
    return "".join([*(_pulled(text, s) for s in range(text.last, 0, -1)), text.of_states(of_state)])


def _finished(text: Text) -> str:
    """Return the lines that end at the start of the trajectory."""
    n = text.n
    own = ""
    if text.lanes > 1:
        own = f"for i in range({text.m}):\n    p_bar[at_p_bar + i] = {text.at('p_bar', 'i')}\n"
    return f"""for d in range({n}):
    {text.at("z", "d")}, {text.at("zb", "d")} = y0[r * {n} + d], {text.at("yb", "d")}
pull(
    kind(t0), {text.given("z")}, {text.given("p")}, {text.given("kb")}, {text.given("tb")}, {text.given("zb")},
    {text.given("p_bar")},
)
{own}for d in range({n}):
    y_bar[r * {n} + d] = {text.at("zb", "d")} + cotangent[first * {n} + d]
ts_bar[first] += {text.at("tb")}
"""


def _one_by_one(text: Text, target: Target) -> str:
    """Return the loop over the trajectories, one after the other."""
    return f"""for r in {target.rows}:
    if counts[r * 4 + 2] == SUCCESS:
        {inset(_fixed(text) + _begin(text), 2)}
        while i >= base:
            {inset([_loaded(text), replayed(text), _carried(text), _dense(text), _before(text)], 3)}
            i -= 1
        {inset(_finished(text), 2)}
"""


def _side_by_side(text: Text) -> str:
    """Return the loop over the steps of all lanes. A lane whose trajectory is finished takes the next."""
    return f"""queue, active = begin, 1
while active > 0:
    active = 0
    for l in range({text.lanes}):
        r = {text.kept("r")}
        if r >= 0:
            {inset(_fixed(text) + text.load(KEPT), 3)}
            i -= 1
            if i < base:
                {inset(_finished(text), 4)}
                r = -1
        if r < 0:
            while queue < end and counts[queue * 4 + 2] != SUCCESS:
                queue += 1
            if queue < end:
                r = queue
                queue += 1
                {inset(_fixed(text) + _begin(text), 4)}
        {text.kept("r")} = r
        if r >= 0:
            active += 1
            {inset(_loaded(text) + text.store(KEPT), 3)}
    {inset(text.side_by_side(replayed(text) + _carried(text)), 1)}
    for l in range({text.lanes}):
        r = {text.kept("r")}
        if r >= 0 and {text.kept("inside")} == 1:
            {inset(_fixed(text) + text.load(KEPT) + _dense(text), 3)}
            {text.kept("j")} = j
    {inset(text.side_by_side(_before(text)), 1)}
"""


def loop(text: Text, target: Target) -> str:
    """Return `backward`, the way back of the trajectories from `begin` to `end` that succeeded."""
    n, size, count = text.n, text.stages * text.n, len(text.events)
    given, scratch = f", {GIVEN}" if count else "", {}
    if count:
        scratch = dict.fromkeys(("kf", "y1", "point", "moved", "ye_bar", "g_bar"), n) | {"seen": count}
        scratch |= {"waste": text.m, "te_bar": 1, "one": 1}
    if text.lanes == 1:
        made = text.scratch(target, k=size, z=size, kb=size, yb=n, xb=n, zb=size, tb=1, **scratch)
        loop = _one_by_one(text, target)
    else:
        made, loop = text.scratch_of_lanes(text.sizes_back), _side_by_side(text)
    return f"""def backward(
    begin, end, times, starts, signs, elapsed, y0, p, step_p, room, of_ts, cotangent, counts, log_t, log_h, log_y,
    log_k, y_bar, p_bar, ts_bar{given},
):
    {inset(made, 1)}
    {inset(loop, 1)}
"""
