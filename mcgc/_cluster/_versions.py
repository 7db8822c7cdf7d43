"""Whether a worker computes the same numbers: the versions that these depend on."""

from collections.abc import Callable, Mapping
from typing import Any

REFUSED, LACKING = "refused", "lacking"  # what a guarded call returns in front of the worker and a sentence


def _reader() -> Callable[[], dict[str, str]]:
    """Return a function that reads the versions of a process. It can be sent to one that lacks mcgc."""

    def read() -> dict[str, str]:
        import sys
        from importlib import import_module

        found = {"python": ".".join(map(str, sys.version_info[:2]))}
        for name in ("mcgc", "numpy", "numba", "llvmlite"):
            try:
                found[name] = import_module(name).__version__
            except ImportError:
                found[name] = "missing"
        return found

    return read


def versions() -> dict[str, str]:
    """Return the versions of Python, mcgc and the packages that numbers depend on, in this process."""
    return _reader()()


def guarded(module: str, name: str, here: Mapping[str, str]) -> Callable[..., Any]:
    """Return a function of (key, argument) for workers that calls `module.name` with (key, what is shared, argument).

    Where the versions are not those of `here` it returns (`REFUSED`, the address of the worker, what differs), and
    where nothing is kept under the key (`LACKING`, the address, ""). It is sent by value, and needs nothing of mcgc
    before it has compared the versions.
    """
    wanted, refused, lacking, read = dict(here), REFUSED, LACKING, _reader()

    def call(key: str, argument: bytes) -> Any:
        from importlib import import_module

        there = read()
        differs = [
            f"{key} {there[key]} in place of {version}" for key, version in wanted.items() if there[key] != version
        ]
        shared = None if differs else import_module("mcgc._cluster._store").get(key)
        if shared is None:
            from distributed import get_worker

            return refused if differs else lacking, get_worker().address, ", ".join(differs)
        return getattr(import_module(module), name)(key, shared, argument)

    return call
