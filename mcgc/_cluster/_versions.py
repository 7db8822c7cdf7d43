"""Whether a worker computes the same numbers: the versions that these depend on."""

from collections.abc import Callable, Mapping
from typing import Any

REFUSED = "refused"  # what a guarded call returns in front of the worker and what differs


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
    """Return a function for workers that calls `module.name`, if the versions there are those of `here`.

    Otherwise it returns (`REFUSED`, the address of the worker, what differs). It is sent by value, and needs nothing of
    mcgc before it has compared the versions.
    """
    wanted, refused, read = dict(here), REFUSED, _reader()

    def call(*args: Any) -> Any:
        from importlib import import_module

        there = read()
        differs = [
            f"{key} {there[key]} in place of {version}" for key, version in wanted.items() if there[key] != version
        ]
        if differs:
            from distributed import get_worker

            return refused, get_worker().address, ", ".join(differs)
        return getattr(import_module(module), name)(*args)

    return call
