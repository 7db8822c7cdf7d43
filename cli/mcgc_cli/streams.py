"""Prepare stdout and stderr, which may be closed, full, or unable to encode a character."""

import codecs
import os
import sys
from contextlib import suppress

PLAIN = {"×": "x", "─": "-"}  # characters of the command that an encoding may lack


def prepare() -> bool:
    """Make stdout and stderr accept every character, and return whether stdout is closed."""
    with suppress(OSError):
        while (
            opened := os.open(os.devnull, os.O_RDWR)
        ) <= 2:  # else the next file that is opened would get this number
            pass
        os.close(opened)
    codecs.register_error("mcgc", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="mcgc")
    return sys.stdout is None


def drop() -> None:
    """Discard the rest of stdout, because Python would try to write it again at its end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return the text for a character that the encoding lacks: the byte of a file name, or plain letters."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return PLAIN.get(character, ascii(character)[1:-1]), error.start + 1
