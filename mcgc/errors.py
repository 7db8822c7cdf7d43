"""Every error that mcgc raises on purpose: one sentence each, saying what was wrong, where, and what to do."""

from collections.abc import Iterable
from typing import Any


class McgcError(Exception):
    """Any error of the library's own."""


class InputError(McgcError, ValueError):
    """A value, name or option that the caller gave cannot be used."""


class DeviceError(InputError):
    """The device that was asked for is not there or cannot be used."""


class DatasetError(InputError):
    """A dataset file is missing, unreadable, or not laid out as its problem needs."""


class OutputError(InputError):
    """The file or directory for results cannot be written."""


class ClusterError(McgcError):
    """A cluster has lost its scheduler, or one call too many of its workers."""


class TraceError(McgcError, TypeError):
    """A traced array, or a function under a transform, was used in a way that has no derivative."""


class SolveError(McgcError):
    """A differential equation could not be solved with the steps and tolerances allowed.

    Attributes
    ----------
    fitted : mcgc.train.Fitted or None
        What `mcgc.fit` had learned when it raised this; None elsewhere.
    """

    fitted: Any = None


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Return the sentence of an error for a name that is not known.

    Parameters
    ----------
    what : str
        What the name is of.
    name : object
        The name that was given.
    known : iterable of str
        The names that there are.

    Returns
    -------
    str
        The sentence. It lists the names, and says which is similar.

    Examples
    --------
    >>> from mcgc.errors import unknown
    >>> unknown("solver", "dopri6", ["euler", "dopri5"])
    "unknown solver 'dopri6': choose one of euler, dopri5; did you mean 'dopri5'?"
    """
    known = list(known)
    return f"unknown {what} {name!r}: choose one of {', '.join(known)}{similar(name, known)}"


def similar(name: object, known: Iterable[str]) -> str:
    """Return a question for the user after a name that resembles a known one.

    Parameters
    ----------
    name : object
        The name that was given.
    known : iterable of str
        The names that there are.

    Returns
    -------
    str
        "; did you mean 'x'?" with the one or two names that it resembles, or "" if it resembles none.

    Examples
    --------
    >>> from mcgc.errors import similar
    >>> similar("adm", ["sgd", "adam"]), similar("newton", ["sgd", "adam"])
    ("; did you mean 'adam'?", '')
    """
    from difflib import get_close_matches

    found = get_close_matches(str(name).lower(), known, n=2)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""
