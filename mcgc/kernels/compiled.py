"""`compiled`: a loop compiled by Numba and cached on disk. Nothing else asks for Numba's cache.

Numba tries the directory that `NUMBA_CACHE_DIR` names, the directory of the source, and the user's cache directory. If
it can write to none of them, mcgc's own cache directory is tried. If that fails too, every process compiles anew.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numba import config, njit, types
from numba.core import event

from mcgc._version import __version__
from mcgc.kernels import announce

_warned: list[str] = []  # why nothing is cached, once the user was told


def compiled(function: Callable | None = None, interpreted: Callable | None = None, **options: Any) -> Any:
    """Return `function` compiled by Numba with `options`.

    If `NUMBA_DISABLE_JIT` is set, return `interpreted` if it is given, else `function` itself.
    """
    if function is None:
        return partial(compiled, interpreted=interpreted, **options)
    if config.DISABLE_JIT:  # as in compiled code, integers wrap around without a warning
        return np.errstate(all="ignore")(interpreted or function)
    return cached(_for_all_numbers(njit(**options)(function)), config)


def inner(**options: Any) -> Callable:
    """Return a decorator for functions that only compiled ones call: Numba makes no wrappers of them, and no files.

    With inline="always" they become part of what calls them. Where that is one place, it is compiled sooner.
    """
    make = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
    return make if config.DISABLE_JIT else lambda function: _for_all_numbers(make(function))


def _for_all_numbers(dispatcher: Any) -> Any:
    """Return `dispatcher`, which now has one version for a number written out in a call and for any other.

    Numba compiles one for each kind of argument, and a literal is a kind of its own: of a solution, half the versions.
    """
    resolve = dispatcher.get_call_template

    def resolved(args: Any, kws: Any) -> Any:
        return resolve([types.unliteral(x) for x in args], {name: types.unliteral(x) for name, x in kws.items()})

    dispatcher.get_call_template = resolved
    return dispatcher


def cached(dispatcher: Any, settings: Any) -> Any:
    """Return `dispatcher` with a cache on disk if a directory can be written; `settings` are its compiler's."""
    try:
        _enable(dispatcher)
    except RuntimeError:  # Numba has found no directory
        from platformdirs import user_cache_dir

        given, settings.CACHE_DIR = settings.CACHE_DIR, user_cache_dir("mcgc", appauthor=False)
        try:
            _enable(dispatcher)
        except RuntimeError:
            _warn_not_cached("no directory for them can be written")
        finally:
            settings.CACHE_DIR = given
    return dispatcher


def _enable(dispatcher: Any) -> None:
    dispatcher.enable_caching()
    cache = dispatcher._cache
    index = cache._cache_file
    index._source_stamp = index._source_stamp, _sources()  # Numba's is of one file, and others are compiled into it

    @contextmanager
    def emptied_if_damaged() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _warn_not_cached(str(error))
        except Exception:  # unpickling a damaged cache may raise anything
            with suppress(OSError):
                cache.flush()

    cache._guard_against_spurious_io_errors = emptied_if_damaged


@cache
def _sources() -> bytes:
    """Return a hash of the sources of kernels and solvers and of the version, which stands for the rest of the code."""
    here = Path(__file__).parent
    texts = (path.read_bytes() for part in (here, here.parent / "ode") for path in sorted(part.glob("*.py")))
    return sha256(b"".join([__version__.encode(), *texts])).digest()


def _warn_not_cached(reason: str) -> None:
    if not _warned:
        line = "mcgc: compiled kernels are not cached (%s): set NUMBA_CACHE_DIR to a directory that can be written"
        logging.getLogger("mcgc").warning(line, reason)
        _warned.append(reason)


def laid_out(array: np.ndarray) -> np.ndarray:
    """Return `array`, or a copy, as a row-major, aligned and writable array of NumPy's own type.

    So one compiled function serves all arrays.
    """
    return array if type(array) is np.ndarray and array.flags.carray else np.array(array, order="C")


class _Compiling(event.Listener):
    """Calls what `mcgc.kernels.when_compiling` was given, when the first of the kernels is compiled."""

    def on_start(self, event: Any) -> None:
        if event.data["dispatcher"].py_func.__module__.startswith("mcgc."):
            announce.compiling()

    def on_end(self, event: Any) -> None:
        """Do nothing."""


event.register("numba:compile", _Compiling())
