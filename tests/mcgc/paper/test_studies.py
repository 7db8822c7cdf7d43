"""The exact studies against roots of polynomials, root finding, and the identity (6)."""

import math

import numpy as np
import pytest
from scipy import optimize

from mcgc import hessian
from mcgc.continuation.smoothing import smoothed
from mcgc.paper import studies, test_functions


def test_figure_1_ends_in_the_global_minimum_by_the_roots_of_the_closed_form():
    found = studies.figure_1()
    assert found.path[-1].lam == 0
    for lam, theta, value in found.path:
        slope = [4, -3, 12 * lam - 2, 1 - 3 * lam]  # of g = θ⁴ + 6λθ² + 3λ² − θ³ − 3λθ − θ² − λ + θ
        roots = np.roots(slope)
        real = roots[abs(roots.imag) < 1e-9].real
        g = lambda x, lam=lam: np.polyval([1, -1, 6 * lam - 1, 1 - 3 * lam, 3 * lam**2 - lam], x)
        lowest = real[np.argmin(g(real))]
        assert theta[0] == pytest.approx(lowest, abs=1e-8)
        assert value == pytest.approx(g(lowest), rel=1e-12)
    assert found.numbers()["reached"]
    assert found.numbers()["global_minimum"]["theta"] == pytest.approx(-(1 + math.sqrt(17)) / 8)


@pytest.mark.parametrize("figure", [studies.figure_1, studies.figure_2])
def test_the_first_g_of_the_path_is_convex_and_the_last_is_not(figure):
    found = figure()
    x = np.linspace(-6, 6, 4001)[:, None]
    bends = lambda lam: np.diff(found.smoothed(x, lam), 2)
    assert bends(found.path[0].lam).min() > 0 > bends(0.0).min()


def test_figure_2_misses_the_global_minimum():
    found = studies.figure_2()
    x = np.linspace(-6, 6, 120_001)
    f = studies.narrow(x[:, None], 0.0)
    assert found.best.theta[0] == pytest.approx(x[f.argmin()], abs=1e-4)
    end = found.path[-1]
    assert end.smoothed > found.best.smoothed + 0.1
    assert end.theta[0] > 0.5
    assert not found.numbers()["reached"]


@pytest.mark.parametrize("lam", [0.01, 0.3, 1.0])
def test_the_g_of_figure_2_is_what_quadrature_finds(lam):
    theta = np.linspace(-2, 2.5, 7)[:, None]
    found = smoothed(lambda x: studies.narrow(x, 0.0), theta, lam, order=400)
    np.testing.assert_allclose(studies.narrow(theta, lam), found, rtol=1e-7)


def test_both_algorithms_of_figure_3_end_in_the_global_minimum():
    path, descent = studies.figure_3()
    best = -(1 + math.sqrt(17)) / 8
    assert path[-1].theta[0] == pytest.approx(best, abs=1e-8)
    assert descent.theta[-1, 0] == pytest.approx(best, abs=1e-8)
    assert descent.lam[-1] == 0
    assert (np.diff(descent.lam) <= 0).all()
    assert (descent.lam[:151] == 0.5).all()  # the warm-up
    held = descent.theta[150, 0]
    assert held == pytest.approx(path[0].theta[0], abs=1e-4)


def test_algorithm_2_takes_the_steps_that_are_printed():
    theta, lam, path = (
        1.2,
        0.5,
        studies.algorithm_2(
            test_functions.get("quartic").smoothed,
            (1.2,),
            0.5,
            rate=0.02,
            rate_lam=0.1,
            iterations=40,
            warmup=3,
            beta=0.5,
        ),
    )
    for i in range(40):
        slope = 4 * theta**3 - 3 * theta**2 + (12 * lam - 2) * theta + 1 - 3 * lam
        slope_lam = 6 * theta**2 + 6 * lam - 3 * theta - 1
        theta, lam = theta - 0.02 * slope, max(0.0, lam - 0.1 * (slope_lam + 0.5)) if i >= 3 else lam
        assert (path.theta[i + 1, 0], path.lam[i + 1]) == pytest.approx((theta, lam), rel=1e-12, abs=1e-12)


@pytest.fixture(scope="module")
def saddles():
    """Give the paths of figure 4."""
    return studies.figure_4()


def at_origin(a, lam):
    """Return ∂g/∂λ at the origin, written out for two dimensions."""
    s = 1 + lam
    return 4 * a + 2 * math.exp(-4 / s) * (s - 4) / s**3


def test_without_beta_lambda_stops_at_the_bad_saddle_where_its_gradient_vanishes_and_goes_on_once_it_is_left(saddles):
    path = saddles["bad-saddle", 0.0]
    stop = optimize.brentq(lambda lam: at_origin(0.02, lam), 0.7, 3.0)
    plateau = path.lam[studies.WARMUP + 200 : studies.WARMUP + 280]
    np.testing.assert_allclose(plateau, stop, rtol=0.01)
    assert studies.escapes(path)["leaves"] > 280
    # there the trace of the Hessian is 0 by the identity (6), so that the origin is a saddle point of g
    curvatures = np.linalg.eigvalsh(hessian(lambda x: test_functions.get("bad-saddle").smoothed(x, stop))(np.zeros(2)))
    assert curvatures.sum() == pytest.approx(0, abs=1e-9)
    assert curvatures[0] < -0.1


def test_with_beta_lambda_goes_to_zero_at_the_bad_saddle_and_theta_leaves_sooner(saddles):
    assert max(-at_origin(0.02, lam) / 2 for lam in np.linspace(0, 3, 301)) < 0.03
    plain, pulled = (studies.escapes(saddles["bad-saddle", beta]) for beta in studies.BETAS)
    assert pulled["lam_small"] < plain["lam_small"] / 2
    assert pulled["leaves"] < plain["leaves"]


def test_the_good_saddle_is_left_at_once_since_it_is_one_before_lambda_falls(saddles):
    curvatures = {
        name: np.linalg.eigvalsh(hessian(lambda x, name=name: test_functions.get(name).smoothed(x, 3.0))(np.zeros(2)))
        for name in studies.SADDLES
    }
    assert curvatures["good-saddle"][0] < 0 < curvatures["bad-saddle"][0]
    warm = {name: np.hypot(*saddles[name, 0.0].theta[studies.WARMUP]) for name in studies.SADDLES}
    assert warm["bad-saddle"] < 1e-12 < 0.5 < warm["good-saddle"]
    for beta in studies.BETAS:
        assert studies.escapes(saddles["good-saddle", beta])["leaves"] < 50


def test_all_paths_of_figure_4_end_in_a_minimum(saddles):
    for (name, _), path in saddles.items():
        tested = test_functions.get(name)
        ends = [math.dist(path.theta[-1], minimizer) for minimizer in tested.minimizers]
        assert min(ends) < 1e-6
        assert path.lam[-1] == 0
        assert path.value == pytest.approx(tested.value, rel=1e-12)


def test_a_path_that_never_does_it_has_no_number():
    path = studies.algorithm_2(
        test_functions.get("bad-saddle").smoothed, (0.0, 0.0), 3.0, rate=1.0, rate_lam=0.5, iterations=5
    )
    assert studies.escapes(path)["leaves"] is None


@pytest.mark.parametrize("name", studies.FUNCTIONS)
def test_continuation_reaches_what_adam_alone_does_not(name):
    found = studies.appendix_d(name, 1)
    numbers = found.numbers()
    assert numbers["reached"]["without"] == 0
    assert numbers["reached"]["with"] == sum(abs(path.value - found.function.value) < 1e-6 for path in found.continued)
    assert numbers["reached"]["with"] >= 1
    for path in (*found.continued, found.plain):
        np.testing.assert_array_equal(path.theta[0], found.function.start)
        assert path.value == pytest.approx(float(found.function.function(path.theta[-1])), abs=1e-12)
        assert len(path.theta) == len(path.lam)
    assert found.continued[0].lam[0] == 3.0
    assert (found.plain.lam == 0).all()
    assert found.plain.value > found.function.value + 1
