"""Events: where a function of time and state becomes zero, the trajectory is recorded, stopped, or put elsewhere.

The root is found on the dense output of a step, and the step ends there. So a step has at most one event, at its end.
In a replay the root moves with the inputs, by the implicit function theorem.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mcgc import arrays
from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.autodiff.transforms import vjp
from mcgc.ode._step import Rate, evaluate

SAMPLES = 4  # points of a step at which the sign of an event's function is looked at
ROUNDS = 30  # of the search for a root


class Event(NamedTuple):
    """An event of a trajectory: g(t, y, params) = 0, for the `events` of `mcgc.ode.solve`.

    Parameters
    ----------
    function
        g(t, y, params), called as the field is. It returns an array of shape (batch,), or () for a single trajectory.
    direction
        1 for roots where g rises, −1 for roots where it falls, 0 for both.
    terminal
        Whether the trajectory stops at the first root. Its later states are those at the root.
    reset
        The state after the event, reset(t, y, params), of the shape of y. None leaves the state as it is.
    most
        How many occurrences are recorded. A trajectory whose state is reset more often has failed.

    Examples
    --------
    >>> from mcgc import ops
    >>> from mcgc.ode import Event, solve
    >>> landing = Event(lambda t, y, p: y[..., 0], direction=-1, terminal=True)
    >>> fall = lambda t, y, p: ops.stack([y[1], y[1] * 0 - 10.0])
    >>> found = solve(fall, [5.0, 0.0], [0.0, 2.0], events=[landing])
    >>> print(found.events[0].times[0].round(6), found.ys[-1].round(6) + 0.0)
    1.0 [  0. -10.]
    """

    function: Callable[[Array, Array, Any], Array]
    direction: int = 0
    terminal: bool = False
    reset: Callable[[Array, Array, Any], Array] | None = None
    most: int = 64


class Occurrences(NamedTuple):
    """The occurrences of one event.

    `times` (batch, most) in float64, and `states` (batch, most, states) before any reset, are NaN after the first
    `count` (batch,). Of a single trajectory they have no axis of the batch.
    """

    times: Array
    states: Array
    count: Array


@dataclass(frozen=True)
class System:
    """A rate, and the function and the reset of each event, all as functions of t (batch, 1) and y (batch, states)."""

    rate: Rate
    guards: tuple[Rate, ...]
    resets: tuple[Rate | None, ...]

    def __call__(self, t: Array, y: Array, /) -> Array:
        return self.rate(t, y)


class Tracker(NamedTuple):
    """Of each event, (batch,): the sign that its function has now, and how often it has occurred."""

    sides: tuple[Array, ...]
    counts: tuple[Array, ...]


class Crossing(NamedTuple):
    """The events of a step: of each trajectory which one ends it, −1 for none, and its number, both (batch,).

    `fraction` (batch, 1) is where in the step, 1 without an event. `present` are the events that some trajectory has.
    """

    event: Array
    number: Array
    fraction: Array
    present: tuple[int, ...]


class Landing(NamedTuple):
    """Where a step with events ends: the time (batch, 1) in float64, and the state before a reset."""

    t: Array
    y: Array


def begin(system: System, t: Array, y: Array, k: Array, sign: Array) -> Tracker:
    """Return the tracker at time `t` and state `y`, whose rate is `k`; time runs in the direction `sign` (batch, 1)."""
    xp = namespace_of(y)
    none = xp.zeros_like(y[:, 0], dtype=xp.int64)
    return Tracker(tuple(_side(guard, t, y, k, sign) for guard in system.guards), (none,) * len(system.guards))


def _side(guard: Rate, t: Array, y: Array, k: Array, sign: Array, noise: Any = 0.0) -> Array:
    """Return the sign that `guard` has just after (t, y): that of its value, or of its derivative if that is rounding.

    Rounding is what the rounding of t and y makes of it, or a few times `noise`.
    """
    xp = namespace_of(y)
    value, pullback = vjp(guard, xp.astype(t, y.dtype), y)
    t_bar, y_bar = pullback(xp.ones_like(value))
    slope = sign[:, 0] * (t_bar[:, 0] + xp.sum(y_bar * k, axis=-1))
    size = xp.abs(t_bar[:, 0] * xp.astype(t[:, 0], y.dtype)) + xp.sum(xp.abs(y_bar * y), axis=-1)
    rounding = 64 * xp.finfo(y.dtype).eps * size + 8 * noise
    return xp.sign(xp.where(xp.abs(value) > rounding, value, slope))


def find(
    events: Sequence[Event],
    system: System,
    tracker: Tracker,
    t: Array,
    h: Array,
    y: Array,
    dense: Sequence[Array],
    moves: Array,
) -> tuple[Tracker, Crossing | None]:
    """Return the first event of each trajectory in the step of signed size `h` from (t, y), and the tracker after it.

    `dense` are the coefficients of the dense output. The signs in the tracker are those at the end of the step, or of
    the event, without its reset.
    """
    xp, moves = namespace_of(y), moves[:, 0]
    sides, brackets = [], []
    for event, guard, side, count in zip(events, system.guards, *tracker, strict=True):
        watched = moves if event.reset else moves & (count < event.most)
        low, high, before = xp.zeros_like(side), xp.full_like(side, xp.inf), side
        for i in range(1, SAMPLES + 1):
            value = _along(guard, t, h, y, dense)(xp.full_like(y[:, :1], i / SAMPLES))
            allowed = watched & ((before == -event.direction) if event.direction else (before != 0))
            new = allowed & xp.isinf(high) & (value * before <= 0)
            low = xp.where(new, xp.full_like(low, (i - 1) / SAMPLES), low)
            high = xp.where(new, xp.full_like(high, i / SAMPLES), high)
            before = xp.where(moves & xp.isinf(high) & (value != 0), xp.sign(value), before)
        sides.append(before)
        brackets.append((low, high))
    present = arrays.to_host(xp.stack([xp.any(xp.isfinite(high)) for _, high in brackets])).tolist()
    if not any(present):
        return tracker._replace(sides=tuple(sides)), None
    which, first = xp.full_like(tracker.counts[0], -1), xp.full_like(y[:, 0], xp.inf)
    for i, (guard, (low, high)) in enumerate(zip(system.guards, brackets, strict=True)):
        if present[i]:
            hit = xp.isfinite(high)
            top = xp.where(hit, high, xp.ones_like(high))
            root = _root(_along(guard, t, h, y, dense), low[:, None], top[:, None], sides[i])
            earlier = hit & (root < first)
            first = xp.where(earlier, root, first)
            which = xp.where(earlier, xp.full_like(which, i), which)
    ends = which >= 0
    fraction = xp.where(ends, first, xp.ones_like(first))[:, None]
    number, counts = xp.zeros_like(which), []
    for i, (guard, (_, high)) in enumerate(zip(system.guards, brackets, strict=True)):
        mine, count = which == i, tracker.counts[i]
        number = xp.where(mine, count, number)
        counts.append(count + xp.astype(mine, count.dtype))
        value = _along(guard, t, h, y, dense)(fraction)
        there = xp.where(ends & xp.isinf(high) & (value != 0), xp.sign(value), sides[i])
        sides[i] = xp.where(mine, -there, there)
    crossing = Crossing(which, number, fraction, tuple(i for i, some in enumerate(present) if some))
    return Tracker(tuple(sides), tuple(counts)), crossing


def _along(guard: Rate, t: Array, h: Array, y: Array, dense: Sequence[Array]) -> Callable[[Array], Array]:
    """Return `guard` as a function of the fraction (batch, 1) of a step."""
    return lambda fraction: guard(ops.astype(t + fraction * h, y.dtype), evaluate(y, dense, fraction))


def _root(f: Callable[[Array], Array], low: Array, high: Array, side: Array) -> Array:
    """Return a root (batch,) of f between `low` and `high` (batch, 1), where f leaves the sign `side`.

    Regula falsi of the Illinois kind, and each third round a bisection, which is also taken where f(low) has not that
    sign: just after an event, where it is zero but for rounding.
    """
    xp, side = namespace_of(low), side[:, None]
    at = lambda x: f(x)[:, None]
    f_low, f_high = at(low), at(high)
    best, f_best, last = high, f_high, low > high
    for i in range(ROUNDS):
        falsi = (f_low * side > 0) & (i % 3 != 2)
        slope = xp.where(falsi, f_high - f_low, xp.ones_like(f_low))
        x = xp.where(falsi, (low * f_high - high * f_low) / slope, (low + high) / 2)
        f_x = at(x)
        crossed = f_x * side <= 0
        again = crossed if i == 0 else crossed == last
        halved = xp.where(again & falsi, xp.full_like(f_x, 0.5), xp.ones_like(f_x))
        low, f_low = xp.where(crossed, low, x), xp.where(crossed, f_low * halved, f_x)
        high, f_high = xp.where(crossed, x, high), xp.where(crossed, f_x, f_high * halved)
        better, last = xp.abs(f_x) < xp.abs(f_best), crossed
        best, f_best = xp.where(better, x, best), xp.where(better, f_x, f_best)
    return best[:, 0]


def moved(
    system: System, crossing: Crossing, t: Array, h: Array, y: Array, dense: Sequence[Array], order: int
) -> Array:
    """Return the fractions of `crossing` as functions of the inputs: zeros of g along the step.

    θ − g(θ)/g'(θ) has the first derivative of the root, −(∂g/∂x)/g'(θ). Each further round adds one `order`.
    """
    fraction = crossing.fraction
    for i in crossing.present:
        hit = (crossing.event == i)[:, None]
        along = _along(system.guards[i], t, h, y, dense)
        value, pullback = vjp(along, crossing.fraction)
        slope = ops.where(hit, strip(pullback(ops.ones_like(strip(value)))[0]), 1)
        for _ in range(order):
            g = along(fraction)
            fraction = fraction - ops.where(hit, (g - strip(g))[:, None] / slope, 0)
    return fraction


def land(
    events: Sequence[Event], system: System, crossing: Crossing, landing: Landing, y1: Array, k: Array
) -> tuple[Array, Array]:
    """Return the state and the rate after a step that ends at `landing`, or where it has no event, at `y1` with `k`."""
    t, after = ops.astype(landing.t, landing.y.dtype), landing.y
    stopped = crossing.event < -1
    for i in crossing.present:
        mine, reset = (crossing.event == i)[:, None], system.resets[i]
        after = after if reset is None else ops.where(mine, reset(t, landing.y), after)
        stopped = stopped | (mine[:, 0] if events[i].terminal else False)
    ends, rate = (crossing.event >= 0)[:, None], system(t, after)
    return ops.where(ends, after, y1), ops.where(ends, ops.where(stopped[:, None], 0, rate), k)


def after_resets(
    events: Sequence[Event],
    system: System,
    tracker: Tracker,
    crossing: Crossing,
    landing: Landing,
    y: Array,
    k: Array,
    sign: Array,
) -> tuple[Tracker, Array, Array]:
    """Return the tracker after the resets of a step, which trajectories stopped, and which were reset too often.

    `y` and `k` are the state and the rate after the step. Both answers have shape (batch, 1).
    """
    xp, t = namespace_of(y), landing.t
    reset = stopped = excess = crossing.event < -1
    for i in crossing.present:
        mine = crossing.event == i
        stopped = stopped | mine if events[i].terminal else stopped
        if events[i].reset:
            reset, excess = reset | mine, excess | (mine & (crossing.number >= events[i].most))
    sides = []
    for i, (guard, side) in enumerate(zip(system.guards, tracker.sides, strict=True)):
        before = xp.abs(guard(xp.astype(t, y.dtype), landing.y))  # of the event itself, zero but for rounding
        noise = xp.where(crossing.event == i, before, xp.zeros_like(before))
        sides.append(xp.where(reset, _side(guard, t, y, k, sign, noise), side))
    return tracker._replace(sides=tuple(sides)), stopped[:, None], excess[:, None]


def collected(
    events: Sequence[Event], crossings: Sequence[Crossing], landings: Sequence[Landing], y: Array, t: Array
) -> list[Array]:
    """Return the times and the states of the occurrences of each event, in turn, where they are in `landings`.

    Elsewhere they are those of `t` (batch, 1) and `y` (batch, states), which are constants.
    """
    xp, found = namespace_of(y), []
    for i, event in enumerate(events):
        slots = xp.arange(event.most, dtype=xp.int64, device=device_of(y))[None, :]
        times: Any = xp.broadcast_to(t, (t.shape[0], event.most))
        states: Any = xp.broadcast_to(y[:, None, :], (y.shape[0], event.most, y.shape[1]))
        for crossing, landing in zip(crossings, landings, strict=True):
            if i in crossing.present:
                here = (crossing.event == i)[:, None] & (crossing.number[:, None] == slots)
                times = ops.where(here, landing.t, times)
                states = ops.where(here[:, :, None], landing.y[:, None, :], states)
        found += [times, states]
    return found
