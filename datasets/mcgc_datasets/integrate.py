"""Integrate a system of differential equations for a grid of its two parameters."""

from collections.abc import Callable, Sequence

import numpy as np

from mcgc_datasets.series import Arrays

TOLERANCE = 1e-12  # relative and absolute, of the solver

Field = Callable[[float, np.ndarray, float, float], list[float]]  # (t, y, p, q) -> dy/dt


def integrate(field: Field, start: Sequence[float], times: np.ndarray, grid: tuple[np.ndarray, np.ndarray]) -> Arrays:
    """Solve dy/dt = field(t, y, p, q) for all pairs (p, q) of a grid.

    The solver is SciPy's DOP853, of order 8, with the tolerance 1e-12.

    Parameters
    ----------
    field
        Right-hand side. y is an array of shape (D,).
    start
        D states at the first time.
    times
        Array of shape (T,).
    grid
        Values of p, and values of q. The S pairs are ordered with q fastest.

    Returns
    -------
    times, parameters, series
        Float64 arrays of shape (T,), (S, 2) and (S, T, D).
    """
    from scipy.integrate import solve_ivp  # slow to import, and not needed if the file is in the cache

    parameters = np.stack([p.ravel() for p in np.meshgrid(*grid, indexing="ij")], axis=-1)
    span = float(times[0]), float(times[-1])
    solutions = [
        solve_ivp(field, span, start, "DOP853", t_eval=times, args=row, rtol=TOLERANCE, atol=TOLERANCE).y.T
        for row in parameters.tolist()
    ]
    return times, parameters, np.stack(solutions)
