"""SIGINT and SIGTERM, noted when they come and heeded where it suits."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A signal came: `status` is the exit status that tells so."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def noted() -> Iterator[Callable[[], None]]:
    """Give a function that raises `Interrupted` once a signal has come; a second signal ends the process at once.

    An exception from the handler itself would come out of whatever runs then, compiled code among it.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        for each in NUMBERS:
            signal.signal(each, signal.SIG_DFL)

    def heed() -> None:
        if came:
            raise Interrupted(came[0])

    before = {number: signal.signal(number, note) for number in NUMBERS}
    try:
        yield heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
