"""The kernels of dense nets in Numba's simulator, on NumPy arrays: `test_cuda.py` runs this beside `simulated.py`."""

import math

import numpy as np
import pytest
from numba import config, cuda

from mcgc import nets
from mcgc.kernels import cpu_dense
from mcgc.kernels import cuda as noise
from mcgc.kernels import cuda_dense as kernels

GUARD = 17.0
CASES = [((3, 5, 2), 1), ((3, 5, 2), 9), ((4, 7, 1, 3), 8), ((5, 2), 20), ((1, 1, 1), 3)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Make blocks of few threads, which divide no width, and allocate between guards."""
    assert config.ENABLE_CUDASIM
    owned = []

    def guarded(shape, like):
        whole = np.full(math.prod(shape) + 2 * 64, GUARD, like.dtype)
        whole[64:-64] = np.nan  # what is read before it is written shows
        owned.append(whole)
        return whole[64:-64].reshape(shape)

    def launch(kernel, blocks, *arguments):
        flat = (x if type(x) is int else x.reshape(-1) for x in arguments)
        cuda.jit(kernel)[blocks, kernels.THREADS](*flat)

    for name, number in (("COLUMNS", 3), ("GROUPS", 2), ("ROWS", 8), ("THREADS", 6)):
        monkeypatch.setattr(kernels, name, number)
    monkeypatch.setattr(noise, "empty", guarded)
    monkeypatch.setattr(kernels, "_launch", launch)
    yield
    assert owned
    for whole in owned:
        assert (whole[:64] == GUARD).all()
        assert (whole[-64:] == GUARD).all()


def arrays(sizes, rows, members, dtype, shared=False):
    rng, m = np.random.default_rng(rows), nets.num_parameters(sizes)
    shapes = (members, m), (*(() if shared else (members,)), rows, sizes[0]), (members, rows, sizes[-1])
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def assert_close(ours, theirs):
    unit = 32 * np.finfo(theirs.dtype).eps
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=unit, atol=unit * max(1.0, abs(theirs).max(initial=0)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize(("sizes", "rows"), CASES)
def test_a_net_and_its_vjp_are_those_of_the_cpu(sizes, rows, activation, dtype):
    (theta,), (x,), (bar,) = arrays(sizes, rows, 1, dtype)
    y, hidden = kernels.dense_forward(theta, x, sizes, activation)
    right, values = cpu_dense.dense_forward(theta, x, sizes, activation)
    assert_close(y, right)
    found = kernels.dense_vjp(theta, x, hidden, sizes, activation, bar)
    for ours, theirs in zip(found, cpu_dense.dense_vjp(theta, x, values, sizes, activation, bar), strict=True):
        assert_close(ours, theirs)
    assert kernels.dense_vjp(theta, x, hidden, sizes, activation, bar, with_x=False)[1] is None


@pytest.mark.parametrize("shared", [True, False])
def test_a_member_has_the_bits_that_it_has_alone(shared):
    sizes, rows, members = (3, 5, 4, 2), 11, 3
    theta, x, bar = arrays(sizes, rows, members, np.float32, shared)
    y, hidden = kernels.dense_forward(theta, x, sizes, "relu")
    theta_bar, x_bar = kernels.dense_vjp(theta, x, hidden, sizes, "relu", bar)
    x_bars = []
    for i in range(members):
        own = x if shared else x[i]
        alone, values = kernels.dense_forward(theta[i], own, sizes, "relu")
        of_theta, of_x = kernels.dense_vjp(theta[i], own, values, sizes, "relu", bar[i])
        np.testing.assert_array_equal(y[i], alone)
        np.testing.assert_array_equal(theta_bar[i], of_theta)
        x_bars.append(of_x)
    np.testing.assert_array_equal(x_bar, np.sum(x_bars, axis=0) if shared else x_bars)


def test_arrays_in_another_order_in_memory_are_read_as_they_are():
    sizes = (3, 5, 2)
    theta, x, bar = arrays(sizes, 4, 2, np.float64)
    y, hidden = kernels.dense_forward(theta, x, sizes, "tanh")
    turned = [np.asfortranarray(array) for array in (theta, x, bar)]
    assert_close(kernels.dense_forward(*turned[:2], sizes, "tanh")[0], y)
    found = kernels.dense_vjp(*turned[:2], hidden, sizes, "tanh", turned[2])
    for ours, theirs in zip(found, kernels.dense_vjp(theta, x, hidden, sizes, "tanh", bar), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_no_rows_have_no_output_and_no_derivative():
    sizes = (3, 5, 2)
    theta, x, bar = arrays(sizes, 0, 2, np.float32)
    y, hidden = kernels.dense_forward(theta, x, sizes, "relu")
    theta_bar, x_bar = kernels.dense_vjp(theta, x, hidden, sizes, "relu", bar)
    assert (y.shape, x_bar.shape) == ((2, 0, 2), (2, 0, 3))
    np.testing.assert_array_equal(theta_bar, np.zeros_like(theta))
