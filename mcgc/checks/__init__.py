"""Checks of an installation: kernels against their meaning, a device against the host, the engine against autograd."""

from mcgc.checks import device, engine, kernels

__all__ = [
    "device",
    "engine",
    "kernels",
]
