"""Equations on the command line: the function FILE.py:NAME, and its parameters as text."""

import os
from collections.abc import Callable
from typing import Any

from mcgc._modules import module_of
from mcgc.errors import InputError

METAVAR = "NAME[=START][:MIN:MAX][:log],..."
PARAMETERS = "Parameters of the field, such as a:0.1:10:log,b=0.2,c=3:fixed. Without a start: mid-bounds."


def function_of(text: str) -> Callable[..., Any]:
    """Return the function that FILE.py:NAME names."""
    path, colon, name = text.rpartition(":")
    if not (colon and path.endswith(".py")):
        raise InputError(f"the field is given as FILE.py:NAME, got {text!r}")
    path = os.path.abspath(path)
    module = module_of(path, "model file")
    if not callable(getattr(module, name, None)):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(f"model file {path!r} has no function {name!r}: choose of {', '.join(known) or 'none'}")
    function: Callable[..., Any] = getattr(module, name)
    return function


def parameters_of(text: str) -> dict[str, Any]:
    """Return the parameters of a text such as "a=0.2:0:1,b:0.1:10:log,c=3:fixed"."""
    from mcgc import Parameter

    found = {}
    for entry in text.split(","):
        head, *rest = (part.strip() for part in entry.split(":"))
        name, equals, value = (part.strip() for part in head.partition("="))
        words = [part for part in rest if part in ("log", "fixed")]
        bounds = [part for part in rest if part not in ("log", "fixed")]
        try:
            start, limits = float(value) if equals else None, [float(part) for part in bounds]
        except ValueError:
            start, limits = None, [0.0]
        if not name or len(limits) not in (0, 2) or (start is None and not limits):
            raise InputError(
                f"--parameters has {entry.strip()!r}: give NAME=START, NAME:MIN:MAX or both, with :log or :fixed"
            )
        if name in found:
            raise InputError(f"--parameters names {name!r} twice: name it once")
        low, high = limits or (-float("inf"), float("inf"))
        log = "log" in words
        if start is None:
            if log and not low > 0:
                raise InputError(f"parameter {name!r} with :log needs a start, or a bound above 0")
            start = (low * high) ** 0.5 if log else (low + high) / 2
        if log and not limits:
            low = 0.0
        found[name] = Parameter(start, low, high, fixed="fixed" in words, log=log)
    return found
