"""A member whose steps fail: they are left out, or it goes back to its best epoch, and the others go on."""

import numpy as np
import pytest
from small import bound

from mcgc import train
from mcgc.arrays import HOST
from mcgc.autodiff import ops
from mcgc.errors import SolveError
from mcgc.random import fold_in
from mcgc.train import Settings, _epoch, problems


def barrier_of(starts, **changes):
    """Give settings and a problem whose loss is not a number for θ ≤ 0, where large steps lead, or much noise.

    Member i starts at starts[i].
    """
    settings = Settings("barrier", 0.0, -6.0, 1.5, 0.1, epochs=30, batch_size=4, members=len(starts), dtype="float64")
    left = iter(starts)
    problem = problems.Problem(
        "barrier",
        "θ − log θ, the logarithm with a barrier at 0",
        settings,
        examples=lambda data, dtype, device: data,
        init=lambda key, dtype, device: np.array([next(left)]),
        objective=lambda settings: lambda theta, rows: (ops.mean(theta - ops.log(theta) + 0 * rows), None),
    )
    return settings._replace(**changes), np.zeros(8), HOST, problem


def barrier(starts, **changes):
    with np.errstate(invalid="ignore", divide="ignore"):
        return list(train.fit(*barrier_of(starts, **changes)))


NOISY = {"batch_size": 1, "log_lam0": -1.0, "learning_rate": 0.01, "learning_rate_lam": 1e-9}


def test_a_step_that_fails_leaves_everything_but_the_number_of_steps_as_it_was():
    epochs = barrier([1.0], **NOISY)
    study, (member,) = bound(*barrier_of([1.0], **NOISY))
    state, skipped = member.state, [0] * 31
    with np.errstate(invalid="ignore", divide="ignore"):
        for epoch in range(1, 31):
            for batch in _epoch.minibatches(study, member, epoch):
                after, info = study.method().step(state, batch, fold_in(member.noise, state.steps))
                failed = np.isnan(info.smoothed)
                state = state._replace(steps=state.steps + 1) if failed else after
                skipped[epoch] += failed
    assert 5 < sum(skipped) < 50
    assert [record.skipped for record, _ in epochs] == [(count,) for count in skipped[1:]]
    assert [record.steps for record, _ in epochs] == [(7 * epoch,) for epoch in range(1, 31)]
    assert not any(record.restored[0] for record, _ in epochs)
    np.testing.assert_array_equal(epochs[-1][1][0], state.theta)


def test_a_failing_step_is_not_left_out_where_something_else_is_asked_for():
    epochs = barrier([1.0], **NOISY, epochs=15, on_divergence="restore")
    assert any(record.restored[0] for record, _ in epochs)
    assert not any(record.skipped[0] for record, _ in epochs)
    with pytest.raises(SolveError, match=r"member 0, epoch \d+: the loss of a step has become nan"):
        barrier([1.0], **NOISY, on_divergence="stop")


@pytest.mark.parametrize(("failing", "skipped", "restored"), [(1, 1, False), (5, 5, False), (6, 0, True)])
def test_a_member_goes_back_where_too_many_solutions_in_a_row_fail(failing, skipped, restored):
    calls = iter(range(1000))

    def loss(theta, rows):
        if 2 <= next(calls) < 2 + failing:
            raise SolveError("the solution cannot be computed")
        return ops.mean(ops.square(theta - rows)), None

    settings, *_, problem = barrier_of([1.0], batch_size=1, epochs=2, continuation=False, learning_rate=0.1)
    epochs = list(train.fit(settings, np.zeros(11), HOST, problem._replace(objective=lambda settings: loss)))
    assert [(record.skipped, record.restored) for record, _ in epochs] == [((skipped,), (restored,)), ((0,), (False,))]


@pytest.mark.parametrize("continuation", [True, False])
def test_a_member_that_diverges_goes_back_to_its_best_epoch_and_on_from_there(continuation):
    epochs = barrier([4.0, 1.0], continuation=continuation, seed=2)
    restored = [i for i, (record, _) in enumerate(epochs) if record.restored[0]]
    assert restored
    for i in restored:
        earlier = [record.train_loss[0] for record, _ in epochs[:i]]
        assert epochs[i][0].train_loss[0] == (min(earlier) if earlier else 4 - np.log(4))
        assert epochs[i][0].smoothed_loss[0] is None
    for record, theta in epochs:
        assert all(np.isfinite(record.train_loss))
        assert (theta > 0).all()
    assert continuation or not any(record.restored[1] for record, _ in epochs)  # without noise it stays at its minimum


def test_a_schedule_goes_on_where_a_member_that_goes_back_left_it():
    epochs = barrier([4.0], seed=2, schedule="geometric", gamma=0.8)
    records = [record for record, _ in epochs]
    assert any(record.restored[0] for record in records)
    lowest, kept, log_lam = np.inf, -6.0, -6.0
    for record in records:
        updates = record.steps[0] - 2 * (record.epoch - 1) - record.skipped[0]
        log_lam = kept if record.restored[0] else log_lam + updates * np.log(0.8)
        assert record.log_lam[0] == pytest.approx(log_lam, rel=1e-12)
        if not record.restored[0] and record.train_loss[0] < lowest:
            lowest, kept = record.train_loss[0], log_lam


def test_a_member_s_divergence_leaves_the_others_as_they_are():
    together, alone = barrier([1.0, 4.0], seed=2), barrier([1.0], seed=2)
    assert any(record.restored[1] for record, _ in together)
    for (_, theta), (_, theta_alone) in zip(together, alone, strict=True):
        np.testing.assert_array_equal(theta[0], theta_alone[0])


def test_a_divergence_ends_the_run_where_that_is_asked_for_or_after_too_many(monkeypatch):
    with pytest.raises(SolveError, match=r"member 0, epoch \d+: .*has become nan"):
        barrier([4.0], on_divergence="stop", seed=2)
    monkeypatch.setattr(_epoch, "MOST_RESTORES", 0)
    with pytest.raises(SolveError, match="has become nan"):
        barrier([4.0], seed=2)


def once(number, value):
    """Give an objective that is `value(theta)` at evaluation `number`, from 0 on, and ½ |θ − rows|² at all others."""
    calls = iter(range(10_000))

    def loss(theta, rows):
        plain = ops.mean(ops.square(theta - rows)) / 2
        return (value(theta) + 0 * plain if next(calls) == number else plain), None

    return lambda settings: loss


@pytest.mark.parametrize("continuation", [True, False])
def test_a_step_that_leaves_adam_with_an_infinite_moment_does_not_freeze_the_member(continuation):
    settings, _, device, problem = barrier_of([1.0], continuation=continuation, learning_rate=0.1, dtype="float32")
    slope = problem._replace(
        init=lambda key, dtype, device: np.ones(1, np.float32), objective=once(4, lambda theta: ops.sum(1e25 * theta))
    )
    epochs = list(train.fit(settings, np.zeros(8, np.float32), device, slope))
    assert any(record.restored[0] or record.skipped[0] for record, _ in epochs)
    assert abs(epochs[-1][1][0, 0]) < 0.1  # where it would be 0.8 still


def test_a_step_with_a_loss_that_overflows_the_optimiser_of_phi_is_left_out():
    settings, _, device, problem = barrier_of([1.0], learning_rate=0.1, dtype="float32", batch_size=1)
    large = problem._replace(
        init=lambda key, dtype, device: np.ones(1, np.float32), objective=once(3, lambda theta: 0 * theta[0] + 1e30)
    )
    epochs = list(train.fit(settings, np.zeros(8, np.float32), device, large))
    assert epochs[0][0].skipped == (1,)
    paths = [record.log_lam[0] for record, _ in epochs]
    assert len(set(paths)) == len(paths)
    assert np.isfinite(paths).all()
