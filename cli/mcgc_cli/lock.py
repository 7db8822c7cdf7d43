"""One process for one output: a file beside it that says who writes."""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mcgc.errors import OutputError


@contextmanager
def locked(path: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the output `path`, the file `.<name>.lock` with host and process id in it.

    The system lets go of it when the process ends, however it ends; a file that is left of a dead process of this host
    is taken over, and `say` is told. Raises `OutputError` if another process holds it.
    """
    directory, base = os.path.split(os.path.realpath(path))
    name = os.path.join(directory, f".{base[:200]}.lock")
    try:
        lock = _open(name)
    except OSError as error:
        raise OutputError(f"output {path!r} cannot be locked ({error.strerror}): choose another place") from error
    try:
        _take(lock, name, path, say)
        try:
            yield
        finally:
            with suppress(OSError):
                os.unlink(name)
    finally:
        os.close(lock)


def _open(name: str) -> int:
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)


def _take(lock: int, name: str, path: str, say: Callable[[str], None]) -> None:
    here = socket.gethostname()
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = os.stat(name).st_ino == os.fstat(lock).st_ino  # else its holder has just removed it
    except OSError:
        free = False
    holder = os.pread(lock, 300, 0).decode(errors="replace").split()
    host, pid = holder if len(holder) == 2 else (here, "?")
    if not free or host != here:
        raise OutputError(
            f"output {path!r} is being written by process {pid} on {host}: wait for it, or choose another name "
            f"(if that process is gone, remove {name!r})"
        )
    if holder:
        say(f"taking over {path}: process {pid}, which was writing it, is gone")
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{here} {os.getpid()}\n".encode(), 0)
