"""`estimate`: parameters of differential equations from time series."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mcgc._integers import whole
from mcgc.continuation import least_squares
from mcgc.continuation._least_squares._parameters import named_parameter
from mcgc.errors import InputError, SolveError, unknown
from mcgc.estimation._experiment import Series, series_of_data
from mcgc.estimation._problem import Model, Problem, indices_of
from mcgc.estimation._simulate import Options
from mcgc.tables import SeriesTable

METHODS = ("auto", "lm", "continuation", "horizons", "eki")
TIMED = ("auto", "horizons")  # those with growing lengths of time
INTERPOLATIONS = ("linear", "previous")
ROUNDS = 8  # fits with the noise of the last, at most
SETTLED = 1e-3  # relative: noise that changes by less is found


def estimate(
    field: Callable[..., Any],
    data: Any,
    parameters: Mapping[str, Any],
    *,
    observed: Any = None,
    states: Sequence[str] | None = None,
    y0: str | Sequence[Any] = "known",
    sigma: Any = None,
    method: str = "auto",
    horizons: Any = None,
    restarts: int | None = 0,
    max_nfev: int | None = None,
    interpolation: str = "linear",
    solver: Any = "dopri5",
    rtol: float = 1e-8,
    atol: float = 1e-10,
    max_steps: int = 16384,
    seed: int = 0,
    client: Any = None,
    timeout: float | None = None,
    repeat: float | None = None,
    callback: Callable[..., Any] | None = None,
) -> Any:
    """Fit the parameters p of dy/dt = field(t, y, p) to observed values, and estimate their errors.

    The residuals come from compiled solutions: all points of a step of a method are one call. The derivatives of
    Levenberg–Marquardt are those of the solutions (`mcgc.ode.sensitivities`). A solution that fails counts as a failed
    evaluation, and the fit goes on.

    Parameters
    ----------
    field : function
        `field(t, y, p)` with the time, the state (states,) and a dict of numbers p, or `field(t, y, p, u)` where the
        experiments have inputs. It returns the derivatives, as a list or an array (states,). It is written with
        `mcgc.ops`, operators or NumPy's functions, and compiled (`mcgc.jit`). Keep it, so that this is done once.
    data : Experiment, pair (times, values), a list of these, or SeriesTable
        What was measured. The states of a `mcgc.tables.SeriesTable` are those of the field.
    parameters : dict of Parameter or float
        The start, by name, with bounds, scale, log and fixed. A scale that is not given follows from the bounds, or
        is the size of the start.
    observed : sequence of int or str, or function
        Which state is seen in each column, or `observed(y)` or `observed(y, p)`, which returns the columns. By default
        the columns are the states, in order.
    states : sequence of str, optional
        The names of the states. By default they are y[0], y[1] and so on.
    y0 : {"known", "fit"} or sequence of int or str
        Whether the start of each experiment is known, or fitted as further parameters, or which states of it are
        fitted. What an experiment does not give is taken from its first values. A known start that is taken from
        values is not compared with them.
    sigma : float or array of shape (columns,), optional
        The standard deviation of the noise in each column. By default it is estimated: the fit is repeated with the
        standard deviation of the residuals of each column until these settle.
    method : {"auto", "lm", "continuation", "horizons", "eki"}
        As for `mcgc.least_squares`: the portfolio of all, Levenberg–Marquardt, the path of λ, growing horizons, or
        ensemble Kalman inversion.
    horizons : int or sequence of float, optional
        The number of growing lengths of time, 7 by default, or the lengths as fractions of the whole.
    restarts : int or None
        The number of further runs from normal draws around the start. None goes on until `max_nfev`.
    max_nfev : int, optional
        The most evaluations of the search. The repeated fits for the noise come on top.
    interpolation : {"linear", "previous"}
        How inputs go on between their times. Beyond these they keep the value of the end.
    solver, rtol, atol, max_steps
        As for `mcgc.ode.solve`.
    seed : int
        The seed of the noise of the methods. Equal seeds give equal bits.
    client, timeout, repeat
        A Dask cluster, or its address, that computes the points of each step of the search, and its limits, as for
        `mcgc.least_squares`. The repeated fits for the noise are done here.
    callback : function, optional
        As for `mcgc.least_squares`.

    Returns
    -------
    Estimate
        The values, standard errors and correlations, with `report`, `simulate`, `profile` and `save`.

    Raises
    ------
    InputError
        If an argument cannot be used.
    SolveError
        If no solution succeeds.
    TraceError
        If the field cannot be compiled.

    References
    ----------
    Bard (1974), Nonlinear parameter estimation.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgc
    >>> times = np.linspace(0, 4, 9)
    >>> decay = lambda t, y, p: [-p["rate"] * y[0]]
    >>> found = mcgc.estimate(decay, (times, 2 * np.exp(-0.5 * times)), {"rate": 1.0}, method="lm")
    >>> print(round(found.parameters["rate"], 6))
    0.5
    """
    series = series_of_data(data)
    if isinstance(data, SeriesTable):
        states = data.columns.states if states is None else states
    problem = _problem(field, series, parameters, observed, states, y0, interpolation,
                       Options(solver, rtol, atol, whole(max_steps, "max_steps")))  # fmt: skip
    if method not in METHODS:
        raise InputError(unknown("method", method, METHODS))
    if client is None and timeout is not None:
        raise InputError("timeout is for a cluster: give a client, or leave it out")
    if horizons is not None and method not in TIMED:
        raise InputError(f"horizons are for the methods {' and '.join(TIMED)}, not for {method}: leave them out")
    given = None if sigma is None else _sigma(sigma, len(problem.sigma))
    if given is not None:
        problem.sigma = given
    fit = lambda parts, how, **more: least_squares(
        problem.residuals, parts, method=how, batched=True, jac=problem.jacobian, absolute_sigma=True, **more
    )
    problem.residuals({name: float(one.value) for name, one in problem.parameters.items()})  # raises what is wrong
    search = fit(
        problem.parameters, method, horizons=horizons,
        times=problem.elapsed if method in TIMED else None,
        restarts=restarts, max_nfev=max_nfev, seed=seed, callback=callback,
        client=client, timeout=timeout, repeat=repeat,
    )  # fmt: skip
    if search.fun.size == 0:
        raise SolveError(
            f"the solution fails at the start and at all {search.nfev} points that were tried: give another start, "
            "bounds that keep parameters where solutions exist, or more max_steps"
        )
    return _settled(problem, search, given is not None, fit)


def _settled(problem: Problem, search: Any, known: bool, fit: Callable[..., Any]) -> Any:
    """Return the result, after fits that repeat with the noise of the last unless it is known."""
    from mcgc.estimation._result import Estimate

    found, nfev, njev, failures = search, search.nfev, search.njev, dict(search.failures)
    floor = 1e-9 * problem.sigma
    for round_ in range(0 if known else ROUNDS):
        noise = np.maximum(_noise(problem, found), floor)
        if round_ and (len(noise) == 1 or np.abs(noise / problem.sigma - 1).max() <= SETTLED):
            break
        problem.sigma = noise
        values = dict(zip(found.names, found.x.tolist(), strict=True))
        parts = {name: one._replace(value=values[name]) for name, one in problem.parameters.items()}
        found = fit(parts, "lm")
        nfev, njev = nfev + found.nfev, njev + found.njev
    starts = np.asarray([float(one.value) for one in problem.parameters.values()])
    found.update(
        x0=starts, nfev=nfev, njev=njev, failures=failures, method=search.method, winner=search.winner,
        path=search.path, weights=search.weights, runs=search.runs, success=bool(search.success or found.success),
    )  # fmt: skip
    if "traffic" in search:
        found.traffic = search.traffic
    return Estimate(problem, found, known)


def _noise(problem: Problem, found: Any) -> np.ndarray:
    """Return the standard deviation of the residuals of each column, with its share of the degrees of freedom."""
    squares, counts = (
        (found.fun * problem.sigma[problem.column]) ** 2,
        np.bincount(problem.column, minlength=problem.sigma.size),
    )
    n, d = squares.size, int(found.free.sum())
    total = np.bincount(problem.column, squares, minlength=problem.sigma.size)
    if n <= d:
        return problem.sigma
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 0, np.sqrt(total / (counts * (1 - d / n))), problem.sigma)


def _problem(
    field: Any,
    series: list[Series],
    parameters: Any,
    observed: Any,
    states: Any,
    y0: Any,
    interpolation: str,
    options: Any,
) -> Problem:
    if interpolation not in INTERPOLATIONS:
        raise InputError(unknown("interpolation", interpolation, INTERPOLATIONS))
    if not isinstance(parameters, Mapping) or not parameters:
        raise InputError("parameters must be a dict of names with numbers or mcgc.Parameter")
    width = series[0].values.shape[1]
    names = _state_names(series, observed, states, width)
    if observed is None:
        if len(names) != width:
            raise InputError(f"{width} columns are observed of {len(names)} states: say which in observed")
        observed = tuple(range(width))
    columns: tuple[str, ...] = tuple(f"column {i}" for i in range(width))
    if not callable(observed):
        observed = indices_of(observed, names, "observed state")
        if len(observed) != width:
            raise InputError(f"observed names {len(observed)} states, but the values have {width} columns")
        columns = tuple(names[i] for i in observed)
    if isinstance(y0, str) and y0 in ("known", "fit"):
        fitted = tuple(range(len(names))) if y0 == "fit" else ()
    elif isinstance(y0, Sequence) and not isinstance(y0, str):
        fitted = indices_of(y0, names, "state in y0")
    else:
        raise InputError(f"y0 must be 'known', 'fit', or the states whose starts are fitted, got {y0!r}")
    named = {str(name): named_parameter(name, one) for name, one in parameters.items()}
    return Problem(Model(field, names, columns, observed, interpolation, options), series, named, fitted)


def _state_names(series: list[Series], observed: Any, states: Any, width: int) -> tuple[str, ...]:
    if states is not None:
        found = (states,) if isinstance(states, str) else tuple(map(str, states))
        if not found or len({*found}) < len(found):
            raise InputError("states must be names, each of them once")
        return found
    starts = [len(one.y0) for one in series if one.y0 is not None]
    if starts:
        count = starts[0]
    elif observed is None:
        count = width
    else:
        raise InputError("how many states there are is not known: give y0 in the experiments, or the names in states")
    return tuple(f"y[{i}]" for i in range(count))


def _sigma(sigma: Any, columns: int) -> np.ndarray:
    try:
        found = np.broadcast_to(np.asarray(sigma, dtype="float64"), (columns,)).copy()
    except (TypeError, ValueError):
        found = np.zeros(1)
    if not ((found > 0) & np.isfinite(found)).all():
        raise InputError(f"sigma must be a positive number, or one for each of the {columns} columns, got {sigma!r}")
    return found
