"""Checks of an installation: kernels against references, a device against the host, the engine against autograd."""

from mcgc.checks import device, engine, kernels

__all__ = [
    "device",
    "engine",
    "kernels",
]
