"""The end of the command: every error of a user is one sentence on stderr and an exit status."""

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
    """Ends the command with a sentence and an exit status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class ErrorGroup(click.Group):
    """A group whose commands answer a mistake with `mcgc: <sentence>` and without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and turn an error into an exception with an exit status."""
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
            raise Stopped(f"out of memory: {error or 'no details are known'}", FAILURE) from None

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command and end the process with its exit status."""
        closed = streams.prepare()
        try:
            status = super().main(*args, **options | {"standalone_mode": False})
            if closed and not status:
                raise Stopped("stdout is closed, so nothing could be printed", FAILURE)
        except click.ClickException as error:
            status = _report(corrected(error), MISTAKE)
        except OSError as error:
            stopped = _refused(error)
            status = _report(str(stopped), stopped.status)
        except Stopped as stopped:
            status = _report(str(stopped), stopped.status)
        sys.exit(status)


def _refused(error: OSError) -> Stopped:
    """Return the end of the command after an error of the system, such as a missing directory or a full stdout."""
    try:
        os.getcwd()
    except OSError:
        return Stopped("the working directory does not exist: change to another", MISTAKE)
    if error.filename is None:
        streams.drop()
    what = "the output" if error.filename is None else repr(error.filename)
    return Stopped(f"{what} cannot be read or written ({error.strerror or error})", FAILURE)


def tell(sentence: str) -> None:
    """Print `sentence` on stderr. If it cannot be printed, as without a terminal, the command continues."""
    with suppress(OSError):
        if sys.stderr is not None:  # a progress bar replaces it, and prints above itself
            print(sentence, file=sys.stderr, flush=True)


def _report(sentence: str, status: int) -> int:
    tell(f"mcgc: {' '.join(sentence.split())}")
    return status
