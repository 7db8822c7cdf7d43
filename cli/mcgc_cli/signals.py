"""SIGINT, SIGTERM and SIGHUP, noted when they come, and acted on between steps."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(Exception):
    """A signal came: `status` is the exit status that tells so."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Give a function that raises `Interrupted` once a signal has come; a second signal, but for a
    hang-up, ends the process at once.

    An exception from the handler itself would come out of whatever runs then, compiled code among it. What the
    process was told to ignore, such as a hang-up by nohup, stays ignored, but for SIGINT: a shell that starts a process
    in the background has it ignore that.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        for each in before:
            # of hang-ups one comes from the system and another from the shell
            signal.signal(each, signal.SIG_DFL if each in NUMBERS[:2] else signal.SIG_IGN)

    def check() -> None:
        if came:
            raise Interrupted(came[0])

    caught = [number for number in NUMBERS if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT]
    before = {number: signal.signal(number, note) for number in caught}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
