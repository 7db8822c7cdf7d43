"""The events of one trajectory: `mcgc.ode._events` in numbers, and the way back through them.

An event is its number, −1 for none. `side` has the sign of the function of each event, `seen` how often it has
occurred. `point` and `value` are for the work on one state and one number.
"""

from collections.abc import Sequence

import numpy as np

from mcgc.ode._events import ROUNDS, SAMPLES, Event
from mcgc.ode._program._text import Text, inset


def constants(events: Sequence[Event]) -> str:
    """Return what the functions know of the events: numbers of them, by the number of an event."""
    firsts = [sum(event.most for event in events[:i]) for i in range(len(events) + 1)]
    tuples: dict[str, list] = {
        "MOST": [event.most for event in events],
        "FIRST": firsts,  # the slot of the first occurrence
        "DIRECTION": [event.direction for event in events],
        "TERMINAL": [event.terminal for event in events],
        "RESETS": [event.reset is not None for event in events],
    }
    return "".join([f"{name} = {tuple(map(int, values))!r}\n" for name, values in tuples.items()])


def functions(text: Text) -> list[str]:
    """Return the source of the functions of the events, of their search, and of a landing."""
    return [*_of_each(text), *_along(text), _side(text), _root(text), _find(text), _land(text), _from_landing(text)]


def _of_each(text: Text) -> list[str]:
    """Return the functions of each event, and those that choose among them by number."""
    functions, chosen = [], dict.fromkeys(("guard", "pull_guard", "reset", "pull_reset"), "")
    for i, (guard, reset) in enumerate(text.programs.events):
        for name, of in (("guard", guard), ("reset", reset)):
            if of is None:
                copied = [f"out[at_out + {d}] = y[at_y + {d}]" for d in range(text.n)]
                added = [f"y_bar[{d}] += g[{d}]" for d in range(text.n)]
            else:
                functions.append(of.value.source(f"{name}{i}", ["=t", "y", "p"], ["out"]))
                names = ["=t", "y", "p", "g"], ["t_bar", "y_bar", "p_bar"]
                functions.append(of.pullback.source(f"pull_{name}{i}", *names, add=True))
                copied = [f"{name}{i}(t, y, at_y, p, at_p, out, at_out)"]
                added = [f"pull_{name}{i}(t, y, at_y, p, at_p, g, 0, t_bar, 0, y_bar, 0, p_bar, at_p_bar)"]
            for key, lines in ((name, copied), (f"pull_{name}", added)):
                chosen[key] += "".join([f"    if i == {i}:\n", *(f"        {line}\n" for line in lines)])
    for name in ("guard", "reset"):
        functions.append(f"def {name}(i, t, y, at_y, p, at_p, out, at_out):\n{chosen[name]}")
        inputs = "i, t, y, at_y, p, at_p, g, t_bar, y_bar, p_bar, at_p_bar"
        functions.append(f"def pull_{name}({inputs}):\n{chosen[f'pull_{name}']}")
    return functions


def _along(text: Text) -> list[str]:
    """Return `dense_at`, the state at a fraction of a step, `along`, the function of an event there, and the sign."""
    dense_at = f"""def dense_at(part, h, k, z, point):
    for d in range({text.n}):
        {inset(text.dense_output(), 2)}
        point[d] = z[d] + change
"""
    along = """def along(i, part, t, h, k, z, p, at_p, point, value):
    dense_at(part, h, k, z, point)
    guard(i, kind(t + part * h), point, 0, p, at_p, value, 0)
    return value[0]
"""
    return [dense_at, along, "def sign_of(x):\n    return kind(1 if x > 0 else -1 if x < 0 else 0)\n"]


def _side(text: Text) -> str:
    rounding = text.number(64 * np.finfo(text.dtype).eps)
    return f"""def side_of(i, t, z, k, p, at_p, turn, noise, point, value, t_bar, one, waste):
    t_bar[0], one[0] = kind(0), kind(1)
    for d in range({text.n}):
        point[d] = kind(0)
    pull_guard(i, t, z, 0, p, at_p, one, t_bar, point, waste, 0)
    guard(i, t, z, 0, p, at_p, value, 0)
    slope, size = t_bar[0], abs(t_bar[0] * t)
    for d in range({text.n}):
        slope += point[d] * k[d]
        size += abs(point[d] * z[d])
    return sign_of(value[0] if abs(value[0]) > {rounding} * size + 8 * noise else turn * slope)
"""


def _root(text: Text) -> str:
    return f"""def root(i, low, high, side, t, h, k, z, p, at_p, point, value):
    f_low = along(i, low, t, h, k, z, p, at_p, point, value)
    f_high = along(i, high, t, h, k, z, p, at_p, point, value)
    best, f_best, last = high, f_high, False
    for number in range({ROUNDS}):
        falsi, x = f_low * side > 0 and number % 3 != 2, (low + high) / kind(2)
        if falsi:
            x = (low * f_high - high * f_low) / (f_high - f_low)
        f_x = along(i, x, t, h, k, z, p, at_p, point, value)
        crossed = f_x * side <= 0
        halved = kind(0.5) if falsi and (crossed if number == 0 else crossed == last) else kind(1)
        if crossed:
            f_low, high, f_high = f_low * halved, x, f_x
        else:
            low, f_low, f_high = x, f_x, f_high * halved
        if abs(f_x) < abs(f_best):
            best, f_best = x, f_x
        last = crossed
    return best
"""


def _find(text: Text) -> str:
    """Return `find`: the first event of a step and its fraction, with `side` as it is after it, before a reset."""
    count = len(text.events)
    return f"""def find(t, h, k, z, p, at_p, side, seen, low, high, point, value):
    event, first = -1, kind(inf)
    for i in range({count}):
        low[i], high[i] = kind(0), kind(inf)
        watched = RESETS[i] == 1 or seen[i] < MOST[i]
        for sample in range(1, {SAMPLES + 1}):
            if high[i] < inf:
                break
            g = along(i, kind(sample / {SAMPLES}), t, h, k, z, p, at_p, point, value)
            allowed = side[i] == -DIRECTION[i] if DIRECTION[i] != 0 else side[i] != 0
            if watched and allowed and g * side[i] <= 0:
                low[i], high[i] = kind((sample - 1) / {SAMPLES}), kind(sample / {SAMPLES})
            elif g != 0:
                side[i] = sign_of(g)
    for i in range({count}):
        if high[i] < inf:
            part = root(i, low[i], high[i], side[i], t, h, k, z, p, at_p, point, value)
            if part < first:
                event, first = i, part
    for i in range({count}):
        if i == event:
            side[i] = -side[i]
        elif event >= 0 and high[i] == inf:
            g = along(i, first, t, h, k, z, p, at_p, point, value)
            side[i] = sign_of(g) if g != 0 else side[i]
    return event, first
"""


def _land(text: Text) -> str:
    """Return `land`: it records an event, and puts the state after it into z and its rate into k."""
    n, count = text.n, len(text.events)
    return f"""def land(
    r, event, fraction, t, h, p, at_p, turn, k, z, side, seen, point, value, t_bar, one, waste, event_t, event_y,
):
    number, at, end = int64(seen[event]), r * FIRST[{count}] + FIRST[event], t + fraction * h
    seen[event] += 1
    noise = abs(along(event, fraction, t, h, k, z, p, at_p, point, value))
    if number < MOST[event]:
        event_t[at + number] = end
        for d in range({n}):
            event_y[(at + number) * {n} + d] = point[d]
    reset(event, kind(end), point, 0, p, at_p, z, 0)
    field(kind(end), z, 0, p, at_p, k, 0)
    for d in range({n}):
        k[d] = kind(0) if TERMINAL[event] == 1 else k[d]
    for i in range({count}):
        if RESETS[event] == 1:
            of_event = noise if i == event else kind(0)
            side[i] = side_of(i, kind(end), z, k, p, at_p, turn, of_event, point, value, t_bar, one, waste)
    return RESETS[event] == 1 and number >= MOST[event]
"""


def _from_landing(text: Text) -> str:
    """Return `from_landing`: the cotangents before an event from those after it.

    yb is the cotangent of the state after it, kf that of the rate there, and tb that of a shift of all later times. The
    fraction θ varies with the inputs: dθ = −dg/(dg/dθ), where g is taken along the dense output.
    """
    n = text.n
    slopes = [f"w{s} = h * ({text.dense_slope(s)})\n" for s in text.dense_stages]
    weights = [f"w{s} = h * ({text.dense_weight(s)})\n" for s in text.dense_stages]
    slope = " + ".join(f"w{s} * k[{s * n} + d]" for s in text.dense_stages)
    spread = [f"    kb[{s * n} + d] += w{s} * y_bar[d]\n" for s in text.dense_stages]
    return f"""def from_landing(
    r, event, number, part, t, h, p, at_p, k, z, kf, kb, yb, xb, tb, y1, point, moved, y_bar, g_bar, t_bar, one, waste,
    p_bar, at_p_bar, event_t_bar, event_y_bar,
):
    at = r * FIRST[{len(text.events)}] + FIRST[event] + number
    dense_at(part, h, k, z, point)
    end = kind(t + part * h)
    reset(event, end, point, 0, p, at_p, y1, 0)
    t_bar[0] = kind(0)
    if TERMINAL[event] == 0:
        pull(end, y1, 0, p, at_p, kf, 0, t_bar, 0, yb, 0, p_bar, at_p_bar)
    for d in range({n}):
        y_bar[d], g_bar[d] = kind(0), kind(0)
    pull_reset(event, end, point, 0, p, at_p, yb, t_bar, y_bar, p_bar, at_p_bar)
    if number < MOST[event]:
        t_bar[0] += kind(event_t_bar[at])
        for d in range({n}):
            y_bar[d] += event_y_bar[at * {n} + d]
    {inset(slopes, 1)}
    moving = h * (tb[0] + t_bar[0])
    for d in range({n}):
        moved[d] = {slope}
        moving += y_bar[d] * moved[d]
    tb[0] += t_bar[0]
    t_bar[0], one[0] = kind(0), kind(1)
    pull_guard(event, end, point, 0, p, at_p, one, t_bar, g_bar, waste, 0)
    along_step = h * t_bar[0]
    for d in range({n}):
        along_step += g_bar[d] * moved[d]
    one[0] = -moving / along_step
    pull_guard(event, end, point, 0, p, at_p, one, tb, y_bar, p_bar, at_p_bar)
    {inset(weights, 1)}
    for d in range({n}):
        xb[d] += y_bar[d]
{"".join(f"    {line}" for line in spread)}"""
