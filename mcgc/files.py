"""Output files: each is there whole or not at all, even after a power cut.

All files that mcgc writes, which are runs, datasets, pictures and results, are written by `write`.
"""

import errno
import glob
import os
import secrets
import stat
import tempfile
import time
from contextlib import suppress

from mcgc.errors import OutputError

IN_MEMORY = "built in memory"  # the source of data that came from no file
_OLD = 3600.0  # seconds after which a partial file is taken to be left of a process that was killed


def check_writable(path: str | os.PathLike, overwrite: bool = False) -> None:
    """Raise an error if `write` could not write a file. Nothing is left there or beside it.

    Parameters
    ----------
    path : str or path
        The file.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    OutputError
        If the file cannot be written, it is no regular file, or it is there and may not be replaced.

    Examples
    --------
    >>> from mcgc import files
    >>> files.check_writable("mine.txt")
    >>> files.write("mine.txt", b"1")
    >>> files.check_writable("mine.txt")
    Traceback (most recent call last):
        ...
    mcgc.errors.OutputError: output 'mine.txt' exists: choose another name, or replace it with --force
    """
    name, mode = os.fspath(path), None
    try:
        path = os.path.realpath(path)  # which fails where the working directory is gone
        with tempfile.TemporaryFile(dir=os.path.dirname(path)):
            pass
        with suppress(FileNotFoundError):
            mode = os.stat(path).st_mode
    except OSError as error:
        raise _refusal(name, error) from None
    if mode is None:
        return
    if stat.S_ISDIR(mode):
        raise OutputError(f"output {name!r} is a directory: give the name of a file in it")
    if not stat.S_ISREG(mode):
        raise OutputError(f"output {name!r} is not a regular file, and is not replaced: choose another name")
    if not overwrite:
        raise OutputError(f"output {name!r} exists: choose another name, or replace it with --force")


def write(path: str | os.PathLike, content: bytes, overwrite: bool = True) -> None:
    """Write a file, so that other processes see all of it or nothing, even after a power cut.

    The content is written to a hidden file beside `path`, brought to the disk, and given its name in one step. Several
    processes may do so at once. Symbolic links are followed, and a file that is replaced keeps its permissions.

    Parameters
    ----------
    path : str or path
        The file.
    content : bytes
        What it will hold.
    overwrite : bool
        Whether a file that is there is replaced.

    Raises
    ------
    OutputError
        If the file cannot be written, or if it is there and `overwrite` is False. What was there is left as it was.

    Examples
    --------
    >>> from pathlib import Path
    >>> from mcgc import files
    >>> files.write("mine.txt", b"1")
    >>> Path("mine.txt").read_text()
    '1'
    """
    check_writable(path, overwrite)
    name, path = os.fspath(path), os.path.realpath(path)
    _remove_old(path)
    temporary = beside(path, f".{secrets.token_hex(4)}.partial")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _publish(temporary, path, overwrite)
    except OSError as error:
        raise _refusal(name, error) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def beside(path: str | os.PathLike, ending: str) -> str:
    """Return the path of a hidden file beside another.

    Parameters
    ----------
    path : str or path
        The other file.
    ending : str
        The end of the hidden file's name.

    Returns
    -------
    str
        The absolute path. Its last part is a dot, the name of `path` cut to 200 bytes, and the ending.

    Examples
    --------
    >>> import os
    >>> from mcgc.files import beside
    >>> os.path.basename(beside("mine.h5", ".lock"))
    '.mine.h5.lock'
    """
    directory, base = os.path.split(os.path.realpath(path))
    return os.path.join(directory, f".{os.fsdecode(os.fsencode(base)[:200])}{ending}")


def _remove_old(path: str) -> None:
    """Remove the partial files of `path` that processes left when they were killed."""
    for old in glob.glob(glob.escape(beside(path, ".")) + "*.partial"):
        with suppress(OSError):
            if time.time() - os.stat(old).st_mtime > _OLD:
                os.unlink(old)


def _publish(temporary: str, path: str, overwrite: bool) -> None:
    """Give the finished file its name, and see that the name is on the disk."""
    if overwrite:
        with suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    else:
        try:
            os.link(temporary, path)  # which, unlike a rename, never replaces a file made in the meantime
        except OSError:  # there is such a file, or the file system has no hard links
            check_writable(path)
            os.replace(temporary, path)
    with suppress(PermissionError):  # Windows opens no directories
        directory = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _refusal(name: str, error: OSError) -> OutputError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "make room there" if full else "choose a directory that exists and can be written"
    return OutputError(f"output {name!r} cannot be written ({error.strerror}): {remedy}")
