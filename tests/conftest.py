"""Fixtures: the devices that tests run on."""

import array_api_strict
import pytest

from mcgc.arrays import HOST, Device
from mcgc.autodiff import Traced


@pytest.fixture
def strict(monkeypatch):
    """Give the second device of array-api-strict, on which every implicit transfer to the host raises."""

    def refuse(self, *args):
        raise AssertionError("implicit transfer of a device array to the host")

    def deferring(operator):
        return lambda self, other: NotImplemented if type(other) is Traced else operator(self, other)

    kind = type(array_api_strict.zeros(1))
    for name in ("__bool__", "__float__", "__int__", "__index__", "__complex__"):
        monkeypatch.setattr(kind, name, refuse)
    for name in ("add", "sub", "mul", "truediv", "pow", "matmul", "lt", "le", "gt", "ge"):
        # as NumPy and CuPy do for a class that opts out of ufuncs; array-api-strict raises instead
        monkeypatch.setattr(kind, f"__{name}__", deferring(getattr(kind, f"__{name}__")))
    return Device("strict", array_api_strict, array_api_strict.Device("device1"))


@pytest.fixture(params=["numpy", "strict"])
def device(request):
    """Give each device in turn: the host, and the one that refuses implicit transfers."""
    return HOST if request.param == "numpy" else request.getfixturevalue("strict")
