"""SIGINT, SIGTERM and SIGHUP: recorded when they arrive, and handled between steps."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(Exception):
    """A signal arrived. `status` is the exit status for it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Yield a function that raises `Interrupted` if a signal has arrived.

    A second signal ends the process at once, except SIGHUP. The handler itself does not raise, because its exception
    could appear anywhere, even inside compiled code. Ignored signals stay ignored, such as SIGHUP under nohup. Only
    SIGINT is handled even if it was ignored, because a shell makes its background processes ignore it.
    """
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for each in before:
            # a closed terminal sends SIGHUP twice: from the system and from the shell
            signal.signal(each, signal.SIG_DFL if each in NUMBERS[:2] else signal.SIG_IGN)

    def check() -> None:
        if received:
            raise Interrupted(received[0])

    caught = [number for number in NUMBERS if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT]
    before = {number: signal.signal(number, handle) for number in caught}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
