"""The product of padded matrices, for all shapes around the size of a tile, with vectors of both lengths."""

import itertools

import numba
import numpy as np
import pytest

from mcgc.kernels import cpu_product
from mcgc.kernels.cpu_product import GATED, PLAIN, RECTIFIED


@pytest.fixture(scope="module", params=[64, 32])
def run(request):
    """Return a product of matrices that are compiled for vectors of so many bytes, and whole vectors as arguments."""
    patch = pytest.MonkeyPatch()
    patch.setattr(cpu_product, "REGISTER", request.param)
    patch.setattr(cpu_product, "VECTORS", request.param // 16)
    right = cpu_product.product

    @numba.njit
    def product(c, c_row, d, d_row, gate, gate_row, mode, a, a_row, a_step, b, b_step, m, n, k):
        right(c, 0, c_row, d, 0, d_row, gate, 0, gate_row, mode, a, 0, a_row, a_step, b, 0, b_step, m, n, k)

    def of(a, b, d, mode=PLAIN, gate=None, turned=False):
        (m, k), n, wide = a.shape, b.shape[1], d.shape[-1]
        c = np.full((m + 1, n + 3), 7, a.dtype)
        gate = c if gate is None else gate
        a = np.asfortranarray(a).ravel("K") if turned else a.ravel()
        steps = (1, m) if turned else (k, 1)
        d_row = wide if d.ndim == 2 else 0
        args = c.ravel(), n + 3, d.ravel(), d_row, gate.ravel(), gate.shape[1], mode, a, *steps, b.ravel(), n
        product(*args, m, n, k)
        assert (c[m] == 7).all()
        assert (c[:, n:] == 7).all()
        return c[:m, :n]

    yield of
    patch.undo()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", [PLAIN, RECTIFIED, GATED])
def test_products_match_numpy(run, mode, dtype):
    rng = np.random.default_rng(mode)
    for m, k, n in itertools.product(range(1, 16), [1, 7, 50], [16, 48, 64, 80, 144]):
        a, b, bias, d, gate = (rng.normal(size=s).astype(dtype) for s in ((m, k), (k, n), n, (m, n), (m, n)))
        for start, turned in ((bias, False), (d, True)):
            expected = a.astype(float) @ b + start
            expected = {PLAIN: expected, RECTIFIED: np.maximum(expected, 0), GATED: expected * (gate > 0)}[mode]
            found = run(a, b, start, mode, gate, turned)
            np.testing.assert_allclose(found, expected, atol=2000 * np.finfo(dtype).eps)


def test_every_row_has_the_same_bits_alone_and_among_others_and_in_the_other_product(run):
    from mcgc.kernels.cpu_matmul import matmul

    rng = np.random.default_rng(0)
    a, b, bias = (rng.normal(size=s).astype(np.float32) for s in ((23, 50), (50, 64), 64))
    together, other = run(a, b, bias), np.empty((23, 64), np.float32)
    none = np.float32(-np.inf)
    matmul(
        other.ravel(), 0, 64, bias, 0, 0, 1, none, a.ravel(), 0, 50, 1, b.ravel(), 0, 64, 23, 64, 50, other.ravel(), -1
    )
    np.testing.assert_array_equal(together, other)
    for i in range(23):
        np.testing.assert_array_equal(run(a[i : i + 1], b, bias)[0], together[i])


def test_sums_run_over_the_inner_index_from_first_to_last(run):
    a = np.array([[2.0**53, 1.0, 1.0, -(2.0**53)]])
    assert (run(a, np.ones((4, 16)), np.zeros(16)) == 0).all()
    assert (run(a[:, [0, 3, 1, 2]], np.ones((4, 16)), np.zeros(16)) == 2).all()


def test_a_nan_passes_the_rectifier_and_no_gate_that_is_closed(run):
    a, b, none = np.array([[np.nan], [-1.0]]), np.ones((1, 16)), np.zeros(16)
    np.testing.assert_array_equal(run(a, b, none, RECTIFIED), [[np.nan] * 16, [0] * 16])
    np.testing.assert_array_equal(run(a, b, none, GATED, np.zeros((2, 16))), np.zeros((2, 16)))


def test_nothing_is_written_of_no_rows(run):
    assert run(np.ones((0, 3)), np.ones((3, 16)), np.zeros(16)).shape == (0, 16)
