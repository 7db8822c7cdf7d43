"""Sides of a comparison, which processes of the benchmark import by name."""

import os

from bench.timing import Side


def worker_of(**options):
    """Give a side that takes no time and tells what its process was given."""
    values = {"value": options["value"], "threads": os.environ["OMP_NUM_THREADS"], "device": options.get("device")}
    return Side(lambda: sum(range(10_000)), 1, values)


def half_of(**options):
    """Give a side that does twice the work of the first, and half the number."""
    return Side(lambda: sum(range(20_000)), 1, {"value": options["value"] / 2})


def absent(**options):
    """Give a side whose library is not installed."""
    raise ModuleNotFoundError("No module named 'peer'", name="peer")


SIDES = {"mcgc": worker_of, "half": half_of, "absent": absent}
