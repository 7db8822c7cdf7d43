"""The data of the problem `lorenz`: series of the chaotic Lorenz system."""

import numpy as np

from mcgc_datasets.integrate import integrate
from mcgc_datasets.series import Arrays

BETA = 8 / 3
START = (5.0, 5.0, 5.0)


def build() -> Arrays:
    """Integrate the Lorenz system for a grid of 30 parameters.

    x' = σ (y − x), y' = x (ρ − z) − y, z' = x y − β z, with β = 8/3. Each series starts at (5, 5, 5) and has 20 evenly
    spaced times in [0, 2]. σ has 5 values in [9, 11], and ρ has 6 values in [25, 30].

    Returns
    -------
    times, parameters, series
        Float64 arrays of shape (20,), (30, 2) with the columns σ and ρ, and (30, 20, 3).

    References
    ----------
    .. [1] E. N. Lorenz, "Deterministic nonperiodic flow", 1963.
    .. [2] Ilersich and Nair, 2024, for the grid.
    """

    def field(t: float, state: np.ndarray, sigma: float, rho: float) -> list[float]:
        x, y, z = state
        return [sigma * (y - x), x * (rho - z) - y, x * y - BETA * z]

    return integrate(field, START, np.linspace(0.0, 2.0, 20), (np.linspace(9.0, 11.0, 5), np.linspace(25.0, 30.0, 6)))
