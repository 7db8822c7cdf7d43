"""Whole functions and their first and second derivatives, compared with HIPS autograd, another implementation."""

import autograd
import autograd.numpy as anp
import autograd.scipy.special
import numpy as np
import pytest

from mcgc.autodiff import grad, hessian, hvp, jacobian, ops, value_and_grad
from mcgc.random import Key, fold_in, normal


def drawn(index, shape):
    return normal(fold_in(Key(5), index), shape, "float64")


X, Y, LABELS = drawn(0, (7, 4)), drawn(1, (7, 3)), np.array([0, 2, 1, 1, 0, 2, 2])
SPD = drawn(3, (4, 4)) @ drawn(3, (4, 4)).T + np.eye(4)


def logsumexp(xp, x, axis):
    if xp is ops:
        return ops.logsumexp(x, axis=axis)
    return autograd.scipy.special.logsumexp(x, axis=axis)


def net(xp, theta):
    w1, b1, w2, b2 = (
        xp.reshape(theta[:20], (4, 5)),
        theta[20:25],
        xp.reshape(theta[25:40], (5, 3)),
        theta[40:43],
    )
    return xp.tanh(X @ w1 + b1) @ w2 + b2


def mean_square_of_a_net(xp, theta):
    return xp.mean((net(xp, theta) - Y) ** 2)


def cross_entropy_of_a_net(xp, theta):
    logits = net(xp, theta)
    return xp.mean(logsumexp(xp, logits, 1) - logits[np.arange(7), LABELS])


def gaussian_log_likelihood(xp, theta):
    centred = X - theta[:4]
    scale = SPD * xp.exp(theta[4])
    solve = xp.linalg.solve
    return -0.5 * xp.sum(centred * xp.transpose(solve(scale, xp.transpose(centred)))) - 2 * theta[4]


def attention(xp, theta):
    keys, values = xp.reshape(theta[:28], (7, 4)), xp.reshape(theta[28:49], (7, 3))
    scores = xp.einsum("id,jd->ij", X, keys) / 2
    weights = xp.exp(scores - xp.expand_dims(logsumexp(xp, scores, 1), axis=1))
    return xp.sum(xp.einsum("ij,jk->ik", weights, values) * Y)


def ordered_and_selected(xp, theta):
    ranked = xp.sort(theta)[::-1]
    repeated = theta[np.array([0, 3, 3, 1])]
    return xp.sum(ranked[:3] ** 2) + xp.prod(repeated) + xp.max(theta) * xp.std(theta) + xp.min(theta) * xp.var(theta)


def euler_pendulum(xp, theta):
    angle, speed = theta[0], theta[1]
    for _ in range(30):
        angle, speed = angle + 0.1 * speed, speed - 0.1 * theta[2] * xp.sin(angle)
    return xp.maximum(angle, 0.0) ** 2 + xp.where(speed > 0, speed, speed**2)


def rosenbrock_of_stacked_products(xp, theta):
    stacked = xp.stack([theta, theta**2, xp.sqrt(theta**2 + 1)])
    joined = xp.concatenate([xp.cumsum(stacked[0]), xp.tensordot(stacked, stacked, axes=((1,), (1,)))[0], theta])
    return xp.sum(100 * (joined[1:] - joined[:-1] ** 2) ** 2 + (1 - joined[:-1]) ** 2)


FUNCTIONS = {
    mean_square_of_a_net: 43,
    cross_entropy_of_a_net: 43,
    gaussian_log_likelihood: 5,
    attention: 49,
    ordered_and_selected: 6,
    euler_pendulum: 3,
    rosenbrock_of_stacked_products: 4,
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_gradients_and_second_derivatives_agree_with_autograd(function):
    theta, v = 0.5 * drawn(10, (FUNCTIONS[function],)), drawn(11, (FUNCTIONS[function],))
    ours, theirs = (lambda theta: function(ops, theta)), (lambda theta: function(anp, theta))
    value, gradient = value_and_grad(ours)(theta)
    np.testing.assert_allclose(value, theirs(theta), rtol=1e-12)
    np.testing.assert_allclose(gradient, autograd.grad(theirs)(theta), rtol=1e-10, atol=1e-12)
    product = autograd.hessian_vector_product(theirs)(theta, v)
    np.testing.assert_allclose(hvp(ours, theta, v), product, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(hessian(ours)(theta) @ v, product, rtol=1e-9, atol=1e-11)


def test_jacobians_agree_with_autograd():
    theta = drawn(12, (43,))
    found = jacobian(lambda theta: net(ops, theta))(theta)
    np.testing.assert_allclose(found, autograd.jacobian(lambda theta: net(anp, theta))(theta), rtol=1e-10, atol=1e-12)


def test_third_derivatives_agree_with_autograd():
    f = lambda xp, x: xp.exp(xp.sin(x)) / (1 + x**2)
    theirs = autograd.grad(autograd.grad(autograd.grad(lambda x: f(anp, x))))
    assert grad(grad(grad(lambda x: f(ops, x))))(0.7) == pytest.approx(theirs(0.7), rel=1e-11)
