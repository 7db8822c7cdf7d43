"""How a step's time grows with depth, width, batch, members, samples and ODE steps, and the memory of its adjoint."""

import math
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.cases import lorenz_step, mnist_step
from bench.comparison import OURS, Plan, Row
from bench.timing import Side, measure, spread

NETS = ("mcgc", "jax", "torch")
SWEEPS: Mapping[str, tuple[Sequence[str], Sequence[int]]] = {
    "depth": (NETS, (5, 10, 20, 40, 80)),
    "width": (NETS, (16, 32, 64, 128, 256, 512)),
    "batch": (NETS, (1, 4, 16, 64, 256, 1024)),
    "num_samples": (("mcgc", "jax"), (1, 2, 4, 8, 16)),
    "members": (("mcgc members", "jax members"), (1, 2, 4, 8, 16, 32)),
    "ode_steps": (("mcgc ode", "diffrax ode", "torchdiffeq ode"), (16, 64, 256, 1024)),
}
TARGETS = {("ode_steps", "diffrax"): 3.0}  # at the last point of the sweep
MEMORY, ADJOINTS = (16, 64, 256, 1024), ("checkpointed", "direct")  # at these numbers of ODE steps
NET, ROWS, END = lorenz_step.layer_sizes(), lorenz_step.BATCH, 2.0
LAYERS = 5  # depth of the nets whose members are counted


def our_members(members: int) -> Side:
    """Take a step for each of the members, one after another, as `mcgc.train.fit` does."""
    sides = [mnist_step.ours(depth=LAYERS) for _ in range(members)]

    def run() -> None:
        for side in sides:
            side.run()

    return Side(run, mnist_step.STEPS, {})


def jax_members(members: int) -> Side:
    """Take a step for all members at once, mapped over."""
    return mnist_step.by_jax(depth=LAYERS, members=members)


class _Data(NamedTuple):
    """What a problem of time series takes as its dataset."""

    times: np.ndarray
    parameters: np.ndarray
    series: np.ndarray


def _system() -> tuple:
    """Return θ, the first states and the parameters of the Lorenz problem's first batch."""
    from mcgc import nets
    from mcgc.random import Key

    theta, rng = nets.init(Key(0), NET), np.random.default_rng(0)
    return theta, rng.standard_normal((ROWS, 3), np.float32), np.ones((ROWS, 2), np.float32)


def our_ode(ode_steps: int, adjoint: str = "checkpointed") -> Side:
    """Differentiate a solution of `ode_steps` equal steps of dopri5, of the Lorenz problem's net."""
    from mcgc import value_and_grad
    from mcgc.arrays import HOST
    from mcgc.train import problems

    theta, y0, inputs = _system()
    problem = problems.get("lorenz")
    batch = problem.examples(_Data(np.asarray([0.0, END]), inputs, np.stack([y0, y0], axis=1)), "float32", HOST)
    objective = problem.objective(problem.recipe._replace(step_size=END / ode_steps, adjoint=adjoint))
    evaluate = value_and_grad(objective, has_aux=True)
    return Side(lambda: evaluate(theta, batch), 1, {})


def diffrax_ode(ode_steps: int) -> Side:
    """Differentiate the same by diffrax."""
    import diffrax
    import jax
    import jax.numpy as jnp

    from mcgc.nets import unpack

    flat, y0, inputs = _system()

    def field(t: Any, y: Any, theta: Any) -> Any:
        x = jnp.concatenate([y, inputs], -1)
        for w, b in theta[:-1]:
            x = jax.nn.relu(x @ w + b)
        return x @ theta[-1][0] + theta[-1][1]

    def objective(theta: Any) -> Any:
        term, step = diffrax.ODETerm(field), END / ode_steps
        found = diffrax.diffeqsolve(term, diffrax.Dopri5(), 0.0, END, step, y0, theta, max_steps=ode_steps + 1)
        return found.ys.sum()

    theta = [(jnp.asarray(w), jnp.asarray(b)) for w, b in unpack(flat, NET)]
    evaluate = jax.jit(jax.value_and_grad(objective))
    return Side(lambda: jax.block_until_ready(evaluate(theta)), 1, {})


def torchdiffeq_ode(ode_steps: int) -> Side:
    """Differentiate by torchdiffeq, whose dopri5 has no equal steps: as many evaluations by rk4, six a step of ours."""
    import torch
    from torchdiffeq import odeint

    from mcgc.nets import unpack

    flat, y0, inputs = _system()
    theta = [torch.tensor(x).requires_grad_() for layer in unpack(flat, NET) for x in layer]
    y0, inputs, ts = torch.tensor(y0), torch.tensor(inputs), torch.tensor([0.0, END])

    def field(t: Any, y: Any) -> Any:
        x = torch.cat([y, inputs], -1)
        for w, b in zip(theta[:-2:2], theta[1:-2:2], strict=True):
            x = torch.addmm(b, x, w).relu()
        return torch.addmm(theta[-1], x, theta[-2])

    def run() -> None:
        found = odeint(field, y0, ts, method="rk4", options={"step_size": END / (1.5 * ode_steps)})
        torch.autograd.grad(found.sum(), theta)

    return Side(run, 1, {})


SIDES: Mapping[str, Callable[..., Side]] = {
    **mnist_step.SIDES,
    "mcgc members": our_members,
    "jax members": jax_members,
    "mcgc ode": our_ode,
    "diffrax ode": diffrax_ode,
    "torchdiffeq ode": torchdiffeq_ode,
}


def _status(field: str) -> int:
    """Return a size that Linux tells of this process, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.partition(f"{field}:")[2].split()[0])


def _peak(connection: Any, adjoint: str, ode_steps: int) -> None:
    """Send by how many bytes the memory of this process grows at most in one differentiated solution."""
    our_ode(2, adjoint).run()  # compiles
    side = our_ode(ode_steps, adjoint)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forgets the peak
    before = _status("VmRSS")
    side.run()
    connection.send(_status("VmHWM") - before)


def memory(adjoint: str, ode_steps: int) -> int:
    """Return the peak memory of a differentiated solution, in bytes, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_peak, args=(theirs, adjoint, ode_steps))
    process.start()
    theirs.close()
    grown = ours.recv()
    process.join()
    return grown


def rows(plan: Plan) -> list[Row]:
    """Sweep and plot; a row tells the power of the growth between a sweep's last two points. Quickly, mcgc's alone."""
    table = []
    for name, (sides, points) in SWEEPS.items():
        sides, points = (sides[:1], points[:2]) if plan.quick else (sides, points)
        lines: dict[str, dict[int, float]] = {}
        for point in points:
            found = measure(__name__, sides, {name: point}, 1, min(plan.rounds, 3), plan.seconds / 3)
            for side, timing in found.items():
                if timing:
                    lines.setdefault(side.partition(" ")[0], {})[point] = spread(timing.seconds(1)).median
        _plot(plan, name, "seconds", lines)
        for side, line in lines.items():
            (a, b), last = points[-2:], spread([line[points[-1]]])
            power = math.log(line[b] / line[a]) / math.log(b / a)
            quotient = None if side == OURS else spread([last.median / lines[OURS][b]])
            note = f"{name} {b:,}; grows with power {power:.2f} from {a:,}"
            table.append(Row(f"scaling {name}", 1, side, last, quotient, TARGETS.get((name, side)), note))
    return table + _memory(plan)


def _memory(plan: Plan) -> list[Row]:
    if not Path("/proc/self/clear_refs").exists():
        return [Row("scaling memory", 1, OURS, note="measured on Linux only")]
    points, adjoints = (MEMORY[:1], ADJOINTS[:1]) if plan.quick else (MEMORY, ADJOINTS)
    lines = {adjoint: {n: memory(adjoint, n) for n in points} for adjoint in adjoints}
    _plot(plan, "memory", "bytes", lines)
    notes = {
        adjoint: "; ".join(f"{n:,} steps: {peak / 2**20:.1f} MiB" for n, peak in line.items())
        for adjoint, line in lines.items()
    }
    return [Row("scaling memory", 1, adjoint, note=note) for adjoint, note in notes.items()]


def _plot(plan: Plan, name: str, unit: str, lines: Mapping[str, Mapping[int, float]]) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for side, line in lines.items():
        axes.loglog(list(line), list(line.values()), "o-", label=side)
    points = sorted({point for line in lines.values() for point in line})
    axes.set_xticks(points, [f"{point:,}" for point in points])
    axes.minorticks_off()
    axes.set(xlabel="ODE steps" if name == "memory" else name.replace("_", " "), ylabel=unit)
    axes.grid(alpha=0.3)
    axes.legend()
    plan.plots.mkdir(parents=True, exist_ok=True)
    figure.savefig(plan.plots / f"{name}.png", dpi=100)
    plt.close(figure)
