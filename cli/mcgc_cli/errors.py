"""How the command ends: every error that a user can cause is one sentence on stderr and an exit status."""

import errno
import os
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

import click

from mcgc.errors import InputError, McgcError
from mcgc_cli import streams
from mcgc_cli.suggestions import corrected

MISTAKE, FAILURE, INTERRUPTED = 2, 1, 130


class Stopped(Exception):
    """The command ends here, with a sentence and an exit status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class ErrorGroup(click.Group):
    """A group whose commands answer mistakes with `mcgc: <sentence>` and never with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with what stopped it as an exception that carries its exit status."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped("interrupted, nothing was saved", INTERRUPTED) from None
        except (McgcError, Stopped, OSError) as error:
            if ctx.meta.get("debug"):
                traceback.print_exc()
            if isinstance(error, Stopped) or getattr(error, "errno", None) == errno.EPIPE:
                raise
            if isinstance(error, OSError):
                raise _refused(error) from None
            raise Stopped(str(error), MISTAKE if isinstance(error, InputError) else FAILURE) from None
        except MemoryError as error:
            raise Stopped(f"out of memory: {error or 'nothing more is known'}", FAILURE) from None

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command and leave the process with its exit status."""
        closed = streams.prepare()
        try:
            status = super().main(*args, **options | {"standalone_mode": False})
            if closed and not status:
                raise Stopped("stdout is closed, so that nothing could be printed", FAILURE)
        except click.ClickException as error:
            status = _say(corrected(error), MISTAKE)
        except OSError as error:
            stopped = _refused(error)
            status = _say(str(stopped), stopped.status)
        except Stopped as stopped:
            status = _say(str(stopped), stopped.status)
        sys.exit(status)


def _refused(error: OSError) -> Stopped:
    """Return what ends the command where the system refuses something: its directory is gone, or stdout is full."""
    try:
        os.getcwd()
    except OSError:
        return Stopped("the working directory is gone: change to one that exists", MISTAKE)
    if error.filename is None:
        streams.drop()
    place = "the output" if error.filename is None else repr(error.filename)
    return Stopped(f"{place} cannot be read or written ({error.strerror or error})", FAILURE)


def tell(sentence: str) -> None:
    """Print `sentence` on stderr; that it cannot be printed, as when the terminal is gone, stops nothing."""
    with suppress(OSError):
        if sys.stderr is not None:  # a live bar stands in its place, and lets the sentence by
            print(sentence, file=sys.stderr, flush=True)


def _say(sentence: str, status: int) -> int:
    tell(f"mcgc: {' '.join(sentence.split())}")
    return status
