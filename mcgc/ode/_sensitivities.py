"""Derivatives of a solution by where it starts and by its parameters, as arrays: what least squares need."""

import math
from typing import Any, NamedTuple

import numpy as np

from mcgc._integers import whole
from mcgc._jit import Jitted, jit
from mcgc.arrays import Array
from mcgc.autodiff.pytree import flatten, unflatten
from mcgc.errors import InputError, unknown
from mcgc.ode._integrate import Method
from mcgc.ode._jitted import Solved, solve_jitted
from mcgc.ode._solve import Field, batch_of, check_options, solve, tolerance
from mcgc.ode._tableaux import Tableau

WAYS = ("auto", "forward", "adjoint")


class Sensitivities(NamedTuple):
    """A solution and its derivatives. For a single trajectory no array has the axis of the batch.

    Attributes
    ----------
    ys : array (batch, times, states)
        The states at the requested times.
    of_y0 : array (batch, times, states, states)
        ∂yᵢ/∂y0ⱼ: the last axis is that of y0.
    of_params : pytree
        The structure of params. An array of it is replaced by ∂y/∂p, `(batch, times, states, *shape)`, where shape is
        that of the array, or that of a row of an array with rows. A constant is replaced by None.
    status : int64 array (batch,)
        A `Status` of each trajectory.
    """

    ys: Array
    of_y0: Array
    of_params: Any
    status: Array


def sensitivities(
    f: Field,
    y0: Any,
    ts: Any,
    params: Any = None,
    *,
    solver: str | Tableau = "dopri5",
    rtol: Any = 1e-6,
    atol: Any = 1e-8,
    step_size: float | None = None,
    max_step: float = math.inf,
    max_steps: int = 16384,
    throw: bool = True,
    way: str = "auto",
) -> Sensitivities:
    """Solve dy/dt = f(t, y, params), and return the derivatives of the states by y0 and by params.

    They are the derivatives of the steps taken, with their sizes as constants: those that `mcgc.jacobian` of `solve`
    has, for the cost of a few solutions.

    Parameters
    ----------
    f
        The field, as for `solve`, written with `mcgc.ops`. It is compiled (`mcgc.jit`) if it is not yet. Keep the
        jitted field, so that this is done once.
    y0, ts, params, solver, rtol, atol, step_size, max_step, max_steps, throw
        As for `solve`, on NumPy arrays. Integers in params are constants.
    way
        "forward" carries the derivatives along the solution: ds/dt = (∂f/∂y) s + ∂f/∂p, step by step. "adjoint" goes
        back once for each state at each requested time. "auto" takes the second where the states are many and the
        times few: where n + 4 > 4 (times − 1), by a count of operations.

    Returns
    -------
    Sensitivities
        The states and their derivatives. A trajectory that failed has states of NaN and derivatives of zero.

    Raises
    ------
    InputError
        If an argument is out of range, or not on the CPU.
    SolveError
        If a trajectory fails.
    TraceError
        If f cannot be compiled (see `mcgc.jit`).

    References
    ----------
    Hairer, Nørsett and Wanner (1993), Solving ordinary differential equations I, I.14.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.ode import sensitivities
    >>> found = sensitivities(lambda t, y, rate: -rate * y, np.array([1.0]), [0.0, 1.0], 0.5)
    >>> print(found.of_y0[1].round(4), found.of_params[1].round(4))
    [[0.6065]] [-0.6065]
    """
    if way not in WAYS:
        raise InputError(unknown("way", way, WAYS))
    field = f if isinstance(f, Jitted) else jit(f)
    starts, times, single = batch_of(y0, ts)
    allowed, least = tolerance("rtol", rtol, starts), tolerance("atol", atol, starts)
    tableau = check_options(solver, "checkpointed", step_size, max_step)
    method = Method(tableau, allowed, least, step_size, whole(max_steps, "max_steps"), max_step, throw)
    leaves, structure = flatten(params)
    solved = solve_jitted(field, method, starts, times, leaves, structure, single, True, False)
    if solved is None:  # the solver says what is wrong
        how: dict[str, Any] = {"solver": solver, "rtol": rtol, "atol": atol, "step_size": step_size}
        solve(field, y0, ts, params, max_step=max_step, max_steps=max_steps, throw=throw, **how)
        raise InputError("sensitivities need NumPy arrays of one dtype, float32 or float64, and Numba's compiler")
    _, count, n = solved.ys.shape
    forward = way == "forward" or (way == "auto" and n + 4 <= 4 * (count - 1))
    found = solved.tangents() if forward else _by_adjoint(solved)
    arrays = solved.ys, found[..., :n], *solved.by_leaf(found[..., n:]), solved.status
    ys, of_y0, *of_params, status = (x[0] if single and x is not None else x for x in arrays)
    return Sensitivities(ys, of_y0, unflatten(structure, of_params), status)


def _by_adjoint(solved: Solved) -> np.ndarray:
    """Return what `tangents` does, by one way back for each state at each requested time."""
    unit, rows = np.zeros_like(solved.ys), []
    for index in np.ndindex(*unit.shape[1:]):
        unit[:, *index] = 1
        y_bar, _, p_bar = solved.pull_back(unit)
        rows.append(np.concatenate([y_bar, p_bar], axis=1))
        unit[:, *index] = 0
    return np.stack(rows, axis=1).reshape(*unit.shape, -1)
