"""The series of predators and prey that the problem `lotka-volterra` learns from."""

import numpy as np

from mcgc_datasets.integrate import integrate
from mcgc_datasets.series import Arrays

B = 4 / 3
START = (1.0, 1.0)


def build() -> Arrays:
    """Integrate the Lotka–Volterra system for 30 instances of its parameters; return times, parameters and series.

    u' = a u − b u v, v' = b u v − c v, with b = 4/3, from (1, 1), at 50 evenly spaced times of [0, 20];
    a ∈ linspace(0.5, 1, 6) × c ∈ linspace(1, 2, 5). Shapes (50,), (30, 2) with the columns a and c, and
    (30, 50, 2) with u, the prey, and v, all float64. The grid is that of Ilersich and Nair 2024.
    """

    def field(t: float, state: np.ndarray, a: float, c: float) -> list[float]:
        u, v = state
        return [a * u - B * u * v, B * u * v - c * v]

    return integrate(field, START, np.linspace(0.0, 20.0, 50), (np.linspace(0.5, 1.0, 6), np.linspace(1.0, 2.0, 5)))
