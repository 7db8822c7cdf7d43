"""The series of the chaotic Lorenz system that the problem `lorenz` learns from."""

import numpy as np

BETA = 8 / 3
START = (5.0, 5.0, 5.0)
TOLERANCE = 1e-12  # of the solver, relative and absolute


def build() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integrate the Lorenz system for 30 instances of its parameters; return times, parameters and series.

    x' = σ (y − x), y' = x (ρ − z) − y, z' = x y − β z, with β = 8/3, from (5, 5, 5), at 20 evenly spaced
    times of [0, 2]; σ ∈ linspace(9, 11, 5) × ρ ∈ linspace(25, 30, 6). Shapes (20,), (30, 2) with the columns
    σ and ρ, and (30, 20, 3), all float64. Lorenz 1963; the grid is that of Ilersich and Nair 2024.
    """
    from scipy.integrate import solve_ivp  # slow to import, and not needed once the file is in the cache

    times = np.linspace(0.0, 2.0, 20)
    sigma, rho = np.meshgrid(np.linspace(9.0, 11.0, 5), np.linspace(25.0, 30.0, 6), indexing="ij")
    parameters = np.stack([sigma.ravel(), rho.ravel()], axis=-1)

    def field(t: float, state: np.ndarray, sigma: float, rho: float) -> list[float]:
        x, y, z = state
        return [sigma * (y - x), x * (rho - z) - y, x * y - BETA * z]

    solutions = [
        solve_ivp(field, (0.0, 2.0), START, "DOP853", t_eval=times, args=row, rtol=TOLERANCE, atol=TOLERANCE).y.T
        for row in parameters.tolist()
    ]
    return times, parameters, np.stack(solutions)
