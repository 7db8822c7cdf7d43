"""The matrix product of compiled nets, for all shapes around the size of a tile."""

import itertools

import numpy as np
import pytest

from mcgc.kernels.cpu_matmul import DEEP, matmul

NONE = -np.inf


def product(a, b, d, floor, dtype):
    """Return max(floor, d + a b), computed into a matrix with a margin that must stay as it is."""
    (m, k), n = a.shape, b.shape[1]
    c = np.full((m + 1, n + 3), 7, dtype)
    a, b, d = (x.astype(dtype) for x in (a, b, d))
    d_row = n if d.ndim == 2 else 0
    matmul(
        c.ravel(),
        0,
        n + 3,
        d.ravel(),
        0,
        d_row,
        1,
        dtype(floor),
        a.ravel(),
        0,
        k,
        1,
        b.ravel(),
        0,
        n,
        m,
        n,
        k,
        c.ravel(),
        -1,
    )
    assert (c[m] == 7).all()
    assert (c[:, n:] == 7).all()
    return c[:m, :n]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 8, 15, 16, 17, 33, 50, 65, 130])
def test_products_match_numpy(n, dtype):
    rng = np.random.default_rng(n)
    for m, k in itertools.product([1, 2, 4, 5, 6, 9, 11], [0, 1, 7, 50]):
        a, b, bias, d = (rng.normal(size=shape) for shape in ((m, k), (k, n), n, (m, n)))
        for start, floor in ((bias, NONE), (d, NONE), (bias, 0)):
            expected = np.maximum(a @ b + start, floor)
            np.testing.assert_allclose(product(a, b, start, floor, dtype), expected, atol=40 * np.finfo(dtype).eps * 50)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_transposed_factor_is_read_by_its_strides_and_results_accumulate_in_place(dtype):
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=shape).astype(dtype) for shape in ((30, 7), (30, 21), (7, 21)))
    expected = c + a.T @ b
    matmul(
        c.ravel(),
        0,
        21,
        c.ravel(),
        0,
        21,
        1,
        dtype(NONE),
        a.ravel(),
        0,
        1,
        7,
        b.ravel(),
        0,
        21,
        7,
        21,
        30,
        c.ravel(),
        -1,
    )
    np.testing.assert_allclose(c, expected, atol=200 * np.finfo(dtype).eps)


def test_every_row_has_the_same_bits_alone_and_among_others():
    rng = np.random.default_rng(0)
    a, b, bias = rng.normal(size=(23, 50)), rng.normal(size=(50, 50)), rng.normal(size=50)
    together = product(a, b, bias, 0, np.float32)
    for i in range(23):
        np.testing.assert_array_equal(product(a[i : i + 1], b, bias, 0, np.float32)[0], together[i])


def test_sums_run_over_the_inner_index_from_first_to_last():
    a = np.array([[2.0**53, 1.0, 1.0, -(2.0**53)]])
    assert product(a, np.ones((4, 1)), np.zeros(1), NONE, np.float64) == 0
    assert product(a[:, [0, 3, 1, 2]], np.ones((4, 1)), np.zeros(1), NONE, np.float64) == 2


def test_a_nan_passes_the_floor():
    a = np.array([[np.nan], [-1.0]])
    found = product(a, np.ones((1, 2)), np.zeros(2), 0, np.float64)
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [0, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [3, DEEP, DEEP + 1, 3 * DEEP + 5])
def test_a_bias_of_columns_a_floor_and_a_gate_hold_for_sums_of_any_length(k, dtype):
    rng = np.random.default_rng(k)
    m, n = 7, 21
    a, b, bias, gate = (rng.normal(size=shape).astype(dtype) for shape in ((m, k), (k, n), m, (m + 1, n + 3)))
    for gate_at in (-1, 2):
        c = np.full((m, n + 3), 7, dtype)
        matmul(
            c.ravel(), 0, n + 3, bias, 0, 1, 0, dtype(0), a.ravel(), 0, k, 1, b.ravel(), 0, n, m, n, k,
            gate.ravel(), gate_at,
        )  # fmt: skip
        expected = np.maximum(a.astype(float) @ b + bias[:, None], 0)
        if gate_at >= 0:
            expected *= gate.ravel()[gate_at:][: m * (n + 3)].reshape(m, n + 3)[:, :n] > 0
        np.testing.assert_allclose(c[:, :n], expected, atol=40 * np.finfo(dtype).eps * (k + 10))
        assert (c[:, n:] == 7).all()


def test_a_long_sum_has_the_bits_of_its_terms_one_after_another():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1, 2 * DEEP + 9)), rng.normal(size=(2 * DEEP + 9, 3))
    split, total = 50, np.zeros(3)
    for at in (slice(0, split), slice(split, None)):
        total = product(a[:, at], b[at], total, NONE, np.float64)[0]
    np.testing.assert_array_equal(product(a, b, np.zeros(3), NONE, np.float64)[0], total)
