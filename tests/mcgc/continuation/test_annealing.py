"""Schedules of λ against their formulas, and Algorithm 1 with two inner minimisers."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import optimize

from mcgc import value_and_grad
from mcgc.arrays import to_device, to_host
from mcgc.autodiff import ops
from mcgc.continuation import continuation
from mcgc.continuation.annealing import bounded, decay, follow, geometric, projected
from mcgc.errors import InputError
from mcgc.optim import adam, sgd
from mcgc.paper.test_functions import get
from mcgc.random import Key, fold_in

LOG_LAM0 = math.log(3.0)


def path(schedule, gradients, device, dtype="float64"):
    """Return λ after each update of the schedule by these gradients with respect to φ."""
    log_lam = to_device(LOG_LAM0, device, dtype)
    state, lams = schedule.init(log_lam), []
    for gradient in gradients:
        log_lam, state = schedule.step(to_device(gradient, device, dtype), state, log_lam)
        assert log_lam.dtype == getattr(device.namespace, dtype)
        assert log_lam.shape == ()
        lams.append(math.exp(float(to_host(log_lam))))
    return np.array(lams)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("schedule", "formula"),
    [(decay(0.55), lambda i: 3 / (1 + i) ** 0.55), (geometric(0.9), lambda i: 3 * 0.9**i)],
    ids=["decay", "geometric"],
)
def test_schedules_that_do_not_learn_follow_their_formula_whatever_the_gradient(schedule, formula, device, dtype):
    lams = path(schedule, [5.0, -100.0, 0.0, 1e6], device, dtype)
    np.testing.assert_allclose(lams, [formula(i) for i in (1, 2, 3, 4)], rtol=1e-6 if dtype == "float32" else 1e-13)


def test_a_bound_lets_lambda_fall_faster_and_never_slower(device):
    slow, fast = path(bounded(sgd(0.1), 0.9), [-1.0] * 4, device), path(bounded(sgd(0.1), 0.9), [9.0] * 4, device)
    np.testing.assert_allclose(slow, 3 * 0.9 ** np.arange(1, 5), rtol=1e-13)
    np.testing.assert_allclose(fast, 3 * np.exp(-0.9 * np.arange(1, 5)), rtol=1e-13)


def test_projection_is_algorithm_2_as_printed(device):
    lam, expected = 3.0, []
    gradients = [0.3, -0.6, 2.0]
    for gradient in gradients:
        lam = max(0, lam - 0.5 * gradient / lam)  # ∂g/∂λ = (∂g/∂φ)/λ
        expected.append(lam)
    np.testing.assert_allclose(path(projected(sgd(0.5)), gradients, device), expected, rtol=1e-13)


@pytest.mark.parametrize("inner", [sgd(0.5), adam(0.5)], ids=["sgd", "adam"])
def test_projection_reaches_zero_and_stays_there(inner, device):
    lams = path(projected(inner), [1e3] * 8 + [-1e3] * 8, device)
    assert lams[7] == 0
    assert np.all(lams[8:] == 0)


@pytest.mark.parametrize("estimator", ["score", "antithetic"])
def test_a_run_with_projected_lambda_ends_as_plain_descent(estimator):
    f = lambda theta, batch: ops.sum(ops.square(theta))  # ∂g/∂λ = 2, so 0 is reached
    algorithm = continuation(f, sgd(0.1), projected(sgd(0.05)), log_lam0=0.0, estimator=estimator, num_samples=8)
    state = algorithm.init(np.array([1.0, -2.0]))
    for i in range(60):
        state, info = algorithm.step(state, None, fold_in(Key(1), i))
    assert state.log_lam == -math.inf
    new, info = algorithm.step(state, None, Key(99))
    assert new.log_lam == -math.inf
    assert info.smoothed == pytest.approx(f(state.theta, None), rel=1e-14)
    np.testing.assert_allclose(new.theta, 0.8 * state.theta, rtol=1e-14)


def test_a_schedule_waits_for_the_end_of_the_warmup():
    f = lambda theta, batch: ops.sum(ops.square(theta))
    algorithm = continuation(f, sgd(0.1), geometric(0.5), log_lam0=0.0, warmup=2)
    state, lams = algorithm.init(np.ones(2)), []
    for i in range(4):
        state, _ = algorithm.step(state, None, fold_in(Key(1), i))
        lams.append(math.exp(state.log_lam))
    np.testing.assert_allclose(lams, [1, 1, 0.5, 0.25])


LAMS = [*np.geomspace(1.0, 1e-3, 30), 0.0]


def by_scipy(known):
    def minimise(theta, lam):
        g = value_and_grad(lambda x: known.smoothed(x, float(lam)))
        found = optimize.minimize(g, theta, jac=True, method="BFGS")
        return found.x, found.fun

    return minimise


def by_adam(known):
    optimizer = adam(0.02)

    def minimise(theta, lam):
        g = value_and_grad(lambda x: known.smoothed(x, float(lam)))
        state = optimizer.init(theta)
        for _ in range(100):
            theta, state = optimizer.step(g(theta)[1], state, theta)
        return theta, g(theta)[0]

    return minimise


@pytest.mark.parametrize("inner", [by_scipy, by_adam])
def test_algorithm_1_follows_the_path_of_minimisers_to_the_global_minimum(inner):
    quartic = get("quartic")
    points = follow(inner(quartic), np.array(quartic.start), LAMS)
    assert [point.lam for point in points] == LAMS
    assert points[-1].theta[0] == pytest.approx(quartic.minimizers[0][0], abs=1e-4)
    assert points[-1].smoothed == pytest.approx(quartic.value, abs=1e-6)
    values = [float(point.smoothed) for point in points]
    assert values == sorted(values, reverse=True)  # theorem 2: g*(λ) rises with λ
    jumps = [abs(float(a.theta[0] - b.theta[0])) for a, b in pairwise(points)]
    assert max(jumps) < 0.2  # theorem 1: one continuous path
    alone, _ = inner(quartic)(np.array(quartic.start), 0.0)
    assert alone[0] == pytest.approx(1.0, abs=0.05)  # from the same start f alone leads to the other minimum


@pytest.mark.parametrize("lams", [[], [1.0, 0.5], [1.0, 1.0, 0.0], [0.5, 1.0, 0.0], [1.0, math.nan, 0.0]])
def test_numbers_that_do_not_decrease_to_zero_are_refused(lams):
    with pytest.raises(InputError, match="decrease to 0"):
        follow(lambda theta, lam: (theta, 0.0), np.zeros(1), lams)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: decay(0.0), "power"),
        (lambda: geometric(1.0), "between 0 and 1"),
        (lambda: bounded(sgd(0.1), math.nan), "between 0 and 1"),
    ],
)
def test_rates_out_of_range_are_one_sentence(make, words):
    with pytest.raises(InputError, match=words):
        make()
