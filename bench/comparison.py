"""One job done by mcgc and by its peers: their numbers are compared, their times are measured, and become rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.timing import Spread, Timing, measure, ratio, spread

OURS = "mcgc"


class Plan(NamedTuple):
    """How to measure: quickly or in full, on which numbers of threads, how often, how long a turn, where plots go.

    `device` is that of mcgc's side, in the cases that can compute on another device.
    """

    quick: bool
    threads: Sequence[int]
    rounds: int
    seconds: float
    plots: Path
    device: str = "cpu"


class Row(NamedTuple):
    """A line of the table: what a side takes, and its time over mcgc's, or another quotient that `note` names.

    `target` is what the quotient should at least be; in a row without a quotient, the seconds it may at most take.
    On one thread both are of the processor's clock, and `wall` is the quotient by the wall's.
    """

    case: str
    threads: int
    side: str
    seconds: Spread | None = None
    ratio: Spread | None = None
    target: float | None = None
    note: str = ""
    wall: Spread | None = None

    @property
    def met(self) -> bool | None:
        """Tell whether the target is met, None without one."""
        if self.target is None or (self.ratio is None and self.seconds is None):
            return None
        return self.ratio.median >= self.target if self.ratio else self.seconds.median <= self.target


def check(case: str, timings: Mapping[str, Timing | None], tolerances: Mapping[str, float]) -> None:
    """Raise `ValueError` if a side's values differ from those of mcgc, or of its "reference", by more than allowed.

    `tolerances` has, by the value's name, the largest ‖a − b‖ / ‖b‖.
    """
    ours = timings[OURS].values
    for side, timing in timings.items():
        for name, tolerance in tolerances.items() if timing else ():
            expected = np.asarray(ours.get(f"reference {name}", ours[name]), np.float64)
            found = np.asarray(timing.values[name], np.float64)
            difference = np.linalg.norm(found - expected) / np.linalg.norm(expected)
            if not difference <= tolerance:
                raise ValueError(f"{case}: {name} of {side} differs by {difference:.1e}, more than {tolerance:.1e}")


def compare(
    plan: Plan,
    case: str,
    module: str,
    sides: Sequence[str],
    tolerances: Mapping[str, float],
    targets: Mapping[str, float | Mapping[int, float]],
    options: Mapping | None = None,
) -> list[Row]:
    """Time the job on every number of threads.

    Targets are for the CPU. A number is that of one thread, and a mapping has one for each of some numbers of threads.

    With mcgc's side on another device, the clock of the processor tells little: then it is that of the wall.
    """
    rows, here = [], plan.device == "cpu"
    own = {} if here else {OURS: {"device": plan.device}}
    for threads in plan.threads:
        timings = measure(module, sides, options or {}, threads, plan.rounds, plan.seconds, own)
        check(case, timings, tolerances)
        for side, timing in timings.items():
            given = targets.get(side, {}) if here else {}
            target = given.get(threads) if isinstance(given, Mapping) else given if threads == 1 else None
            if timing is None:
                rows.append(Row(case, threads, side, target=target, note="not installed"))
                continue
            seconds = lambda timing, threads=threads: timing.seconds(threads) if here else timing.wall
            taken, ours = spread(seconds(timing)), timings[OURS]
            note = f"on {plan.device}" if side in own else _evaluations(timing, taken)
            row = Row(case, threads, side, taken, None, target, note)
            if side != OURS:
                quotient = ratio(seconds(timing), seconds(ours))
                row = row._replace(ratio=quotient, wall=ratio(timing.wall, ours.wall))
            rows.append(row)
    return rows


def _evaluations(timing: Timing, taken: Spread) -> str:
    """Say how often the field was evaluated, and how long one took, forward and backward together."""
    number = timing.values.get("evaluations")
    return f"{number:,.0f} evaluations of {taken.median / number * 1e6:.1f} µs" if number else ""
