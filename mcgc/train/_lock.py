"""One process for one output: a file beside it that says who writes."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mcgc.errors import OutputError
from mcgc.files import beside

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
FAR = 2**30  # of the byte that Windows locks: what is locked cannot be read there by others, and the holder's name is


@contextmanager
def locked(path: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the output `path`, the file `.<name>.lock` with host and process id in it.

    The system lets go of it when the process ends, however it ends; a file that is left of a dead process of this host
    is taken over, and `say` is told. Raises `OutputError` if another process holds it.
    """
    name = beside(path, ".lock")
    try:
        lock = os.open(name, FLAGS, 0o644)
    except OSError as error:
        raise OutputError(f"output {path!r} cannot be locked ({error.strerror}): choose another place") from error
    try:
        _take(lock, name, path, say)
        try:
            yield
        finally:
            with suppress(OSError):
                os.ftruncate(lock, 0)  # where the file cannot be removed while it is open, it names no holder
                os.unlink(name)
    finally:
        os.close(lock)


def _take(lock: int, name: str, path: str, say: Callable[[str], None]) -> None:
    here = socket.gethostname()
    try:
        _lock(lock)
        free = os.stat(name).st_ino == os.fstat(lock).st_ino  # else its holder has just removed it
    except OSError:
        free = False
    holder = os.read(lock, 300).decode(errors="replace").split()
    host, pid = holder if len(holder) == 2 else (here, "?")
    if not free or host != here:
        raise OutputError(
            f"output {path!r} is being written by process {pid} on {host}: wait for it, or choose another name "
            f"(if that process is gone, remove {name!r})"
        )
    if holder:
        say(f"taking over {path}: process {pid}, which was writing it, is gone")
    os.ftruncate(lock, 0)
    os.lseek(lock, 0, os.SEEK_SET)
    os.write(lock, f"{here} {os.getpid()}\n".encode())


def _lock(lock: int) -> None:
    """Lock the file for this process, or raise `OSError` if another one has it."""
    if fcntl is not None:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    os.lseek(lock, FAR, os.SEEK_SET)
    try:
        msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
    finally:
        os.lseek(lock, 0, os.SEEK_SET)
