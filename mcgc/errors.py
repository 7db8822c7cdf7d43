"""Every error that mcgc raises on purpose: one sentence each, saying what was wrong, where, and what to do."""

from collections.abc import Iterable


class McgcError(Exception):
    """Any error of the library's own."""


class InputError(McgcError, ValueError):
    """A value, name or option that the caller gave cannot be used."""


class DeviceError(InputError):
    """The device that was asked for is not there or cannot be used."""


class DatasetError(InputError):
    """A dataset file is missing, unreadable, or not laid out as its problem needs."""


class OutputError(InputError):
    """The place where results should go cannot be written."""


class TraceError(McgcError, TypeError):
    """A traced array, or a function under a transform, was used in a way that has no derivative."""


class SolveError(McgcError):
    """A differential equation could not be solved with the steps and tolerances allowed."""


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Return the sentence for a `name` that is none of the `known`: it lists them, and says which is similar."""
    known = list(known)
    return f"unknown {what} {name!r}: choose one of {', '.join(known)}{similar(name, known)}"


def similar(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" with the one or two of `known` that `name` resembles, or "" if none does."""
    from difflib import get_close_matches

    found = get_close_matches(str(name).lower(), known, n=2)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""
