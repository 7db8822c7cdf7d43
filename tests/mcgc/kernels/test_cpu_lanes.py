"""Products and transposes over the lanes, and nets with their rows there, against NumPy and against nets by rows."""

import itertools

import numpy as np
import pytest

from mcgc.kernels import cpu, cpu_dense, cpu_lanes, reference, threads
from mcgc.kernels.cpu_dense import dense_forward, dense_vjp
from mcgc.kernels.cpu_inner import inner_products
from mcgc.kernels.cpu_lanes import room_for
from mcgc.kernels.cpu_transpose import transpose
from mcgc.random import TILE, Key, normal

DTYPES = (np.float32, np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [0, 1, 7, 8, 16, 33, 250])
def test_inner_products_are_those_of_numpy_and_write_nothing_else(k, dtype):
    rng = np.random.default_rng(k)
    for m, n in itertools.product([1, 2, 5, 6, 11], [1, 3, 5, 12]):
        a, b, d = (rng.normal(size=shape).astype(dtype) for shape in ((m, k), (n, k), (m, n)))
        c = np.full((m + 1, n + 2), 7, dtype)
        inner_products(c.ravel(), 0, n + 2, d.ravel(), 0, n, a.ravel(), 0, k, b.ravel(), 0, k, m, n, k)
        expected = d + a.astype(float) @ b.T.astype(float)
        np.testing.assert_allclose(c[:m, :n], expected, atol=40 * np.finfo(dtype).eps * (k + 1))
        assert (c[m] == 7).all()
        assert (c[:, n:] == 7).all()


def test_inner_products_add_to_what_is_there_and_do_not_read_beyond_their_rows():
    a, c = np.full((6, 9), np.nan), np.ones((6, 3))
    a[:, :7] = np.arange(42).reshape(6, 7)
    inner_products(c.ravel(), 0, 3, c.ravel(), 0, 3, a.ravel(), 0, 9, a.ravel(), 0, 9, 6, 3, 7)
    np.testing.assert_array_equal(c, 1 + a[:, :7] @ a[:3, :7].T)


@pytest.mark.parametrize("dtype", DTYPES)
def test_transposes_are_those_of_numpy_and_write_nothing_else(dtype):
    for m, n in itertools.product([1, 7, 16, 33], repeat=2):
        a, c = np.random.default_rng(m).normal(size=(m, n)).astype(dtype), np.full((n + 1, m + 2), 7, dtype)
        transpose(c.ravel(), 0, m + 2, a.ravel(), 0, n, m, n)
        np.testing.assert_array_equal(c[:n, :m], a.T)
        assert (c[n] == 7).all()
        assert (c[:, m:] == 7).all()


def test_room_holds_the_rows_in_an_odd_number_of_registers():
    for rows, itemsize in itertools.product([1, 16, 17, 250, 512], [4, 8]):
        room, lanes = room_for(rows, itemsize), room_for(1, itemsize)
        assert rows <= room < rows + 2 * lanes
        assert room // lanes % 2 == 1


def both(monkeypatch, sizes, rows, activation, skip, dtype):
    """Return output, theta_bar and x_bar with the rows in the lanes, and with the units there."""
    rng = np.random.default_rng(rows)
    theta = (rng.normal(size=sum((k + 1) * n for k, n in itertools.pairwise(sizes))) / 4).astype(dtype)
    x, cotangent = rng.normal(size=(rows, sizes[0])).astype(dtype), rng.normal(size=(rows, sizes[-1])).astype(dtype)
    found = []
    for lanes in (True, False):
        monkeypatch.setattr(cpu_dense, "in_lanes", lambda *_, lanes=lanes: lanes)
        y, hidden = dense_forward(theta, x, sizes, activation, skip)
        found.append((y, *dense_vjp(theta, x, hidden, sizes, activation, cotangent, skip=skip)))
        without_x = dense_vjp(theta, x, hidden, sizes, activation, cotangent, False, skip)
        np.testing.assert_array_equal(without_x[0], found[-1][1])
        assert without_x[1] is None
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
@pytest.mark.parametrize("sizes", [(4, 2), (1, 1), (150, 7, 7, 9, 3), (6, 6, 6, 17, 17, 2), (4, 50, 50, 50, 2)])
def test_rows_in_the_lanes_give_the_bits_of_rows_one_by_one(monkeypatch, sizes, activation, skip, dtype):
    for rows in (1, 16, 33, 70):
        (y, theta_bar, x_bar), (y1, theta_bar1, x_bar1) = both(monkeypatch, sizes, rows, activation, skip, dtype)
        np.testing.assert_array_equal(y, y1)
        np.testing.assert_array_equal(x_bar, x_bar1)
        np.testing.assert_allclose(theta_bar, theta_bar1, atol=np.abs(theta_bar1).max() * 30 * np.finfo(dtype).eps)


def set_threads(monkeypatch, number):
    monkeypatch.setenv("NUMBA_NUM_THREADS", str(number))
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", number)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_bits_do_not_depend_on_the_number_of_threads(monkeypatch, activation):
    sizes, rows = (40, 60, 60, 60, 5), 1000
    rng = np.random.default_rng(0)
    theta = rng.normal(size=sum((k + 1) * n for k, n in itertools.pairwise(sizes))).astype(np.float32) / 8
    x, cotangent = (rng.normal(size=(rows, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))
    used, found, crew = [], [], threads.crew
    monkeypatch.setattr(cpu_lanes, "WORTH", 10**6)
    monkeypatch.setattr(threads, "crew", lambda ends: (used.append(ends.size - 1), crew(ends))[1])
    for number in (1, 2, 3, 7):
        set_threads(monkeypatch, number)
        y, hidden = dense_forward(theta, x, sizes, activation, True)
        found.append((y, *dense_vjp(theta, x, hidden, sizes, activation, cotangent, skip=True)))
    assert {1, 2, 3} <= set(used)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_layers_are_shared_out_by_their_weights():
    from mcgc.kernels.cpu_lanes import _layers_of_threads

    sizes = (784, *[50] * 29, 10)
    assert _layers_of_threads(sizes, 1).tolist() == [0, 30]
    first, middle, last = _layers_of_threads(sizes, 2).tolist()
    assert (first, last) == (0, 30)
    weights = [k * n for k, n in itertools.pairwise(sizes)]
    assert abs(sum(weights[:middle]) / sum(weights) - 0.5) < 0.05
    assert _layers_of_threads((1000, 2, 2), 3).tolist() == [0, 1, 2]


def test_long_noise_and_updates_have_the_same_bits_on_any_number_of_threads(monkeypatch):
    n, found = 5 * cpu.PART * TILE + 77, []
    monkeypatch.setattr(cpu, "WORTH", 1)
    theta, gradient, mean = (normal(Key(i), (n,)) for i in range(3))
    for number in (1, 2, 3, 7):
        set_threads(monkeypatch, number)
        donated = [x.copy() for x in (theta, mean, mean**2)]
        pure = cpu.adam(theta, gradient, mean, mean**2, 3, 0.1, 0.9, 0.999, 1e-8)
        cpu.adam(donated[0], gradient, *donated[1:], 3, 0.1, 0.9, 0.999, 1e-8, donate=True)
        for a, b in zip(pure, donated, strict=True):
            np.testing.assert_array_equal(a, b)
        found.append([*cpu.perturb(theta, 0.3, Key(5)), cpu.noise_dot(gradient, Key(5)), *pure])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    moved, sqnorm = reference.perturb(theta, np.float32(0.3), Key(5))
    np.testing.assert_allclose(found[0][0], moved, rtol=1e-5, atol=1e-6)
    assert found[0][1] == pytest.approx(float(sqnorm), rel=1e-6)
