"""The value and gradient of a loss of the solution of a field, by mcgc and by diffrax, from one text of the field.

The loss is the mean squared distance of all states from a constant, and its gradient is that with respect to the
parameters. The steps of the solvers differ, so each side is held against a float64 solution at 1e-10. mcgc and diffrax
compute in float32, with dopri5 and the same tolerances.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bench.timing import Side

RTOL, ATOL, TIGHT = 1e-6, 1e-8, 1e-10
TARGET = 1.0  # the series to match: this constant, which leaves the loss smooth and far from its minimum
TOLERANCES = {"loss": 1e-3, "gradient": 1e-3}


class Problem(NamedTuple):
    """A field and where it starts.

    `field(xp, y, p)` returns dy/dt of states (…, states), with the stack of `xp`. `p` has shape (parameters,), or
    (rows, parameters): then each row goes with all the starts.
    """

    field: Callable[[Any, Any, Any], Any]
    starts: np.ndarray
    p: np.ndarray
    times: np.ndarray


def by_mcgc(problem: Problem, compiled: bool = True) -> Side:
    """Differentiate with mcgc; the field is a function of its ops, compiled by `mcgc.jit` or not."""
    from mcgc import jit, ops, value_and_grad
    from mcgc.losses import mse
    from mcgc.ode import solve

    field, starts, p, times = problem
    each = p.shape[:-1]
    by_columns = lambda t, y, p: field(ops, y, ops.moveaxis(p, -1, 0))
    solved = jit(by_columns) if compiled else by_columns

    def objective(p: Any, y0: Any, rtol: float, atol: float) -> tuple:
        if each:  # every row once for each start
            p = ops.broadcast_to(p[:, None, :], (*each, len(starts), p.shape[1])).reshape(-1, p.shape[1])
        solution = solve(solved, y0, times, p, rtol=rtol, atol=atol)
        return mse(solution.ys, np.full(solution.ys.shape, TARGET, y0.dtype)), solution.stats

    evaluate = value_and_grad(objective, has_aux=True)
    y0 = np.tile(starts, (*each, 1)) if each else starts
    small = p.astype(np.float32), y0.astype(np.float32), RTOL, ATOL
    (loss, stats), gradient = evaluate(*small)
    exact = evaluate(p, y0, TIGHT, TIGHT)
    values = {"loss": loss, "gradient": gradient, "evaluations": stats.evaluations}
    values |= {"reference loss": exact[0][0], "reference gradient": exact[1]}
    return Side(lambda: evaluate(*small), 1, values)


def by_diffrax(problem: Problem) -> Side:
    """Differentiate with diffrax, compiled: the starts as one state, which is faster than to map over them.

    The rows of parameters are mapped over.
    """
    import diffrax
    import jax
    import jax.numpy as jnp

    field, starts, p, times = problem
    ts, y0 = jnp.asarray(times, jnp.float32), jnp.asarray(starts, jnp.float32)
    controller = diffrax.PIDController(rtol=RTOL, atol=ATOL)

    def objective(p: Any) -> tuple:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, p: field(jnp, y, p)),
            diffrax.Dopri5(),
            ts[0],
            ts[-1],
            None,
            y0,
            p,
            saveat=diffrax.SaveAt(ts=ts),
            stepsize_controller=controller,
        )
        return jnp.mean((solution.ys - TARGET) ** 2), solution.stats["num_steps"]

    def of_rows(p: Any) -> tuple:
        losses, steps = jax.vmap(objective)(p)
        return jnp.mean(losses), jnp.max(steps)

    evaluate = jax.jit(jax.value_and_grad(of_rows if p.ndim > 1 else objective, has_aux=True))
    small = jnp.asarray(p, jnp.float32)
    (loss, steps), gradient = evaluate(small)
    values = {"loss": np.asarray(loss), "gradient": np.asarray(gradient), "evaluations": 1 + 6 * int(steps)}
    return Side(lambda: jax.block_until_ready(evaluate(small)), 1, values)
