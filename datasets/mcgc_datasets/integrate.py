"""Series of a system of differential equations over a grid of its two parameters."""

from collections.abc import Callable, Sequence

import numpy as np

from mcgc_datasets.series import Arrays

TOLERANCE = 1e-12  # of the solver, relative and absolute


def integrate(
    field: Callable, start: Sequence[float], times: np.ndarray, grid: tuple[np.ndarray, np.ndarray]
) -> Arrays:
    """Solve dy/dt = field(t, y, p, q) from `start` for all p and q of `grid`; return times, parameters and series.

    For S pairs, T times and D states the shapes are (T,), (S, 2), q fastest, and (S, T, D), all float64. The solver
    is DOP853 of SciPy, of order 8.
    """
    from scipy.integrate import solve_ivp  # slow to import, and not needed once the file is in the cache

    parameters = np.stack([p.ravel() for p in np.meshgrid(*grid, indexing="ij")], axis=-1)
    span = float(times[0]), float(times[-1])
    solutions = [
        solve_ivp(field, span, start, "DOP853", t_eval=times, args=row, rtol=TOLERANCE, atol=TOLERANCE).y.T
        for row in parameters.tolist()
    ]
    return times, parameters, np.stack(solutions)
