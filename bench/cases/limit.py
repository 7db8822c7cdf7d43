"""How near mcgc comes to what the BLAS and the machine can do.

- BLAS: bare products of the same shapes as those of mnist-step, or at the rate of a product of its size.
- floor: the operations of a step at the rate of fused multiply-adds of one core, or its bytes at the bandwidth of
  the cache or of the memory, whichever takes longer (`bench.limits`). All are measured.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bench import limits
from bench.cases import adam, lorenz_step, mnist_step, noise, scaling, tabular, windows
from bench.comparison import Plan, Row
from bench.limits import Work
from bench.timing import Side, Timing, measure, ratio, spread

TARGET = 0.70
ROWS, WIDTH = 250, 50  # of the product whose rate bounds lorenz-step
STAGES = lorenz_step.STAGES


def step_products() -> Side:
    """Compute the products of a step of mnist-step, forward and backward, into arrays that are there."""
    rng = np.random.default_rng(0)
    sizes = mnist_step.layer_sizes()
    values = [rng.standard_normal((mnist_step.BATCH, n), np.float32) for n in sizes]
    weights = [rng.standard_normal(shape, np.float32) for shape in pairwise(sizes)]
    products = []
    for layer, w in enumerate(weights):
        x, y = values[layer], values[layer + 1]
        products += [(x, w, np.empty_like(y)), (x.T, y, np.empty_like(w))]
        if layer:  # the pixels need no gradient
            products.append((y, w.T, np.empty_like(x)))

    def run() -> None:
        for a, b, out in products:
            np.matmul(a, b, out=out)

    return Side(run, 1, {})


def product() -> Side:
    """Compute one product of 250 × 50 by 50 × 50."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((ROWS, WIDTH), np.float32), rng.standard_normal((WIDTH, WIDTH), np.float32)
    out = np.empty((ROWS, WIDTH), np.float32)
    return Side(lambda: np.matmul(a, b, out=out), 1, {})


SIDES = {
    "products": step_products,
    "product": product,
    "multiply-adds": limits.multiply_adds,
    "moved": limits.moved,
    "mnist-step": mnist_step.ours,
    "lorenz-step": lorenz_step.ours,
    "windows": windows.ours,
    "tabular": tabular.ours,
    "noise": noise.ours,
    "adam": adam.ours,
    "ode_steps": scaling.our_ode,
}


class Job(NamedTuple):
    """A job of mcgc: the name of its rows, its side with options, and its work, from the values of the side."""

    name: str
    side: str
    options: Mapping[str, Any]
    work: Callable[[Mapping[str, Any]], Work]
    large: bool = False  # whether its arrays do not fit into a cache


def _solved(rows: int) -> Callable[[Mapping[str, Any]], Work]:
    """Return the work of a step on `rows` series or windows, from the steps that their solutions took."""
    sizes = lorenz_step.layer_sizes()

    def work(values: Mapping[str, Any]) -> Work:
        accepted = STAGES * values["accepted"]
        return limits.solved_step(sizes, rows + accepted + STAGES * values["rejected"], accepted)

    return work


def _jobs(quick: bool) -> Sequence[Job]:
    steps = scaling.SWEEPS["ode_steps"][1][0 if quick else -1]
    marched = scaling.ROWS * STAGES * steps
    mnist, digits = mnist_step.layer_sizes(), tabular.layer_sizes()
    epoch = limits.net_step(digits, tabular.ROWS, noise=False)
    minibatches = -(-tabular.ROWS // tabular.BATCH)
    vectors = [
        Job(f"{name} {m:,}", name, {"m": m}, lambda values, m=m, each=each: Work(0, each * m), m > adam.SIZES[0])
        for name, each, sizes in (("noise", limits.NOISE_BYTES, noise.SIZES), ("adam", limits.ADAM_BYTES, adam.SIZES))
        for m in (sizes[:1] if quick else sizes)
    ]
    begun = {"epochs": 0 if quick else lorenz_step.EPOCHS}
    some = 8 if quick else windows.WINDOWS
    return [
        Job("mnist-step", "mnist-step", {}, lambda values: limits.net_step(mnist, mnist_step.BATCH)),
        Job("lorenz-step", "lorenz-step", begun, _solved(lorenz_step.BATCH)),
        Job("windows", "windows", begun | {"windows": some}, _solved(some)),
        Job("tabular", "tabular", {}, lambda values: epoch._replace(bytes=minibatches * epoch.bytes)),
        *vectors,
        Job(
            f"ode_steps {steps:,}",
            "ode_steps",
            {"ode_steps": steps},
            lambda values: limits.solved_step(scaling.NET, scaling.ROWS + marched, marched, optimiser=False),
        ),
    ]


def rows(plan: Plan) -> list[Row]:
    """Give all shares, of one thread."""

    def timed(*sides: str, **options: Any) -> list[Timing]:
        found = measure(__name__, sides, options, 1, plan.rounds, plan.seconds)
        return [timing for timing in found.values() if timing]

    jobs = _jobs(plan.quick)
    for job in jobs:
        if job.side in ("lorenz-step", "windows"):  # their sides find θ in the cache
            (lorenz_step if job.side == "lorenz-step" else windows).start(**job.options)
    taken = {job.name: timed(job.side, **job.options)[0] for job in jobs}
    return [*_by_blas(timed, taken["lorenz-step"]), *_floors(timed, jobs, taken)]


def _by_blas(timed: Callable[..., list[Timing]], solved: Timing) -> list[Row]:
    step, bare = (timing.seconds(1) for timing in timed("mnist-step", "products"))
    note = "bare BLAS calls of the same shapes / mnist-step"
    table = [Row("limit", 1, "BLAS of mnist-step", spread(bare), ratio(bare, step), TARGET, note)]
    rate = 2 * ROWS * WIDTH * WIDTH / spread(timed("product")[0].seconds(1)).median
    bound = _solved(lorenz_step.BATCH)(solved.values).operations / rate
    note = f"operations at {rate / 1e9:.0f} GFlop/s, the BLAS's at 250 × 50 × 50 / lorenz-step"
    return [*table, _share("BLAS rate of lorenz-step", bound, solved, note)]


def _share(side: str, bound: float, taken: Timing, note: str) -> Row:
    seconds = taken.seconds(1)
    return Row("limit", 1, side, spread([bound]), ratio([bound] * len(seconds), seconds), None, note)


def _floors(timed: Callable[..., list[Timing]], jobs: Sequence[Job], taken: Mapping[str, Timing]) -> list[Row]:
    (adding,) = timed("multiply-adds")
    passed = spread(adding.seconds(1))
    rate = adding.values["operations"] / passed.median
    table = [Row("limit", 1, "multiply-adds", passed, note=f"{rate / 1e9:.0f} GFlop/s, in registers")]
    bandwidths = []
    for place, elements in zip(("cache", "memory"), adam.SIZES, strict=True):
        (moving,) = timed("moved", elements=elements)
        passed = spread(moving.seconds(1))
        bandwidths.append(moving.values["bytes"] / passed.median)
        note = f"{bandwidths[-1] / 1e9:.1f} GB/s, of four arrays of {elements:,}"
        table.append(Row("limit", 1, place, passed, note=note))
    for job in jobs:
        work = job.work(taken[job.name].values)
        bound = work.seconds(rate, bandwidths[job.large])
        needs = [f"{work.operations / 1e6:,.0f} MFlop"] if work.operations else []
        needs += [f"{work.bytes / 1e6:,.1f} MB"] if work.bytes else []
        table.append(_share(f"floor of {job.name}", bound, taken[job.name], f"{' and '.join(needs)} / {job.name}"))
    return table
