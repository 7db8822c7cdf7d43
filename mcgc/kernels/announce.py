"""What is called when the first CPU kernel is compiled. Numba is not imported here."""

from collections.abc import Callable

_waiting: list[Callable[[], None]] = []


def when_compiling(announce: Callable[[], None]) -> None:
    """Have a function called when the first of the CPU kernels is about to be compiled.

    It is never called if Numba's cache has all kernels.

    Parameters
    ----------
    announce : function ()
        The function. It takes the place of one that was given before.

    Examples
    --------
    >>> from mcgc.kernels import when_compiling
    >>> when_compiling(lambda: None)  # a command would tell its user to wait
    """
    _waiting[:] = [announce]


def compiling() -> None:
    """Call what `when_compiling` was given, once."""
    if _waiting:
        _waiting.pop()()
