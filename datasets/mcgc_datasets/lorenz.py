"""The series of the chaotic Lorenz system that the problem `lorenz` learns from."""

import numpy as np

from mcgc_datasets.integrate import integrate
from mcgc_datasets.series import Arrays

BETA = 8 / 3
START = (5.0, 5.0, 5.0)


def build() -> Arrays:
    """Integrate the Lorenz system for 30 instances of its parameters; return times, parameters and series.

    x' = σ (y − x), y' = x (ρ − z) − y, z' = x y − β z, with β = 8/3, from (5, 5, 5), at 20 evenly spaced
    times of [0, 2]; σ ∈ linspace(9, 11, 5) × ρ ∈ linspace(25, 30, 6). Shapes (20,), (30, 2) with the columns
    σ and ρ, and (30, 20, 3), all float64. Lorenz 1963; the grid is that of Ilersich and Nair 2024.
    """

    def field(t: float, state: np.ndarray, sigma: float, rho: float) -> list[float]:
        x, y, z = state
        return [sigma * (y - x), x * (rho - z) - y, x * y - BETA * z]

    return integrate(field, START, np.linspace(0.0, 2.0, 20), (np.linspace(9.0, 11.0, 5), np.linspace(25.0, 30.0, 6)))
