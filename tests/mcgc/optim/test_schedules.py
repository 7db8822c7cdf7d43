"""Learning rates: their formulas, at the ends and between, and what is refused."""

import math

import numpy as np
import pytest

from mcgc.errors import InputError
from mcgc.optim.schedules import constant, cosine, exponential, function_of, piecewise, warmup


def test_a_constant_rate_is_one_and_the_same():
    assert [constant(0.3)(n) for n in (0, 7, 10**9)] == [0.3] * 3


def test_a_cosine_rate_falls_along_half_a_wave_and_stays_at_its_end():
    rate = cosine(0.5, 8, end=0.1)
    assert [rate(n) for n in (0, 4, 8, 100)] == pytest.approx([0.5, 0.3, 0.1, 0.1], rel=1e-15)
    expected = [0.1 + 0.4 * math.cos(math.pi * n / 16) ** 2 for n in range(9)]
    assert [rate(n) for n in range(9)] == pytest.approx(expected, rel=1e-14)


def test_an_exponential_rate_falls_by_its_factor_every_so_many_steps():
    rate = exponential(0.5, 0.1, steps=4)
    assert [rate(n) for n in (0, 2, 4, 12)] == pytest.approx([0.5, 0.5 / math.sqrt(10), 0.05, 5e-4], rel=1e-14)


def test_a_piecewise_rate_changes_at_its_boundaries():
    rate = piecewise([3.0, 2.0, 1.0], [2, 5])
    assert [rate(n) for n in range(7)] == [3.0, 3.0, 2.0, 2.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize("rate", [2.0, cosine(2.0, 10), exponential(2.0, 0.9), piecewise([2.0, 1.0], [3])])
def test_warmup_rises_in_a_line_to_any_rate_and_then_is_it(rate):
    warm, plain = warmup(4, rate), function_of(rate)
    expected = [share * plain(n) for n, share in enumerate([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])]
    assert [warm(n) for n in range(6)] == pytest.approx(expected, rel=1e-15)


def test_rates_are_python_floats_whatever_a_caller_gives():
    for rate in (np.float64(0.5), 1, lambda n: np.float32(n)):
        assert type(function_of(rate)(3)) is float


@pytest.mark.parametrize(
    "bad",
    [
        lambda: constant(0),
        lambda: constant(math.nan),
        lambda: cosine(-1.0, 5),
        lambda: cosine(1.0, 0),
        lambda: cosine(1.0, 5, end=-0.1),
        lambda: exponential(1.0, 1.1),
        lambda: exponential(1.0, 0.5, steps=0.5),
        lambda: piecewise([1.0, 2.0], []),
        lambda: piecewise([1.0, 2.0, 3.0], [5, 5]),
        lambda: piecewise([1.0, -2.0], [5]),
        lambda: warmup(0, 1.0),
        lambda: warmup(5, math.inf),
    ],
)
def test_options_out_of_range_are_one_sentence(bad):
    with pytest.raises(InputError, match="got"):
        bad()
