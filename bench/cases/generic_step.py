"""The gradient of a mean squared error with respect to the four parameters of a field written by hand.

Lotka–Volterra, u' = a u − b u v, v' = −c v + d u v, 4 series of 50 times in [0, 20], dopri5 with the same tolerances.
The steps of the solvers differ, so each side is held against a float64 solution at 1e-10.
"""

from typing import Any

import numpy as np

from bench.comparison import Plan, Row, compare
from bench.timing import Side

RTOL, ATOL, TIGHT = 1e-6, 1e-8, 1e-10
TIMES = np.linspace(0, 20, 50)
PARAMETERS = np.asarray([0.7, 1.2, 1.4, 1.3])
STARTS = np.asarray([[1.0, 1.0], [0.8, 1.2], [1.5, 0.6], [0.5, 0.9]])
TARGET = 1.0  # the series to match: this constant, which leaves the loss smooth and far from its minimum
TOLERANCES = {"loss": 1e-3, "gradient": 1e-3}
TARGETS = {"diffrax": 12.0}


def ours(compiled: bool = True) -> Side:
    """Differentiate with mcgc; the field is a function of its ops, compiled by `mcgc.jit` or not."""
    from mcgc import jit, ops, value_and_grad
    from mcgc.losses import mse
    from mcgc.ode import solve

    def field(t: Any, y: Any, p: Any) -> Any:
        u, v = y[:, 0], y[:, 1]
        return ops.stack([u * (p[0] - p[1] * v), v * (p[3] * u - p[2])], axis=1)

    solved = jit(field) if compiled else field

    def objective(p: Any, y0: Any, rtol: float, atol: float) -> tuple:
        solution = solve(solved, y0, TIMES, p, rtol=rtol, atol=atol)
        return mse(solution.ys, np.full(solution.ys.shape, TARGET, y0.dtype)), solution.stats

    evaluate = value_and_grad(objective, has_aux=True)
    p, y0 = PARAMETERS.astype(np.float32), STARTS.astype(np.float32)
    (loss, stats), gradient = evaluate(p, y0, RTOL, ATOL)
    exact = evaluate(PARAMETERS, STARTS, TIGHT, TIGHT)
    values = {"loss": loss, "gradient": gradient, "evaluations": stats.evaluations}
    values |= {"reference loss": exact[0][0], "reference gradient": exact[1]}
    return Side(lambda: evaluate(p, y0, RTOL, ATOL), 1, values)


def eager() -> Side:
    """Differentiate with mcgc, the field as it is."""
    return ours(compiled=False)


def by_diffrax() -> Side:
    """Differentiate with diffrax, compiled, the batch as one state: here that is faster than to map over it."""
    import diffrax
    import jax
    import jax.numpy as jnp

    times, y0 = jnp.asarray(TIMES, jnp.float32), jnp.asarray(STARTS, jnp.float32)
    controller = diffrax.PIDController(rtol=RTOL, atol=ATOL)

    def field(t: Any, y: Any, p: Any) -> Any:
        u, v = y[..., 0], y[..., 1]
        return jnp.stack([u * (p[0] - p[1] * v), v * (p[3] * u - p[2])], axis=-1)

    def objective(p: Any) -> tuple:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Dopri5(),
            times[0],
            times[-1],
            None,
            y0,
            p,
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=controller,
        )
        return jnp.mean((solution.ys - TARGET) ** 2), solution.stats["num_steps"]

    evaluate = jax.jit(jax.value_and_grad(objective, has_aux=True))
    p = jnp.asarray(PARAMETERS, jnp.float32)
    (loss, steps), gradient = evaluate(p)
    values = {"loss": np.asarray(loss), "gradient": np.asarray(gradient), "evaluations": 1 + 6 * int(steps)}
    return Side(lambda: jax.block_until_ready(evaluate(p)), 1, values)


def by_torchdiffeq() -> Side:
    """Differentiate with torchdiffeq, the batch as one state, back-propagated through the solver."""
    import torch
    from torchdiffeq import odeint

    times, y0 = torch.tensor(TIMES, dtype=torch.float32), torch.tensor(STARTS, dtype=torch.float32)
    p, evaluations = torch.tensor(PARAMETERS, dtype=torch.float32, requires_grad=True), 0

    def field(t: Any, y: Any) -> Any:
        nonlocal evaluations
        evaluations += 1
        a, b, c, d = p
        u, v = y.unbind(-1)
        return torch.stack([u * (a - b * v), v * (d * u - c)], -1)

    def evaluate() -> tuple:
        loss = (odeint(field, y0, times, rtol=RTOL, atol=ATOL, method="dopri5") - TARGET).square().mean()
        return loss.item(), torch.autograd.grad(loss, p)[0].numpy()

    loss, gradient = evaluate()
    return Side(evaluate, 1, {"loss": loss, "gradient": gradient, "evaluations": evaluations})


SIDES = {"mcgc": ours, "mcgc, eager": eager, "diffrax": by_diffrax, "torchdiffeq": by_torchdiffeq}


def rows(plan: Plan) -> list[Row]:
    """Time value and gradient."""
    return compare(plan, "generic-step", __name__, list(SIDES), TOLERANCES, TARGETS)
