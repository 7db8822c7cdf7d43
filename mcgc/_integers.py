"""Whole numbers that a caller gives: those of Python and NumPy alike, in their range, or one sentence."""

import operator
from typing import Any

from mcgc.errors import InputError


def whole(value: Any, name: str, lowest: int = 1, bits: int | None = None) -> int:
    """Return `value` as a Python int, which does not overflow. Booleans and floats are no whole numbers.

    Raises `InputError` if it is none, or not from `lowest` to 2**`bits` − 1, the latter where `bits` are given.
    """
    try:
        number = value if type(value) is int else operator.index(value)
    except TypeError:
        number = lowest - 1
    if type(value) is bool or number < lowest or (bits is not None and number >= 2**bits):
        allowed = f"of at least {lowest}" if bits is None else f"from {lowest} to 2**{bits} - 1"
        raise InputError(f"{name} must be a whole number {allowed}, got {value!r}")
    return number
