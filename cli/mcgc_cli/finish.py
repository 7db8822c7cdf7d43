"""Train a run to its last epoch, show its progress, and stop on signals and errors."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mcgc.errors import McgcError
from mcgc.kernels import when_compiling
from mcgc.train import Hook, Processes, SaveError
from mcgc_cli.errors import FAILURE, INTERRUPTED, Stopped
from mcgc_cli.options import with_flags
from mcgc_cli.signals import Interrupted, interruptible

if TYPE_CHECKING:
    from mcgc.train import Record, Run, Strategy


def by(workers: int) -> "Strategy | None":
    """Return what advances members in so many processes, None for one."""
    return Processes(workers) if workers > 1 else None


class _Shown(Hook):
    """Shows epochs and messages, and stops the run after a signal."""

    def __init__(self, check: Callable[[], None], show: Callable[[Any], None], tell: Callable[[str], None]) -> None:
        self.check, self.show, self.tell = check, show, tell

    def before_step(self) -> None:
        self.check()

    def after_epoch(self, record: "Record") -> None:
        self.show(record)
        self.check()

    def message(self, sentence: str) -> None:
        self.tell(sentence)


def finish(
    run: "Run",
    strategy: "Strategy | None",
    show: Callable[[Any], None],
    tell: Callable[[str], None],
    command: Callable[[str], str],
    nothing: str = "nothing was saved",
    hooks: Sequence[Hook] = (),
) -> None:
    """Train `run` to its last epoch with `strategy`.

    `command(path)` is the command that continues the run file at `path`. The sentence `nothing` is printed if there is
    no file. `hooks` are called beside those of the command. Raises `Stopped` for a signal and for every error except a
    bug, and says what was saved.
    """
    when_compiling(lambda: tell("compiling the kernels, once"))
    try:
        with interruptible() as check:
            for _ in run.epochs(strategy, [_Shown(check, show, tell), *hooks]):
                pass
    except SaveError as failure:
        raise Stopped(str(failure), FAILURE) from failure
    except (McgcError, Interrupted, KeyboardInterrupt) as failure:
        interrupted = isinstance(failure, Interrupted | KeyboardInterrupt)
        what = "interrupted, " if interrupted else f"{with_flags(str(failure))}; "
        saved = f"the epochs so far are saved in {run.path}: continue with {command(run.path)}"
        status = getattr(failure, "status", INTERRUPTED if interrupted else FAILURE)
        raise Stopped(what + (saved if run.records or run.ahead else nothing), status) from failure
