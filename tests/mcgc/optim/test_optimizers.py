"""Optimisers: each against its published algorithm, to the minimum of shared targets, and as a part of the method."""

from typing import NamedTuple

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import check_grads, ops
from mcgc.continuation import continuation, descent
from mcgc.errors import InputError
from mcgc.optim import (
    adam,
    adamw,
    add_decayed_weights,
    apply_updates,
    chain,
    clip_by_global_norm,
    decay_weights,
    momentum,
    nesterov,
    rmsprop,
    scale,
    scale_by_adam,
    scale_by_learning_rate,
    sgd,
)
from mcgc.optim.schedules import cosine, warmup
from mcgc.random import Key, fold_in, normal

# ---- the published algorithms, each a generator of iterates from (rate, gradient, start) ----


def gradient_descent(rate, gradient, x):
    while True:
        x = x - rate * gradient(x)
        yield x


def heavy_ball(rate, gradient, x):  # Polyak 1964: two-point form
    before = x
    while True:
        x, before = x - rate * gradient(x) + 0.7 * (x - before), x
        yield x


def accelerated(rate, gradient, y):  # Nesterov 1983: a step down from y, then an extrapolation
    x = y
    while True:
        x, before = y - rate * gradient(y), x
        y = x + 0.7 * (x - before)
        yield y


def root_mean_square(rate, gradient, x):  # Tieleman and Hinton 2012
    square = 0.0
    while True:
        g = gradient(x)
        square = 0.8 * square + 0.2 * g**2
        x = x - rate * g / (np.sqrt(square) + 1e-6)
        yield x


def adaptive_moments(rate, gradient, x, weight_decay=0.0):  # Kingma and Ba 2015; Loshchilov and Hutter 2019
    mean, square, n = 0.0, 0.0, 0
    while True:
        g, n = gradient(x), n + 1
        mean, square = 0.8 * mean + 0.2 * g, 0.95 * square + 0.05 * g**2
        step = (mean / (1 - 0.8**n)) / (np.sqrt(square / (1 - 0.95**n)) + 1e-6)
        x = x - rate * (step + weight_decay * x)
        yield x


PUBLISHED = {
    "sgd": (sgd, gradient_descent),
    "momentum": (lambda rate: momentum(rate, 0.7), heavy_ball),
    "nesterov": (lambda rate: nesterov(rate, 0.7), accelerated),
    "rmsprop": (lambda rate: rmsprop(rate, 0.8, 1e-6), root_mean_square),
    "adam": (lambda rate: adam(rate, (0.8, 0.95), 1e-6), adaptive_moments),
    "adamw": (
        lambda rate: adamw(rate, 0.1, (0.8, 0.95), 1e-6),
        lambda rate, gradient, x: adaptive_moments(rate, gradient, x, 0.1),
    ),
}

DEFAULT = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": lambda rate: adamw(rate, 1e-9),
    "clipped sgd": lambda rate: chain(clip_by_global_norm(3.0), sgd(rate)),
}

CURVATURE = np.array([1.0, 10.0, 0.1])
START = np.array([1.0, -2.0, 3.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [False, True])
@pytest.mark.parametrize("name", PUBLISHED)
def test_iterates_are_those_of_the_published_algorithm_in_the_dtype_of_theta(name, number, dtype, device):
    make, published = PUBLISHED[name]
    curvature, x = (CURVATURE[1], START[1]) if number else (CURVATURE, START)
    optimizer, expected = make(0.05), published(0.05, lambda x: curvature * x, x)
    theta, factor = to_device(x, device, dtype), to_device(curvature, device, dtype)
    state = optimizer.init(theta)
    for n in range(8):
        theta, state = optimizer.step(factor * theta, state, theta)
        assert theta.dtype == getattr(device.namespace, dtype)
        assert theta.shape == np.shape(x)
        assert state.steps == n + 1
        rtol = 1e-12 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(to_host(theta), next(expected), rtol=rtol)


@pytest.mark.parametrize("name", DEFAULT)
def test_the_rate_of_an_update_is_that_of_its_number(name):
    rate = warmup(3, cosine(0.05, 5))
    scheduled, theta = DEFAULT[name](rate), START
    state = scheduled.init(theta)
    for n in range(5):
        alone, _ = DEFAULT[name](rate(n)).step(CURVATURE * theta, state, theta)
        theta, state = scheduled.step(CURVATURE * theta, state, theta)
        np.testing.assert_array_equal(theta, alone)


@pytest.mark.parametrize("name", DEFAULT)
def test_updates_repeat_to_the_bit_and_mutate_nothing(name):
    optimizer = DEFAULT[name](0.1)
    theta, gradient = START.copy(), CURVATURE * START
    state = optimizer.step(gradient, optimizer.init(theta), theta)[1]
    for array in (theta, gradient, *state[1:]):
        array.flags.writeable = False
    first, second = (optimizer.step(gradient, state, theta) for _ in range(2))
    for one, other in zip((first[0], *first[1]), (second[0], *second[1]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert state.steps == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", DEFAULT)
def test_a_step_adds_the_updates_to_theta_to_the_bit(name, dtype, device):
    optimizer, theta = DEFAULT[name](0.1), to_device(START, device, dtype)
    state = optimizer.init(theta)
    for _ in range(3):
        updates, after = optimizer.update(theta, state, theta)
        new, state = optimizer.step(theta, state, theta)
        assert updates.dtype == theta.dtype
        if name == "adamw":  # (θ − d) − u and θ + (−d − u) are rounded apart
            np.testing.assert_allclose(to_host(apply_updates(theta, updates)), to_host(new), rtol=1e-6)
        else:
            np.testing.assert_array_equal(to_host(apply_updates(theta, updates)), to_host(new))
        for one, other in zip(after, state, strict=True):
            np.testing.assert_array_equal(to_host(one), to_host(other))
        theta = new


def test_an_update_far_below_the_rounding_of_theta_is_the_number_of_the_formula():
    theta, gradient = np.full(2, 1e8, np.float32), np.array([1, -1], np.float32)
    for optimizer in (sgd(1e-3), adam(1e-3), rmsprop(1e-3, 0.0)):
        updates, _ = optimizer.update(gradient, optimizer.init(theta), theta)
        np.testing.assert_allclose(updates, -1e-3 * gradient, rtol=1e-6)


@pytest.mark.parametrize("name", DEFAULT)
def test_a_rate_in_double_precision_leaves_float32_alone(name):
    optimizer = DEFAULT[name](lambda n: np.float64(0.1))
    theta = START.astype(np.float32)
    assert optimizer.step(theta, optimizer.init(theta), theta)[0].dtype == np.float32


# ---- every optimiser on every target ----


class Target(NamedTuple):
    gradient: object
    start: np.ndarray
    minimum: np.ndarray
    largest: float  # no curvature on the way exceeds it
    steps: int


def rosenbrock(x):
    valley = x[1] - x[0] ** 2
    return np.array([-40 * x[0] * valley - 2 * (1 - x[0]), 20 * valley])


FEATURES = normal(Key(1), (40, 3), "float64")
OUTCOMES = scipy.special.expit(FEATURES @ START) > normal(Key(2), (40,), "float64") / 4 + 0.5


def logistic(x):
    return FEATURES.T @ (scipy.special.expit(FEATURES @ x) - OUTCOMES) / 40 + 0.1 * x


TARGETS = {
    "quadratic": Target(lambda x: CURVATURE * (x - 1), START, np.ones(3), 10.0, 1500),
    "ill-conditioned": Target(lambda x: np.array([1.0, 500.0]) * (x - 1), np.zeros(2), np.ones(2), 500.0, 8000),
    "rosenbrock": Target(rosenbrock, np.array([-1.0, 1.0]), np.ones(2), 200.0, 12000),
    "logistic": Target(
        logistic,
        np.zeros(3),
        scipy.optimize.root(logistic, np.zeros(3), tol=1e-12).x,
        np.linalg.norm(FEATURES, 2) ** 2 / 160 + 0.1,
        1500,
    ),
}


@pytest.mark.parametrize("name", DEFAULT)
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_optimiser_reaches_the_minimum_of_every_target(name, target):
    adaptive = name in ("rmsprop", "adam", "adamw")
    optimizer = DEFAULT[name](cosine(0.03 if adaptive else 1.2 / target.largest, target.steps))
    theta = target.start
    state = optimizer.init(theta)
    for _ in range(target.steps):
        theta, state = optimizer.step(target.gradient(theta), state, theta)
    np.testing.assert_allclose(theta, target.minimum, atol=1e-3)


# ---- clipping and weight decay ----


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_clipping_bounds_each_member_s_norm_and_keeps_its_direction(shape, scale, device):
    gradient = (normal(Key(3), shape, "float64") * scale).astype(np.float32)
    theta = to_device(np.zeros(shape), device, "float32")
    optimizer = chain(clip_by_global_norm(0.1), sgd(1.0))
    moved, _ = optimizer.step(to_device(gradient, device), optimizer.init(theta), theta)
    norms = np.linalg.norm(np.atleast_1d(gradient).astype(float), axis=-1, keepdims=True)
    expected = gradient * np.reshape(np.minimum(1, 0.1 / norms), () if shape == () else norms.shape)
    assert moved.dtype == device.namespace.float32
    np.testing.assert_allclose(-to_host(moved), expected, rtol=1e-6)


def test_clipping_leaves_a_small_gradient_and_a_zero_one_to_the_bit():
    optimizer = chain(clip_by_global_norm(0.3), sgd(1.0))
    for gradient in (np.array([0.1, -0.17, 0.003]), np.zeros(3)):
        moved, _ = optimizer.step(gradient, optimizer.init(gradient), np.zeros(3))
        np.testing.assert_array_equal(-moved, gradient)


def test_weight_decay_is_decoupled_from_any_optimiser_s_moments(device):
    theta, gradient = to_device(START, device), to_device(CURVATURE, device)
    plain, decayed = adam(0.1), decay_weights(lambda n: 0.25 / (n + 1), adam(0.1))
    for n in range(2):
        state = plain.init(theta)._replace(steps=n)
        (one, state_one), (other, state_other) = (o.update(gradient, state, theta) for o in (plain, decayed))
        np.testing.assert_allclose(to_host(one) - to_host(other), 0.25 / (n + 1) * START, rtol=1e-14)
        np.testing.assert_array_equal(to_host(state_one.square), to_host(state_other.square))
        stepped, _ = decayed.step(gradient, state, theta)
        np.testing.assert_allclose(to_host(stepped), to_host(apply_updates(theta, other)), rtol=1e-14)


# ---- Algorithm 2, driven by each ----


def egg_box(theta, batch=None):  # local minima near 3k, for whole numbers k; the global one is at 0
    return ops.sum(0.1 * ops.square(theta) + 1 - ops.cos(2 * theta))


# rates of θ and of φ, where gradients set the pace; a velocity sums about ten of them
PACE = {
    "sgd": (0.02, 0.004),
    "clipped sgd": (0.02, 0.004),
    "momentum": (0.002, 0.0004),
    "nesterov": (0.002, 0.0004),
}


@pytest.mark.parametrize("name", DEFAULT)
def test_each_optimiser_drives_both_variables_of_the_method_out_of_a_local_minimum(name):
    optimizer, optimizer_lam = (DEFAULT[name](rate) for rate in PACE.get(name, (0.01, 0.004)))
    plain = descent(egg_box, optimizer)
    smooth = continuation(egg_box, optimizer, optimizer_lam, log_lam0=0.7, estimator="pathwise", beta=0.1)
    ends = []
    for algorithm in (plain, smooth):
        state = algorithm.init(np.array([2.8, -3.1]))
        for i in range(2000):
            state, _ = algorithm.step(state, None, fold_in(Key(5), i))
        ends.append(state)
    assert np.all(np.abs(ends[0].theta) > 2.5)
    assert np.all(np.abs(ends[1].theta) < 0.3)
    assert np.exp(ends[1].log_lam) < 0.1 * np.exp(0.7)


WRONG = {  # for θ of shape (5,) in float32
    "shorter": np.ones(3, np.float32),
    "one": np.ones(1, np.float32),
    "a number": 1.0,
    "a column": np.ones((5, 1), np.float32),
    "float64": np.ones(5),
    "float16": np.ones(5, np.float16),
    "words": ["a"] * 5,
}


@pytest.mark.parametrize("name", DEFAULT)
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_gradient_that_is_not_like_theta_is_refused_and_never_broadcast(wrong, name):
    optimizer, theta = DEFAULT[name](0.1), np.zeros(5, np.float32)
    for function in (optimizer.update, optimizer.step):
        with pytest.raises(InputError, match="gradient") as caught:
            function(wrong, optimizer.init(theta), theta)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in DEFAULT if "sgd" not in name])
def test_the_state_of_another_theta_is_refused(name):
    optimizer, theta = DEFAULT[name](0.1), np.zeros(5)
    for other in (np.zeros(1), np.zeros(3), np.zeros(5, np.float32)):
        with pytest.raises(InputError, match="give one like theta"):
            optimizer.step(theta, optimizer.init(other), theta)


@pytest.mark.parametrize("name", DEFAULT)
def test_gradients_as_lists_integers_and_in_any_layout_are_the_same_numbers(name):
    optimizer, gradient = DEFAULT[name](0.1), np.array([1, -2, 3])
    theta = START.astype(np.float32)
    expected = optimizer.step(gradient.astype(np.float32), optimizer.init(theta), theta)[0]
    for same in (
        gradient,
        gradient.tolist(),
        gradient.astype(">f4"),
        np.repeat(gradient, 2)[::2].astype("f4"),
        np.broadcast_to(gradient.astype("f4"), (3,)),
    ):
        found = optimizer.step(same, optimizer.init(theta), theta)[0]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", DEFAULT)
def test_no_parameters_are_updated_to_none(name):
    optimizer, none = DEFAULT[name](0.1), np.zeros(0)
    assert optimizer.step(none, optimizer.init(none), none)[0].shape == (0,)


@pytest.mark.parametrize("name", DEFAULT)
def test_updates_are_differentiable_in_a_gradient_that_begins_at_a_constant(name):
    def after(scale):
        theta, optimizer = START, DEFAULT[name](0.1)
        state = optimizer.init(theta)
        for _ in range(3):
            theta, state = optimizer.step(scale * CURVATURE * theta, state, theta)
        return ops.sum(ops.square(theta))

    check_grads(after, 0.7, order=1, rtol=1e-5)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: sgd(0.0),
        lambda: momentum(0.1, 1.0),
        lambda: nesterov(-0.1),
        lambda: rmsprop(0.1, epsilon=0.0),
        lambda: adam(float("nan")),
        lambda: adam(1, (1.0, 0.9)),
        lambda: adam(1, epsilon=0),
        lambda: adamw(0.1, weight_decay=0.0),
        lambda: decay_weights(0.0, sgd(0.1)),
        lambda: clip_by_global_norm(0.0),
        lambda: clip_by_global_norm([1.0]),
        lambda: add_decayed_weights(0.0),
        lambda: scale("one"),
        lambda: scale_by_learning_rate(-1.0),
        lambda: scale_by_adam(epsilon=0.0),
        lambda: sgd("fast"),
        lambda: sgd(None),
        lambda: sgd(10**400),
        lambda: sgd(np.array([0.1])),
        lambda: momentum(0.1, None),
        lambda: adam(0.1, 0.9),
        lambda: adam(0.1, (0.9, "a")),
        lambda: adam(0.1, epsilon=None),
    ],
)
def test_options_out_of_range_are_one_sentence(bad):
    with pytest.raises(InputError, match="got"):
        bad()


def test_a_number_of_any_kind_is_a_rate():
    for rate in (0.5, np.float32(0.5), np.array(0.5)):
        assert sgd(rate).step([1.0], sgd(rate).init([0.0]), [0.0])[0] == -0.5
    assert sgd(1).step([1.0], sgd(1).init([0.0]), [0.0])[0] == -1


@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_the_first_numbers_that_are_named_do_not_decay(shape):
    theta = np.random.default_rng(0).normal(size=shape)
    gradient = np.random.default_rng(1).normal(size=shape)
    plain, decayed = (sgd(0.1), decay_weights(0.01, sgd(0.1), undecayed=2))
    without, _ = plain.step(gradient, plain.init(theta), theta)
    found, _ = decayed.step(gradient, decayed.init(theta), theta)
    np.testing.assert_array_equal(found[..., :2], without[..., :2])
    np.testing.assert_allclose(found[..., 2:], without[..., 2:] - 0.01 * theta[..., 2:], rtol=1e-14)
    updates, _ = decayed.update(gradient, decayed.init(theta), theta)
    np.testing.assert_allclose(theta + updates, found, rtol=1e-14)
