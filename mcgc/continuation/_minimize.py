"""Minimise a function of one's own by continuation: `mcgc.minimize`.

λ falls from λ₀ to a small part of it while the smoothed function is minimised. A search of f itself from where that
ends makes the result a minimiser of f. The result is never above f(x₀), nor above any other value that was computed.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

import numpy as np

from mcgc._integers import whole
from mcgc.arrays import Array, as_floats, is_array, namespace_of, to_host
from mcgc.continuation._rounds import Options, Rounds
from mcgc.continuation._target import Target
from mcgc.continuation.estimators import Estimator
from mcgc.errors import InputError
from mcgc.random import Key


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple = (),
    *,
    jac: Any = None,
    bounds: Any = None,
    callback: Callable[..., Any] | None = None,
    tol: float = 1e-8,
    scale: Any = None,
    maxfev: int | None = None,
    maxiter: int | None = None,
    seed: int = 0,
    lam0: float = 3.0,
    shrink: float | None = None,
    learning_rate: float = 0.06,
    learning_rate_lam: float | None = None,
    beta: float = 0.0,
    warmup: int | None = None,
    estimator: str | Estimator | None = None,
    num_samples: int | None = None,
    batched: bool = False,
    progress: bool = False,
) -> Any:
    """Minimise a function by Gaussian continuation and a local search.

    The noise is √λ · scale ∘ ε. With gradients, steps of Adam minimise g(x, λ) = E f(x + √λ scale ∘ ε). λ is held at λ₀
    for `warmup` steps, and then falls geometrically to λ₀ · `shrink`. From where this ends, L-BFGS-B descends on f
    itself.

    From values alone, each step is a generation of CMA-ES whose step size is √λ. It ranks the points of the noise, and
    adapts their covariance. CMA-ES with a free step size [1]_ ends the round. Where f has few local minima on lines
    through x₀, a CMA-ES with a free step size comes first, since it needs fewer evaluations there.

    The result is the best point that was evaluated. It is a local minimiser of f, and the global one only as far as the
    path of minimisers of g leads there. Points where f or its gradient is not finite are left out and counted.

    Parameters
    ----------
    fun : function (x, *args) → float
        f. With `batched`, it maps points (n, m) to values (n,). A function of `mcgc.jit` computes all points of a step,
        and their gradients, in one compiled call, without `batched`. NaN stands for a failure.
    x0 : array of shape (m,)
        The start. float32 and float64 keep dtype and device. Integers and sequences of numbers become float64.
    args : tuple
        Further arguments of `fun` and `jac`.
    jac : None, "engine", True, function, "2-point", False or "none"
        Where ∇f comes from. None or "engine": mcgc differentiates a `fun` of mcgc.ops or NumPy. True: `fun` returns
        (f, ∇f). A function: `jac(x, *args)`. "2-point": forward differences, m + 1 evaluations each. False or "none":
        from values alone.
    bounds : sequence of pairs or scipy.optimize.Bounds, optional
        The lowest and highest value of each variable; None or infinity for none. `fun` is called within them alone:
        beyond a bound f is continued by reflection.
    callback : function, optional
        `callback(x)` is called after each step of the continuation, or with the keyword `intermediate_result` if its
        parameter has that name. It may raise StopIteration to end the run.
    tol : float
        L-BFGS-B ends where no element of scale ∘ ∇f is above `tol` times the magnitude of f, or where f falls no
        more than its rounding.
    scale : float or array of shape (m,), optional
        About how far each variable may be off. By default the magnitude of x₀, or an eighth of the width where both
        bounds are finite, and 1 where that is 0.
    maxfev : int, optional
        The number of evaluations. Steps, draws and restarts follow from it, and it is never exceeded. By default there
        is one round of `maxiter` steps and its local search.
    maxiter : int, optional
        The number of steps of the continuation. By default 1000, or 100 generations from values alone, or what
        `maxfev` allows.
    seed : int
        The seed of the noise.
    lam0 : float
        λ₀. √λ₀ is the length over which f is smoothed, in units of the scale.
    shrink : float, optional
        The fraction of λ₀ to which λ falls. By default 3e-3, and 1e-4 for generations.
    learning_rate : float
        The rate of Adam in units of √λ, the size of the noise.
    learning_rate_lam : float, optional
        The rate of φ = log λ. With it φ descends too, by Adam, and the geometric path is its upper bound [2]_.
    beta : float
        The weight of the term that draws λ towards zero, for a learned λ, in units of 1/λ₀.
    warmup : int, optional
        The number of steps with λ = λ₀. By default a quarter of the steps, and none for generations.
    estimator : str or Estimator, optional
        As for `mcgc.continuation.estimate`. By default "antithetic". From values alone, an estimator such as
        "antithetic-score" makes the steps those of Adam too.
    num_samples : int, optional
        The number of draws a step, and half the size of a generation. By default 4, or 1 where `maxfev` is small, and
        generations of 12 + 9 log m points.
    batched : bool
        Whether `fun` and the gradients take all points of a step at once. This is much the faster.
    progress : bool
        Whether a bar on stderr shows the evaluations and the time that is left.

    Returns
    -------
    scipy.optimize.OptimizeResult
        x, fun, jac (where there are gradients), nit (steps, and iterations of the searches), nfev and njev (points
        evaluated), dropped (points that were not finite), log_lam (the path of φ of the round that found x), rounds,
        success (whether the search that ended at x converged), status and message.

    Raises
    ------
    InputError
        If an option cannot be used, `fun` gives more than one number, or the engine cannot differentiate it.

    References
    ----------
    .. [1] Hansen (2016), The CMA evolution strategy: a tutorial.
    .. [2] Iwakiri et al. (2022), Single loop Gaussian homotopy method for non-convex optimization.

    Examples
    --------
    >>> import numpy as np
    >>> import mcgc
    >>> from mcgc import ops
    >>> rastrigin = lambda x: ops.sum(x**2 + 10 * (1 - ops.cos(2 * np.pi * x)), axis=-1)
    >>> found = mcgc.minimize(rastrigin, [3.0, 3.0], batched=True)
    >>> bool(found.fun < 1e-9)
    True
    """
    source = _source(jac)
    start, args = _start(x0), args if isinstance(args, tuple) else (args,)
    if not (0 < lam0 < math.inf and 0 < tol < math.inf):
        raise InputError(f"lam0 and tol must be positive numbers, got {lam0!r} and {tol!r}")
    if shrink is not None and not 0 < shrink < 1:
        raise InputError(f"shrink must lie between 0 and 1, got {shrink!r}")
    limit = math.inf if maxfev is None else whole(maxfev, "maxfev")
    maxiter = None if maxiter is None else whole(maxiter, "maxiter")
    warmup = None if warmup is None else whole(warmup, "warmup", 0)
    if maxiter is not None and (warmup or 0) >= maxiter:
        raise InputError(f"maxiter must be a whole number above that of the warm-up, got {maxiter!r} and {warmup!r}")
    origin = to_host(start).astype("float64")
    low, high = _bounds(bounds, origin)
    target = Target(fun, jac, args, source, start, _scale(scale, origin, low, high), (low, high), batched, limit)
    if not target.has_gradients and estimator is None and learning_rate_lam is not None:
        estimator = "antithetic-score"
    options = Options(
        lam0=lam0,
        shrink=shrink,
        maxiter=maxiter,
        warmup=warmup,
        num_samples=None if num_samples is None else whole(num_samples, "num_samples"),
        estimator="antithetic" if target.has_gradients and estimator is None else estimator,
        learning_rate=learning_rate,
        learning_rate_lam=learning_rate_lam,
        beta=beta,
        tol=tol,
    )
    with _shown(progress, target, maxfev):
        return Rounds(target, options, _reporter(callback, target), Key(seed)).result()


def _source(jac: Any) -> str:
    if jac is None or jac == "engine":
        return "engine"
    if jac is True or callable(jac):
        return "given"
    if jac is False or jac == "none":
        return "score"
    if jac == "2-point":
        return "2-point"
    raise InputError(f"jac must be None, 'engine', True, a function, '2-point', False or 'none', got {jac!r}")


def _start(x0: Any) -> Array:
    theta = as_floats(x0, "x0")
    theta = namespace_of(theta).reshape(theta, (1,)) if theta.ndim == 0 else theta
    if theta.ndim != 1 or theta.shape[0] == 0 or not np.isfinite(to_host(theta)).all():
        raise InputError(f"x0 must be a vector of finite numbers, got one of shape {tuple(theta.shape)}")
    return theta


def _bounds(bounds: Any, x0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest values of bounds as SciPy has them: None, pairs for each variable or a `Bounds`."""
    if bounds is None or (isinstance(bounds, Sized) and len(bounds) == 0):
        return np.full(x0.shape, -math.inf), np.full(x0.shape, math.inf)
    try:
        if hasattr(bounds, "lb"):
            low, high = (np.broadcast_to(np.asarray(ends, float), x0.shape) for ends in (bounds.lb, bounds.ub))
        else:
            pairs = [(-math.inf if a is None else a, math.inf if b is None else b) for a, b in bounds]
            low, high = np.asarray(pairs, float).T
        fits = low.shape == x0.shape and not np.isnan([low, high]).any()
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise InputError(f"bounds must be {x0.size} pairs (lowest, highest) or a scipy.optimize.Bounds, got {bounds!r}")
    if not ((low <= x0) & (x0 <= high)).all():
        i = int(np.argmin((low <= x0) & (x0 <= high)))
        raise InputError(f"x0[{i}] must lie between its bounds {low[i]:g} and {high[i]:g}, got {x0[i]:g}")
    return low, high


def _scale(scale: Any, x0: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    if scale is None:
        found = np.where(np.isfinite(high - low), (high - low) / 8, np.abs(x0))
        return np.where(found > 0, found, 1.0)
    try:
        found = np.broadcast_to(np.asarray(scale, float), x0.shape)
    except (TypeError, ValueError):
        found = np.asarray(math.nan)
    if not ((found > 0) & np.isfinite(found)).all():
        raise InputError(f"scale must be a positive number, or one for each of {x0.size} variables, got {scale!r}")
    return found


def _reporter(callback: Callable[..., Any] | None, target: Target) -> Callable[[Any, Any], None]:
    if callback is None:
        return lambda z, smoothed: None
    if "intermediate_result" not in inspect.signature(callback).parameters:
        return lambda z, smoothed: callback(target.x_of(z))
    from scipy.optimize import OptimizeResult

    return lambda z, smoothed: callback(intermediate_result=OptimizeResult(x=target.x_of(z), fun=_number(smoothed)))


def _number(value: Any) -> float:
    return float(to_host(value) if is_array(value) else value)


@contextmanager
def _shown(progress: bool, target: Target, maxfev: int | None) -> Iterator[None]:
    """Show evaluations and the time that is left on stderr, if asked."""
    if not progress:
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("evaluations", total=maxfev)
        target.watch = lambda nfev: bar.update(task, completed=nfev)
        yield
