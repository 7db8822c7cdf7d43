"""Continuation: estimators against closed forms by z-scores, and each rule of a step by itself."""

import math

import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import ops
from mcgc.continuation import ESTIMATORS, continuation, descent, estimate
from mcgc.errors import InputError
from mcgc.optim import adam, sgd
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


CLOSED_FORMS = {quadratic: smoothed_quadratic, bell: smoothed_bell, wave: smoothed_wave}


@pytest.mark.parametrize("lam", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("objective", CLOSED_FORMS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimates_are_unbiased_on_closed_forms(estimator, objective, lam):
    draws = 2000
    at = estimate(objective, estimator)
    key = fold_in(Key(7), sorted(ESTIMATORS).index(estimator))
    log_lam = np.float64(math.log(lam))
    found = [at(THETA, log_lam, None, fold_in(key, i)) for i in range(draws)]
    g, grad_theta, grad_lam = CLOSED_FORMS[objective](lam)

    def z(values, expected):
        values = np.asarray(values)
        return (values.mean(axis=0) - expected) / (values.std(axis=0, ddof=1) / math.sqrt(draws))

    assert abs(z([e.grad_log_lam for e in found], lam * grad_lam)) < 4  # ∂g/∂φ = λ ∂g/∂λ
    assert abs(z([e.smoothed for e in found], g)) < 4
    assert np.all(np.abs(z([e.grad_theta for e in found], grad_theta)) < 4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_test_of_bias_would_see_a_wrong_factor(estimator):
    at = estimate(quadratic, estimator)
    values = np.array([at(THETA, np.float64(0.0), None, fold_in(Key(8), i)).grad_log_lam for i in range(3000)])
    wrong = 1.5 * smoothed_quadratic(1.0)[2]
    assert abs((values.mean() - wrong) / (values.std() / math.sqrt(3000))) > 4


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_estimate_is_the_formula_on_the_noise_of_its_key(estimator):
    key, log_lam = Key(9), np.float64(-1.0)
    found = estimate(quadratic, estimator, num_samples=3)(THETA, log_lam, None, key)
    smoothed, grads, lams = [], [], []
    for j in range(3):
        eps = normal(fold_in(key, j), (3,), "float64")
        point = THETA + math.exp(-0.5) * eps
        f, df = quadratic(point), A @ point + B
        smoothed.append(f)
        grads.append(df)
        lams.append((eps @ eps - 3) / 2 * f if estimator == "score" else math.exp(-0.5) / 2 * eps @ df)
    np.testing.assert_allclose(found.smoothed, np.mean(smoothed), rtol=1e-12)
    np.testing.assert_allclose(found.grad_theta, np.mean(grads, axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.grad_log_lam, np.mean(lams), rtol=1e-11)


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


# ---- one step, rule by rule ----


def method(**options):
    options = {"log_lam0": -1.0, **options}
    return continuation(quadratic, sgd(0.1), sgd(0.5), **options)


def test_a_step_moves_both_variables_along_their_estimates():
    algorithm = method(estimator="pathwise")
    state = algorithm.init(THETA)
    found = estimate(quadratic, "pathwise")(THETA, state.log_lam, None, Key(3))
    new, info = algorithm.step(state, None, Key(3))
    np.testing.assert_allclose(new.theta, THETA - 0.1 * found.grad_theta, rtol=1e-14)
    np.testing.assert_allclose(new.log_lam, -1.0 - 0.5 * found.grad_log_lam, rtol=1e-14)
    assert info.smoothed == found.smoothed
    assert info.regularised == info.grad_log_lam == found.grad_log_lam
    assert new.steps == 1


@pytest.mark.parametrize(("relative", "pull"), [(False, 0.2 * 3 * math.exp(-1.7)), (True, 0.2 * 3 * math.exp(-0.7))])
def test_beta_adds_its_pull_in_both_forms(relative, pull):
    algorithm = method(beta=0.2, relative=relative)
    state = algorithm.init(THETA)._replace(log_lam=np.float64(-1.7))
    _, info = algorithm.step(state, None, Key(3))
    assert info.regularised - info.grad_log_lam == pytest.approx(pull, rel=1e-12)


def test_log_lam_is_held_in_the_warmup_while_theta_moves():
    algorithm = method(warmup=2)
    state = algorithm.init(THETA)
    path = []
    for i in range(3):
        before = state
        state, _ = algorithm.step(state, None, fold_in(Key(1), i))
        assert not np.array_equal(state.theta, before.theta)
        path.append(float(state.log_lam))
    assert path[:2] == [-1.0, -1.0]
    assert path[2] != -1.0


def test_the_cap_bounds_lambda_and_its_noise():
    f = lambda theta, batch: -1e6 * ops.sum(ops.square(theta))  # smoothing it more always pays
    algorithm = continuation(f, sgd(1e-9), sgd(1.0), log_lam0=-1.0, cap=2.0, estimator="pathwise")
    state = algorithm.init(THETA)
    for i in range(3):
        state, _ = algorithm.step(state, None, fold_in(Key(1), i))
    assert float(state.log_lam) == 1.0
    eps = normal(fold_in(Key(5), 0), (3,), "float64")
    _, info = algorithm.step(state, None, Key(5))
    assert info.smoothed == pytest.approx(-1e6 * np.sum((state.theta + math.exp(0.5) * eps) ** 2), rel=1e-12)


def test_steps_are_pure_and_repeat_to_the_bit():
    algorithm = continuation(bell, adam(0.1), adam(0.1), log_lam0=0.0)
    state = algorithm.init(THETA)
    first, second = (algorithm.step(state, None, Key(4))[0] for _ in range(2))
    np.testing.assert_array_equal(first.theta, second.theta)
    assert first.log_lam == second.log_lam
    assert state.steps == 0
    np.testing.assert_array_equal(state.theta, THETA)


def test_batch_and_aux_pass_through():
    f = lambda theta, batch: (ops.sum(theta * batch), {"batch": batch})
    algorithm = continuation(f, sgd(0.1), sgd(0.1), log_lam0=-3.0, num_samples=2, has_aux=True)
    _, info = algorithm.step(algorithm.init(THETA), 2 * B, Key(0))
    np.testing.assert_array_equal(info.aux[1]["batch"], 2 * B)
    assert len(info.aux) == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_step_keeps_dtype_and_device_and_reads_nothing_back(device, dtype, estimator):
    f = lambda theta, batch: ops.sum(ops.square(theta) * batch)
    algorithm = continuation(f, adam(0.1), adam(0.1), log_lam0=-2.0, estimator=estimator, num_samples=2, beta=0.1)
    state = algorithm.init(to_device(THETA, device, dtype))
    for i in range(3):
        state, info = algorithm.step(state, to_device(B, device, dtype), fold_in(Key(0), i))
    for array in (state.theta, state.log_lam, info.smoothed, info.regularised):
        assert array.dtype == getattr(device.namespace, dtype)
    host = continuation(f, adam(0.1), adam(0.1), log_lam0=-2.0, estimator=estimator, num_samples=2, beta=0.1)
    expected = host.init(THETA)
    for i in range(3):
        expected, _ = host.step(expected, B, fold_in(Key(0), i))
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(to_host(state.theta), expected.theta, rtol=tolerance)
    np.testing.assert_allclose(to_host(state.log_lam), expected.log_lam, rtol=tolerance)


def test_continuation_leaves_a_local_minimum_that_descent_stays_in():
    f = lambda theta, batch: ops.sum(theta**4 - theta**3 - theta**2 + theta)  # minima near −0.61 and 1.00
    plain = descent(f, adam(0.02))
    smooth = continuation(f, adam(0.02), adam(0.02), log_lam0=0.5, beta=1.0, relative=False, estimator="pathwise")
    ends = []
    for algorithm in (plain, smooth):
        state = algorithm.init(np.array([1.6]))
        for i in range(2500):
            state, _ = algorithm.step(state, None, fold_in(Key(2), i))
        ends.append(float(state.theta[0]))
    assert ends[0] == pytest.approx(1.0, abs=0.02)
    assert ends[1] == pytest.approx(-0.61, abs=0.15)


def test_descent_is_the_optimiser_on_the_plain_objective():
    algorithm = descent(quadratic, sgd(0.1))
    state, info = algorithm.step(algorithm.init(THETA), None, Key(0))
    np.testing.assert_allclose(state.theta, THETA - 0.1 * (A @ THETA + B), rtol=1e-14)
    assert info.smoothed == pytest.approx(quadratic(THETA))
    assert state.log_lam == -math.inf


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"estimator": "magic"}, "score, pathwise"),
        ({"num_samples": 0}, "num_samples"),
        ({"num_samples": 1.5}, "num_samples"),
        ({"beta": -1.0}, "beta"),
        ({"cap": math.nan}, "cap"),
        ({"warmup": -1}, "warmup"),
        ({"log_lam0": math.inf}, "log_lam0"),
    ],
)
def test_options_out_of_range_are_one_sentence(options, words):
    with pytest.raises(InputError, match=words):
        method(**options)
