"""Value and gradient of a function of 20 variables at 64 points in one call, both sides compiled for float64.

Rosenbrock's function and a sum of cosines: products of neighbours, and a sine and a cosine for each variable.
"""

from typing import Any

import numpy as np

from bench.comparison import Plan, Row, compare
from bench.timing import Side

SIZES = (20, 64)  # variables, points
TOLERANCES = {"value": 1e-12, "gradient": 1e-12}
TARGETS = {"jax": 1.0}
RUNS = 50  # in a turn: a run takes about as long as reading the clock is exact


def _points(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(size[::-1])


def ours(size: tuple[int, int] = SIZES) -> Side:
    """Compile the rows of mcgc.jit."""
    import mcgc
    from mcgc import ops

    def function(x: Any) -> Any:
        return ops.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2) + ops.sum(ops.cos(3 * x))

    points, evaluate = _points(size), mcgc.jit(function).rows(0).value_and_grad
    value, gradient = evaluate(points)

    def run() -> None:
        for _ in range(RUNS):
            evaluate(points)

    return Side(run, RUNS, {"value": value, "gradient": gradient})


def by_jax(size: tuple[int, int] = SIZES) -> Side:
    """Compile the vmap of JAX's value_and_grad."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def function(x: Any) -> Any:
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2) + jnp.sum(jnp.cos(3 * x))

    points, evaluate = jnp.asarray(_points(size)), jax.jit(jax.vmap(jax.value_and_grad(function)))
    value, gradient = map(np.asarray, evaluate(points))

    def run() -> None:
        for _ in range(RUNS):
            jax.block_until_ready(evaluate(points))

    return Side(run, RUNS, {"value": value, "gradient": gradient})


SIDES = {"mcgc": ours, "jax": by_jax}


def rows(plan: Plan) -> list[Row]:
    """Time 64 points, or a few in a quick run."""
    size = (4, 3) if plan.quick else SIZES
    return compare(plan, "jit", __name__, list(SIDES), TOLERANCES, TARGETS, {"size": size})
