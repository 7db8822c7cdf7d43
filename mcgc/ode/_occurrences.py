"""The occurrences of events as flat arrays, which compiled marches fill, one event after the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcgc.arrays import Array
from mcgc.ode._events import Event, Occurrences


def room_for_events(events: Sequence[Event], y0: Array) -> tuple:
    """Return flat arrays for the times and the states of all occurrences, of NaN, and for their numbers."""
    if not events:
        return ()
    (batch, n), slots = y0.shape, sum(event.most for event in events)
    times, states = np.full(batch * slots, np.nan), np.full(batch * slots * n, np.nan, y0.dtype)
    return times, states, np.zeros(batch * len(events), np.int64)


def occurrences_of(events: Sequence[Event], y0: Array, *found: Array) -> tuple[Occurrences, ...]:
    """Part what the march of all events found by event."""
    if not events:
        return ()
    times, states, counts = found
    (batch, n), ends = y0.shape, np.cumsum([event.most for event in events])
    by_time = np.split(times.reshape(batch, -1), ends[:-1], axis=1)
    by_state = np.split(states.reshape(batch, -1, n), ends[:-1], axis=1)
    return tuple(map(Occurrences, by_time, by_state, counts.reshape(batch, -1).T))


def bars_of_events(cotangents: Sequence[Any], events: Sequence[Event], y0: Array) -> tuple:
    """Return the cotangents of the times and of the states of each event as two flat arrays, of zeros for None."""
    if not events:
        return ()
    batch, n = y0.shape
    both: tuple[list, list] = [], []
    for i, event in enumerate(events):
        for which, shape in enumerate([(batch, event.most), (batch, event.most, n)]):
            bar = cotangents[2 * i + which] if cotangents else None
            both[which].append(np.zeros(shape) if bar is None else bar)
    times, states = (np.concatenate(parts, axis=1) for parts in both)
    return times.astype(np.float64).reshape(-1), states.astype(y0.dtype).reshape(-1)
