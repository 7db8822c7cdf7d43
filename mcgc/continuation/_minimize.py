"""Minimise a function of one's own by continuation: `mcgc.minimize`, and a method for `scipy.optimize.minimize`.

λ falls from λ₀ to a small part of it while θ descends on the smoothed function, and a deterministic local search from
where that ends makes the result a minimiser of f itself.
"""

import inspect
import math
from collections.abc import Callable, Sized
from typing import Any, NamedTuple

from mcgc._integers import whole
from mcgc._jit import Jitted
from mcgc.arrays import Array, Device, as_floats, device_of, namespace_of, to_device, to_host
from mcgc.continuation._step import continuation
from mcgc.continuation.annealing import bounded, geometric
from mcgc.continuation.estimators import Estimator, Objective, evaluator
from mcgc.errors import InputError
from mcgc.optim import adam
from mcgc.random import Key, fold_in

POLISHED, NOT_POLISHED, NOT_FINITE, STOPPED = 0, 1, 2, 99  # the last as SciPy has it


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple = (),
    *,
    jac: Any = None,
    callback: Callable[..., Any] | None = None,
    tol: float = 1e-6,
    maxiter: int = 1000,
    seed: int = 0,
    lam0: float = 3.0,
    shrink: float = 3e-3,
    learning_rate: float = 0.06,
    learning_rate_lam: float | None = None,
    beta: float = 0.0,
    warmup: int | None = None,
    estimator: str | Estimator | None = None,
    num_samples: int = 4,
    batched: bool = False,
) -> Any:
    """Minimise a function by Gaussian continuation and a local search.

    `maxiter` steps of Adam minimise g(θ, λ) = E f(θ + √λ ε). λ is held at λ₀ for `warmup` steps, and then falls
    geometrically to λ₀ · `shrink`. From where this ends, L-BFGS-B descends on f itself until no element of ∇f is above
    `tol`, or f no longer falls by more than its rounding. The result is a local minimiser of f. It is the global one
    only as far as the path of minimisers of g leads there.

    Parameters
    ----------
    fun : function (x, *args) → float
        f. With `batched`, it maps points (n, m) to values (n,). A function of `mcgc.jit` computes all points of a step,
        and their gradients, in one compiled call, without `batched`.
    x0 : array of shape (m,)
        The start. float32 and float64 keep dtype and device. Integers and sequences of numbers become float64.
    args : tuple
        Further arguments of `fun` and `jac`.
    jac : None, "engine", True, function, False or "none"
        Where ∇f comes from. None or "engine": mcgc differentiates a `fun` of mcgc.ops or NumPy. True: `fun` returns
        (f, ∇f). A function: `jac(x, *args)`. False or "none": from values alone; the local search then takes finite
        differences.
    callback : function, optional
        `callback(x)` is called after each step of the continuation, or with the keyword `intermediate_result` if its
        parameter has that name. It may raise StopIteration to end the run.
    tol : float
        The largest element of ∇f at which the local search ends.
    maxiter : int
        The number of steps of the continuation.
    seed : int
        The seed of the noise.
    lam0 : float
        λ₀. √λ₀ is the length over which f is smoothed: of the order of the distance to be searched.
    shrink : float
        The fraction of λ₀ to which λ falls.
    learning_rate : float
        The rate of θ in units of √λ, the size of the noise.
    learning_rate_lam : float, optional
        The rate of φ = log λ. With it φ descends too, by Adam, and the geometric path is its upper bound [1]_.
    beta : float
        The weight of the term that draws λ towards zero, for a learned λ, in units of 1/λ₀.
    warmup : int, optional
        The number of steps with λ = λ₀. By default a quarter of `maxiter`.
    estimator : str or Estimator, optional
        As for `mcgc.continuation.estimate`. By default "antithetic", or "antithetic-score" without gradients.
    num_samples : int
        The number of draws a step.
    batched : bool
        Whether `fun` and the gradients take all points of a step at once. This is much the faster.

    Returns
    -------
    scipy.optimize.OptimizeResult
        x, fun, jac (where there are gradients), nit (steps, and iterations of the local search), nfev and njev (points
        evaluated), log_lam (the path of φ), success, status and message.

    Raises
    ------
    InputError
        If an option cannot be used, or the engine cannot differentiate `fun`.

    References
    ----------
    .. [1] Iwakiri et al. (2022), Single loop Gaussian homotopy method for non-convex optimization.

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
    theta, args = _start(x0), args if isinstance(args, tuple) else (args,)
    maxiter = whole(maxiter, "maxiter")
    warmup = maxiter // 4 if warmup is None else whole(warmup, "warmup", 0)
    if warmup >= maxiter:
        raise InputError(f"maxiter must be a whole number above that of the warm-up, got {maxiter!r} and {warmup!r}")
    if not (0 < lam0 < math.inf and 0 < tol < math.inf):
        raise InputError(f"lam0 and tol must be positive numbers, got {lam0!r} and {tol!r}")
    if not 0 < shrink < 1:
        raise InputError(f"shrink must lie between 0 and 1, got {shrink!r}")
    if isinstance(fun, Jitted) and source != "given" and not batched:
        fun, jac, source, batched = _of_rows(fun, jac, source)
    calls = {"f": 0, "df": 0}
    objective = _objective(fun, jac, args, theta, batched, calls)
    search = _Search(theta, evaluator(objective, source, False, batched), source != "score", calls)
    if source == "engine":
        search.check(fun, args, batched)
    rate = shrink ** (1 / (maxiter - warmup))
    method = continuation(
        objective,
        adam(learning_rate * math.sqrt(lam0)),
        geometric(rate) if learning_rate_lam is None else bounded(adam(learning_rate_lam), rate),
        log_lam0=math.log(lam0),
        estimator=estimator or ("antithetic-score" if source == "score" else "antithetic"),
        num_samples=num_samples,
        beta=beta,
        warmup=warmup,
        gradient=source,
        batched=batched,
        scaled=True,
    )
    key, state, path, stopped = Key(seed), method.init(theta), [], False
    report = _reporter(callback)
    for i in range(maxiter):
        state, info = method.step(state, None, fold_in(key, i))
        path.append(state.log_lam)
        try:
            report(state.theta, info.smoothed)
        except StopIteration:
            stopped = True
            break
    return search.result(state.theta, to_host(namespace_of(theta).stack(path)), stopped, tol)


def continuation_method(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Callable[..., Any] | None = None,
    tol: float | None = None,
    gradient_free: bool = False,
    disp: bool = False,
    **options: Any,
) -> Any:
    """Minimise as a method of SciPy: `scipy.optimize.minimize(fun, x0, method=mcgc.continuation_method)`.

    Parameters
    ----------
    fun, x0, args, jac, callback, tol : Any
        As for `minimize`.
    hess, hessp : Any
        Not used.
    bounds, constraints : Any
        None. Bounds may be infinite, and constraints an empty sequence.
    gradient_free : bool
        Whether to do without gradients, as jac="none" does. SciPy passes no strings as `jac`.
    disp : bool
        Whether to print the message, f and the counts.
    **options : Any
        The other options of `minimize`.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As of `minimize`.

    Raises
    ------
    InputError
        For other bounds and constraints, which the noise does not respect, and as `minimize` does.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.optimize
    >>> import mcgc
    >>> bowl = lambda x: (x**2).sum()
    >>> options = {"maxiter": 50, "gradient_free": True}
    >>> found = scipy.optimize.minimize(bowl, [1.0, 2.0], method=mcgc.continuation_method, options=options)
    >>> bool(found.fun < 1e-9)
    True
    """
    if not (_boundless(bounds) and (constraints is None or (isinstance(constraints, Sized) and not len(constraints)))):
        raise InputError(
            "continuation takes no bounds and no constraints, since its noise would leave them: transform the "
            "variables, or add a penalty to the function"
        )
    known = inspect.signature(minimize).parameters
    for name in options:
        if name not in known:
            raise InputError(f"unknown option {name!r} of continuation_method: see mcgc.minimize for those there are")
    if tol is not None:
        options["tol"] = tol
    found = minimize(fun, x0, args, jac="none" if gradient_free else jac, callback=callback, **options)
    if disp:
        print(found.message)
        print(f"f = {float(found.fun):.6g} after {found.nit} iterations and {found.nfev} evaluations")
    return found


def _boundless(bounds: Any) -> bool:
    """Tell whether bounds as SciPy has them, pairs for each variable or a `Bounds`, are none."""
    if bounds is None:
        return True
    lows, highs = (bounds.lb, bounds.ub) if hasattr(bounds, "lb") else ([pair[i] for pair in bounds] for i in (0, 1))
    no_end = lambda ends, infinite: all(end is None or end == infinite for end in ends)
    return no_end(lows, -math.inf) and no_end(highs, math.inf)


def _source(jac: Any) -> str:
    if jac is None or jac == "engine":
        return "engine"
    if jac is True or callable(jac):
        return "given"
    if jac is False or jac == "none":
        return "score"
    raise InputError(f"jac must be None, 'engine', True, a function, False or 'none', got {jac!r}")


def _of_rows(fun: Jitted, jac: Any, source: str) -> tuple[Callable[..., Any], Any, str, bool]:
    """Return a jitted function as one of all points of a step, with the options that say where its gradients are."""
    rows = fun.rows()
    return (rows, jac, source, True) if source == "score" else (rows.value_and_grad, True, "given", True)


def _start(x0: Any) -> Array:
    theta = as_floats(x0, "x0")
    theta = namespace_of(theta).reshape(theta, (1,)) if theta.ndim == 0 else theta
    if theta.ndim != 1 or theta.shape[0] == 0 or not namespace_of(to_host(theta)).isfinite(to_host(theta)).all():
        raise InputError(f"x0 must be a vector of finite numbers, got one of shape {tuple(theta.shape)}")
    return theta


def _objective(
    fun: Callable[..., Any], jac: Any, args: tuple, like: Array, batched: bool, calls: dict[str, int]
) -> Objective:
    """Return the objective of `continuation`. It counts in `calls` the points at which it is evaluated."""
    xp, device, source = namespace_of(like), device_of(like), _source(jac)

    def array(value: Any, shape: tuple) -> Array:
        return xp.reshape(xp.asarray(value, dtype=like.dtype, device=device), shape)

    def objective(x: Array, batch: Any) -> Any:
        points = x.shape[:-1]
        calls["f"] += math.prod(points)
        if source != "score":
            calls["df"] += math.prod(points)
        if source == "engine":
            return fun(x, *args)
        if source == "score":
            return array(fun(x, *args), points)
        value, slope = fun(x, *args) if jac is True else (fun(x, *args), jac(x, *args))
        return array(value, points), array(slope, x.shape)

    return objective


def _reporter(callback: Callable[..., Any] | None) -> Callable[[Array, Array], None]:
    if callback is None:
        return lambda theta, smoothed: None
    if "intermediate_result" not in inspect.signature(callback).parameters:
        return lambda theta, smoothed: callback(_copy(theta))
    from scipy.optimize import OptimizeResult

    return lambda theta, smoothed: callback(
        intermediate_result=OptimizeResult(x=_copy(theta), fun=float(to_host(smoothed)))
    )


def _copy(theta: Array) -> Array:
    return namespace_of(theta).asarray(theta, copy=True)  # the run must not depend on what a callback does to it


class _Search(NamedTuple):
    """The local search on f without noise, and what it needs: the `evaluator` of f, and the count of its calls."""

    start: Array
    evaluate: Callable[[list[Array], Any], list[tuple]]
    has_gradients: bool
    calls: dict[str, int]

    def check(self, fun: Callable[..., Any], args: tuple, batched: bool) -> None:
        """Raise `InputError` if the engine cannot differentiate `fun`. A `fun` that fails raises its own error."""
        try:
            self.evaluate([self.start], None)
        except Exception as error:
            fun(self.start[None, :] if batched else self.start, *args)  # an error of its own is more to the point
            raise InputError(
                f"fun cannot be differentiated ({' '.join(str(error).split())}): write it with mcgc.ops, "
                'give its gradient as jac (a function, or True), or do without by jac="none", which under '
                'scipy.optimize.minimize is options={"gradient_free": True}'
            ) from error

    def result(self, theta: Array, path: Any, stopped: bool, tol: float) -> Any:
        """Return the result of a local search from `theta`, or of `theta` itself if the run was `stopped`."""
        from scipy import optimize

        device = Device("", namespace_of(theta), device_of(theta))
        dtype = "float32" if theta.dtype == device.namespace.float32 else "float64"

        def f(x: Any) -> Any:
            value, slope, _ = self.evaluate([to_device(x, device, dtype)], None)[0]
            value = float(to_host(value))
            return (value, to_host(slope).astype("float64")) if self.has_gradients else value

        x, steps = to_host(theta).astype("float64"), len(path)
        found = optimize.OptimizeResult(x=theta, nit=steps, log_lam=path, success=False)
        first: tuple = f(x) if self.has_gradients else (f(x), None)
        if not (abs(x) < math.inf).all() or not math.isfinite(first[0]):
            found.update(fun=first[0], status=NOT_FINITE)
            found.message = "The function is not finite where the noise took it: take a smaller lam0, or another start."
        elif stopped:
            found.update(fun=first[0], status=STOPPED, message="`callback` raised `StopIteration`.")
        else:
            limits = {"gtol": tol, "ftol": 4 * float(device.namespace.finfo(theta.dtype).eps), "maxls": 50}
            local = optimize.minimize(f, x, jac=self.has_gradients or None, method="L-BFGS-B", options=limits)
            found.update(x=to_device(local.x, device, dtype), fun=float(local.fun), nit=steps + local.nit)
            found.update(success=bool(local.success), status=POLISHED if local.success else NOT_POLISHED)
            found.message = f"Continuation, then a local search: {local.message}"
            first = (local.fun, local.jac)
        if self.has_gradients:
            found.jac = first[1]
        return optimize.OptimizeResult(found, nfev=self.calls["f"], njev=self.calls["df"])
