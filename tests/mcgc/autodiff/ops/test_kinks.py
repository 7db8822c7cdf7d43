"""Derivatives at kinks and poles: those that the documentation lists, without a warning."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from mcgc.arrays import quietly, to_device, to_host
from mcgc.autodiff import grad, hessian, ops, vjp
from mcgc.errors import InputError

PAGE = (Path(__file__).parents[4] / "docs/mathematics.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Derivatives at kinks and poles")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| `(.+)` \| `(.+)` \| `(.+)` \|$", SECTION, re.M)
NAMES = {**vars(ops), "__builtins__": {}}


def numbers(text):
    """Return the arguments, or their derivatives, that a cell of the table lists."""
    return [np.asarray(x) for x in eval(f"({text},)", NAMES)]


def function(text):
    return lambda *args: eval(text, NAMES, dict(zip("xy", args, strict=False)))


def like(out, value, device):
    return to_device(np.full(np.shape(to_host(out)), value), device, to_host(out).dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("text", "at", "expected"), ROWS)
def test_an_operation_has_the_derivative_that_is_documented(text, at, expected, dtype, device):
    args = [to_device(x, device, dtype) for x in numbers(at)]
    with np.errstate(divide="ignore"):  # of an infinite value NumPy warns, and of nothing else here
        out, pullback = vjp(function(text), *args)
    for found, wanted in zip(pullback(like(out, 1, device)), numbers(expected), strict=True):
        np.testing.assert_allclose(to_host(found), wanted, rtol=1e-5, atol=1e-7)
        assert to_host(found).dtype == dtype
    assert not any(to_host(found).any() for found in pullback(like(out, 0, device)))


@pytest.mark.parametrize(
    ("text", "at"), [row[:2] for row in ROWS if "inf" not in row[1] + row[2] and "1 / x" not in row[0]]
)
def test_where_the_derivative_is_finite_the_second_is_not_nan(text, at):
    args = numbers(at)
    with quietly():  # it may be infinite
        second = hessian(function(text), tuple(range(len(args))))(*args)
    assert not any(np.isnan(block).any() for row in second for block in row)


def test_the_table_is_there():
    assert len(ROWS) > 70


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        (lambda x: ops.norm(x), [0.0, 0.0], np.zeros((2, 2))),
        (lambda x: ops.linalg.vector_norm(x, ord=3), [0.0, 0.0], np.zeros((2, 2))),
        (lambda x: ops.hypot(x[0], x[1]), [0.0, 0.0], np.zeros((2, 2))),
        (lambda x: ops.hypot(x[0], x[1]), [0.0, 2.0], [[0.5, 0.0], [0.0, 0.0]]),
        (lambda x: ops.prod(x), [0.0, 3.0, 0.0], [[0, 0, 3], [0, 0, 0], [3, 0, 0]]),
        (lambda x: ops.logaddexp(x[0], x[1]), [2.0, 2.0], [[0.25, -0.25], [-0.25, 0.25]]),
        (lambda x: ops.logsumexp(x), [2.0, 2.0], [[0.25, -0.25], [-0.25, 0.25]]),
        (lambda x: x[0] ** x[1], [2.0, 0.0], [[0, 0.5], [0.5, math.log(2) ** 2]]),
        (lambda x: x[0] ** x[1], [0.0, 2.0], [[2, 0], [0, 0]]),
        (lambda x: ops.silu(x[0]), [0.0], [[0.5]]),
        (lambda x: ops.gelu(x[0]), [0.0], [[2 / math.sqrt(2 * math.pi)]]),
        (lambda x: ops.sqrt(x[0]), [0.0], [[-math.inf]]),
        (lambda x: ops.asin(x[0]), [1.0], [[math.inf]]),
    ],
)
def test_second_derivatives_at_kinks_and_ties(function, at, expected):
    np.testing.assert_allclose(hessian(function)(np.array(at)), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("asinh", 1e200, 1e-200),
        ("acosh", 1e200, 1e-200),
        ("atan", 1e100, 1e-200),
        ("silu", 1e300, 1.0),
        ("gelu", -1e300, 0.0),
        ("softplus", -800.0, 0.0),
        ("sigmoid", 800.0, 0.0),
        ("erf", -1e300, 0.0),
    ],
)
def test_derivatives_far_out_neither_overflow_nor_warn(name, x, expected):
    assert grad(getattr(ops, name))(x) == pytest.approx(expected, rel=1e-12)


def test_the_derivative_of_an_angle_neither_overflows_nor_underflows():
    for size in (1e-200, 1e200):
        gradient = grad(ops.atan2, (0, 1))(size, size)
        np.testing.assert_allclose(gradient, [0.5 / size, -0.5 / size], rtol=1e-14)


@pytest.mark.parametrize("name", ["max", "min", "mean", "var", "std"])
def test_a_reduction_of_nothing_without_a_meaning_is_refused_in_one_sentence(name, device):
    x = to_device(np.zeros((2, 0)), device)
    with pytest.raises(InputError, match=rf"^{name} over axis 1 of shape \(2, 0\) takes 0 numbers: give it more$"):
        getattr(ops, name)(x, axis=1)
    assert getattr(ops, name)(x, axis=0).shape == (0,)  # no row lacks its numbers


@pytest.mark.parametrize("correction", [2, 2.5, 3])
@pytest.mark.parametrize("name", ["var", "std"])
def test_a_variance_of_no_more_numbers_than_its_correction_is_refused_in_one_sentence(name, correction):
    with pytest.raises(
        InputError, match=f"{name} over axis 1 .* takes 2 numbers, less the correction {correction}: give it more$"
    ):
        getattr(ops, name)(np.ones((3, 2)), axis=1, correction=correction)
    np.testing.assert_array_equal(getattr(ops, name)(np.ones((3, 2)), axis=1, correction=1), np.zeros(3))


def test_reductions_of_nothing_with_a_meaning_are_their_neutral_elements(device):
    x = to_device(np.zeros((2, 0)), device, "float32")
    neutral = {"sum": 0, "prod": 1, "norm": 0, "logsumexp": -math.inf}
    for name, value in neutral.items():
        found = getattr(ops, name)(x, axis=1)
        np.testing.assert_array_equal(to_host(found), np.full(2, value, "float32"), strict=True)
        assert grad(lambda x, name=name: ops.sum(getattr(ops, name)(x, axis=1)))(x).shape == (2, 0)
    assert ops.softmax(x).shape == ops.log_softmax(x).shape == (2, 0)
