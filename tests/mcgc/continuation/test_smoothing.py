"""Exact smoothing: quadrature against closed forms, closed forms against the heat equation."""

import math

import numpy as np
import pytest

from mcgc import check_grads, grad
from mcgc.arrays import to_device, to_host
from mcgc.autodiff import ops
from mcgc.continuation.smoothing import bump, cosine, power, quadratic, smoothed
from mcgc.errors import InputError

A = np.array([[2.0, 0.3], [0.3, 1.0]])
B = np.array([1.0, -1.0])
THETA = np.array([[0.3, -0.5], [1.2, 0.4], [-0.7, 2.0]])

CLOSED_FORMS = {
    "quadratic": lambda theta, lam: quadratic(A, B, theta, lam),
    "bump": lambda theta, lam: bump(B, theta, lam),
    "cosine": lambda theta, lam: cosine(theta @ B / math.sqrt(2), lam, math.sqrt(2), 0.3),
    "powers": lambda theta, lam: ops.sum(power(theta, lam, 5) + power(theta, lam, 4), axis=-1),
}

PLAIN = {
    "quadratic": lambda x: np.einsum("...i,ij,...j", x, A, x) / 2 + x @ B,
    "bump": lambda x: np.exp(-np.sum((x - B) ** 2, axis=-1) / 2),
    "cosine": lambda x: np.cos(x @ B + 0.3),
    "powers": lambda x: np.sum(x**5 + x**4, axis=-1),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize("lam", [0.0, 0.05, 1.0])
def test_closed_forms_are_what_quadrature_finds(name, lam):
    found = CLOSED_FORMS[name](THETA, lam)
    np.testing.assert_allclose(found, smoothed(PLAIN[name], THETA, lam), rtol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_quadrature_is_exact_for_polynomials_of_its_degree_in_each_dimension(dimension):
    theta, lam = np.linspace(-0.5, 1.0, dimension), 0.7
    f = lambda x: np.prod(x**5, axis=-1)
    expected = np.prod(power(theta, lam, 5))  # independent coordinates
    assert smoothed(f, theta, lam, order=3) == pytest.approx(expected, rel=1e-12)
    assert smoothed(f, theta, lam, order=2) != pytest.approx(expected, rel=1e-3)


def test_quadrature_is_the_mean_over_the_noise():
    f = lambda x: np.abs(x[..., 0]) * np.exp(x[..., 1])  # no closed form used, and a kink
    values = f(THETA[0] + math.sqrt(0.5) * np.random.default_rng(3).normal(size=(200_000, 2)))
    z = (values.mean() - smoothed(f, THETA[0], 0.5, order=200)) / (values.std() / math.sqrt(len(values)))
    assert abs(z) < 4


FORMS = {**CLOSED_FORMS, "quadrature": lambda theta, lam: smoothed(lambda x: ops.sum(ops.sin(x), axis=-1), theta, lam)}


@pytest.mark.parametrize("name", FORMS)
def test_the_trace_of_the_hessian_is_twice_the_derivative_in_lambda(name):
    # eq. 6, all by the engine
    theta, lam = THETA[0], np.asarray(0.3)
    slope = grad(FORMS[name])
    trace = sum(grad(lambda x, i=i: slope(x, lam)[i])(theta)[i] for i in range(2))
    assert trace == pytest.approx(2 * float(grad(FORMS[name], argnums=1)(theta, lam)), rel=1e-10)


@pytest.mark.parametrize("name", FORMS)
def test_smoothing_is_differentiable_in_both_arguments(name):
    check_grads(FORMS[name], THETA[1], np.asarray(0.4))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_and_device_are_kept(name, dtype, device):
    if name == "quadratic":
        matrix, vector = to_device(A, device, dtype), to_device(B, device, dtype)
        form = lambda theta, lam: quadratic(matrix, vector, theta, lam)
    elif name == "bump":
        form = lambda theta, lam: bump(to_device(B, device, dtype), theta, lam)
    elif name == "cosine":
        form = lambda theta, lam: ops.sum(cosine(theta, lam, 1.5), axis=-1)
    else:
        form = FORMS[name]
    for lam in (0.3, to_device(0.3, device, dtype)):
        found = form(to_device(THETA, device, dtype), lam)
        assert found.dtype == getattr(device.namespace, dtype)
        assert found.shape == (3,)
        expected = np.sum(cosine(THETA, 0.3, 1.5), axis=-1) if name == "cosine" else FORMS[name](THETA, 0.3)
        np.testing.assert_allclose(to_host(found), expected, rtol=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize(
    ("theta", "order", "words"), [(np.zeros(4), 5, "1 to 3"), (np.asarray(0.0), 5, "1 to 3"), (np.zeros(2), 0, "order")]
)
def test_what_quadrature_cannot_do_is_one_sentence(theta, order, words):
    with pytest.raises(InputError, match=words):
        smoothed(lambda x: x[..., 0], theta, 0.1, order)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quadratic(A, B, np.ones(3), 1.0), "needs a matrix"),
        (lambda: quadratic(B, B, THETA, 1.0), "needs a matrix"),
        (lambda: quadratic(A, B, 1.0, 1.0), "needs a matrix"),
        (lambda: bump(B, np.ones(3), 1.0), "needs a centre"),
        (lambda: bump(1.0, THETA, 1.0), "needs a centre"),
        (lambda: power(B, 1.0, -1), "integer of at least 0"),
        (lambda: power(B, 1.0, 2.5), "integer of at least 0"),
        (lambda: cosine(np.ones(2, np.float16), 1.0), "x is an array of float16"),
        (lambda: smoothed(lambda x: x[..., 0], ["a"], 1.0), "theta must be an array"),
        (lambda: smoothed(lambda x: x[..., 0], [1.0], "a"), "number must be an array"),
    ],
)
def test_arguments_that_do_not_fit_are_one_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_lists_and_integers_are_smoothed_like_arrays():
    f, theta = PLAIN["bump"], [[1, 2], [0, -1]]
    expected = smoothed(f, np.array(theta, float), 0.5)
    np.testing.assert_array_equal(smoothed(f, theta, 0.5), expected)
    np.testing.assert_allclose(bump(B.tolist(), theta, 0.5), expected, rtol=1e-12)
    np.testing.assert_array_equal(power([1, 2], 0.5, 3), power(np.array([1.0, 2.0]), 0.5, 3))
    assert smoothed(f, np.array(theta, np.float32), np.float64(0.5)).dtype == np.float64  # f is of float64
    assert power(np.ones(2, np.float32), np.float64(0.5), 2).dtype == np.float32
