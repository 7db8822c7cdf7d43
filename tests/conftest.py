"""Fixtures: the devices that tests run on. Hooks: the processes that they run in."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import array_api_strict
import joblib
import pytest
import shapes  # noqa: F401 - checks what mcgc's signatures say of shapes, and is imported before it

if "PYTEST_XDIST_WORKER" in os.environ:  # each processor has a worker
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")

# isort: split
from mcgc.arrays import DTYPES, HOST, Device
from mcgc.autodiff import Traced
from mcgc.devices import select_device
from mcgc.errors import DeviceError

GPU = pytest.param("cuda", marks=pytest.mark.gpu)  # in no default run
LACKS = pytest.StashKey[str]()
COMPILE = """
import sys
from mcgc.checks.kernels import CASES, HOST
for case, _ in CASES.values():
    body, meaning = case(sys.argv[1], HOST)
    body()
"""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Give a worker to each processor, and none to single files, to a GPU, which they would share, and to `-s`."""
    alone = all(Path(arg.split("::")[0]).is_file() for arg in config.args)
    gpu = config.option.markexpr == "gpu"
    return 0 if alone or gpu or config.option.capture == "no" else joblib.cpu_count()


def pytest_addoption(parser):
    parser.addoption("--every", type=int, default=1, help="run one in so many cases of each test, the first among them")


@pytest.hookimpl(trylast=True)  # after those that marks leave out
def pytest_collection_modifyitems(config, items):
    """Leave out cases of parametrised tests as `--every` says. Each test function keeps its first."""
    every, numbers, chosen, left = config.getoption("every"), {}, [], []
    for item in items:
        cases = numbers.setdefault((item.path, getattr(item, "originalname", item.name)), itertools.count())
        (left if next(cases) % every else chosen).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = chosen


def pytest_configure(config):
    """Compile the kernels into Numba's cache before there are workers, each of which would compile them all."""
    if getattr(config.option, "numprocesses", None):
        compiling = [subprocess.Popen([sys.executable, "-c", COMPILE, dtype]) for dtype in DTYPES]
        assert [process.wait() for process in compiling] == [0, 0]


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
