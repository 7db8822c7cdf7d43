"""From which shapes on a dense net is faster with its rows in the lanes of vectors, and what `cpu_dense` chooses.

A net of seven layers of equal width is applied to rows, and differentiated by its parameters, in either layout. A ratio
is the time with the units in the lanes divided by that with the rows there: above 1 the rows should be.
"""

import time
from collections.abc import Callable

import numpy as np

from bench.comparison import Plan, Row
from bench.timing import ratio, spread

WIDTHS, ROWS, LAYERS = (8, 16, 24, 32, 50, 64, 100, 128, 256), (16, 64, 128, 250, 1000), 7


def _runs(width: int, rows: int) -> tuple[Callable[[bool], None], bool]:
    """Return a function that computes a net in the lanes or not, and whether the lanes are chosen for it."""
    from mcgc import Key, nets
    from mcgc.kernels import cpu_dense

    sizes = (width,) * (LAYERS + 1)
    theta, rng = nets.init(Key(0), sizes), np.random.default_rng(0)
    x, cotangent = (rng.standard_normal((rows, width), np.float32) for _ in range(2))
    chosen, choose = cpu_dense.in_lanes(rows, sizes, x.itemsize), cpu_dense.in_lanes

    def run(lanes: bool) -> None:
        cpu_dense.in_lanes = lambda *_: lanes  # type: ignore[assignment]
        try:
            _, hidden = cpu_dense.dense_forward(theta, x, sizes, "relu")
            cpu_dense.dense_vjp(theta, x, hidden, sizes, "relu", cotangent, with_x=False)
        finally:
            cpu_dense.in_lanes = choose

    return run, chosen


def _seconds(run: Callable[[bool], None], lanes: bool, least: float) -> float:
    number, taken = 1, 0.0
    while taken < least:
        number *= 2
        began = time.process_time()
        for _ in range(number):
            run(lanes)
        taken = time.process_time() - began
    return taken / number


def rows(plan: Plan) -> list[Row]:
    """Time both layouts of every shape in turn, on one thread of this process."""
    from numba import config

    threads, config.NUMBA_NUM_THREADS = config.NUMBA_NUM_THREADS, 1
    try:
        found = []
        for width in WIDTHS[:1] if plan.quick else WIDTHS:
            for number in ROWS[:1] if plan.quick else ROWS:
                run, chosen = _runs(width, number)
                for lanes in (False, True):
                    run(lanes)
                pairs = [
                    [_seconds(run, lanes, plan.seconds / 30) for lanes in (False, True)] for _ in range(plan.rounds)
                ]
                by_units, by_rows = zip(*pairs, strict=True)
                note = f"chosen: {'rows' if chosen else 'units'} in the lanes"
                case = f"layouts {number} × {width}"
                found.append(Row(case, 1, "rows in the lanes", spread(by_rows), ratio(by_units, by_rows), None, note))
        return found
    finally:
        config.NUMBA_NUM_THREADS = threads
