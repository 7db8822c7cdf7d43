import itertools

import numpy as np
import pytest
from scipy.special import ndtr

from mcgc.errors import InputError
from mcgc.kernels import cpu_vectors
from mcgc.kernels.cpu_dense import dense_forward, dense_vjp, in_lanes

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
ACTIVATIONS = ["relu", "tanh", "sigmoid", "softplus", "silu", "gelu"]
sigmoid = lambda z: 1 / (1 + np.exp(-z))
bell = lambda z: np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
FUNCTIONS = {  # the function and its derivative
    "relu": (lambda z: np.maximum(z, 0), lambda z: z > 0),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * sigmoid(-z)),
    "softplus": (lambda z: np.logaddexp(0, z), sigmoid),
    "silu": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * sigmoid(-z))),
    "gelu": (lambda z: z * ndtr(z), lambda z: ndtr(z) + z * bell(z)),
}


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


def plain(theta, x, sizes, activation, cotangent, skip=False):
    """Return the net's output, theta_bar and x_bar, layer by layer in NumPy."""
    function, slope = FUNCTIONS[activation]
    layers, pre, inputs = list(layers_of(theta, sizes)), [], [x]
    adds = [skip and w.shape[0] == w.shape[1] for w, _ in layers[:-1]]
    for (w, b), add in zip(layers, [*adds, False], strict=True):
        pre.append(inputs[-1] @ w + b)
        inputs.append(function(pre[-1]) + (inputs[-1] if add else 0))
    g, above, parts = cotangent, 0, []
    for q in reversed(range(len(layers))):
        parts += [g.sum(axis=0), (inputs[q].T @ g).ravel()]
        of_h = g @ layers[q][0].T
        if q < len(adds) and adds[q]:
            of_h = of_h + above
        if q > 0:
            above, of_h = of_h, of_h * slope(pre[q - 1])
        g = of_h
    return pre[-1], np.concatenate(parts[::-1]), g


def fused(theta, x, sizes, activation, cotangent, skip=False):
    y, hidden = dense_forward(theta, x, sizes, activation, skip)
    return y, *dense_vjp(theta, x, hidden, sizes, activation, cotangent, skip=skip)


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(4, 2), (6, 6, 2), (5, 7, 7, 9, 9, 9, 3), (4, 50, 50, 50, 50, 2)], ids=str)
def test_layers_that_add_their_input_are_those_of_numpy(sizes, activation, dtype):
    theta, x, cotangent = draw(sizes, 5, dtype)
    wide = [array.astype(np.float64) for array in (theta, x, cotangent)]
    expected = plain(wide[0], wide[1], sizes, activation, wide[2], skip=True)
    for actual, reference in zip(fused(theta, x, sizes, activation, cotangent, True), expected, strict=True):
        assert actual.dtype == dtype
        assert_close(actual, reference, 1e-12 if dtype == np.float64 else 2e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_slopes_far_out_are_finite(activation):
    theta = np.array([1.0, 0.0, 1.0, 0.0])
    for x in (-1e3, -40.0, 40.0, 1e3):
        y, theta_bar, x_bar = fused(theta, np.array([[x]]), (1, 1, 1), activation, np.ones((1, 1)))
        with np.errstate(over="ignore"):
            function, slope = (of(np.array(x)) for of in FUNCTIONS[activation])
        np.testing.assert_allclose([y[0, 0], x_bar[0, 0]], [function, slope], rtol=1e-12, atol=1e-15)
        assert np.isfinite(theta_bar).all()


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


def test_rows_lie_in_the_lanes_where_units_would_leave_them_empty_or_the_work_is_large():
    lanes = cpu_vectors.REGISTER // 4
    uneven, even = lanes * 3 + 2, lanes * 4
    assert in_lanes(250, (784, *[uneven] * 29, 10), 4)
    assert not in_lanes(16, (784, *[uneven] * 29, 10), 4)
    assert not in_lanes(100, (even, even, even), 4)
    assert not in_lanes(249, (8, 8), 4)
    assert in_lanes(250, (8, 8), 4)
    assert in_lanes(16, (even * 8, even * 8, even * 8), 4)
