"""Estimators against closed forms by z-scores, and against their formulas on the same noise."""

import math

import numpy as np
import pytest

from mcgc import jit, stop_gradient
from mcgc.arrays import to_device, to_host
from mcgc.autodiff import ops
from mcgc.continuation import ESTIMATORS, estimate
from mcgc.errors import InputError
from mcgc.random import Key, fold_in, normal

THETA = np.array([0.3, -0.5, 0.8])
A = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.5]])
B = np.array([1.0, -1.0, 0.5])
K = np.array([0.7, -1.1, 0.4])


def quadratic(theta, batch=None):
    return 0.5 * theta @ (A @ theta) + ops.sum(B * theta)


def bell(theta, batch=None):
    return ops.exp(-0.5 * ops.sum(ops.square(theta - B)))


def wave(theta, batch=None):
    return ops.cos(ops.sum(K * theta))


def smoothed_quadratic(lam):
    return quadratic(THETA) + lam * np.trace(A) / 2, A @ THETA + B, np.trace(A) / 2


def smoothed_bell(lam):
    r, d = np.sum((THETA - B) ** 2), len(THETA)
    g = (1 + lam) ** (-d / 2) * math.exp(-r / (2 * (1 + lam)))
    return g, -(THETA - B) / (1 + lam) * g, g * (r / (2 * (1 + lam) ** 2) - d / (2 * (1 + lam)))


def smoothed_wave(lam):
    damping, k2 = math.exp(-lam * K @ K / 2), K @ K
    return (
        damping * math.cos(K @ THETA),
        -damping * math.sin(K @ THETA) * K,
        -k2 / 2 * damping * math.cos(K @ THETA),
    )


def monomials(theta, batch=None):
    return ops.sum(theta**4 - 2 * theta**3)


def smoothed_monomials(lam):
    x = THETA
    g = x**4 + 6 * lam * x**2 + 3 * lam**2 - 2 * (x**3 + 3 * lam * x)
    return np.sum(g), 4 * x**3 + 12 * lam * x - 2 * (3 * x**2 + 3 * lam), np.sum(6 * x**2 + 6 * lam - 6 * x)


CLOSED_FORMS = {quadratic: smoothed_quadratic, bell: smoothed_bell, wave: smoothed_wave, monomials: smoothed_monomials}

DRAWS = 600


def z(values, expected):
    values = np.asarray(values)
    rounding = 1e-12 * np.abs(expected)  # all the spread there is where an estimate is exact
    return (values.mean(axis=0) - expected) / (values.std(axis=0, ddof=1) / math.sqrt(len(values)) + rounding)


@pytest.mark.parametrize("gradient", ["engine", "score"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("batch", [None, (2.0, B)])
def test_a_jitted_objective_has_the_estimates_of_the_same_objective(estimator, gradient, batch):
    if gradient == "score" and "score" not in estimator:
        pytest.skip("this estimator needs gradients")
    objective = lambda theta, batch: wave(theta) * (1.0 if batch is None else batch[0] + ops.sum(batch[1] * theta))
    arguments = THETA, np.float64(-1.0), batch, Key(3), 0.25
    found = estimate(jit(objective), estimator, 3, gradient=gradient)(*arguments)
    expected = estimate(objective, estimator, 3, gradient=gradient)(*arguments)
    for x, right in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(x, right, rtol=1e-12)
    assert found.aux == expected.aux


def test_a_jitted_objective_may_have_members_and_aux():
    of_each = lambda theta, batch: ops.sum(theta**3, axis=-1)
    thetas, keys = np.stack([THETA, B]), (Key(0), Key(1))
    found = estimate(jit(of_each), "antithetic", 2)(thetas, np.zeros(2), None, keys)
    expected = estimate(of_each, "antithetic", 2)(thetas, np.zeros(2), None, keys)
    np.testing.assert_allclose(found.grad_theta, expected.grad_theta, rtol=1e-12)
    with_aux = jit(lambda theta, batch: (quadratic(theta), theta * 2))
    found = estimate(with_aux, "pathwise", has_aux=True)(THETA, 0.0, None, Key(0))
    expected = estimate(quadratic, "pathwise")(THETA, 0.0, None, Key(0))
    np.testing.assert_allclose(found.grad_theta, expected.grad_theta, rtol=1e-12)
    assert found.aux[0].shape == THETA.shape


def draw(objective, estimator, lam, key, num_samples=1, baseline=0.0, gradient="engine"):
    at = estimate(objective, estimator, num_samples, gradient=gradient)
    return [at(THETA, np.float64(math.log(lam)), None, fold_in(key, i), baseline) for i in range(DRAWS)]


def assert_unbiased(found, objective, lam):
    g, grad_theta, grad_lam = CLOSED_FORMS[objective](lam)
    assert abs(z([e.grad_log_lam for e in found], lam * grad_lam)) < 4  # ∂g/∂φ = λ ∂g/∂λ
    assert abs(z([e.smoothed for e in found], g)) < 4
    assert np.all(np.abs(z([e.grad_theta for e in found], grad_theta)) < 4)


@pytest.mark.parametrize("lam", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("objective", CLOSED_FORMS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimates_are_unbiased_on_closed_forms(estimator, objective, lam):
    # the baseline counts for the estimators that take one, and may be any number
    assert_unbiased(draw(objective, estimator, lam, Key(7), baseline=0.7), objective, lam)


@pytest.mark.parametrize("objective", CLOSED_FORMS)
@pytest.mark.parametrize("estimator", ["score-baseline", "antithetic-score"])
def test_the_mean_of_the_other_draws_is_a_baseline_without_bias(estimator, objective):
    assert_unbiased(draw(objective, estimator, 1.0, Key(17), num_samples=2), objective, 1.0)


@pytest.mark.parametrize("objective", CLOSED_FORMS)
@pytest.mark.parametrize("estimator", ["score", "score-baseline", "antithetic-score"])
def test_gradients_from_values_alone_are_unbiased(estimator, objective):
    for lam in (1.0, 1e-2):
        found = draw(objective, estimator, lam, Key(27), num_samples=2, gradient="score")
        assert_unbiased(found, objective, lam)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_test_of_bias_would_see_a_wrong_factor(estimator):
    at = estimate(quadratic, estimator)
    values = np.array([at(THETA, np.float64(0.0), None, fold_in(Key(8), i)).grad_log_lam for i in range(1500)])
    wrong = 2 * smoothed_quadratic(1.0)[2]
    assert abs((values.mean() - wrong) / (values.std() / math.sqrt(1500))) > 4


# each formula of one draw: noise, √λ, f and ∇f at both points, and the baseline
FORMULAS = {
    "score": lambda e, r, f, df, b: (e @ e - 3) / 2 * f[0],
    "score-baseline": lambda e, r, f, df, b: (e @ e - 3) / 2 * (f[0] - b),
    "pathwise": lambda e, r, f, df, b: r / 2 * e @ df[0],
    "antithetic-score": lambda e, r, f, df, b: (e @ e - 3) / 4 * (f[0] + f[1] - 2 * b),
    "antithetic": lambda e, r, f, df, b: r / 4 * e @ (df[0] - df[1]),
}


@pytest.mark.parametrize("num_samples", [1, 3])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_estimate_is_the_formula_on_the_noise_of_its_key(estimator, num_samples, device):
    key, root, paired = Key(9), math.exp(-0.5), estimator.startswith("antithetic")
    matrix, vector, theta, log_lam = (to_device(x, device) for x in (A, B, THETA, np.float64(-1.0)))
    there = lambda theta, batch: 0.5 * theta @ (matrix @ theta) + ops.sum(vector * theta)
    found = estimate(there, estimator, num_samples)(theta, log_lam, None, key, 0.7)
    noise = [normal(fold_in(key, j), (3,), "float64") for j in range(num_samples)]
    points = [[THETA + root * eps, THETA - root * eps][: 1 + paired] for eps in noise]
    losses = [[quadratic(point) for point in pair] for pair in points]
    slopes = [[A @ point + B for point in pair] for pair in points]
    means = np.array([np.mean(pair) for pair in losses])
    baselines = [np.mean(np.delete(means, j)) if num_samples > 1 else 0.7 for j in range(num_samples)]
    formula = FORMULAS[estimator]
    lams = [formula(*parts) for parts in zip(noise, [root] * num_samples, losses, slopes, baselines, strict=True)]
    np.testing.assert_allclose(to_host(found.smoothed), np.mean(losses), rtol=1e-12)
    np.testing.assert_allclose(to_host(found.grad_theta), np.mean(slopes, axis=(0, 1)), rtol=1e-12)
    np.testing.assert_allclose(to_host(found.grad_log_lam), np.mean(lams), rtol=1e-10)
    assert len(found.aux) == num_samples * (1 + paired)


def test_only_antithetic_points_keep_the_relative_error_as_lambda_vanishes():
    def error(estimator, lam):
        values = np.array([e.grad_log_lam for e in draw(bell, estimator, lam, Key(5), num_samples=2)])
        return values.std() / abs(lam * smoothed_bell(lam)[2])

    grows = {estimator: error(estimator, 1e-6) / error(estimator, 1e-2) for estimator in ESTIMATORS}
    assert max(grows["antithetic"], grows["antithetic-score"]) < 1.5
    assert min(grows["pathwise"], grows["score-baseline"]) > 50  # as λ^(−1/2)
    assert grows["score"] > 5000  # as 1/λ


def test_more_samples_have_less_variance():
    def variance(n):
        at = estimate(bell, "pathwise", n)
        return np.var([at(THETA, np.float64(0.0), None, fold_in(Key(n), i)).grad_log_lam for i in range(600)])

    # the variance of an estimated variance of these heavy tails is within a fifth at this size
    assert variance(1) / variance(4) == pytest.approx(4, rel=0.35)


def test_the_trace_identity_holds_for_the_estimates():
    # eq. 6: tr ∂²g/∂θ² = 2 ∂g/∂λ, here by finite differences of the closed form's θ-gradient against λ's
    lam, h = 0.3, 1e-5
    g = lambda theta: (1 + lam) ** -1.5 * math.exp(-np.sum((theta - B) ** 2) / (2 * (1 + lam)))
    laplacian = sum(g(THETA + h * e) - 2 * g(THETA) + g(THETA - h * e) for e in np.eye(3)) / h**2
    assert laplacian == pytest.approx(2 * smoothed_bell(lam)[2], rel=1e-4)


@pytest.mark.parametrize(("theta", "key"), [(1.0, Key(0)), ([1.0], 0), ([1.0], None), ([[1.0]], Key(0))])
def test_theta_and_key_that_do_not_fit_are_one_sentence(theta, key):
    with pytest.raises(InputError, match="needs a key"):
        estimate(lambda x, batch: ops.sum(x * x))(theta, 0.0, None, key)


def test_an_estimator_of_ones_own_goes_where_a_name_does():
    of = lambda estimator: estimate(lambda theta, batch: ops.sum(theta**2), estimator, num_samples=3)
    at = np.asarray([0.5, -1.0]), np.asarray(-1.0), None, Key(0)
    assert of(ESTIMATORS["pathwise"])(*at).grad_log_lam == of("pathwise")(*at).grad_log_lam
    with pytest.raises(InputError, match="unknown estimator 3: choose one of"):
        of(3)


@pytest.mark.parametrize("name", ["pathwise", "antithetic", "antithetic-score", "score-baseline"])
def test_draws_that_are_not_finite_are_left_out_of_all_averages(name):
    gradient = "score" if "score" in name else "engine"
    estimates = lambda objective, draws, **options: estimate(objective, name, draws, gradient=gradient, **options)(
        THETA, math.log(0.1), None, Key(4)
    )
    full = [estimates(wave, draws) for draws in (7, 8)]
    last = fold_in(Key(4), 7)  # the eighth draw alone fails
    eps = normal(last, (3,), "float64")
    failing = lambda theta, batch: (
        wave(theta)
        * (
            math.nan
            if np.allclose(abs((to_host(getattr(theta, "value", theta)) - THETA) / eps), math.sqrt(0.1))
            else 1.0
        )
    )
    found = estimates(failing, 8, skip_nonfinite=True)
    for one, expected, other in zip(found[:3], full[0][:3], full[1][:3], strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-13)
        assert not np.allclose(one, other, rtol=1e-6)


def test_where_no_draw_is_finite_the_gradients_are_zero_and_g_is_the_baseline():
    at = estimate(lambda theta, batch: ops.sum(theta) * math.nan, "antithetic", 2, skip_nonfinite=True)
    found = at(THETA, 0.0, None, Key(0), 5.0)
    assert found.smoothed == 5.0
    np.testing.assert_array_equal(found.grad_theta, np.zeros(3))
    assert found.grad_log_lam == 0.0


def mixture_by_hand(lam, key, draws):
    """Return ∂g/∂θ and ∂g/∂φ of `wave`, where each half of the draws is weighed by the variances of the other."""
    root = math.sqrt(lam)
    eps = np.stack([normal(fold_in(key, j), (3,), "float64") for j in range(draws)])
    values = np.array([wave(THETA + root * e) for e in eps])
    slopes = -np.sin((THETA + root * eps) @ K)[:, None] * K
    baselines = (values.sum() - values) / (draws - 1)
    scores = eps * (values - baselines)[:, None] / root
    lam_slopes = root / 2 * np.sum(eps * slopes, axis=1, keepdims=True)
    lam_scores = ((np.sum(eps**2, axis=1) - 3) / 2 * (values - baselines))[:, None]
    found = []
    for by_slope, by_score in ((slopes, scores), (lam_slopes, lam_scores)):
        parts = np.empty_like(by_slope)
        for own, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
            of_slope, of_score = (part[other].var(axis=0).sum() for part in (by_slope, by_score))
            weight = of_score / (of_slope + of_score)
            parts[own] = weight * by_slope[own] + (1 - weight) * by_score[own]
        found.append(parts.mean(axis=0))
    return found[0], found[1][0]


@pytest.mark.parametrize("draws", [4, 7])
@pytest.mark.parametrize("lam", [1.0, 1e-2])
def test_a_mixture_weighs_each_half_of_the_draws_by_the_variances_of_the_other(lam, draws, device):
    there, k = to_device(THETA, device), to_device(K, device)
    objective = lambda theta, batch: ops.cos(ops.sum(k * theta))
    found = estimate(objective, "mixture", draws)(there, to_device(np.float64(math.log(lam)), device), None, Key(2))
    theta, log_lam = mixture_by_hand(lam, Key(2), draws)
    np.testing.assert_allclose(to_host(found.grad_theta), theta, rtol=1e-10)
    np.testing.assert_allclose(to_host(found.grad_log_lam), log_lam, rtol=1e-9)


@pytest.mark.parametrize("lam", [1.0, 1e-2])
@pytest.mark.parametrize("objective", CLOSED_FORMS)
def test_a_mixture_is_unbiased_on_closed_forms(objective, lam):
    assert_unbiased(draw(objective, "mixture", lam, Key(7), num_samples=4), objective, lam)


def test_a_mixture_takes_the_values_where_gradients_explode_and_gradients_where_values_are_noisy():
    lam, rough = 0.01, 1e5
    explodes = lambda theta, batch: wave(theta) + ops.sin(rough * ops.sum(theta)) * 1e-3

    def spread(name, f, n, **options):
        at = estimate(f, name, n, **options)
        return np.std([at(THETA, math.log(lam), None, fold_in(Key(1), i)).grad_theta for i in range(200)], axis=0).max()

    assert spread("mixture", explodes, 16) < spread("pathwise", explodes, 16) / 5
    assert spread("mixture", wave, 16) < spread("score-baseline", wave, 16, gradient="score") / 3
    infinite = lambda theta, batch: ops.sum(theta) + 0 * ops.sqrt(ops.sum(theta - stop_gradient(theta)))
    with np.errstate(all="ignore"):
        found = estimate(infinite, "mixture", 4)(THETA, math.log(lam), None, Key(0))
    assert np.isfinite(found.grad_theta).all()


def test_members_of_a_mixture_are_those_of_each():
    thetas, keys = np.stack([THETA, B]), (Key(0), Key(1))
    of_each = lambda theta, batch: ops.cos(theta @ K)
    found = estimate(of_each, "mixture", 5)(thetas, np.zeros(2), None, keys)
    for i in range(2):
        alone = estimate(wave, "mixture", 5)(thetas[i], np.float64(0.0), None, keys[i])
        np.testing.assert_allclose(found.grad_theta[i], alone.grad_theta, rtol=1e-11)
        np.testing.assert_allclose(found.grad_log_lam[i], alone.grad_log_lam, rtol=1e-10)


def test_a_mixture_of_few_draws_or_without_gradients_is_refused():
    with pytest.raises(InputError, match="the estimator 'mixture' needs 4 draws or more: num_samples is 3"):
        estimate(wave, "mixture", 3)
    with pytest.raises(InputError, match="needs gradients of the objective"):
        estimate(wave, "mixture", 4, gradient="score")
