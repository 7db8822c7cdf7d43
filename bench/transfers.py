"""How mcgc's side of a case reaches the device it computes on: nothing to do on the CPU, transfers with `--device`."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Transfers(NamedTuple):
    """`put` copies a host array to the device, and `wait(array)` returns once the array has been computed."""

    put: Callable[[Any], Any]
    wait: Callable[[Any], Any]


def transfers_to(name: str) -> Transfers:
    """Return the transfers to the device called `name`; on the CPU they do nothing."""
    from mcgc import arrays, devices

    device, _ = devices.select_device(name)
    if device is arrays.HOST:
        return Transfers(lambda array: array, lambda array: None)
    return Transfers(lambda array: arrays.to_device(array, device), arrays.to_host)
