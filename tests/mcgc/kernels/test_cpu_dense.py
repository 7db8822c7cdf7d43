import itertools

import numpy as np
import pytest

from mcgc.errors import InputError
from mcgc.kernels.cpu_dense import dense_forward, dense_vjp

NETS = [
    (4, 2),  # no hidden layer
    (1, 1),
    (3, 1, 2),
    (5, 7, 8, 9, 3),  # around the width of a vector
    (2, 16, 17, 33, 15, 1),
    (4, 50, 50, 50, 50, 2),
    (5, *[50] * 19, 3),
]
ROWS = [0, 1, 4, 5, 33]
ACTIVATIONS = ["relu", "tanh"]


def draw(sizes, rows, dtype=np.float64, seed=0):
    """Return theta with weights of variance 1 / n_in, inputs, and a cotangent of the output."""
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=k * n) / np.sqrt(k), 0.3 * rng.normal(size=n)) for k, n in itertools.pairwise(sizes)]
    theta = np.concatenate([part for layer in layers for part in layer])
    x, cotangent = rng.normal(size=(rows, sizes[0])), rng.normal(size=(rows, sizes[-1]))
    return theta.astype(dtype), x.astype(dtype), cotangent.astype(dtype)


def layers_of(theta, sizes):
    start = 0
    for k, n in itertools.pairwise(sizes):
        yield theta[start : start + k * n].reshape(k, n), theta[start + k * n : start + (k + 1) * n]
        start += (k + 1) * n


def plain(theta, x, sizes, activation, cotangent):
    """Return the net's output, theta_bar and x_bar, layer by layer in NumPy."""
    layers, pre, inputs = list(layers_of(theta, sizes)), [], [x]
    for w, b in layers:
        pre.append(inputs[-1] @ w + b)
        inputs.append(np.maximum(pre[-1], 0) if activation == "relu" else np.tanh(pre[-1]))
    g, parts = cotangent, []
    for q in reversed(range(len(layers))):
        parts += [g.sum(axis=0), (inputs[q].T @ g).ravel()]
        g = g @ layers[q][0].T
        if q > 0:
            g = g * (pre[q - 1] > 0 if activation == "relu" else 1 / np.cosh(pre[q - 1]) ** 2)
    return pre[-1], np.concatenate(parts[::-1]), g


def fused(theta, x, sizes, activation, cotangent):
    y, hidden = dense_forward(theta, x, sizes, activation)
    return y, *dense_vjp(theta, x, hidden, sizes, activation, cotangent)


def assert_close(actual, expected, rtol):
    """Compare relative to the largest number of `expected`, as sums whose terms cancel need."""
    assert actual.shape == expected.shape
    scale = np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * scale)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("sizes", NETS, ids=str)
def test_float64_value_and_gradients_match_numpy_layer_by_layer(sizes, rows, activation):
    theta, x, cotangent = draw(sizes, rows)
    expected = plain(theta, x, sizes, activation, cotangent)
    for actual, reference in zip(fused(theta, x, sizes, activation, cotangent), expected, strict=True):
        assert_close(actual, reference, 1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("sizes", NETS, ids=str)
def test_float32_stays_float32_and_is_close_to_float64(sizes, rows, activation):
    theta, x, cotangent = draw(sizes, rows, np.float32)
    wide = [array.astype(np.float64) for array in (theta, x, cotangent)]
    expected = plain(wide[0], wide[1], sizes, activation, wide[2])
    for actual, reference in zip(fused(theta, x, sizes, activation, cotangent), expected, strict=True):
        assert actual.dtype == np.float32
        assert_close(actual, reference, 1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(4, 2), (5, 7, 8, 9, 3), (4, 50, 50, 50, 50, 2)], ids=str)
def test_vjp_matches_central_differences_along_random_directions(sizes, activation):
    theta, x, cotangent = draw(sizes, 5)
    _, theta_bar, x_bar = fused(theta, x, sizes, activation, cotangent)
    rng, step = np.random.default_rng(1), 1e-6
    for _ in range(5):
        d_theta, d_x = rng.normal(size=theta.shape), rng.normal(size=x.shape)
        above, _ = dense_forward(theta + step * d_theta, x + step * d_x, sizes, activation)
        below, _ = dense_forward(theta - step * d_theta, x - step * d_x, sizes, activation)
        difference = np.sum((above - below) * cotangent) / (2 * step)
        slope = np.sum(theta_bar * d_theta) + np.sum(x_bar * d_x)
        assert difference == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", NETS, ids=str)
def test_a_row_has_the_same_bits_alone_and_in_any_batch(sizes, activation, dtype):
    theta, x, cotangent = draw(sizes, 33, dtype)
    y, _, x_bar = fused(theta, x, sizes, activation, cotangent)
    for rows in [[0], [3], [32], [7, 5], [31, 2, 9], range(1, 6), range(12, 25)]:
        part = list(rows)
        y_part, _, x_bar_part = fused(theta, x[part], sizes, activation, cotangent[part])
        np.testing.assert_array_equal(y_part, y[part])
        np.testing.assert_array_equal(x_bar_part, x_bar[part])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_repeated_calls_give_the_same_bits_in_new_arrays(activation):
    sizes = (5, 50, 20, 3)
    theta, x, cotangent = draw(sizes, 6, np.float32)
    first = fused(theta, x, sizes, activation, cotangent)
    second = fused(theta, x, sizes, activation, cotangent)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.shares_memory(a, b)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(4, 2), (5, 7, 8, 9, 3)], ids=str)
def test_inputs_are_neither_changed_nor_shared_with_results(sizes, activation):
    inputs = draw(sizes, 5)
    copies = [array.copy() for array in inputs]
    theta, x, cotangent = inputs
    y, hidden = dense_forward(theta, x, sizes, activation)
    hidden_copy = hidden.copy()
    results = (y, *dense_vjp(theta, x, hidden, sizes, activation, cotangent))
    np.testing.assert_array_equal(hidden, hidden_copy)
    for array, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert not any(np.shares_memory(array, result) for result in (*results, hidden))


def test_strided_inputs_give_the_bits_of_contiguous_ones():
    sizes = (5, 17, 3)
    theta, x, cotangent = draw(sizes, 6)
    strided = np.repeat(theta, 2)[::2], np.asfortranarray(x), cotangent[:, ::-1].copy()[:, ::-1]
    assert not any(array.flags.c_contiguous for array in strided)
    for a, b in zip(
        fused(*strided[:2], sizes, "tanh", strided[2]), fused(theta, x, sizes, "tanh", cotangent), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("width", [3, 11])
def test_relu_has_derivative_zero_at_exactly_zero(width):
    sizes = (2, width, 1)
    theta, x, cotangent = draw(sizes, 4)
    theta[: 3 * width] = 0.0  # so every hidden number is exactly 0
    y, theta_bar, x_bar = fused(theta, x, sizes, "relu", cotangent)
    np.testing.assert_array_equal(y, np.full((4, 1), theta[-1]))
    np.testing.assert_array_equal(x_bar, 0.0)
    np.testing.assert_array_equal(theta_bar[:-1], 0.0)
    assert theta_bar[-1] == pytest.approx(cotangent.sum(), rel=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_nan_stays_in_its_row(activation):
    sizes = (5, 19, 19, 3)
    theta, x, _ = draw(sizes, 5, np.float32)
    clean, _ = dense_forward(theta, x, sizes, activation)
    x[2, 1] = np.nan
    y, _ = dense_forward(theta, x, sizes, activation)
    assert np.all(np.isnan(y[2]))
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(y[others], clean[others])


@pytest.mark.parametrize(("short", "name"), [(0, "theta"), (1, "x")])
def test_forward_refuses_arrays_that_do_not_fit_the_sizes(short, name):
    sizes = (5, 9, 3)
    arguments = list(draw(sizes, 4)[:2])
    arguments[short] = arguments[short][..., :-1]
    with pytest.raises(InputError, match=name):
        dense_forward(*arguments, sizes, "relu")


@pytest.mark.parametrize("short", range(4))
def test_vjp_refuses_arrays_that_do_not_fit_the_sizes(short):
    sizes = (5, 9, 3)
    theta, x, cotangent = draw(sizes, 4)
    _, hidden = dense_forward(theta, x, sizes, "relu")
    arguments = [theta, x, hidden, cotangent]
    arguments[short] = arguments[short][..., :-1]
    theta, x, hidden, cotangent = arguments
    with pytest.raises(InputError, match=r"theta|x of shape|dense_vjp"):
        dense_vjp(theta, x, hidden, sizes, "relu", cotangent)
