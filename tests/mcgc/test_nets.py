"""Dense nets: layout, initial values, derivatives, and every way of computing them against plain NumPy."""

from itertools import pairwise

import numpy as np
import pytest

from mcgc import nets
from mcgc.arrays import to_device, to_host
from mcgc.autodiff import check_grads, grad, ops
from mcgc.errors import InputError
from mcgc.random import Key, normal

SIZES = (3, 7, 5, 2)


def by_hand(theta, x, sizes, activation):
    at = 0
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        weights = theta[at : at + n_in * n_out].reshape(n_in, n_out)
        at += n_in * n_out
        x = x @ weights + theta[at : at + n_out]
        at += n_out
        if layer < len(sizes) - 2:
            x = np.maximum(x, 0) if activation == "relu" else np.tanh(x)
    assert at == len(theta)
    return x


def drawn(rows, sizes=SIZES, dtype="float64"):
    m = nets.num_parameters(sizes)
    return normal(Key(1), (m,), dtype), normal(Key(2), (rows, sizes[0]), dtype)


@pytest.mark.parametrize("activation", nets.ACTIVATIONS)
@pytest.mark.parametrize("rows", [1, 4, 32, 33, 100])
def test_the_net_computes_what_its_definition_says(rows, activation, device):
    theta, x = drawn(rows)
    y = nets.apply(to_device(theta, device), to_device(x, device), SIZES, activation)
    np.testing.assert_allclose(to_host(y), by_hand(theta, x, SIZES, activation), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("activation", nets.ACTIVATIONS)
@pytest.mark.parametrize("rows", [1, 4, 33])
def test_derivatives_equal_finite_differences_to_second_order(rows, activation, device):
    theta, x = (to_device(z, device) for z in drawn(rows))
    check_grads(lambda theta, x: nets.apply(theta, x, SIZES, activation), theta, x, rtol=1e-6, step=1e-4, atol=1e-6)


@pytest.mark.parametrize("rows", [4, 64])
def test_float32_stays_float32_and_agrees_with_float64(rows):
    loss = lambda theta, x: ops.mean(ops.square(nets.apply(theta, x, SIZES, "tanh")))
    single, double = (grad(loss, (0, 1))(*drawn(rows, dtype=dtype)) for dtype in ("float32", "float64"))
    for ours, theirs in zip(single, double, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def test_members_are_a_leading_axis():
    thetas = normal(Key(3), (4, nets.num_parameters(SIZES)), "float64")
    x = normal(Key(4), (6, 3), "float64")
    together = nets.apply(thetas, x, SIZES, "tanh")
    assert together.shape == (4, 6, 2)
    for theta, y in zip(thetas, together, strict=True):
        np.testing.assert_allclose(y, nets.apply(theta, x, SIZES, "tanh"), rtol=1e-12)
    check_grads(lambda theta: nets.apply(theta, x, SIZES, "tanh"), thetas, order=1)


def test_a_single_row_may_come_without_a_batch_axis():
    theta, x = drawn(1)
    np.testing.assert_allclose(nets.apply(theta, x[0], SIZES), nets.apply(theta, x, SIZES)[0], rtol=1e-12)


def test_a_net_without_hidden_layers_is_linear():
    theta, x = drawn(5, (3, 2))
    np.testing.assert_allclose(nets.apply(theta, x, (3, 2)), x @ theta[:6].reshape(3, 2) + theta[6:], rtol=1e-12)


def test_initial_weights_are_xavier_uniform_and_biases_zero(device):
    sizes = (40, 60, 10)
    theta = nets.init(Key(5), sizes, "float32", device)
    assert theta.dtype == device.namespace.float32
    for weights, biases in nets.unpack(theta, sizes):
        weights, biases = to_host(weights).astype(float), to_host(biases)
        radius = np.sqrt(6 / sum(weights.shape))
        assert np.abs(weights).max() < radius
        assert np.abs(weights).max() > 0.98 * radius
        assert abs(weights.mean()) * np.sqrt(3 * weights.size) / radius < 4
        # the variance of a squared uniform number is 4/45 of its range's fourth power
        assert abs((weights**2).mean() - radius**2 / 3) * np.sqrt(weights.size * 45 / 4) / radius**2 < 4
        assert not biases.any()
    np.testing.assert_array_equal(to_host(theta), to_host(nets.init(Key(5), sizes, "float32", device)))
    assert not np.array_equal(to_host(theta)[:100], to_host(nets.init(Key(6), sizes))[:100])


def test_the_paper_s_nets_have_their_number_of_parameters():
    assert nets.num_parameters((5, *(50,) * 19, 3)) == 46_353
    assert nets.num_parameters((784, *(50,) * 29, 10)) == 111_160
    assert nets.num_parameters((4, *(50,) * 4, 2)) == 8_002


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nets.num_parameters((3,)), "two layer sizes"),
        (lambda: nets.num_parameters((3, 0)), "positive integers"),
        (lambda: nets.num_parameters((3, 2.5)), "positive integers"),
        (lambda: nets.apply(np.ones(5), np.ones((1, 3)), SIZES), "80 parameters"),
        (lambda: nets.apply(drawn(1)[0], np.ones((1, 4)), SIZES), "rows of 3"),
        (lambda: nets.apply(*drawn(1), SIZES, "step"), "relu, tanh"),
    ],
)
def test_what_does_not_fit_is_one_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()
