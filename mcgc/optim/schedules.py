"""Learning rates as functions of n, the number of updates before this one, evaluated on the host."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise

from mcgc._integers import whole
from mcgc.arrays import as_number
from mcgc.errors import InputError

Rate = float | Callable[[int], float]  # a constant, or a function of the number of updates so far


def function_of(rate: Rate) -> Callable[[int], float]:
    """Return a rate as a function of n that gives Python floats, which leave the dtype of arrays alone.

    Parameters
    ----------
    rate : float or function
        A constant rate, or a function of the number n of updates so far.

    Returns
    -------
    function (n) → float
        The rate at update n.

    Raises
    ------
    InputError
        If a constant rate is not a positive number.

    Examples
    --------
    >>> from mcgc.optim.schedules import function_of
    >>> function_of(0.1)(7), function_of(lambda n: 1 / (n + 1))(1)
    (0.1, 0.5)
    """
    return (lambda n: float(rate(n))) if callable(rate) else constant(rate)


def constant(value: float) -> Callable[[int], float]:
    """Return the rate a(n) = a.

    Parameters
    ----------
    value : float
        The positive number a.

    Returns
    -------
    function (n) → float
        The rate at update n, from 0 on.

    Raises
    ------
    InputError
        If a is not a positive number.

    Examples
    --------
    >>> from mcgc.optim.schedules import constant
    >>> constant(0.1)(0), constant(0.1)(1000)
    (0.1, 0.1)
    """
    value = _positive(value)
    return lambda n: value


def cosine(start: float, steps: int, end: float = 0.0) -> Callable[[int], float]:
    """Return the rate a(n) = e + ½ (s − e) (1 + cos(π min(n, N) / N)).

    Parameters
    ----------
    start : float
        The positive rate s at n = 0.
    steps : int
        The number N of updates.
    end : float
        The rate e from n = N on, at least 0, 0 by default.

    Returns
    -------
    function (n) → float
        The rate at update n, from 0 on.

    Raises
    ------
    InputError
        If `start` or `steps` is not positive, or `end` negative.

    References
    ----------
    Loshchilov and Hutter 2017, equation 5, without restarts.

    Examples
    --------
    >>> from mcgc.optim.schedules import cosine
    >>> rate = cosine(0.1, steps=100)
    >>> [round(rate(n), 3) for n in (0, 50, 100, 200)]
    [0.1, 0.05, 0.0, 0.0]
    """
    _positive(start)
    steps = whole(steps, "the number of steps of cosine")
    if not 0 <= end < math.inf:
        raise InputError(f"a cosine rate ends at a number of at least 0, got {end}")
    return lambda n: end + (start - end) * (1 + math.cos(math.pi * min(n, steps) / steps)) / 2


def exponential(start: float, decay: float, steps: int = 1) -> Callable[[int], float]:
    """Return the rate a(n) = s γ^(n / N).

    Parameters
    ----------
    start : float
        The positive rate s at n = 0.
    decay : float
        The factor γ in (0, 1] by which the rate falls every N updates.
    steps : int
        The number N of updates, 1 by default.

    Returns
    -------
    function (n) → float
        The rate at update n, from 0 on.

    Raises
    ------
    InputError
        If `start` or `steps` is not positive, or γ not in (0, 1].

    Examples
    --------
    >>> from mcgc.optim.schedules import exponential
    >>> rate = exponential(0.1, decay=0.5, steps=10)
    >>> [round(rate(n), 4) for n in (0, 10, 20)]
    [0.1, 0.05, 0.025]
    """
    _positive(start)
    steps = whole(steps, "the number of steps of exponential")
    if not 0 < decay <= 1:
        raise InputError(f"an exponential rate decays by a factor in (0, 1], got {decay}")
    return lambda n: start * decay ** (n / steps)


def piecewise(values: Sequence[float], boundaries: Sequence[int]) -> Callable[[int], float]:
    """Return the rate a(n) = vᵢ, where i is how many of the boundaries are at most n.

    Parameters
    ----------
    values : sequence of float
        The positive rates v₀, v₁, ….
    boundaries : sequence of int
        The increasing numbers of updates at which the rate changes, one fewer than there are rates.

    Returns
    -------
    function (n) → float
        The rate at update n, from 0 on.

    Raises
    ------
    InputError
        If a rate is not positive, the boundaries do not increase, or the numbers of both do not fit.

    Examples
    --------
    >>> from mcgc.optim.schedules import piecewise
    >>> rate = piecewise([0.1, 0.01], [100])
    >>> rate(99), rate(100)
    (0.1, 0.01)
    """
    values, boundaries = tuple(_positive(value) for value in values), tuple(boundaries)
    if len(values) != len(boundaries) + 1 or any(a >= b for a, b in pairwise(boundaries)):
        raise InputError(
            f"a piecewise rate needs increasing boundaries and one more value than those, got {boundaries} and {values}"
        )
    return lambda n: values[bisect_right(boundaries, n)]


def warmup(steps: int, rate: Rate) -> Callable[[int], float]:
    """Return the rate min(1, (n + 1) / N) · a(n): any rate a, with a linear rise over the first N updates.

    Parameters
    ----------
    steps : int
        The number N of updates of the rise.
    rate : float or function
        The rate a: a positive number, or a function of n.

    Returns
    -------
    function (n) → float
        The rate at update n, from 0 on.

    Raises
    ------
    InputError
        If `steps` is not a positive integer, or a constant rate not a positive number.

    References
    ----------
    Goyal et al. 2017, section 2.2.

    Examples
    --------
    >>> from mcgc.optim.schedules import warmup
    >>> rate = warmup(4, 0.1)
    >>> [round(rate(n), 3) for n in (0, 1, 3, 10)]
    [0.025, 0.05, 0.1, 0.1]
    """
    steps = whole(steps, "the number of steps of warmup")
    rate_at = function_of(rate)
    return lambda n: min(1.0, (n + 1) / steps) * rate_at(n)


def _positive(value: float) -> float:
    number = as_number(value)
    if not 0 < number < math.inf:
        raise InputError(f"a learning rate is a positive number, got {value!r}")
    return number
