"""A fit of the three parameters of the FitzHugh–Nagumo equations by least squares, from the same start.

v' = c (v − v³/3 + r), r' = −(v − a + b r) / c (Ramsay et al. 2007), both states at 200 times in [0, 20] with noise of
0.1. All sides call SciPy's `least_squares` with its tolerances, and solve to the same ones. mcgc gives it the exact
Jacobian. SciPy's way takes finite differences of solutions by LSODA, whose error they magnify.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.comparison import Plan, Row, compare
from bench.timing import Side

RTOL, ATOL = 1e-8, 1e-8
TRUTH, GUESS = np.asarray([0.2, 0.2, 3.0]), np.asarray([0.4, 0.4, 2.5])
START, TIMES = np.asarray([-1.0, 1.0]), np.linspace(0, 20, 200)
TOLERANCES = {"parameters": 1e-4, "cost": 1e-6}
TARGETS = {"scipy": 20.0}


def _solution(p: np.ndarray) -> np.ndarray:
    """Return the states (times, 2) by SciPy's LSODA."""
    from scipy.integrate import solve_ivp

    def field(t: float, y: np.ndarray, a: float, b: float, c: float) -> list:
        v, r = y
        return [c * (v - v**3 / 3 + r), -(v - a + b * r) / c]

    return solve_ivp(field, (0, 20), START, "LSODA", TIMES, args=tuple(p), rtol=RTOL, atol=ATOL).y.T


def _data() -> np.ndarray:
    return _solution(TRUTH) + 0.1 * np.random.default_rng(0).standard_normal((len(TIMES), 2))


def _side(residuals: Callable[[np.ndarray], np.ndarray], jacobian: Any) -> Side:
    from scipy.optimize import least_squares

    fit = lambda: least_squares(residuals, GUESS, jacobian)
    found = fit()
    return Side(fit, 1, {"parameters": found.x, "cost": found.cost})


def ours() -> Side:
    """Solve the compiled field, and carry its sensitivities along for the Jacobian."""
    from mcgc import jit, ops
    from mcgc.ode import sensitivities, solve

    @jit
    def field(t: Any, y: Any, p: Any) -> Any:
        v, r = y[0], y[1]
        return ops.stack([p[2] * (v - v**3 / 3 + r), -(v - p[0] + p[1] * r) / p[2]])

    data = _data()
    how: dict[str, Any] = {"rtol": RTOL, "atol": ATOL}
    residuals = lambda p: (solve(field, START, TIMES, p, **how).ys - data).ravel()
    jacobian = lambda p: sensitivities(field, START, TIMES, p, **how).of_params.reshape(-1, len(p))
    return _side(residuals, jacobian)


def by_scipy() -> Side:
    """Solve by LSODA, with finite differences."""
    data = _data()
    return _side(lambda p: (_solution(p) - data).ravel(), "2-point")


SIDES = {"mcgc": ours, "scipy": by_scipy}


def rows(plan: Plan) -> list[Row]:
    """Time whole fits."""
    return compare(plan, "least-squares", __name__, list(SIDES), TOLERANCES, TARGETS)
