"""The data of the problem `lotka-volterra`: series of predators and prey."""

import numpy as np

from mcgc_datasets.integrate import integrate
from mcgc_datasets.series import Arrays

B = 4 / 3
START = (1.0, 1.0)


def build() -> Arrays:
    """Integrate the Lotka–Volterra system for a grid of 30 parameters.

    u' = a u − b u v, v' = b u v − c v, with b = 4/3. u are the prey, v the predators. Each series starts at (1, 1) and
    has 50 evenly spaced times in [0, 20]. a has 6 values in [0.5, 1], and c has 5 values in [1, 2].

    Returns
    -------
    times, parameters, series
        Float64 arrays of shape (50,), (30, 2) with the columns a and c, and (30, 50, 2).

    References
    ----------
    .. [1] Ilersich and Nair, 2024, for the grid.
    """

    def field(t: float, state: np.ndarray, a: float, c: float) -> list[float]:
        u, v = state
        return [a * u - B * u * v, B * u * v - c * v]

    return integrate(field, START, np.linspace(0.0, 20.0, 50), (np.linspace(0.5, 1.0, 6), np.linspace(1.0, 2.0, 5)))
