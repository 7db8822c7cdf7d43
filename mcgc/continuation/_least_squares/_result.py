"""What a fit returns: SciPy's `OptimizeResult` with covariance and standard errors, and a report in words."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import OptimizeResult

from mcgc.continuation._least_squares._evaluate import REACHED, Residuals
from mcgc.continuation._least_squares._methods import Run, winner_of
from mcgc.continuation._least_squares._parameters import Space
from mcgc.continuation._least_squares._smoothed import Step


class Trace(NamedTuple):
    """The path of the run that found the best point.

    Parameters
    ----------
    lam : array of shape (steps,)
        λ of each step.
    x : array of shape (steps, m)
        The parameters before each step.
    cost : array of shape (steps,)
        The lowest cost so far.
    """

    lam: np.ndarray
    x: np.ndarray
    cost: np.ndarray


class FitResult(OptimizeResult):
    """The result of `mcgc.least_squares`: SciPy's `OptimizeResult` with a report."""

    def __repr__(self) -> str:
        return self.report()

    def report(self) -> str:
        """Return a table of the fit: its statistics, each parameter with its standard error, and correlations.

        Returns
        -------
        str
            The text, of several lines.
        """
        return "\n".join([*_statistics(self), *_variables(self), *_correlations(self)])


def covariance_of(jacobian: np.ndarray, variance: float) -> np.ndarray:
    """Return (JᵀJ)⁻¹ s² (d, d), infinite if the residuals do not determine every parameter."""
    d = jacobian.shape[1]
    lengths = np.linalg.norm(jacobian, axis=0)
    if not (math.isfinite(variance) and np.isfinite(jacobian).all() and (lengths > 0).all() and jacobian.shape[0] >= d):
        return np.full((d, d), np.inf)
    _, values, rows = np.linalg.svd(jacobian / lengths, full_matrices=False)
    if values[-1] <= values[0] * max(jacobian.shape) * np.finfo(float).eps:
        return np.full((d, d), np.inf)
    root = rows.T / values / lengths[:, None]
    return root @ root.T * variance


def residual_variance(cost: float, n: int, d: int, absolute_sigma: bool) -> float:
    """Return s²: 1 if the residuals are in units of their noise, else 2 cost/(n − d)."""
    if absolute_sigma:
        return 1.0
    return 2 * cost / (n - d) if n > d else math.inf


def whole_covariance(covariance: np.ndarray, slopes: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return the covariance (m, m) of all parameters from that of u (d, d). Fixed ones have 0."""
    found = np.zeros((free.size, free.size))
    found[np.ix_(free, free)] = covariance * np.outer(slopes, slopes)
    return found


def result_of(
    search: Residuals, done: list[Run], method: str, jacobian: np.ndarray, message: str, absolute: bool
) -> FitResult:
    """Return the result of a search, with the Jacobian (n, d) at its best point and why it was stopped, or ""."""
    space, best = search.space, search.best
    x, n, d = space.report(best.u), best.fun.size, space.start.size
    covariance = covariance_of(jacobian, residual_variance(best.cost, n, d, absolute))
    covariance = whole_covariance(covariance, space.slopes(best.u), space.free)
    converged = [run for run in done if run.converged and run.cost <= best.cost * (1 + 1e-6) + 1e-300]
    reached = message == REACHED
    success = bool(n and (converged or reached))
    winner = winner_of(done) if done else Run(method, math.inf, 0, False, message, ())
    return FitResult(
        x=x, cost=best.cost, fun=best.fun, jac=jacobian, covariance=covariance, free=space.free,
        standard_errors=np.sqrt(np.diag(covariance)), names=space.names, x0=space.values,
        parameters=dict(zip(space.names, x.tolist(), strict=True)), nfev=search.nfev, njev=search.njev,
        failures={kind: number for kind, number in search.failures.items() if number},
        path=_trace(space, winner.path), weights=np.asarray([step.weights for step in winner.path]),
        runs=tuple(done), method=method, winner=winner.method, success=success, status=int(success),
        message=message or (converged[-1].message if converged else winner.message),
    )  # fmt: skip


def _trace(space: Space, path: Sequence[Step]) -> Trace:
    points = np.asarray([step.x for step in path]).reshape(len(path), space.start.size)
    return Trace(
        np.asarray([step.lam for step in path]), space.decode(points), np.asarray([step.cost for step in path])
    )


def _statistics(fit: Any) -> list[str]:
    n, d, chi = fit.fun.size, int(fit.free.sum()), 2 * fit.cost
    rows = [("method", fit.method), ("evaluations", fit.nfev)]
    if fit.failures:
        rows.append(("failed evaluations", ", ".join(f"{number} {kind}" for kind, number in fit.failures.items())))
    rows += [("data points", n), ("free parameters", d), ("chi-square", f"{chi:.8g}")]
    if n > d:
        rows.append(("reduced chi-square", f"{chi / (n - d):.8g}"))
    if n and chi > 0:
        likelihood = n * math.log(chi / n)
        rows += [
            ("Akaike criterion", f"{likelihood + 2 * d:.6g}"),
            ("Bayes criterion", f"{likelihood + math.log(n) * d:.6g}"),
        ]
    return ["Fit", f"    {fit.message}", *(f"    {name:<20} {value}" for name, value in rows)]


def _variables(fit: Any) -> list[str]:
    lines, width = ["Parameters"], max(map(len, fit.names))
    for i, name in enumerate(fit.names):
        value, error = float(fit.x[i]), float(fit.standard_errors[i])
        text = f"    {name + ':':<{width + 1}} {value:.8g}"
        if not fit.free[i]:
            lines.append(f"{text} (fixed)")
            continue
        if math.isfinite(error):
            text += f" +/- {error:.4g}" + (f" ({100 * error / abs(value):.2f} %)" if error < 100 * abs(value) else "")
        lines.append(f"{text} (start {float(fit.x0[i]):.6g})")
    return lines


def _correlations(fit: Any, least: float = 0.1) -> list[str]:
    """Return the correlations of at least `least`, the strongest first."""
    which = [i for i in np.flatnonzero(fit.free) if 0 < fit.standard_errors[i] < math.inf]
    pairs = [
        (float(fit.covariance[i, j] / fit.standard_errors[i] / fit.standard_errors[j]), fit.names[i], fit.names[j])
        for at, i in enumerate(which)
        for j in which[at + 1 :]
    ]
    pairs = sorted((pair for pair in pairs if abs(pair[0]) >= least), key=lambda pair: -abs(pair[0]))
    if not pairs:
        return []
    return [f"Correlations of at least {least}", *(f"    {a}, {b}: {value:+.3f}" for value, a, b in pairs)]
