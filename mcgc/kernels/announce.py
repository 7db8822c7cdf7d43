"""What is called when the first CPU kernel is compiled. Numba is not imported here."""

from collections.abc import Callable

_waiting: list[Callable[[], None]] = []


def when_compiling(say: Callable[[], None]) -> None:
    """Call `say()` when the first of the CPU kernels is about to be compiled; never, if Numba's cache has them all."""
    _waiting[:] = [say]


def compiling() -> None:
    """Call what `when_compiling` was given, once."""
    if _waiting:
        _waiting.pop()()
