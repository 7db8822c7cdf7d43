"""Gauss–Newton without derivatives: its model against the definition, and its searches of kinks, jumps and failures."""

import numpy as np
import pytest
from residuals import DATA, MATRIX, linear
from scipy import optimize

from mcgc import least_squares
from mcgc.continuation._least_squares._evaluate import Residuals
from mcgc.continuation._least_squares._interpolated import _Set, interpolate
from mcgc.continuation._least_squares._parameters import space_of

BEST = np.linalg.lstsq(MATRIX, DATA, rcond=None)[0]


def search_of(function, start, scale, bounds=None, limit=np.inf):
    return Residuals(function, space_of(start, scale, bounds), False, None, limit, -np.inf, lambda *told: None)


def stairs(x):
    """Return residuals that are constant on steps of a hundredth: derivatives over tiny steps are 0."""
    return np.floor(100 * linear(x)) / 100


def test_the_slopes_are_those_of_the_planes_that_are_1_at_one_point_and_0_at_the_others():
    known = _Set(search_of(linear, np.ones(3), [0.5, 1.0, 2.0]), np.ones(3))
    assert known.begin(0.7)
    slopes = known.slopes()
    values = (known.points - known.points[known.best]) @ slopes.T
    values[:, known.best] += 1
    assert values == pytest.approx(np.eye(4), abs=1e-12)
    assert known.rows.T @ slopes == pytest.approx(MATRIX * [0.5, 1.0, 2.0], abs=1e-12)  # of the scaled parameters


def test_a_linear_problem_is_solved_by_the_step_after_the_first_points():
    search = search_of(linear, BEST + 0.2, 1.0)
    assert interpolate(search, search.space.start, 1.0, 0.5)
    assert search.best.u == pytest.approx(BEST, abs=1e-5)  # μ is at least 1e-6 of the Gram matrix
    assert search.nfev <= 4 + 1 + 3 + 1  # d + 1 points, the step, and at most d to be nearer, with a step


def test_the_end_is_the_minimum_of_scipy_to_about_the_last_width():
    curved = lambda x: np.asarray([10 * (x[1] - x[0] ** 2), 1 - x[0], x[0] * x[1] - 0.5])
    expected = optimize.least_squares(curved, [-1.0, 1.0], xtol=1e-14)
    search = search_of(curved, [-1.0, 1.0], 1.0)
    assert interpolate(search, search.space.start, 0.5, 1e-6)
    assert search.best.u == pytest.approx(expected.x, abs=1e-5)
    assert search.best.cost == pytest.approx(expected.cost, rel=1e-9)


def test_stairs_are_no_obstacle():
    found = least_squares(stairs, np.zeros(3), 1.0, method="dfgn", polish=None)
    stuck = least_squares(stairs, np.zeros(3), 1.0, method="lm", polish=None)
    assert abs(found.x - BEST).max() < 0.05
    assert abs(stuck.x - BEST).max() > 0.1


@pytest.mark.parametrize("where", ["ahead", "behind and ahead"])
def test_points_that_fail_at_first_are_taken_on_the_other_side_or_nearer(where):
    def fragile(x):
        if x[0] > 1.3 or (where != "ahead" and x[0] < 0.7):
            raise RuntimeError
        return linear(x)

    search = search_of(fragile, np.ones(3), 1.0)
    known = _Set(search, search.space.start)
    assert known.begin(0.5)
    assert np.linalg.matrix_rank(known.points[1:] - known.points[0]) == 3


def test_a_start_that_fails_ends_the_run():
    search = search_of(lambda x: [np.nan] * 4 if x[0] == 1 else x[:1] * np.ones(4), [1.0, 1.0], 1.0)
    assert not interpolate(search, search.space.start, 0.5, 1e-3)


def test_a_minimum_on_a_bound_is_found_and_no_call_is_beyond():
    seen = []
    shifted = lambda x: (seen.append(x.copy()), linear(x))[1]
    upper = BEST - [0.3, -1, -1]
    expected = optimize.lsq_linear(MATRIX, DATA, (-5, upper))
    found = least_squares(shifted, upper, 1.0, bounds=(-5, upper), method="dfgn", polish=None)
    assert found.x == pytest.approx(expected.x, abs=1e-2)
    assert (np.asarray(seen) <= upper).all()


@pytest.mark.parametrize("size", [1, 20])
def test_one_parameter_and_twenty_are_searched(size):
    slopes = np.cos(np.outer(np.arange(30), np.arange(1, size + 1)))
    curved = lambda x: slopes @ (x - 0.3) + 0.1 * x @ x - 0.1 * 0.09 * size
    search = search_of(curved, np.zeros(size), 1.0)
    assert interpolate(search, search.space.start, 0.5, 1e-5)
    assert search.best.u == pytest.approx(np.full(size, 0.3), abs=1e-3)
