"""Every operation and its derivatives on a GPU that computes nothing: CuPy takes the calls, and shapes and dtypes are
those of the host. `test_cuda.py` runs this.
"""

import null_gpu  # before CuPy
import pytest
from operations import TABLE, arguments

from mcgc.arrays import HOST, Device, _cupy
from mcgc.autodiff import ops, tree_map, vjp

cupy = null_gpu.cupy
GPU = Device("cuda:0", _cupy.namespace(), cupy.cuda.Device(0))
BY_VALUE = {"getitem, mask"}  # whose shape depends on the numbers


@pytest.fixture(autouse=True)
def solved(monkeypatch):
    """Do what cuSOLVER would, of which there is no null: it takes stacks of the same shape alone."""

    def solve(a, b):
        vector = b.ndim == 1
        assert vector or a.shape[:-2] == b.shape[:-2]
        return cupy.zeros(a.shape[:-1] if vector else b.shape, a.dtype)

    monkeypatch.setattr("array_api_compat.cupy.linalg.solve", solve)


def shapes(tree):
    return [(x.shape, str(x.dtype)) for x in flat(tree)]


def flat(tree):
    found = []
    tree_map(found.append, tree)
    return found


def computed(name, dtype, device):
    """Return the value of an operation, its derivatives, and theirs."""
    function, args = TABLE[name].function, arguments(name, dtype, device)
    outs = lambda *xs: (lambda y: list(y) if isinstance(y, list | tuple) else [y])(function(*xs))
    first = lambda *xs: (lambda y, pullback: pullback([ops.ones_like(part) for part in y]))(*vjp(outs, *xs))
    bars, pullback = vjp(first, *args)
    return outs(*args), bars, pullback(tree_map(ops.ones_like, bars))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in TABLE if name not in BY_VALUE])
def test_an_operation_runs_with_two_derivatives_and_has_the_shapes_and_dtypes_of_the_host(name, dtype):
    assert shapes(computed(name, dtype, GPU)) == shapes(computed(name, dtype, HOST))
