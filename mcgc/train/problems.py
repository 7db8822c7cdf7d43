"""Problems by name: a model, a loss, the recipe of the paper to train it with, and others by name.

A problem of your own needs no registration: make a `Problem`, and hand it to `mcgc.train.fit` with its settings.
"""

import os
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from mcgc._modules import module_of
from mcgc.errors import InputError, unknown
from mcgc.train._examples import Images, Rows, classifier, regressor
from mcgc.train._problem import Evaluation, Problem
from mcgc.train._recipes import LORENZ, LOTKA_VOLTERRA, MNIST
from mcgc.train._series import Scaling, Series, neural_ode, scaling_of

__all__ = [
    "Evaluation",
    "Images",
    "Problem",
    "Rows",
    "Scaling",
    "Series",
    "classifier",
    "get",
    "names",
    "neural_ode",
    "regressor",
    "scaling_of",
]

_PROBLEMS = {problem.name: problem for problem in (MNIST, LOTKA_VOLTERRA, LORENZ)}


def names() -> tuple[str, ...]:
    """Return the names of the problems that come with mcgc.

    Returns
    -------
    tuple of str
        The names.

    Examples
    --------
    >>> from mcgc.train import problems
    >>> problems.names()
    ('mnist', 'lotka-volterra', 'lorenz')
    """
    return tuple(_PROBLEMS)


def get(name: str) -> Problem:
    """Return a problem by name.

    Parameters
    ----------
    name : str
        The name of a problem that comes with mcgc, or of one that an installed package offers as an entry point of the
        group "mcgc.problems". Or "FILE.py:NAME" for the problem called NAME in a Python file, which is run.

    Returns
    -------
    Problem
        The problem.

    Raises
    ------
    InputError
        If there is none of that name, it cannot be imported, or it is no `Problem`.

    Examples
    --------
    >>> from mcgc.train import problems
    >>> problems.get("lorenz").sizes[0], problems.get("lorenz").recipe.epochs
    (5, 200)
    """
    if name in _PROBLEMS:
        return _PROBLEMS[name]
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(os.path.abspath(path), attribute)
    offered = {point.name: point for point in entry_points(group="mcgc.problems")}
    if name not in offered:
        raise InputError(unknown("problem", name, [*_PROBLEMS, *offered]))
    try:
        return _checked(offered[name].load(), f"the entry point {name!r}")
    except (ImportError, AttributeError) as error:
        raise InputError(f"the problem {name!r} cannot be imported ({error}): mend its package") from error


@cache
def _from_file(path: str, attribute: str) -> Problem:
    module = module_of(path, "problem file")
    if not hasattr(module, attribute):
        known = [key for key, value in vars(module).items() if isinstance(value, Problem)]
        raise InputError(f"{path!r}: {unknown('problem', attribute, known)}")
    return _checked(getattr(module, attribute), f"{attribute!r} of {path!r}")


def _checked(found: Any, what: str) -> Problem:
    if not isinstance(found, Problem):
        raise InputError(f"{what} is a {type(found).__name__}, not a mcgc.train.Problem: make it one")
    return found
