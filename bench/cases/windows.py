"""One training step with continuation on 64 windows of the Lorenz series, as the default recipe begins to train.

The windows are one interval long, as in half of the epochs of that recipe. Its net is 5–(19 × 50)–3, its series are
standardised, its solver is dopri5 with rtol 1e-5 and atol 1e-6, its estimator is pathwise and its optimiser AdamW, in
float32. The net is that after 30 epochs on such windows. As in lorenz-step, each side's loss and gradient are held
against those of a float64 solution at 1e-10.

mcgc and `diffrax`, which is mapped over the windows, have steps for each window. `diffrax batched` has steps in common.
"""

from typing import Any

import numpy as np

from bench.cases import lorenz_step
from bench.comparison import Plan, Row, compare
from bench.timing import Side

WINDOWS, LENGTH = 64, 1
TOLERANCES = lorenz_step.TOLERANCES
TARGETS = {"diffrax": 6.0}


def start(epochs: int, windows: int) -> lorenz_step.Start:
    """Return θ after `epochs` epochs, and the windows, drawn from those of all series, in the units of the net."""
    from mcgc.train import problems
    from mcgc.train._series import standardized

    lorenz = problems.get("lorenz")
    recipe = lorenz.recipe_of()._replace(horizons=str(LENGTH))

    def batch_of(problem: Any, series: Any) -> Any:
        each = series.times.shape[1] - LENGTH
        chosen = np.random.default_rng(0).choice(len(series.times) * each, windows, replace=False)
        units = problem.scaling(series)
        taken = standardized(problem.windows(series, chosen, LENGTH), units)
        return taken._replace(times=np.tile(series.times[0, : LENGTH + 1], (windows, 1)))  # its rates know no time

    return lorenz_step.trained(recipe, epochs, batch_of)


def ours(epochs: int = lorenz_step.EPOCHS, windows: int = WINDOWS) -> Side:
    """Take a step with mcgc."""
    return lorenz_step.our_step(start(epochs, windows))


def by_diffrax(epochs: int = lorenz_step.EPOCHS, windows: int = WINDOWS) -> Side:
    """Take a step with JAX, diffrax and optax, mapped over the windows."""
    return lorenz_step.diffrax_step(start(epochs, windows))


def by_diffrax_batched(epochs: int = lorenz_step.EPOCHS, windows: int = WINDOWS) -> Side:
    """Take a step with the windows as one state: its products are larger, and all windows take the same steps."""
    return lorenz_step.diffrax_step(start(epochs, windows), batched=True)


SIDES = {"mcgc": ours, "diffrax": by_diffrax, "diffrax batched": by_diffrax_batched}


def rows(plan: Plan) -> list[Row]:
    """Time a step, at the initial parameters and with few windows if in a hurry."""
    options = {"epochs": 0, "windows": 8} if plan.quick else {"epochs": lorenz_step.EPOCHS, "windows": WINDOWS}
    start(**options)  # the sides find it in the cache
    sides = list(SIDES)[:2] if plan.quick else list(SIDES)
    return compare(plan, "windows", __name__, sides, TOLERANCES, TARGETS, options)
