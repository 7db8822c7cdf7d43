"""The formulas of the smoothed Gauss–Newton step and of the ensemble, each against its definition."""

import numpy as np
import pytest

from mcgc.continuation._least_squares._ensemble import kalman_step, share_of_step
from mcgc.continuation._least_squares._smoothed import Path, bounded_step, directions, linear_model
from mcgc.random import Key

RNG = np.random.default_rng(0)


def seen(function, u, size, eps):
    return (np.asarray([function(u + sign * size * e) for e in eps]) for sign in (1, -1))


def curved(u):
    return np.asarray([u @ u, np.sin(3 * u[0]), 2 * u[0] - u[1], u[0] * u[1] ** 2])


@pytest.mark.parametrize("d", [2, 3, 7])
def test_a_block_of_directions_is_orthogonal_with_lengths_of_root_d(d):
    eps = directions(Key(1), d, 1)
    assert eps @ eps.T == pytest.approx(d * np.eye(d), abs=1e-12)


def test_the_mean_of_eps_eps_transposed_is_the_unit_matrix_also_for_one_parameter_and_several_blocks():
    for d, blocks in ((1, 1), (1, 3), (3, 2)):
        eps = directions(Key(2), d, blocks)
        assert eps.shape == (blocks * max(d, 2), d)
        assert eps.T @ eps / len(eps) == pytest.approx(np.eye(d), abs=1e-12)
    assert abs(np.ptp(np.abs(directions(Key(2), 1, 1)))) > 1e-3  # two lengths, so that Ω is not always 0


def test_directions_are_uniform_on_the_orthogonal_group():
    firsts = np.asarray([directions(Key(i), 3, 1) / np.sqrt(3) for i in range(4000)])
    assert firsts.mean(0) == pytest.approx(np.zeros((3, 3)), abs=0.04)
    assert (firsts**2).mean(0) == pytest.approx(np.full((3, 3), 1 / 3), abs=0.02)
    traces = np.trace(firsts, axis1=1, axis2=2)  # of Haar measure: mean 0, variance 1
    assert (traces.mean(), traces.var()) == pytest.approx((0, 1), abs=0.08)


def test_slope_and_mean_are_those_of_a_regression_on_the_noise():
    eps = directions(Key(3), 2, 2)
    plus, minus = seen(curved, np.asarray([0.4, -0.2]), np.asarray([0.3, 0.5]), eps)
    model = linear_model(plus, minus, eps)
    design = np.concatenate([np.ones((8, 1)), np.concatenate([eps, -eps])], axis=1)
    expected = np.linalg.lstsq(design, np.concatenate([plus, minus]), rcond=None)[0]
    assert model.mean == pytest.approx(expected[0])
    assert model.slope == pytest.approx(expected[1:].T)


def test_what_is_unexplained_is_the_mean_square_of_the_even_part_about_its_mean():
    eps = directions(Key(4), 3, 1)
    points = np.asarray([0.4, -0.2, 0.1]), np.asarray([0.3, 0.5, 0.2])
    plus, minus = seen(curved, *points, eps)
    expected = [np.mean([((p + m) / 2 - model_mean) ** 2 for p, m in zip(plus[:, j], minus[:, j], strict=True)])
                for j, model_mean in enumerate(np.concatenate([plus, minus]).mean(0))]  # fmt: skip
    assert linear_model(plus, minus, eps).unexplained == pytest.approx(np.asarray(expected))
    assert expected[2] == pytest.approx(0, abs=1e-30)  # that residual is linear


def test_the_slope_of_a_linear_residual_is_exact_with_one_of_each_pair_missing():
    matrix, eps = RNG.normal(size=(4, 3)), directions(Key(5), 3, 2)
    plus, minus = (np.asarray([matrix @ (sign * e) for e in eps]) + 1.0 for sign in (1, -1))
    plus[0], minus[1], plus[2, 1] = np.nan, np.nan, np.nan
    model = linear_model(plus, minus, eps)
    assert model.slope == pytest.approx(matrix)
    assert model.mean == pytest.approx(np.ones(4))
    assert model.unexplained == pytest.approx(np.zeros(4), abs=1e-28)


def test_a_pair_that_failed_leaves_its_direction_out_of_the_slope():
    matrix, eps = RNG.normal(size=(4, 3)), directions(Key(6), 3, 1)
    plus, minus = (np.asarray([matrix @ (sign * e) for e in eps]) for sign in (1, -1))
    plus[0] = minus[0] = np.nan
    model = linear_model(plus, minus, eps)
    assert model.slope @ eps[0] == pytest.approx(np.zeros(4), abs=1e-12)
    assert model.slope @ eps[1] == pytest.approx(matrix @ eps[1])


def test_a_residual_of_which_less_than_two_pairs_are_known_has_no_weight():
    eps = directions(Key(7), 2, 1)
    plus, minus = np.ones((2, 2)), np.ones((2, 2))
    plus[1, 0] = np.nan
    unexplained = linear_model(plus, minus, eps).unexplained
    assert np.isinf(unexplained[0])
    assert unexplained[1] == 0


def test_a_step_within_the_radius_is_that_of_gauss_newton():
    root = RNG.normal(size=(6, 3))
    gram, slope = root.T @ root, 1e-3 * RNG.normal(size=3)
    assert bounded_step(gram, slope, 1.0) == pytest.approx(-np.linalg.solve(gram, slope), rel=1e-4)


def test_a_step_beyond_the_radius_has_the_smallest_mu_that_ends_on_it():
    root = RNG.normal(size=(6, 3))
    gram, slope = root.T @ root, 50 * RNG.normal(size=3)
    step = bounded_step(gram, slope, np.sqrt(3))
    assert np.linalg.norm(step) == pytest.approx(np.sqrt(3))
    mu = -(step @ (slope + gram @ step)) / (step @ step)  # (G + μI) δ = −g
    assert mu > 0
    assert (gram + mu * np.eye(3)) @ step == pytest.approx(-slope)


def test_a_step_has_no_length_where_nothing_is_known():
    assert (bounded_step(np.zeros((2, 2)), np.zeros(2), 1.0) == 0).all()


def test_lambda_falls_geometrically_from_the_first_to_the_last_step():
    path = Path(0.3, 1e-6, 40, 1e-5, 1)
    lams = np.asarray([path.lam(k) for k in range(40)])
    assert (lams[0], lams[-1]) == pytest.approx((0.3, 0.3e-6))
    assert lams[1:] / lams[:-1] == pytest.approx(np.full(39, 10 ** (-6 / 39)))


def test_the_ensemble_moves_by_its_covariances():
    points, rows, noise = RNG.normal(size=(9, 2)), RNG.normal(size=(9, 4)), RNG.normal(size=(9, 4))
    joint = np.cov(np.concatenate([points, rows], axis=1).T)
    gain = joint[:2, 2:] @ np.linalg.inv(joint[2:, 2:] + 0.7 * np.eye(4))
    expected = points + (np.sqrt(0.7) * noise - rows) @ gain.T
    assert kalman_step(points, rows, noise, 0.7) == pytest.approx(expected)


def test_the_share_of_a_step_is_that_of_the_misfit_controller():
    misfits = np.asarray([10.0, 30.0, 20.0])
    expected = max(8 / (2 * misfits.mean()), np.sqrt(8 / (2 * misfits.var())))
    assert share_of_step(misfits, 8) == pytest.approx(expected)
    assert share_of_step(np.full(3, 4.0), 8) == 1.0  # members at the level of the noise: a whole step


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_model_of_values_that_are_all_known_has_the_bits_of_one_beside_an_unknown_value(count):
    eps = directions(Key(3), count, 1)
    plus, minus = RNG.normal(size=(2, count, 40))
    known = linear_model(plus, minus, eps)
    beside = linear_model(np.insert(plus, 40, np.nan, axis=1), minus[:, [*range(40), 0]], eps)
    assert known.mean.tobytes() == beside.mean[:40].tobytes()
    assert known.unexplained.tobytes() == beside.unexplained[:40].tobytes()
    assert known.slope == pytest.approx(beside.slope[:40], rel=1e-12, abs=1e-14)
