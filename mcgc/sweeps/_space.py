"""The space of a sweep: for each searched setting a range of numbers, or choices."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple, get_args

from mcgc._integers import whole
from mcgc.errors import InputError, similar, unknown
from mcgc.train.settings import CHOICES, Settings

SEARCHED = tuple(name for name in Settings._fields if name != "problem")
LARGEST = 2**53  # up to which float64 has all whole numbers


class Range(NamedTuple):
    """The range of a setting that is a number.

    Parameters
    ----------
    low, high : float
        Its ends, which belong to it. Settings that are whole numbers have whole ends.
    log : bool
        Whether the logarithm of the setting is spread evenly, rather than the setting.
    points : int, optional
        How many values a grid takes, the ends among them.

    Examples
    --------
    >>> from mcgc.sweeps import Range
    >>> Range(1e-4, 1e-1, log=True, points=4)
    Range(low=0.0001, high=0.1, log=True, points=4)
    """

    low: float
    high: float
    log: bool = False
    points: int | None = None


class Dimension(NamedTuple):
    """A searched setting, checked: a `Range`, or `choices`.

    A value has a code, which is a number: itself, or the index of the choice. A unit is a number in [0, 1].
    """

    name: str
    low: float
    high: float
    log: bool = False
    points: int | None = None
    integer: bool = False
    choices: tuple[Any, ...] = ()

    def value(self, unit: float) -> Any:
        """Return the value at a unit."""
        if self.choices:
            return self.choices[min(int(unit * len(self.choices)), len(self.choices) - 1)]
        margin = 0.5 if self.integer else 0.0  # so that the end values are drawn as often as the others
        a, b = self.low - margin, self.high + margin
        found = math.exp(math.log(a) + unit * (math.log(b) - math.log(a))) if self.log else a + unit * (b - a)
        kept = min(max(found, self.low), self.high)  # rounding may leave the range
        return min(max(round(found), int(self.low)), int(self.high)) if self.integer else kept

    def levels(self) -> tuple[Any, ...]:
        """Return the values that a grid takes."""
        if self.choices:
            return self.choices
        count = self.points or 0
        if self.log:
            a, b = math.log(self.low), math.log(self.high)
            inner = [math.exp(a + (b - a) * i / (count - 1)) for i in range(1, count - 1)]
        else:
            inner = [self.low + (self.high - self.low) * i / (count - 1) for i in range(1, count - 1)]
        found = [self.low, *inner, self.high]
        return tuple(dict.fromkeys(round(x) for x in found)) if self.integer else tuple(found)

    def code(self, value: Any) -> float:
        """Return the code of a value."""
        return float(self.choices.index(value)) if self.choices else float(value)

    def decoded(self, code: float) -> Any:
        """Return the value of a code."""
        if self.choices:
            return self.choices[int(code)]
        return int(code) if self.integer else float(code)

    def unit(self, value: Any) -> float:
        """Return where a value lies between the ends: a number in [0, 1]."""
        if self.choices:
            return self.choices.index(value) / max(len(self.choices) - 1, 1)
        if self.low == self.high:
            return 0.5
        of = math.log if self.log else float
        return (of(value) - of(self.low)) / (of(self.high) - of(self.low))


def space_of(space: Mapping[str, Any], method: str) -> tuple[Dimension, ...]:
    """Return the dimensions of a space, in its order. Raises `InputError` for what cannot be searched."""
    if not space:
        raise InputError("the space is empty: give it a setting, with a range or a list of choices")
    for name in space:
        if name not in SEARCHED:
            raise InputError(unknown("setting", name, SEARCHED))
    return tuple(_dimension(name, given, method) for name, given in space.items())


def _dimension(name: str, given: Any, method: str) -> Dimension:
    if isinstance(given, Range):
        return _range(name, given, method)
    if isinstance(given, Mapping):
        for key in given:
            if key not in Range._fields:
                raise InputError(f"the range of {name} has {_unknown_key(key, Range._fields)}")
        for key in ("low", "high"):
            if key not in given:
                raise InputError(f"the range of {name} has no {key}: give it low and high")
        return _range(name, Range(**given), method)
    given = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise InputError(f"the space has {name} as {given!r}: give a list of choices, or a range with low and high")
    choices = tuple(checked(name, value) for value in given)
    if len(set(choices)) != len(choices):
        raise InputError(f"the choices of {name} have one twice: give each once")
    return Dimension(name, 0.0, float(len(choices) - 1), choices=choices)


def _unknown_key(key: object, known: Sequence[str]) -> str:
    return f"an unknown key {key!r}: its keys are {', '.join(known)}{similar(key, known)}"


def _range(name: str, given: Range, method: str) -> Dimension:
    kind = kind_of(name)
    if kind not in (int, float):
        raise InputError(f"{name} is not a number: give a list of choices, not a range")
    if type(given.log) is not bool:
        raise InputError(f"the range of {name} has log as {given.log!r}: give true or false")
    low, high = (_number(name, value) for value in (given.low, given.high))
    if not low < high:
        raise InputError(f"the range of {name} goes from {low:g} to {high:g}: give a low that is below high")
    if given.log and low <= 0:
        raise InputError(f"the range of {name} is logarithmic and begins at {low:g}: begin above 0")
    integer = kind is int
    if integer and not (low.is_integer() and high.is_integer() and abs(low) < LARGEST and high < LARGEST):
        raise InputError(f"{name} is a whole number: give its range whole ends, below 2**53")
    points = given.points
    if method == "grid":
        if points is None:
            raise InputError(f"the range of {name} has no points: a grid needs their number, or a list of choices")
        points = whole(points, f"points of {name}", 2)
    elif points is not None:
        raise InputError(f"the range of {name} has points, which only a grid takes: leave them out")
    return Dimension(name, low, high, given.log, points, integer)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InputError(f"the range of {name} has the end {value!r}: give a finite number")
    return float(value)


def kind_of(name: str) -> type:
    """Return the type of a setting, without None."""
    kind = Settings.__annotations__[name]
    return next((part for part in get_args(kind) if part is not type(None)), kind)


def checked(name: str, value: Any) -> Any:
    """Return a value of a setting as its type has it. "none" is None where a setting may be left out.

    Raises `InputError` if it has another type, or is none of the names that the setting takes.
    """
    optional, kind = type(None) in get_args(Settings.__annotations__[name]), kind_of(name)
    if value is None or value == "none":
        if not optional:
            raise InputError(f"{name} cannot be none: give it a value")
        return None
    if name == "hidden" and not isinstance(value, str | bool):
        widths = value if isinstance(value, Sequence) else [value]
        return ",".join(str(whole(width, "a width of hidden")) for width in widths)
    if kind is int:
        return whole(value, name, 0)
    if kind is float and not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value):
        return float(value)
    if kind is float or type(value) is not kind:
        wanted = {float: "a finite number", bool: "true or false", str: "a text"}[kind]
        raise InputError(f"{name} must be {wanted}, got {value!r}")
    if name in CHOICES and value not in CHOICES[name]:
        listed = f"one of {', '.join(CHOICES[name])}"
        raise InputError(f"{name} must be {listed}, got {value!r}{similar(value, CHOICES[name])}")
    return value
