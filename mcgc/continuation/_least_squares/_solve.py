"""`least_squares`: fit parameters so that residuals are small, also where Levenberg–Marquardt alone gets stuck."""

import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from mcgc._integers import whole
from mcgc.continuation._least_squares._cluster import ClusterWorkers
from mcgc.continuation._least_squares._evaluate import (
    SPENT,
    Residuals,
    Spent,
    Stop,
    callable_rows,
    start_workers,
)
from mcgc.continuation._least_squares._local import POINTS, Slopes, central, horizons_of, levenberg_marquardt
from mcgc.continuation._least_squares._methods import METHODS, Plan, Run, first_point, portfolio, run, runs, winner_of
from mcgc.continuation._least_squares._parameters import Space, space_of
from mcgc.continuation._least_squares._smoothed import Path
from mcgc.errors import InputError, unknown
from mcgc.random import Key, fold_in

FAR = 5.0  # scales from the start: a path that goes farther was given too small a scale
LAST = 40  # points that the last local search tries at most
FINE = 1e-15  # the tolerance of the last local search, with central differences


class ScaleWarning(UserWarning):
    """The path of `mcgc.least_squares` went far from its start, in units of `x_scale`."""


def least_squares(
    residuals: Callable[..., Any],
    x0: Any,
    x_scale: Any = None,
    *,
    bounds: Any = None,
    method: str | None = None,
    lam0: float | Sequence[float] = 0.3,
    shrink: float = 1e-6,
    steps: int = 40,
    floor: float = 1e-5,
    directions: int = 1,
    restarts: int | None = 0,
    horizons: Any = None,
    times: Any = None,
    polish: str | None = "lm",
    jac: Any = "2-point",
    diff_step: float | None = None,
    tol: float = 1e-8,
    max_nfev: int | None = None,
    target: float = 0.0,
    members: int | None = None,
    sigma: float | None = None,
    absolute_sigma: bool = False,
    batched: bool = False,
    workers: int | None = None,
    timeout: float | None = None,
    client: Any = None,
    repeat: float | None = None,
    seed: int = 0,
    callback: Callable[..., Any] | None = None,
) -> Any:
    """Minimise ½ |r(x)|² of residuals r(x) where a local search gets stuck, from values alone.

    The residuals are smoothed by Gaussian noise of variance λ in units of `x_scale`. Steps of Gauss–Newton go down the
    smoothed residuals while λ falls. Each residual has the weight 1/(Ω + ρ), where Ω is what a linear model leaves
    unexplained of it at this λ. Levenberg–Marquardt from the end of the path, and one from `x0`, make the result a
    local minimum of r itself that is no worse than that from `x0`.

    A call that raises, gives NaN or infinity, hangs or kills its process is counted and left out. All is computed in
    float64.

    Parameters
    ----------
    residuals : function
        r. It maps the parameters (m,) to n numbers, or, for named parameters, a dict. With `batched` it maps points
        (k, m) to (k, n). A function of `mcgc.jit` computes all points of a step in one call, without `batched`.
    x0 : array of shape (m,), dict of Parameter, or lmfit's Parameters
        The start.
    x_scale : float, array of shape (m,) or dict of float
        About how far each parameter of `x0` may be off. It is needed, unless each `Parameter` has its own.
    bounds : pair of arrays or scipy.optimize.Bounds, optional
        The lowest and the highest x. r is called within them alone. The start may lie on one.
    method : {"continuation", "horizons", "lm", "dfgn", "eki", "auto"}, optional
        The path of λ; Levenberg–Marquardt on growing horizons, the default with `horizons`; Levenberg–Marquardt alone;
        Gauss–Newton whose slopes come from m + 1 points and not from derivatives [4]_; ensemble Kalman inversion [2]_
        with adaptive steps [3]_; or several of these in rounds until `max_nfev` is spent. The rounds of "auto" have
        dfgn with 20 evaluations for each parameter and one more, horizons (where there are `times`) with 600,
        continuation, and eki with 10 for each member. With `polish=None` they have dfgn and continuation alone. With a
        function `jac` lm begins in place of dfgn. Without `max_nfev`, "auto" runs each once.
    lam0 : float or sequence of float
        λ₀, or one for each run in turn. √λ₀ is the smoothing length in units of `x_scale`.
    shrink : float
        The last λ over λ₀.
    steps : int
        The number of steps of a path. Restarts have a quarter more each.
    floor : float
        ρ, in units of the lowest mean square of the residuals in the first step.
    directions : int
        The number of orthogonal blocks of noise a step. Each costs 2 max(m, 2) evaluations.
    restarts : int or None
        The number of further runs, from normal draws around `x0`. None goes on until `max_nfev`.
    horizons : int or sequence of float, optional
        For method "horizons": the number of lengths of time, 7 by default, or the lengths as fractions of the whole.
    times : array of shape (n,), optional
        The time of each residual. Horizons need it.
    polish : {"lm", None}
        Whether Levenberg–Marquardt follows. None is for residuals that are not smooth.
    jac : function or {"2-point", "3-point"}
        The derivatives of the local search: a function of what `residuals` takes that returns (n, m), or differences.
    diff_step : float, optional
        The step of the differences relative to the magnitude of x.
    tol : float
        The tolerance of the local searches. The last one, with central differences, goes to rounding.
    max_nfev : int, optional
        The most evaluations of r, at least 4 m + 1. 2 m of them are for the standard errors.
    target : float
        The cost at which the search ends.
    members : int, optional
        The number of members of the ensemble, by default the larger of 30 and 3 m.
    sigma : float, optional
        The standard deviation of the residuals at the solution, for "eki". By default it is the lowest of the ensemble.
    absolute_sigma : bool
        Whether the residuals are in units of their noise, so that s² = 1. Otherwise s² = 2 cost/(n − m).
    batched : bool
        Whether `residuals` takes all points at once.
    workers : int, optional
        The number of processes that call `residuals`. It may be a closure.
    timeout : float, optional
        The seconds after which a call has failed. Its process is killed. It needs processes: one, without `workers`.
    client : distributed.Client or str, optional
        A Dask cluster whose workers call `residuals`, or its address, `tcp://HOST:PORT` or `local:N`. The points of a
        step are then computed at once, each in a call, or with `batched` in a call for each thread. `timeout` counts
        from the start of a call on its worker. Needs the extra `cluster`.
    repeat : float, optional
        With a client: how many times the median a call may take before another worker is given it too. The first
        answer counts. By default none is.
    seed : int
        The seed of the noise.
    callback : function, optional
        `callback(x)`, or `callback(intermediate_result=...)` with x, cost, lam and nfev if its parameter has that name,
        is called after each step. It may raise StopIteration to end the fit.

    Returns
    -------
    scipy.optimize.OptimizeResult
        x (m,), cost, fun (n,), jac (n, free parameters, by their logarithms where those are searched), covariance
        (m, m) = (JᵀJ)⁻¹ s² and standard_errors (m,), 0 for fixed parameters and infinite where the residuals do not
        determine them; names, parameters (a dict); nfev, njev (calls of `jac`), failures (their number by kind);
        runs (each with method, cost, nfev, converged, message, path); of the best run winner (its method), path
        (lam, x, cost of each step) and weights (steps, n), relative to the largest; success, status and message; with
        a client traffic (a dict of the numbers of workers and calls, and the sizes of messages). Its method `report()`
        returns a table as text.

    Raises
    ------
    InputError
        If an option cannot be used, or no call of `residuals` gives anything.

    Warns
    -----
    ScaleWarning
        If the path went more than 5 scales from `x0`.

    References
    ----------
    .. [1] García-Fernández et al. (2015), Posterior linearization filter: principles and implementation using sigma
       points, a relative of the path.
    .. [2] Iglesias, Law and Stuart (2013), Ensemble Kalman methods for inverse problems.
    .. [3] Iglesias and Yang (2021), Adaptive regularisation for ensemble Kalman inversion.
    .. [4] Cartis and Roberts (2019), A derivative-free Gauss–Newton method.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgc
    >>> t = np.linspace(0, 10, 100)
    >>> chirp = lambda x: np.sin(x[0] * t + 0.1 * x[1] * t**2) - np.sin(3 * t + 0.1 * t**2)
    >>> found = mcgc.least_squares(chirp, [2.2, 0.5], x_scale=1.0)
    >>> bool(found.success), bool(found.cost < 1e-20)
    (True, True)
    """
    from mcgc.continuation._least_squares._result import result_of  # which imports scipy.optimize

    named = space_of(x0, x_scale, bounds)
    method = method or ("continuation" if horizons is None else "horizons")
    if method not in (*METHODS, "auto"):
        raise InputError(unknown("method", method, (*METHODS, "auto")))
    d = named.start.size
    again = math.inf if restarts is None else whole(restarts, "restarts", 0)
    limit = _limit(max_nfev, method, again, d)
    plan = _plan(named, lam0, shrink, steps, floor, directions, polish, jac, diff_step, tol, members, sigma, seed)
    plan = plan._replace(restarts=again)
    function, batched = callable_rows(residuals, named, batched)
    pool = start_workers(function, workers, timeout, batched, client, repeat)
    endless = method == "auto" or again == math.inf  # what ends with the budget leaves some of it for the end
    rest = max(8 * d + 6, limit // 10) if endless and plan.polish and 40 * d <= limit < math.inf else 2 * d
    search = Residuals(function, named, batched, pool, limit - rest, target, _reporter(callback))
    done: list[Run] = []
    try:
        message = _search(search, method, plan, horizons, times, done)
        jacobian = _finish(search, plan, limit, message in ("", SPENT if endless else ""), done)
    finally:
        if pool is not None:
            pool.close()
    _warn_of_scale(search, done, method)
    found = result_of(search, done, method, jacobian, message, absolute_sigma)
    if isinstance(pool, ClusterWorkers):
        found.traffic = pool.traffic._asdict()
    return found


def _limit(max_nfev: int | None, method: str, again: float, d: int) -> float:
    if max_nfev is not None:
        return whole(max_nfev, "max_nfev", 4 * d + 1)
    if again == math.inf and method != "auto":
        raise InputError("restarts=None goes on until max_nfev evaluations: give max_nfev")
    return math.inf


def _plan(
    space: Space,
    lam0: Any,
    shrink: Any,
    steps: Any,
    floor: Any,
    directions: Any,
    polish: Any,
    jac: Any,
    diff_step: Any,
    tol: Any,
    members: Any,
    sigma: Any,
    seed: Any,
) -> Plan:
    """Return the plan of the methods. Raises `InputError` for what cannot be used."""
    lams = np.atleast_1d(np.asarray(lam0, dtype="float64"))
    if not (lams.ndim == 1 and (lams > 0).all() and np.isfinite(lams).all()):
        raise InputError(f"lam0 must be a positive number, or several that the runs take in turn, got {lam0!r}")
    if not (0 < shrink < 1 and 0 < floor < math.inf and 0 < tol < 1):
        raise InputError(f"shrink and tol lie between 0 and 1, floor is positive, got {shrink!r}, {tol!r}, {floor!r}")
    if polish not in ("lm", None):
        raise InputError(f"polish must be 'lm' or None, got {polish!r}")
    if not (callable(jac) or jac in POINTS):
        raise InputError(f"jac must be a function, '2-point' or '3-point', got {jac!r}")
    steps, directions = whole(steps, "steps"), whole(directions, "directions")
    count = max(30, 3 * space.start.size) if members is None else whole(members, "members", 3)
    paths = tuple(Path(lam, shrink, steps, floor, directions) for lam in lams.tolist())
    return Plan(paths, 0, polish == "lm", Slopes(jac, diff_step), tol, None, count, sigma, Key(seed), [])


def _reporter(callback: Callable[..., Any] | None) -> Callable[[Residuals, float, np.ndarray], None]:
    if callback is None:
        return lambda search, lam, u: None
    keyword = "intermediate_result" in inspect.signature(callback).parameters

    def report(search: Residuals, lam: float, u: np.ndarray) -> None:
        from scipy.optimize import OptimizeResult

        x = search.space.decode(u)
        state = OptimizeResult(x=x, lam=lam, cost=search.best.cost, fun=search.best.cost, nfev=search.nfev)
        try:
            callback(intermediate_result=state) if keyword else callback(x)
        except StopIteration:
            raise Stop("the callback stopped the fit") from None

    return report


def _search(search: Residuals, method: str, plan: Plan, horizons: Any, times: Any, done: list[Run]) -> str:
    """Run the method, and return why it was stopped, or "" if it came to its end."""
    try:
        first_point(search, fold_in(plan.key, 0))
        if horizons is not None or times is not None or method == "horizons":
            plan = plan._replace(horizons=horizons_of(7 if horizons is None else horizons, times, search.size))
        if method == "auto":
            portfolio(search, plan, done)
        else:
            runs(search, method, plan, done)
    except Stop as stop:
        return str(stop)
    finally:
        if search.size is None and search.nfev:
            raise InputError(f"residuals failed at x0 and in all {search.nfev} calls: {search.first_failure}")
    return ""


def _finish(search: Residuals, plan: Plan, limit: float, polish: bool, done: list[Run]) -> np.ndarray:
    """Polish the best point with central differences, if wanted, and return the Jacobian (n, d) there."""
    d, reached = search.space.start.size, search.best.cost <= search.target
    search.target = -math.inf
    if search.best.fun.size == 0:
        return np.empty((0, d))
    slopes = plan.slopes if callable(plan.slopes.jac) else plan.slopes._replace(jac="3-point")
    if plan.polish and polish and not reached:
        search.limit = max(limit - 2 * d, search.nfev)
        try:
            if "lm" not in {run.method for run in done}:  # so that the fit is no worse than this one
                search.limit = min(limit - 2 * d, 2 * search.nfev)  # with at most what the fit has cost so far
                with suppress(Spent):
                    run(search, "lm", search.space.start, plan, 0, done)
                search.limit = max(limit - 2 * d, search.nfev)
            found = levenberg_marquardt(search, search.best.u, slopes, FINE, most=LAST)
            if (found.u == search.best.u).all():
                return found.jacobian
        except Stop:  # the budget; what is best is kept
            pass
    search.limit = limit
    if plan.polish:
        return slopes(search, search.best.u, search.best.fun)
    wide = 1e-3 * search.space.scale  # residuals that are not smooth have a slope over some length only
    return central(search, search.best.u, search.best.fun, wide)


def _warn_of_scale(search: Residuals, done: list[Run], method: str) -> None:
    if method in ("lm", "horizons"):
        return
    space, path = search.space, winner_of(done).path
    points = np.stack([search.best.u, *(step.x for step in path)])
    far = (np.abs(points - space.start) > FAR * space.scale).any(0)
    if far.any():
        names = [name for name, free in zip(space.names, space.free, strict=True) if free]
        which = ", ".join(name for name, one in zip(names, far, strict=True) if one)
        warnings.warn(
            f"the path went more than {FAR:g} scales from the start in {which}: give a larger x_scale there",
            ScaleWarning,
            stacklevel=3,
        )
