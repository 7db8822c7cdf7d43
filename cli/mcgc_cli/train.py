"""One run from its settings to its last epoch, saved as it goes: what `mcgc fit` does, and a task for each arm."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from mcgc import train
from mcgc.arrays import Device
from mcgc.errors import McgcError
from mcgc.kernels import when_compiling
from mcgc.train import Settings
from mcgc.train._packing import unpack
from mcgc.train._processes import workers as processes
from mcgc.train._stacked import advance_on
from mcgc_cli.saving import Saver
from mcgc_cli.sentences import FAILURE, INTERRUPTED, Stopped
from mcgc_cli.signals import Interrupted


def train_and_save(
    saver: Saver,
    settings: Settings,
    data: Any,
    place: Device,
    *,
    workers: int,
    heed: Callable[[], None],
    show: Callable[[Any], None],
    say: Callable[[str], None],
    again: Callable[[str], str],
    nothing: str = "nothing was saved",
) -> None:
    """Train on `data` from the epoch that `saver` is at to the last one, and let it save.

    `heed()` is called between steps, to raise `Interrupted`; `again(path)` is the command that goes on with the run
    file at `path`, and `nothing` what is said where there is none. Raises `Stopped`, with what was saved, for an
    interrupt and for every error but a bug.
    """
    when_compiling(lambda: say("compiling the kernels, once"))
    task = train.bind(settings, data, place)
    saver.scale(task.scaling)
    members = train.draw(task) if not saver.states else unpack(saver.states[0], train.draw(task), place)
    advance_all = advance_on(place, heed)
    with ExitStack() as stack:
        if workers > 1:
            advance_all = stack.enter_context(processes(workers, settings, data, pause=heed, say=say))
        try:
            for record, after in train.epochs(task, members, saver.epoch, advance_all):
                saver.take(record, after)
                show(record)
                heed()
        except (Exception, KeyboardInterrupt) as failure:
            saver.save()
            if not isinstance(failure, McgcError | Interrupted | KeyboardInterrupt):
                raise  # a bug
            what = "interrupted, " if isinstance(failure, Interrupted | KeyboardInterrupt) else f"{failure}; "
            saved = f"the epochs so far are saved in {saver.path}: {again(saver.path)} goes on"
            status = getattr(failure, "status", INTERRUPTED if isinstance(failure, KeyboardInterrupt) else FAILURE)
            raise Stopped(what + (saved if saver.records else nothing), status) from failure
