"""The points of a sweep are those of itertools, NumPy and SciPy, in the ranges that were given."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, qmc

from mcgc.errors import InputError
from mcgc.sweeps import Range
from mcgc.sweeps._designs import grid, random, sobol
from mcgc.sweeps._space import space_of

MIXED = {
    "learning_rate": Range(1e-4, 1e-1, log=True),
    "beta": Range(-0.0, 2.0),
    "batch_size": Range(4, 32),
    "hidden": ["8", "16,16", "32"],
}


def by_hand(units):
    """Return the points of rows in the unit cube, from the definition of each kind of range."""
    return [
        {
            "learning_rate": 10 ** (-4 + 3 * a),
            "beta": 2 * b,
            "batch_size": int(np.floor(4 + c * 29)),
            "hidden": ["8", "16,16", "32"][int(3 * d)],
        }
        for a, b, c, d in units
    ]


def assert_equal(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one["batch_size"], one["hidden"]) == (other["batch_size"], other["hidden"])
        assert type(one["batch_size"]) is int
        assert one["learning_rate"] == pytest.approx(other["learning_rate"], rel=1e-12)
        assert one["beta"] == pytest.approx(other["beta"], rel=1e-12)


def test_a_grid_is_the_product_of_itertools():
    space = {"estimator": ["score", "pathwise"], "skip": [True, False], "clip": [None, 1, 2.5]}
    found = grid(space_of(space, "grid"))
    assert [tuple(point.values()) for point in found] == list(product(*space.values()))


def test_the_levels_of_a_range_are_those_of_linspace_and_geomspace():
    space = {"learning_rate": Range(1e-4, 1e-1, log=True, points=4), "beta": Range(0, 1, points=5)}
    rate, beta = (one.levels() for one in space_of(space, "grid"))
    np.testing.assert_allclose(rate, np.geomspace(1e-4, 1e-1, 4), rtol=1e-12)
    np.testing.assert_allclose(beta, np.linspace(0, 1, 5), rtol=1e-12)
    assert (rate[0], rate[-1]) == (1e-4, 1e-1)


def test_the_levels_of_a_whole_number_are_whole_and_differ():
    (one,) = space_of({"num_samples": Range(1, 3, points=7)}, "grid")
    assert one.levels() == (1, 2, 3)


def test_a_grid_that_is_too_large_is_refused_before_it_is_made():
    space = {name: Range(0.1, 1, points=10_000) for name in ("beta", "clip", "gamma")}
    with pytest.raises(InputError, match="more than 100000 points"):
        grid(space_of(space, "grid"))


@pytest.mark.parametrize("count", [1, 5, 16])
def test_random_points_are_those_of_numpy(count):
    assert_equal(random(space_of(MIXED, "random"), count, 3), by_hand(np.random.default_rng(3).random((count, 4))))


@pytest.mark.parametrize("count", [1, 5, 16])
def test_sobol_points_are_the_first_of_scipy(count):
    units = qmc.Sobol(4, scramble=True, rng=3).random_base2(4)[:count]
    assert_equal(sobol(space_of(MIXED, "sobol"), count, 3), by_hand(units))


@pytest.mark.parametrize("design", [random, sobol])
def test_more_points_begin_with_the_same_ones(design):
    space = space_of(MIXED, "sobol")
    assert design(space, 20, 1)[:7] == design(space, 7, 1)
    assert design(space, 7, 1) != design(space, 7, 2)


@pytest.mark.parametrize("log", [False, True])
def test_whole_numbers_are_drawn_as_often_as_their_range_says(log):
    (one,) = space_of({"batch_size": Range(1, 5, log=log)}, "random")
    found = np.bincount([one.value(u) for u in (np.arange(50_000) + 0.5) / 50_000], minlength=6)[1:]
    ends = np.arange(0.5, 6)
    widths = np.diff(np.log(ends) if log else ends)
    assert chisquare(found, 50_000 * widths / widths.sum()).pvalue > 0.999  # even units, so closer than by chance


@given(
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_value_is_in_its_range_and_its_code_and_unit_lead_back(a, b, unit, log):
    low, high = sorted((a, b))
    if low < high:
        (one,) = space_of({"beta": Range(low, high, log=log)}, "random")
        value = one.value(unit)
        assert low <= value <= high
        assert one.decoded(one.code(value)) == value
        assert one.value(one.unit(value)) == pytest.approx(value, rel=1e-6)
