"""Continuation as a method of `scipy.optimize.minimize`."""

import inspect
from collections.abc import Callable, Sized
from typing import Any

from mcgc.continuation._minimize import minimize
from mcgc.errors import InputError


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
    fun, x0, args, jac, bounds, callback, tol : Any
        As for `minimize`.
    hess, hessp : Any
        Not used.
    constraints : Any
        None, or an empty sequence.
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
        For constraints, which the noise does not respect, and as `minimize` does.

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
    if not (constraints is None or (isinstance(constraints, Sized) and not len(constraints))):
        raise InputError(
            "continuation takes no constraints, since its noise would leave them: transform the variables, or add a "
            "penalty to the function"
        )
    known = inspect.signature(minimize).parameters
    for name in options:
        if name not in known:
            raise InputError(f"unknown option {name!r} of continuation_method: see mcgc.minimize for those there are")
    if tol is not None:
        options["tol"] = tol
    found = minimize(fun, x0, args, jac="none" if gradient_free else jac, bounds=bounds, callback=callback, **options)
    if disp:
        print(found.message)
        print(f"f = {float(found.fun):.6g} after {found.nit} iterations and {found.nfev} evaluations")
    return found
