"""How the command ends: every error that a user can cause is one sentence on stderr and an exit status."""

import sys
import traceback
from typing import Any, NoReturn

import click

from mcgc.errors import InputError, McgcError

MISTAKE, FAILURE, INTERRUPTED = 2, 1, 130


class Stopped(Exception):
    """The command ends here, with a sentence and an exit status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Sentences(click.Group):
    """A group whose commands answer mistakes with `mcgc: <sentence>` and never with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with what stopped it as an exception that carries its exit status."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped("interrupted, nothing was saved", INTERRUPTED) from None
        except (McgcError, Stopped) as error:
            if ctx.meta.get("debug"):
                traceback.print_exc()
            if isinstance(error, Stopped):
                raise
            raise Stopped(str(error), MISTAKE if isinstance(error, InputError) else FAILURE) from None
        except MemoryError as error:
            raise Stopped(f"out of memory: {error or 'nothing more is known'}", FAILURE) from None

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command and leave the process with its exit status."""
        try:
            status = super().main(*args, **options | {"standalone_mode": False})
        except click.ClickException as error:
            status = _say(error.format_message(), MISTAKE)
        except Stopped as stopped:
            status = _say(str(stopped), stopped.status)
        sys.exit(status)


def _say(sentence: str, status: int) -> int:
    click.echo(f"mcgc: {' '.join(sentence.split())}", err=True)
    return status
