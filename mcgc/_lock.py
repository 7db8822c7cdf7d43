"""One process for one output: a lock beside it, and a file that says who holds the lock."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mcgc import files
from mcgc.errors import OutputError


@contextmanager
def locked(path: str, message: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the output `path`, and name this process as its holder.

    The lock is on the file `.<name>.lock`. The system lets go of it when the process ends, however it ends. The file
    `.<name>.holder` has host and process id. One that is left of a dead process of this host is taken over, and
    `message` is called with a sentence. Both files are removed at the end.

    Raises `OutputError` if another process holds the lock, if the holder was on another host and has left its file, or
    if the lock cannot be made there.
    """
    from filelock import FileLock, Timeout

    holder, here = files.beside(path, ".holder"), socket.gethostname()
    lock = FileLock(files.beside(path, ".lock"), timeout=0, fallback_to_soft=False)
    try:
        os.stat(os.path.dirname(holder))  # filelock would make the directory
        lock.acquire()
    except Timeout:
        raise _refusal(path, holder) from None
    except OSError as error:
        raise OutputError(f"output {path!r} cannot be locked ({error.strerror}): choose another directory") from error
    try:
        if left := _read(holder):
            host, pid = left
            if host != here:  # where a lock here says nothing
                raise _refusal(path, holder)
            message(f"taking over {path}: process {pid}, which was writing it, is gone")
        files.write(holder, f"{here} {os.getpid()}\n".encode())
        try:
            yield
        finally:
            _remove(holder)
    finally:
        _remove(lock.lock_file)
        lock.release()


def held(path: str) -> bool:
    """Tell whether a process writes the output `path`, as far as one can know without taking its lock.

    A process on another host, or on Windows, counts as there as long as its file is.
    """
    if not (named := _read(files.beside(path, ".holder"))):
        return False
    host, pid = named
    if host != socket.gethostname() or os.name != "posix" or not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)  # which sends nothing
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return True


def _read(holder: str) -> list[str]:
    """Return host and process id of the file `holder`, or nothing if they are not there."""
    with suppress(OSError), open(holder, encoding="utf-8", errors="replace") as file:
        words = file.read(300).split()
        return words if len(words) == 2 else []
    return []


def _remove(name: str) -> None:
    with suppress(OSError):  # Windows removes no file that is open; filelock does it there
        os.unlink(name)


def _refusal(path: str, holder: str) -> OutputError:
    host, pid = _read(holder) or (socket.gethostname(), "?")
    return OutputError(
        f"output {path!r} is being written by process {pid} on {host}: wait for it, or choose another name "
        f"(if that process is gone, remove {holder!r})"
    )
