"""A run trained to its last epoch, with what the command shows and how it ends."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mcgc.errors import McgcError
from mcgc.kernels import when_compiling
from mcgc.train import Hook, Processes, SaveError
from mcgc_cli.errors import FAILURE, INTERRUPTED, Stopped
from mcgc_cli.options import with_flags
from mcgc_cli.signals import Interrupted, interruptible

if TYPE_CHECKING:
    from mcgc.train import Record, Run


class _Shown(Hook):
    """Shows epochs and messages, and stops the run when a signal has come."""

    def __init__(self, check: Callable[[], None], show: Callable[[Any], None], say: Callable[[str], None]) -> None:
        self.check, self.show, self.say = check, show, say

    def before_step(self) -> None:
        self.check()

    def after_epoch(self, record: "Record") -> None:
        self.show(record)
        self.check()

    def message(self, sentence: str) -> None:
        self.say(sentence)


def finish(
    run: "Run",
    workers: int,
    show: Callable[[Any], None],
    say: Callable[[str], None],
    again: Callable[[str], str],
    nothing: str = "nothing was saved",
) -> None:
    """Train `run` to its last epoch.

    `again(path)` is the command that goes on with the run file at `path`, and `nothing` is said where there is no file.
    Raises `Stopped`, with what was saved, for a signal and for every error but a bug.
    """
    when_compiling(lambda: say("compiling the kernels, once"))
    try:
        with interruptible() as check:
            for _ in run.epochs(Processes(workers) if workers > 1 else None, [_Shown(check, show, say)]):
                pass
    except SaveError as failure:
        raise Stopped(str(failure), FAILURE) from failure
    except (McgcError, Interrupted, KeyboardInterrupt) as failure:
        interrupted = isinstance(failure, Interrupted | KeyboardInterrupt)
        what = "interrupted, " if interrupted else f"{with_flags(str(failure))}; "
        saved = f"the epochs so far are saved in {run.path}: {again(run.path)} goes on"
        status = getattr(failure, "status", INTERRUPTED if interrupted else FAILURE)
        raise Stopped(what + (saved if run.records else nothing), status) from failure
