"""stdout and stderr as they may be: closed, full, or unable to encode what is to be printed."""

import codecs
import os
import sys
from contextlib import suppress

PLAIN = {"×": "x", "─": "-"}  # what the command prints that an encoding may lack


def prepare() -> bool:
    """Make stdout and stderr take every character, and return whether stdout is closed."""
    with suppress(OSError):
        while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:  # else a file of the run would be opened there
            pass
        os.close(opened)
    codecs.register_error("mcgc", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="mcgc")
    return sys.stdout is None


def drop() -> None:
    """Send what stdout still holds to nowhere, since Python would try to write it once more at its end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what is printed for a character that the encoding lacks: the byte of a file's name, or plain letters."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return PLAIN.get(character, ascii(character)[1:-1]), error.start + 1
