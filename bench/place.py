"""Where mcgc's side of a case computes: on the CPU, or with `--device` elsewhere."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Place(NamedTuple):
    """`put` places a host array there, and `wait(array)` waits until one has been computed."""

    put: Callable[[Any], Any]
    wait: Callable[[Any], Any]


def place_of(name: str) -> Place:
    """Return the place by the device's name; on the CPU nothing is moved, and nobody waits."""
    from mcgc import arrays, devices

    device, _ = devices.select_device(name)
    if device is arrays.HOST:
        return Place(lambda array: array, lambda array: None)
    return Place(lambda array: arrays.to_device(array, device), arrays.to_host)
