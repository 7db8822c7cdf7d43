"""Optimisers: their formulas, step by step, and what they do to a quadratic."""

import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.errors import InputError
from mcgc.optim import adam, sgd

CURVATURE = np.array([1.0, 10.0, 0.1])


def test_adam_follows_its_published_algorithm(device):
    rate, b1, b2, epsilon = 0.05, 0.8, 0.95, 1e-6
    theta = np.array([1.0, -2.0, 3.0])
    mean = square = np.zeros(3)
    optimizer = adam(rate, (b1, b2), epsilon)
    ours = to_device(theta, device)
    state = optimizer.init(ours)
    for n in range(1, 8):
        g = CURVATURE * theta
        mean, square = b1 * mean + (1 - b1) * g, b2 * square + (1 - b2) * g**2
        theta = theta - rate * (mean / (1 - b1**n)) / (np.sqrt(square / (1 - b2**n)) + epsilon)
        ours, state = optimizer.update(to_device(CURVATURE, device) * ours, state, ours)
        np.testing.assert_allclose(to_host(ours), theta, rtol=1e-12)
    assert state.steps == 7


def test_sgd_subtracts_the_scaled_gradient():
    theta, _ = sgd(0.1).update(np.array([1.0, 2.0]), (), np.array([5.0, 5.0]))
    np.testing.assert_allclose(theta, [4.9, 4.8])


@pytest.mark.parametrize("optimizer", [sgd(0.15), adam(0.1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3,), ()])
def test_every_optimiser_minimises_a_quadratic_in_its_dtype_and_shape(optimizer, dtype, shape, device):
    theta = to_device(np.full(shape, 2.0), device, dtype)
    state = optimizer.init(theta)
    for _ in range(400):
        theta, state = optimizer.update(2 * theta, state, theta)
    assert theta.dtype == getattr(device.namespace, dtype)
    assert theta.shape == shape
    assert np.max(abs(to_host(theta))) < 1e-3


def test_updates_mutate_nothing():
    theta, gradient = np.ones(4), np.full(4, 0.5)
    optimizer = adam(0.1)
    state = optimizer.init(theta)
    for array in (theta, gradient, state.mean, state.square):
        array.flags.writeable = False
    optimizer.update(gradient, state, theta)
    assert (theta == 1).all()
    assert state.steps == 0


@pytest.mark.parametrize(
    "bad",
    [lambda: sgd(0.0), lambda: adam(float("nan")), lambda: adam(1, (1.0, 0.9)), lambda: adam(1, epsilon=0)],
)
def test_options_out_of_range_are_one_sentence(bad):
    with pytest.raises(InputError, match="got"):
        bad()
