"""`compiled`: a loop compiled by Numba, and kept on disk where there is a place. Nothing else asks for Numba's cache.

Numba looks for a place in the directory that `NUMBA_CACHE_DIR` names, beside the source, and in the user's cache
directory. Where it finds none, mcgc's own cache directory is tried, and after that every process compiles anew.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numba import config, njit
from numba.core import event

from mcgc._version import __version__
from mcgc.kernels import announce

_said: list[str] = []  # why nothing is kept, once it has been said


def compiled(function: Callable | None = None, interpreted: Callable | None = None, **options: Any) -> Any:
    """Return `function` compiled by Numba with `options`.

    Where `NUMBA_DISABLE_JIT` is set it is returned as it is, or `interpreted` in its place if it needs the compiler.
    """
    if function is None:
        return partial(compiled, interpreted=interpreted, **options)
    if config.DISABLE_JIT:  # as in compiled code, integers wrap around without a warning
        return np.errstate(all="ignore")(interpreted or function)
    return kept(njit(**options)(function), config)


def kept(dispatcher: Any, settings: Any) -> Any:
    """Return `dispatcher` with a cache on disk, if there is a place; `settings` are those of its compiler."""
    try:
        _enable(dispatcher)
    except RuntimeError:  # Numba has found no place
        from platformdirs import user_cache_dir

        given, settings.CACHE_DIR = settings.CACHE_DIR, user_cache_dir("mcgc", appauthor=False)
        try:
            _enable(dispatcher)
        except RuntimeError:
            _say_that_nothing_is_kept("no directory for them can be written")
        finally:
            settings.CACHE_DIR = given
    return dispatcher


def _enable(dispatcher: Any) -> None:
    dispatcher.enable_caching()
    kept_code = dispatcher._cache
    index = kept_code._cache_file
    index._source_stamp = index._source_stamp, _sources()  # Numba's is of one file, and others are compiled into it

    @contextmanager
    def emptied_if_damaged() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _say_that_nothing_is_kept(str(error))
        except Exception:  # whatever bytes that are no cache make of unpickling them
            with suppress(OSError):
                kept_code.flush()

    kept_code._guard_against_spurious_io_errors = emptied_if_damaged


@cache
def _sources() -> bytes:
    """Return a hash of the sources of all kernels, and of the version, for what they take from elsewhere."""
    texts = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return sha256(b"".join([__version__.encode(), *texts])).digest()


def _say_that_nothing_is_kept(reason: str) -> None:
    if not _said:
        line = "mcgc: compiled kernels are not kept, since %s: set NUMBA_CACHE_DIR to a directory that can be written"
        logging.getLogger("mcgc").warning(line, reason)
        _said.append(reason)


def laid_out(array: np.ndarray) -> np.ndarray:
    """Return `array` as compiled code takes it: row-major, aligned and writable, so that there is one code for all."""
    return array if type(array) is np.ndarray and array.flags.carray else np.array(array, order="C")


class _Compiling(event.Listener):
    """Calls what `mcgc.kernels.when_compiling` was given, when the first of the kernels is compiled."""

    def on_start(self, event: Any) -> None:
        if event.data["dispatcher"].py_func.__module__.startswith("mcgc."):
            announce.compiling()

    def on_end(self, event: Any) -> None:
        """Do nothing."""


event.register("numba:compile", _Compiling())
