"""Fixtures: the devices that tests run on."""

import array_api_strict
import pytest

from mcgc.arrays import HOST, Device
from mcgc.autodiff import Traced
from mcgc.devices import select_device
from mcgc.errors import DeviceError

GPU = pytest.param("cuda", marks=pytest.mark.gpu)  # in no default run
LACKS = pytest.StashKey[str]()


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


@pytest.fixture(scope="session")
def cuda(pytestconfig):
    """Give the GPU, or skip with what it lacks."""
    try:
        return select_device("cuda")[0]
    except DeviceError as error:
        pytestconfig.stash[LACKS] = str(error)
        pytest.skip(str(error))


def pytest_terminal_summary(terminalreporter, config):
    """Say once why tests on a GPU were skipped."""
    if LACKS in config.stash:
        terminalreporter.write_line(f"no test ran on a GPU: {config.stash[LACKS]}")


@pytest.fixture(params=["numpy", "strict", GPU])
def device(request):
    """Give each device in turn: the host, the one that refuses implicit transfers, and with `-m gpu` a GPU."""
    return HOST if request.param == "numpy" else request.getfixturevalue(request.param)


@pytest.fixture(params=["strict", GPU])
def away(request):
    """Give each device in turn that is not the host."""
    return request.getfixturevalue(request.param)
