"""What is called when the first CPU kernel is compiled. Numba is not imported here."""

from collections.abc import Callable

_waiting: list[Callable[[], None]] = []


def when_compiling(announce: Callable[[], None]) -> None:
    """Call `announce()` when the first of the CPU kernels is about to be compiled.

    It is never called if Numba's cache has all kernels.
    """
    _waiting[:] = [announce]


def compiling() -> None:
    """Call what `when_compiling` was given, once."""
    if _waiting:
        _waiting.pop()()
