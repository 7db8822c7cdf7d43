"""Continuation: each rule of a step by itself."""

import math

import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import ops
from mcgc.continuation._step import DECAY, ESTIMATORS, adapt_samples, at_step, continuation, descent, estimate
from mcgc.errors import InputError
from mcgc.optim import adam, sgd
from mcgc.random import Key, fold_in, normal

THETA = np.array([0.3, -0.5, 0.8])
A = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.5]])
B = np.array([1.0, -1.0, 0.5])


def quadratic(theta, batch=None):
    return 0.5 * theta @ (A @ theta) + ops.sum(B * theta)


def bell(theta, batch=None):
    return ops.exp(-0.5 * ops.sum(ops.square(theta - B)))


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
    assert info.grad_log_lam_total == info.grad_log_lam == found.grad_log_lam
    assert new.steps == 1


@pytest.mark.parametrize("log_lam0", [-1.0, -3.0])
def test_beta_over_lambda0_is_the_beta_of_equation_12(log_lam0):
    algorithm = method(beta=0.2, log_lam0=log_lam0)
    state = algorithm.init(THETA)._replace(log_lam=np.float64(-1.7))
    _, info = algorithm.step(state, None, Key(3))
    beta, lam = 0.2 / math.exp(log_lam0), math.exp(-1.7)
    assert info.grad_log_lam_total - info.grad_log_lam == pytest.approx(beta * THETA.size * lam, rel=1e-12)


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
    for array in (state.theta, state.log_lam, info.smoothed, info.grad_log_lam_total):
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
    smooth = continuation(f, adam(0.02), adam(0.02), log_lam0=0.5, beta=1.6, estimator="pathwise")
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
        ({"gradient": "score", "estimator": "pathwise"}, "choose score, score-baseline, antithetic-score"),
        ({"gradient": "nowhere"}, "engine, given, score"),
        ({"batched": True, "has_aux": True}, "aux"),
    ],
)
def test_options_out_of_range_are_one_sentence(options, words):
    with pytest.raises(InputError, match=words):
        method(**options)


# ---- what a step tells ----


def run(algorithm, steps, state=None, seed=1):
    state = algorithm.init(THETA) if state is None else state
    infos = []
    for i in range(steps):
        state, info = algorithm.step(state, None, fold_in(Key(seed), i))
        infos.append(info)
    return state, infos


def test_the_ratio_is_that_of_the_decayed_moments_of_the_estimates():
    _, infos = run(method(), 60)
    seen = np.array([info.grad_log_lam for info in infos])
    weights = DECAY ** np.arange(60)[::-1]
    mean, square = (np.average(values, weights=weights) for values in (seen, seen**2))
    assert infos[-1].ratio == pytest.approx(abs(mean) / math.sqrt(square - mean**2), rel=1e-9)


def test_one_estimate_has_no_spread_and_the_largest_ratio():
    _, (info,) = run(method(), 1)
    assert info.ratio == pytest.approx(1 / math.sqrt(np.finfo(np.float64).eps), rel=1e-6)


def test_the_baseline_of_a_single_sample_is_the_decayed_mean_of_the_steps_before():
    algorithm = method(estimator="score-baseline")
    state, infos = run(algorithm, 5)
    losses = [info.smoothed for info in infos]
    baseline = np.average(losses, weights=DECAY ** np.arange(5)[::-1])
    _, info = algorithm.step(state, None, Key(9))
    eps = normal(fold_in(Key(9), 0), (3,), "float64")
    assert info.grad_log_lam == pytest.approx((eps @ eps - 3) / 2 * (info.smoothed - baseline), rel=1e-10)


def test_the_hits_of_the_cap_are_counted():
    f = lambda theta, batch: -1e6 * ops.sum(ops.square(theta))
    algorithm = continuation(f, sgd(1e-9), sgd(1.0), log_lam0=-1.0, cap=2.0, estimator="pathwise", warmup=2)
    _, infos = run(algorithm, 5)
    assert [int(info.capped) for info in infos] == [0, 0, 1, 2, 3]


def test_the_gap_is_the_smoothed_less_the_plain_loss_and_costs_an_evaluation_only_when_asked():
    calls = []

    def counted(theta, batch):
        calls.append(theta)
        return quadratic(theta)

    for gap, evaluations in ((False, 1), (True, 2)):
        calls.clear()
        algorithm = continuation(counted, sgd(0.1), sgd(0.5), log_lam0=-1.0, gap=gap)
        _, info = algorithm.step(algorithm.init(THETA), None, Key(3))
        assert len(calls) == evaluations
    assert info.gap == pytest.approx(info.smoothed - quadratic(THETA), rel=1e-12)


def test_more_samples_are_taken_where_the_ratio_stays_low_and_the_run_goes_on_from_its_state():
    wave = lambda theta, batch: ops.cos(ops.sum(3 * theta)) + ops.sum(ops.square(theta))
    number, state, numbers, ratios = 1, None, [], []
    for _ in range(5):
        algorithm = continuation(wave, sgd(1e-6), sgd(1e-6), log_lam0=0.0, num_samples=number)
        state, infos = run(algorithm, 60, state, number)
        numbers.append(number)
        ratios.append(float(infos[-1].ratio))
        number = adapt_samples(number, ratios[-1], lowest=1.0, most=16)
    assert numbers[:3] == [1, 2, 4]
    assert ratios[-1] > 1.5 * ratios[0]


def test_samples_are_doubled_up_to_the_most_and_never_taken_away():
    assert adapt_samples(3, 0.05) == 6
    assert adapt_samples(3, 0.2) == 3
    assert adapt_samples(48, 0.0) == 64
    assert adapt_samples(100, 0.0) == 100
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        adapt_samples(0, 0.0)


def test_scaled_steps_narrow_with_the_kernel():
    (whole, _), (scaled, _) = (
        algorithm.step(algorithm.init(THETA)._replace(log_lam=np.float64(-3.0)), None, Key(3))
        for algorithm in (method(), method(scaled=True))
    )
    np.testing.assert_allclose(scaled.theta - THETA, math.exp(-1.0) * (whole.theta - THETA), rtol=1e-10)


@pytest.mark.parametrize("estimator", ["score", "antithetic"])
def test_given_gradients_and_batches_of_points_change_nothing(estimator):
    given = lambda theta, batch: (quadratic(theta), A @ theta + B)
    rows = lambda points, batch: 0.5 * ops.sum(points * (points @ A), axis=-1) + ops.sum(B * points, axis=-1)
    rows_given = lambda points, batch: (rows(points, batch), points @ A + B)
    options = {"log_lam0": -1.0, "estimator": estimator, "num_samples": 2, "gap": True}
    expected, info = run(continuation(quadratic, adam(0.1), adam(0.1), **options), 3)
    for objective, how in (
        (given, {"gradient": "given"}),
        (rows, {"batched": True}),
        (rows_given, {"batched": True, "gradient": "given"}),
    ):
        state, infos = run(continuation(objective, adam(0.1), adam(0.1), **options, **how), 3)
        np.testing.assert_allclose(state.theta, expected.theta, rtol=1e-12)
        np.testing.assert_allclose(state.log_lam, expected.log_lam, rtol=1e-12)
        np.testing.assert_allclose(infos[-1].gap, info[-1].gap, rtol=1e-10)


def test_descent_takes_given_gradients_and_refuses_to_do_without():
    algorithm = descent(lambda theta, batch: (quadratic(theta), A @ theta + B), sgd(0.1), gradient="given")
    state, _ = algorithm.step(algorithm.init(THETA), None, Key(0))
    np.testing.assert_allclose(state.theta, THETA - 0.1 * (A @ THETA + B), rtol=1e-14)
    with pytest.raises(InputError, match="needs gradients"):
        descent(quadratic, sgd(0.1), gradient="score")


def test_the_running_means_stay_what_they_are_where_the_number_of_steps_changes():
    algorithm = method(estimator="score-baseline")
    state = algorithm.init(THETA)
    assert at_step(state, 9).moments.tolist() == [0.0, 0.0, 0.0]
    for i in range(3):
        state, _ = algorithm.step(state, None, fold_in(Key(1), i))
    later = at_step(state, 500)
    assert later.steps == 500
    np.testing.assert_allclose(later.moments / (1 - DECAY**500), state.moments / (1 - DECAY**3), rtol=1e-13)
    assert at_step(descent(quadratic, sgd(0.1)).init(THETA), 7).moments == ()


def test_members_need_a_key_each():
    algorithm = continuation(lambda theta, batch: ops.sum(theta * theta, axis=-1), sgd(0.1), sgd(0.1), log_lam0=0.0)
    for theta, key in ((np.ones((3, 4)), (Key(0), Key(1))), (np.ones((3, 4)), Key(0)), (np.ones(4), (Key(0),))):
        with pytest.raises(InputError, match="one for each"):
            algorithm.step(algorithm.init(theta), None, key)


def test_theta_may_be_a_list_and_a_number_is_refused_in_one_sentence():
    for method in (
        continuation(lambda x, batch: ops.sum(x * x), adam(0.1), adam(0.1), log_lam0=0.0),
        descent(lambda x, batch: ops.sum(x * x), adam(0.1)),
    ):
        (given, _), (expected, _) = (
            method.step(method.init(theta), None, Key(0)) for theta in ([1, 2], np.array([1.0, 2.0]))
        )
        np.testing.assert_array_equal(given.theta, expected.theta)
        with pytest.raises(InputError, match="theta must be a vector"):
            method.init(1.0)
        with pytest.raises(InputError, match="theta is an array of float16"):
            method.init(np.ones(2, np.float16))
