"""Composition of rules: what a chain computes, what state it has, and rules that give a step or have no state."""

import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import ops
from mcgc.continuation import annealing
from mcgc.errors import InputError
from mcgc.optim import (
    AdamState,
    Optimizer,
    SgdState,
    adam,
    adamw,
    add_decayed_weights,
    apply_updates,
    chain,
    clip_by_global_norm,
    decay_weights,
    from_step,
    momentum,
    scale,
    scale_by_adam,
    scale_by_learning_rate,
    scale_by_schedule,
    sgd,
    stateless,
)
from mcgc.optim.schedules import cosine

START = np.array([1.0, -2.0, 3.0])
CURVATURE = np.array([1.0, 10.0, 0.1])


def iterates(optimizer, theta=START, count=6, way="step"):
    state, found = optimizer.init(theta), []
    for _ in range(count):
        if way == "step":
            theta, state = optimizer.step(CURVATURE * theta, state, theta)
        else:
            updates, state = optimizer.update(CURVATURE * theta, state, theta)
            theta = apply_updates(theta, updates)
        found.append(theta)
    return np.stack(found)


@pytest.mark.parametrize("way", ["step", "update"])
def test_a_chain_of_clipping_and_adam_steps_along_the_clipped_gradient_to_the_bit(way):
    plain, theta, expected = adam(0.1), START, []
    state = plain.init(theta)
    for _ in range(6):
        gradient = CURVATURE * theta
        clipped = gradient * (2.0 / max(2.0, np.linalg.norm(gradient)))
        theta, state = plain.step(clipped, state, theta)
        expected.append(theta)
    np.testing.assert_allclose(iterates(chain(clip_by_global_norm(2.0), adam(0.1)), way=way), expected, rtol=1e-13)


def test_adamw_by_parts_is_adamw_up_to_rounding(device):
    rate = cosine(0.05, 6)
    for parts, whole in (
        (scale_by_learning_rate(0.05), adamw(0.05, 0.1)),
        (scale_by_learning_rate(rate), adamw(rate, 0.1)),
    ):
        chained = chain(scale_by_adam(), add_decayed_weights(0.1), parts)
        np.testing.assert_allclose(iterates(chained), iterates(whole), rtol=1e-12)


def test_weight_decay_before_a_descent_is_the_gradient_of_a_quadratic_penalty():
    theta, expected = START, []
    for _ in range(6):
        theta = theta - 0.05 * (CURVATURE * theta + 0.3 * theta)
        expected.append(theta)
    np.testing.assert_allclose(iterates(chain(add_decayed_weights(0.3), sgd(0.05))), expected, rtol=1e-13)


def test_a_schedule_of_updates_is_that_of_the_rate():
    rate = cosine(0.05, 6)
    np.testing.assert_allclose(iterates(chain(adam(1.0), scale_by_schedule(rate))), iterates(adam(rate)), rtol=1e-13)
    assert chain(adam(1.0), scale_by_schedule(rate)).init(START)[1].steps == 0


@pytest.mark.parametrize("rule", [lambda: scale(-0.05), lambda: scale_by_learning_rate(0.05)])
def test_scaling_alone_is_gradient_descent(rule):
    np.testing.assert_array_equal(iterates(rule()), iterates(sgd(0.05)))


def test_the_state_of_a_chain_is_that_of_its_one_rule_with_a_state_else_a_tuple():
    assert isinstance(chain(clip_by_global_norm(1.0), adam(0.1), scale(0.5)).init(START), AdamState)
    both = chain(momentum(0.1), clip_by_global_norm(1.0), adam(0.1))
    assert [type(state).__name__ for state in both.init(START)] == ["MomentumState", "AdamState"]
    assert [state.steps for state in both.update(START, both.init(START), START)[1]] == [1, 1]
    assert chain(scale(2.0), clip_by_global_norm(1.0)).init(START) == ()


def test_chains_of_chains_are_the_chain_of_all():
    rules = scale_by_adam(), momentum(0.1), add_decayed_weights(0.1), adam(0.1)
    flat = iterates(chain(*rules))
    np.testing.assert_array_equal(iterates(chain(chain(*rules[:2]), chain(*rules[2:]))), flat)
    np.testing.assert_array_equal(iterates(chain(rules[0], chain(rules[1], chain(*rules[2:])))), flat)


def test_a_chain_of_nothing_passes_the_gradient_on():
    updates, state = chain().update(CURVATURE, (), START)
    np.testing.assert_array_equal(updates, CURVATURE)
    assert state == ()


def test_a_chain_keeps_dtype_and_device(device):
    rules = clip_by_global_norm(1.0), scale_by_adam(), add_decayed_weights(0.1), scale_by_learning_rate(cosine(0.1, 5))
    chained, theta = chain(*rules), to_device(START, device, "float32")
    state = chained.init(theta)
    for _ in range(2):
        theta, state = chained.step(theta, state, theta)
    assert theta.dtype == device.namespace.float32
    assert np.isfinite(to_host(theta)).all()


def test_a_rule_of_ones_own_runs_fused_where_it_gives_a_fused_step():
    calls = []

    def fused(gradient, state, theta):
        calls.append("fused")
        return theta - gradient, SgdState(state.steps + 1)

    own = Optimizer(lambda theta: SgdState(0), lambda g, s, theta: (-g, SgdState(s.steps + 1)), fused)
    theta, _ = chain(clip_by_global_norm(1e9), own).step(START, own.init(START), START)
    np.testing.assert_array_equal(theta, 0 * START)
    assert calls == ["fused"]
    np.testing.assert_array_equal(iterates(own._replace(fused=None)), iterates(own))


def test_updates_of_a_step_are_its_difference_and_0_where_an_infinite_element_stays():
    target = np.array([2.0, -np.inf, 5.0])
    rule = from_step(lambda theta: (), lambda gradient, state, theta: (target, state))
    assert rule.update(START, (), START)[0].tolist() == [1.0, -np.inf, 2.0]
    assert rule.update(START, (), target)[0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["geometric", "decay", "bounded", "projected"])
def test_updates_of_a_schedule_of_lambda_lead_where_its_step_leads(name, device):
    schedule = {
        "geometric": annealing.geometric(0.9),
        "decay": annealing.decay(2.0),
        "bounded": annealing.bounded(adam(0.1), 0.9),
        "projected": annealing.projected(sgd(0.5)),
    }[name]
    log_lam = to_device(np.asarray(-0.5), device)
    state = schedule.init(log_lam)
    for _ in range(6):
        updates, _ = schedule.update(log_lam**2, state, log_lam)
        new, state = schedule.step(log_lam**2, state, log_lam)
        np.testing.assert_allclose(to_host(apply_updates(log_lam, updates)), to_host(new), rtol=1e-14)
        if not np.isfinite(to_host(new)):  # λ = 0, where the projected descent stays
            break
        log_lam = new


@pytest.mark.parametrize("updates", [np.ones(1), np.ones((3, 1)), np.ones(3, np.float32)])
def test_updates_that_are_not_like_theta_are_refused_and_never_broadcast(updates):
    with pytest.raises(InputError, match="updates"):
        apply_updates(START, updates)
    with pytest.raises(InputError, match="updates"):
        Optimizer(lambda theta: (), lambda gradient, state, theta: (updates, state)).step(START, (), START)


def test_a_rule_without_state_is_given_gradient_and_theta_as_arrays():
    rule = stateless(lambda gradient, theta: ops.sign(gradient) * theta)
    assert rule.update([1.0, -2.0], (), [3, 4])[0].tolist() == [3.0, -4.0]


def test_a_decay_that_changes_needs_a_state_that_counts():
    several = chain(momentum(0.1), adam(0.1))
    assert iterates(decay_weights(0.01, several)).shape == (6, 3)
    with pytest.raises(InputError, match="steps"):
        iterates(decay_weights(lambda n: 0.01, several))
