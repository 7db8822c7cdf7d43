"""Test functions: values and minima against formulas written out, and smoothed forms against quadrature and noise."""

import math
from itertools import pairwise

import numpy as np
import pytest

from mcgc import check_grads, value_and_grad
from mcgc.arrays import to_device, to_host
from mcgc.continuation.smoothing import smoothed
from mcgc.errors import InputError
from mcgc.paper import test_functions


def levy(x):
    w = 1 + (x - 1) / 4
    terms = [(u - 1) ** 2 * (1 + 10 * math.sin(math.pi * u + 1) ** 2) for u in w[:-1]]
    last = (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return math.sin(math.pi * w[0]) ** 2 + sum(terms) + last


def saddle(a):
    def f(x):
        near, far = np.sum((x - 2) ** 2), np.sum((x + 2) ** 2)
        return a * (near + far) - math.exp(-near / 2) - math.exp(-far / 2)

    return f


PLAIN = {
    "quartic": lambda x: x[0] ** 4 - x[0] ** 3 - x[0] ** 2 + x[0],
    "good-saddle": saddle(0.01),
    "bad-saddle": saddle(0.02),
    "rastrigin": lambda x: 10 * len(x) + sum(u * u - 10 * math.cos(2 * math.pi * u) for u in x),
    "styblinski-tang": lambda x: sum(u**4 - 16 * u**2 + 5 * u for u in x) / 2,
    "levy": levy,
    "ackley": lambda x: (
        -20 * math.exp(-0.2 * math.sqrt(np.mean(x**2))) - math.exp(np.mean(np.cos(2 * math.pi * x))) + 20 + math.e
    ),
    "griewank": lambda x: (
        1 + np.sum(x**2) / 4000 - math.prod(math.cos(u / math.sqrt(i)) for i, u in enumerate(x, start=1))
    ),
    "rosenbrock": lambda x: sum(100 * (v - u * u) ** 2 + (1 - u) ** 2 for u, v in pairwise(x)),
}
EXACT = [name for name in test_functions.names() if test_functions.get(name).smoothed is not None]


def dimensions(name):
    return (1,) if name == "quartic" else (2, 5)


@pytest.mark.parametrize("name", test_functions.names())
def test_functions_are_their_formulas_in_any_dimension(name):
    for dimension in dimensions(name):
        points = np.random.default_rng(1).uniform(-3, 3, size=(4, dimension))
        np.testing.assert_allclose(
            test_functions.get(name, dimension).function(points), [PLAIN[name](x) for x in points], rtol=1e-11
        )


@pytest.mark.parametrize("name", test_functions.names())
def test_minima_are_flat_and_nothing_around_or_elsewhere_lies_lower(name):
    for dimension in dimensions(name):
        known, rng = test_functions.get(name, dimension), np.random.default_rng(2)
        for minimizer in known.minimizers:
            value, slope = value_and_grad(known.function)(np.array(minimizer))
            assert value == pytest.approx(known.value, abs=1e-12 * max(1, abs(known.value)))
            np.testing.assert_allclose(slope, np.zeros(dimension), atol=1e-9)
            near = np.array(minimizer) + 0.1 * rng.normal(size=(500, dimension))
            far = rng.uniform(*known.domain, size=(2000, dimension))
            assert known.function(np.concatenate([near, far])).min() > known.value - 1e-12


@pytest.mark.parametrize("name", test_functions.names())
def test_functions_are_differentiable_and_keep_dtype_and_device(name, device):
    known = test_functions.get(name)
    check_grads(known.function, np.array(known.start) - 0.3)
    for dtype, tolerance in (("float32", 1e-4), ("float64", 1e-12)):
        points = to_device([known.start] * 2, device, dtype)
        value, slope = value_and_grad(lambda x: known.function(x)[0])(points)
        assert value.dtype == slope.dtype == getattr(device.namespace, dtype)
        np.testing.assert_allclose(to_host(value), PLAIN[name](np.array(known.start)), rtol=tolerance)


@pytest.mark.parametrize("lam", [0.0, 0.01, 0.5, 3.0])
@pytest.mark.parametrize("name", EXACT)
def test_smoothed_forms_are_what_quadrature_finds(name, lam):
    # at λ = 3 a ripple of Rastrigin's needs more nodes than a product of three rules can have
    for dimension in (1,) if name == "quartic" else (2,) if lam == 3 else (2, 3):
        known = test_functions.get(name, dimension)
        points = np.random.default_rng(3).uniform(-2, 2, size=(2, dimension))
        order = 80 if dimension < 3 else 50
        found = smoothed(known.function, points, lam, order)
        np.testing.assert_allclose(known.smoothed(points, lam), found, rtol=1e-8)


@pytest.mark.parametrize("name", EXACT)
def test_smoothed_forms_are_the_mean_over_the_noise(name):
    known = test_functions.get(name, None if name == "quartic" else 4)
    theta, lam = np.array(known.start) / 2, 0.4
    noise = np.random.default_rng(4).normal(size=(100_000, known.dimension))
    values = known.function(theta + math.sqrt(lam) * noise)
    z = (values.mean() - known.smoothed(theta, lam)) / (values.std() / math.sqrt(len(values)))
    assert abs(z) < 4


@pytest.mark.parametrize("name", EXACT)
def test_smoothed_forms_are_differentiable_in_both_arguments(name):
    known = test_functions.get(name)
    check_grads(known.smoothed, np.array(known.start) / 2, np.asarray(0.3))


@pytest.mark.parametrize("name", ["good-saddle", "bad-saddle"])
def test_smoothed_saddles_are_convex_then_split_and_only_then_has_the_trace_another_sign(name):
    smooth = test_functions.get(name).smoothed
    h, lams = 1e-3, np.linspace(5.0, 0.5, 60)

    def bend(lam, direction):
        step = h * np.array(direction) / math.sqrt(2)
        return float(smooth(step, lam) - 2 * smooth(0 * step, lam) + smooth(-step, lam)) / h**2

    along = np.array([bend(lam, (1, 1)) for lam in lams])
    trace = along + np.array([bend(lam, (1, -1)) for lam in lams])
    assert along[0] > 0
    assert 0 < np.argmax(along < 0) < np.argmax(trace < 0)


@pytest.mark.parametrize(
    ("name", "dimension", "words"),
    [
        ("nothing", None, "choose one of quartic"),
        ("quartic", 2, "dimension 1"),
        ("rosenbrock", 1, "at least 2"),
        ("levy", 0, "whole number"),
        ("levy", 1.5, "whole number"),
    ],
)
def test_names_and_dimensions_that_there_are_not_are_one_sentence(name, dimension, words):
    with pytest.raises(InputError, match=words):
        test_functions.get(name, dimension)
