"""Dense nets: layout, initial values, derivatives, and every way of computing them against plain NumPy."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.special
import scipy.stats

from mcgc import nets
from mcgc.arrays import to_device, to_host
from mcgc.autodiff import check_grads, grad, ops, vjp
from mcgc.errors import InputError
from mcgc.random import Key, normal

SIZES = (3, 7, 7, 2)

ACTIVATIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "silu": lambda z: z / (1 + np.exp(-z)),
    "gelu": lambda z: z * scipy.special.ndtr(z),
    "softplus": lambda z: np.logaddexp(0, z),
    "sigmoid": scipy.special.expit,
}


def by_hand(theta, x, sizes, activation, skip=False):
    at = 0
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        weights = theta[at : at + n_in * n_out].reshape(n_in, n_out)
        at += n_in * n_out
        z = x @ weights + theta[at : at + n_out]
        at += n_out
        if layer < len(sizes) - 2:
            x = ACTIVATIONS[activation](z) + (x if skip and n_in == n_out else 0)
    assert at == len(theta)
    return z


def drawn(rows, sizes=SIZES, dtype="float64"):
    m = nets.num_parameters(sizes)
    return normal(Key(1), (m,), dtype), normal(Key(2), (rows, sizes[0]), dtype)


def test_every_activation_has_a_formula_here():
    assert ACTIVATIONS.keys() == nets.ACTIVATIONS.keys()


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", [1, 4, 32, 33, 100])
def test_the_net_computes_what_its_definition_says(rows, activation, skip, device):
    theta, x = drawn(rows)
    y = nets.apply(to_device(theta, device), to_device(x, device), SIZES, activation, skip)
    np.testing.assert_allclose(to_host(y), by_hand(theta, x, SIZES, activation, skip), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", [4, 33])
def test_derivatives_equal_finite_differences_to_second_order(rows, activation, skip, device):
    theta, x = (to_device(z, device) for z in drawn(rows))
    net = lambda theta, x: nets.apply(theta, x, SIZES, activation, skip)
    check_grads(net, theta, x, rtol=1e-6, step=1e-4, atol=1e-6)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", [4, 64])
def test_float32_stays_float32_and_agrees_with_float64(rows, activation, skip):
    loss = lambda theta, x: ops.mean(ops.square(nets.apply(theta, x, SIZES, activation, skip)))
    single, double = (grad(loss, (0, 1))(*drawn(rows, dtype=dtype)) for dtype in ("float32", "float64"))
    for ours, theirs in zip(single, double, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_their_derivatives_reach_their_limits_in_float32(activation, device):
    z = np.array([-1e4, 0.0, 1e4], np.float32)
    y, pullback = vjp(nets.ACTIVATIONS[activation], to_device(z, device))
    (slope,) = pullback(ops.ones_like(y))
    bounded = activation in ("tanh", "sigmoid")
    low = -1.0 if activation == "tanh" else 0.0
    middle = {"softplus": np.log(2), "sigmoid": 0.5}.get(activation, 0.0)
    slope_there = {"relu": 0.0, "tanh": 1.0, "sigmoid": 0.25}.get(activation, 0.5)
    np.testing.assert_allclose(to_host(y), [low, middle, 1.0 if bounded else 1e4], rtol=1e-6)
    np.testing.assert_allclose(to_host(slope), [0.0, slope_there, 0.0 if bounded else 1.0], rtol=1e-6)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("own", [False, True])
def test_members_are_a_leading_axis(own, activation, skip, device):
    thetas = to_device(normal(Key(3), (4, nets.num_parameters(SIZES)), "float64"), device)
    x = to_device(normal(Key(4), (4, 6, 3) if own else (6, 3), "float64"), device)
    net = lambda theta, x: nets.apply(theta, x, SIZES, activation, skip)
    together, pull_all = vjp(net, thetas, x)
    assert together.shape == (4, 6, 2)
    bar_all, x_bar_all = (to_host(bar) for bar in pull_all(ops.ones_like(together)))
    x_bars = []
    for i in range(4):
        y, pullback = vjp(net, thetas[i, ...], x[i, ...] if own else x)
        np.testing.assert_allclose(to_host(together)[i], to_host(y), rtol=1e-11, atol=1e-12)
        bar, x_bar = (to_host(bar) for bar in pullback(ops.ones_like(y)))
        np.testing.assert_allclose(bar_all[i], bar, rtol=1e-11, atol=1e-12)
        x_bars.append(x_bar)
    np.testing.assert_allclose(x_bar_all, x_bars if own else sum(x_bars), rtol=1e-11, atol=1e-12)


def test_a_single_row_may_come_without_a_batch_axis(device):
    theta, x = (to_device(z, device) for z in drawn(1))
    np.testing.assert_allclose(to_host(nets.apply(theta, x[0, ...], SIZES)), to_host(nets.apply(theta, x, SIZES))[0])
    thetas = ops.stack([theta, 2 * theta, -theta])
    alone, batch = nets.apply(thetas, x[0, ...], SIZES), nets.apply(thetas, x, SIZES)
    np.testing.assert_allclose(to_host(alone), to_host(batch)[:, 0, :], rtol=1e-12)


def test_a_net_without_hidden_layers_is_linear():
    theta, x = drawn(5, (3, 2))
    np.testing.assert_allclose(nets.apply(theta, x, (3, 2)), x @ theta[:6].reshape(3, 2) + theta[6:], rtol=1e-12)


VARIANCES = {"xavier": lambda i, o: 2 / (i + o), "he": lambda i, o: 2 / i, "lecun": lambda i, o: 1 / i}


@pytest.mark.parametrize("scheme", nets.SCHEMES)
def test_initial_weights_have_the_law_of_their_scheme_and_biases_are_zero(scheme, device):
    sizes = (40, 60, 10)
    name, law = scheme.split("-")
    theta = nets.init(Key(5), sizes, "float32", device, scheme)
    assert theta.dtype == device.namespace.float32
    for weights, biases in nets.unpack(theta, sizes):
        weights, biases = to_host(weights).astype(float), to_host(biases)
        variance = VARIANCES[name](*weights.shape)
        # the fourth moment of a uniform number is 9/5 of its variance squared, of a normal one 3
        fourth = 1.8 if law == "uniform" else 3.0
        assert abs(weights.mean()) * np.sqrt(weights.size / variance) < 4
        assert abs((weights**2).mean() / variance - 1) * np.sqrt(weights.size / (fourth - 1)) < 4
        if law == "uniform":
            assert np.abs(weights).max() < np.sqrt(3 * variance)
            assert np.abs(weights).max() > 0.98 * np.sqrt(3 * variance)
        else:
            assert scipy.stats.kstest(weights.ravel(), "norm", (0, np.sqrt(variance))).pvalue > 1e-4
        assert not biases.any()
    np.testing.assert_array_equal(to_host(theta), to_host(nets.init(Key(5), sizes, "float32", device, scheme)))
    assert not np.array_equal(to_host(theta)[:100], to_host(nets.init(Key(6), sizes, scheme=scheme))[:100])


def test_initial_weights_are_xavier_uniform_unless_told():
    np.testing.assert_array_equal(nets.init(Key(5), SIZES), nets.init(Key(5), SIZES, scheme="xavier-uniform"))


def test_the_paper_s_nets_have_their_number_of_parameters():
    assert nets.num_parameters((5, *(50,) * 19, 3)) == 46_353
    assert nets.num_parameters((784, *(50,) * 29, 10)) == 111_160
    assert nets.num_parameters((4, *(50,) * 4, 2)) == 8_002


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nets.num_parameters((3,)), "two layer sizes"),
        (lambda: nets.num_parameters((3, 0)), "whole number of at least 1, got 0"),
        (lambda: nets.num_parameters((3, 2.5)), "whole number"),
        (lambda: nets.num_parameters(()), "two layer sizes"),
        (lambda: nets.init(Key(0), SIZES, scheme="he"), "he-uniform, he-normal"),
        (lambda: nets.apply(np.ones(5), np.ones((1, 3)), SIZES), "100 parameters"),
        (lambda: nets.apply(np.ones((2, 100)), np.ones((3, 1, 3)), SIZES), "same members"),
        (lambda: nets.apply(drawn(1)[0], np.ones((1, 4)), SIZES), "rows of 3"),
        (lambda: nets.apply(*drawn(1), SIZES, "step"), "relu, tanh"),
        (lambda: nets.num_parameters([[3], [2]]), "size of a layer must be"),
        (lambda: nets.num_parameters("ab"), "size of a layer must be"),
        (lambda: nets.init(0, SIZES), "one key, such as Key"),
        (lambda: nets.init((Key(0), Key(1)), SIZES), "one key, such as Key"),
        (lambda: nets.init(Key(0), SIZES, "float16"), "float32 or float64"),
        (lambda: nets.num_parameters(5), "sequence of layer sizes, got 5"),
        (lambda: nets.num_parameters((3, True)), "the size of a layer must be a whole number of at least 1, got True"),
        (lambda: nets.apply(drawn(1)[0], np.ones((1, 3), np.float16), SIZES), "x is an array of float16"),
        (lambda: nets.apply(drawn(1)[0].astype(np.longdouble), np.ones((1, 3)), SIZES), "theta is an array of float"),
        (lambda: nets.apply(drawn(1)[0], [["a", "b", "c"]], SIZES), "x must be an array or a sequence of numbers"),
        (lambda: nets.unpack(drawn(1)[0].astype(np.float16), SIZES), "theta is an array of float16"),
    ],
)
def test_what_does_not_fit_is_one_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()


@pytest.mark.parametrize("activation", ["tanh", "silu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lists_integers_and_every_layout_give_the_numbers_of_a_plain_array(dtype, activation):
    theta, x = drawn(4)[0].astype(dtype), np.arange(12).reshape(4, 3)
    net = lambda theta, x: nets.apply(theta, x, SIZES, activation)
    expected, read_only = net(theta, x.astype(dtype)), x.astype(dtype)
    assert expected.dtype == dtype
    read_only.flags.writeable = False
    swapped = np.dtype(dtype).newbyteorder(">")
    for other in (x, x.tolist(), x.astype(np.uint8), x.astype(swapped), np.asfortranarray(x.astype(dtype)), read_only):
        np.testing.assert_array_equal(net(theta, other), expected)
        slope, slope_expected = (grad(lambda t, z=z: ops.sum(net(t, z)))(theta) for z in (other, x.astype(dtype)))
        np.testing.assert_array_equal(slope, slope_expected)
    for other in (theta.tolist(), theta.astype(swapped), np.repeat(theta, 2)[::2]):
        np.testing.assert_array_equal(net(other, x.astype(dtype)), expected)
    np.testing.assert_array_equal(nets.apply(theta, x.astype(dtype), np.array(SIZES), activation), expected)


def test_rows_that_all_members_share_are_multiplied_without_a_broadcast_axis(strict, monkeypatch):
    shapes = []
    theta = to_device(normal(Key(3), (4, nets.num_parameters(SIZES)), "float64"), strict)
    x = to_device(normal(Key(2), (6, 3), "float64"), strict)
    kind, own = type(x), type(x).__matmul__
    monkeypatch.setattr(kind, "__matmul__", lambda a, b: shapes.append((a.shape, b.shape)) or own(a, b))
    y, pullback = vjp(lambda theta: nets.apply(theta, x, SIZES), theta)
    (bar,) = pullback(y)
    assert len(shapes) == 3 + 3 + 2  # forwards, for the weights and for what goes into them; x is a constant
    assert all(a[:-2] == b[:-2] for a, b in shapes)
    for i in range(4):
        alone, pull_alone = vjp(lambda theta: nets.apply(theta, x, SIZES), theta[i, ...])
        np.testing.assert_allclose(to_host(y)[i], to_host(alone), rtol=1e-13)
        np.testing.assert_allclose(to_host(bar)[i], to_host(pull_alone(alone)[0]), rtol=1e-12, atol=1e-13)
