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
    """Return `rate` as a function of n that gives Python floats, which leave the dtype of arrays alone.

    Raises `InputError` if a constant rate is not a positive number.
    """
    return (lambda n: float(rate(n))) if callable(rate) else constant(rate)


def constant(value: float) -> Callable[[int], float]:
    """Return the rate n ↦ `value`. Raises `InputError` if it is not a positive number."""
    value = _positive(value)
    return lambda n: value


def cosine(start: float, steps: int, end: float = 0.0) -> Callable[[int], float]:
    """Return n ↦ e + ½ (s − e) (1 + cos(π min(n, N) / N)), from s = `start` to e = `end` in N = `steps` updates.

    Raises `InputError` if `start` or `steps` is not positive, or `end` negative.

    Source: Loshchilov and Hutter 2017, equation 5, without restarts.
    """
    _positive(start)
    steps = whole(steps, "the number of steps of cosine")
    if not 0 <= end < math.inf:
        raise InputError(f"a cosine rate ends at a number of at least 0, got {end}")
    return lambda n: end + (start - end) * (1 + math.cos(math.pi * min(n, steps) / steps)) / 2


def exponential(start: float, decay: float, steps: int = 1) -> Callable[[int], float]:
    """Return n ↦ s γ^(n / N): s = `start` falls by the factor γ = `decay` every N = `steps` updates.

    Raises `InputError` if `start` or `steps` is not positive, or γ not in (0, 1].
    """
    _positive(start)
    steps = whole(steps, "the number of steps of exponential")
    if not 0 < decay <= 1:
        raise InputError(f"an exponential rate decays by a factor in (0, 1], got {decay}")
    return lambda n: start * decay ** (n / steps)


def piecewise(values: Sequence[float], boundaries: Sequence[int]) -> Callable[[int], float]:
    """Return the rate `values[i]`, where i is how many of the `boundaries` are at most n.

    Raises `InputError` if a value is not positive, the boundaries do not increase, or there is not one more value.
    """
    values, boundaries = tuple(_positive(value) for value in values), tuple(boundaries)
    if len(values) != len(boundaries) + 1 or any(a >= b for a, b in pairwise(boundaries)):
        raise InputError(
            f"a piecewise rate needs increasing boundaries and one more value than those, got {boundaries} and {values}"
        )
    return lambda n: values[bisect_right(boundaries, n)]


def warmup(steps: int, rate: Rate) -> Callable[[int], float]:
    """Return n ↦ min(1, (n + 1) / N) · rate(n): any rate, with a linear rise over its first N = `steps` updates.

    Raises `InputError` if `steps` is not a positive integer, or a constant rate not a positive number.

    Source: Goyal et al. 2017, section 2.2.
    """
    steps = whole(steps, "the number of steps of warmup")
    rate_at = function_of(rate)
    return lambda n: min(1.0, (n + 1) / steps) * rate_at(n)


def _positive(value: float) -> float:
    number = as_number(value)
    if not 0 < number < math.inf:
        raise InputError(f"a learning rate is a positive number, got {value!r}")
    return number
