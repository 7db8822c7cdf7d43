"""Training: what a record says, what members share, and that the same settings give the same bits."""

from itertools import chain
from typing import NamedTuple

import numpy as np
import pytest
from small import Labelled, Series, bound

from mcgc import optim, train
from mcgc.arrays import HOST, to_device, to_host
from mcgc.autodiff import ops
from mcgc.errors import InputError, SolveError
from mcgc.ode import solve
from mcgc.optim import schedules
from mcgc.random import Key, fold_in
from mcgc.train import Settings, _epoch, _task, problems


def spirals(count=10):
    """Give slow spirals, a dataset of the shape of lorenz's that solves in few steps."""
    times = np.linspace(0, 0.4, 5)
    parameters = np.stack([np.linspace(0.5, 1, count), np.linspace(1, 2, count)], axis=1)
    states = [
        solve(lambda t, y, p: p[1] * (y[::-1] - y) - p[0] * y, np.array([1.0, 0.5, -0.5]), times, p).ys
        for p in parameters
    ]
    return Series(times, parameters, np.stack(states))


DATA = spirals()
QUICK = problems.get("lorenz").recipe._replace(epochs=2, warmup_epochs=1, rtol=1e-3, atol=1e-3)


def run(device=HOST, data=DATA, **changes):
    return list(train.fit(QUICK._replace(**changes), data, device))


def test_settings_are_checked_once(monkeypatch):
    checked = train.validate(QUICK, problems.get("lorenz").options)
    assert checked == QUICK
    with pytest.raises(InputError, match="epochs must be a whole number of at least 1, got 0"):
        train.bind(checked._replace(epochs=0), DATA)
    monkeypatch.setattr(_task, "validate", None)
    assert train.bind(checked, DATA).settings is checked


def hidden_seconds(record):
    return record._replace(seconds=0.0, member_seconds=())


def test_records_and_parameters_have_their_shapes():
    epochs = run(members=2)
    assert [record.epoch for record, _ in epochs] == [1, 2]
    for record, theta in epochs:
        assert theta.shape == (2, 46_353)
        assert theta.dtype == np.float32
        assert record.test_accuracy == (None, None)
        assert all(np.isfinite(record.train_loss + record.test_loss + record.smoothed_loss))
        assert len(record.function_evaluations) == 2
        assert record.seconds > 0


def test_losses_are_those_of_the_yielded_parameters():
    record, theta = run()[-1]
    problem = problems.get("lorenz")
    examples = problem.examples(DATA, "float32", HOST)
    rest, _, test = _task._parts(examples, fold_in(Key(0), _task.SPLIT), HOST)
    objective = problem.objective(QUICK)
    assert record.train_loss[0] == pytest.approx(float(objective(theta[0], rest)[0]), rel=1e-6)
    assert record.test_loss[0] == pytest.approx(float(objective(theta[0], test)[0]), rel=1e-6)


def test_training_lowers_the_loss():
    records = [record for record, _ in run(epochs=12, continuation=False)]
    assert records[-1].train_loss[0] < 0.3 * records[0].train_loss[0]


@pytest.mark.parametrize("continuation", [True, False])
def test_the_same_settings_give_the_same_bits(continuation):
    first, second = (run(continuation=continuation) for _ in range(2))
    assert [hidden_seconds(r) for r, _ in first] == [hidden_seconds(r) for r, _ in second]
    np.testing.assert_array_equal(first[-1][1], second[-1][1])
    other = run(continuation=continuation, seed=1)
    assert not np.array_equal(first[-1][1], other[-1][1])


def test_a_member_is_the_same_alone_and_among_others():
    alone, together = run(members=1), run(members=3)
    np.testing.assert_array_equal(alone[-1][1][0], together[-1][1][0])
    assert alone[-1][0].train_loss[0] == together[-1][0].train_loss[0]
    assert len({tuple(theta[:50].tolist()) for theta in together[-1][1]}) == 3


def test_warmup_holds_log_lam_and_the_rest_moves_it():
    records = [record for record, _ in run(epochs=3, warmup_epochs=2)]
    assert [record.log_lam[0] == QUICK.log_lam0 for record in records] == [True, True, False]


@pytest.mark.parametrize(
    ("schedule", "gamma", "fall"),
    [("geometric", 0.9, lambda i: i * np.log(0.9)), ("decay", 1.5, lambda i: -1.5 * np.log(1 + i))],
)
def test_a_schedule_takes_lambda_down_its_path_after_the_warmup(schedule, gamma, fall):
    records = [record for record, _ in run(epochs=3, members=2, schedule=schedule, gamma=gamma, batch_size=5)]
    updates = np.array([0, 2, 4])  # two batches an epoch, after one epoch of warm-up
    expected = QUICK.log_lam0 + np.stack([fall(updates)] * 2, axis=1)
    np.testing.assert_allclose([record.log_lam for record in records], expected, rtol=1e-6)


def test_without_continuation_there_is_no_lambda():
    record, _ = run(continuation=False)[-1]
    assert record.log_lam == record.grad_log_lam == (None,)


def test_a_tenth_of_the_series_is_held_out_and_batches_keep_their_order():
    examples = problems.get("lorenz").examples(DATA, "float64", HOST)
    rest, _, test = _task._parts(examples, Key(5), HOST)
    batches = list(_epoch._batches(rest, 4))
    assert test.states.shape[0] == 1
    assert [batch.states.shape[0] for batch in batches] == [4, 4, 1]
    np.testing.assert_array_equal(np.concatenate([batch.parameters for batch in batches]), rest.parameters)
    assert (np.diff(rest.parameters[:, 0]) > 0).all()
    everything = np.concatenate([rest.parameters, test.parameters])
    np.testing.assert_array_equal(np.sort(everything[:, 0]), DATA.parameters[:, 0])


def test_effort_is_that_of_the_training_steps():
    record, _ = run(epochs=1, step_size=0.1, solver="rk4")[-1]
    # three batches of 4, 4 and 1 series, four steps of four stages each, after one evaluation at the start
    assert record.function_evaluations == (3 * (1 + 4 * 4),)
    assert record.accepted_steps == (9 * 4,)
    assert record.rejected_steps == (0,)


def test_float64_stays_float64():
    assert run(dtype="float64", epochs=1)[-1][1].dtype == np.float64


def test_training_runs_on_a_device_without_implicit_transfers(away):
    ours, theirs = (run(device, epochs=1, dtype="float64", warmup_epochs=0)[-1] for device in (away, HOST))
    np.testing.assert_allclose(to_host(ours[1]), theirs[1], rtol=1e-6, atol=1e-9)
    assert ours[0].train_loss == pytest.approx(theirs[0].train_loss, rel=1e-8)


def test_a_failed_solution_names_member_and_epoch():
    with pytest.raises(SolveError, match="member 0, epoch 1: "):
        run(rtol=1e-30, atol=1e-30)


def test_too_few_examples_are_one_sentence():
    with pytest.raises(InputError, match="at least 2"):
        run(data=Series(DATA.times, DATA.parameters[:1], DATA.series[:1]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size"),
        ({"members": -1}, "members"),
        ({"num_samples": 1.5}, "num_samples"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number"),
        ({"learning_rate_lam": float("nan")}, "learning_rate_lam"),
        ({"beta": -1e-9}, "beta"),
        ({"log_lam0": float("inf")}, "log_lam0"),
        ({"seed": -1}, "seed"),
        ({"rtol": 0.0}, "rtol"),
        ({"dtype": "float16"}, "float32, float64"),
        ({"estimator": "none"}, "score, pathwise"),
        ({"schedule": "linear"}, "schedule must be one of learned, geometric, decay"),
        ({"gamma": 0.9}, "gamma must be left out where the schedule is learned, got 0.9"),
        ({"schedule": "decay"}, "gamma must be given where the schedule is decay, got None"),
        ({"schedule": "geometric", "gamma": 1.5}, "gamma of a geometric schedule, its rate, must lie between 0 and 1"),
        ({"solver": "rk4"}, "step_size"),
        ({"step_size": -1.0}, "step_size"),
        ({"adjoint": "x"}, "checkpointed, direct"),
        ({"loss": "cross-entropy"}, "loss does not apply to the problem 'lorenz'"),
        ({"horizons": "none"}, "horizons has the entry 'none'"),
        ({"horizons": "2,1"}, "horizons must not shrink, got windows of 2, 1 intervals"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of sgd, momentum"),
        ({"clip": 0.0}, "clip must be a positive number, got 0.0"),
        ({"weight_decay": -1.0}, "weight_decay must be a positive number"),
        ({"validation": 1.0}, "validation must be a fraction from 0 to 0.9"),
        ({"rate_schedule": "linear"}, "rate_schedule must be one of constant, cosine, exponential"),
        ({"learning_rate_end": 1e-4}, "learning_rate_end must be left out where the rate_schedule is constant"),
        ({"rate_schedule": "cosine", "learning_rate_end": 1.0}, "no larger than the rate at the start"),
    ],
)
def test_settings_out_of_range_are_one_sentence(changes, words):
    with pytest.raises(InputError, match=words):
        run(**changes)


class Means(NamedTuple):
    """A problem of one's own, the mean of numbers 0 … n − 1, and the rows that its loss was given."""

    problem: problems.Problem
    seen: list


def means(shuffled=True):
    seen = []

    def objective(settings):
        def loss(theta, rows):
            seen.append(rows.tolist())
            return ops.mean(ops.square(theta[0] - rows)), None

        return loss

    return Means(
        problems.Problem(
            "means",
            "the mean of numbers",
            Settings("means", 0.0, 0.0, 0.1, 0.1, epochs=2, batch_size=7, continuation=False),
            examples=lambda data, dtype, device: to_device(data, device, dtype),
            init=lambda key, dtype, device: to_device([0.0], device, dtype),
            objective=objective,
            shuffled=shuffled,
            accuracy=lambda theta, rows: to_device((rows > 10).mean(), HOST, rows.dtype),
        ),
        seen,
    )


def steps_of(own, numbers, **changes):
    """Return the minibatches of every epoch."""
    recipe = own.problem.recipe._replace(**changes)
    list(train.fit(recipe, numbers, HOST, own.problem))
    per_epoch = len(own.seen) // recipe.epochs
    evaluations = 2  # of the training and the test set, after the steps
    return [own.seen[i * per_epoch : (i + 1) * per_epoch - evaluations] for i in range(recipe.epochs)]


def joined(batches):
    return list(chain.from_iterable(batches))


def test_shuffled_minibatches_are_the_training_set_in_an_order_of_their_own_each_epoch():
    first, second = map(joined, steps_of(means(), range(40)))
    assert len(first) == 36
    assert sorted(first) == sorted(second)
    assert first != second
    assert sorted(first) not in (first, second)
    (other,) = map(joined, steps_of(means(), range(40), seed=1, epochs=1))
    assert other != first


def test_the_order_of_minibatches_depends_on_seed_member_and_epoch_alone():
    once, again = steps_of(means(), range(40)), steps_of(means(), range(40))
    assert once == again
    both = steps_of(means(), range(40), members=2, epochs=1)[0]
    assert both[: len(once[0])] == once[0]
    theirs = both[len(once[0]) + 2 :]  # after the two evaluations of the first member
    assert joined(theirs) != joined(once[0])
    assert sorted(joined(theirs)) == sorted(joined(once[0]))


def test_minibatches_in_order_are_the_same_each_epoch():
    first, second = steps_of(means(shuffled=False), range(40))
    assert first == second
    assert joined(first) == sorted(joined(first))


def test_scores_are_means_over_all_examples_though_few_are_evaluated_at_once(monkeypatch):
    monkeypatch.setattr(_epoch, "ROWS_AT_ONCE", 5)
    own = means()
    record, theta = list(train.fit(own.problem.recipe, range(58), HOST, own.problem))[-1]
    evaluated = own.seen[-(11 + 2) :]  # 52 examples to train on and 6 to test on
    assert max(map(len, evaluated)) == 5
    rest, test = np.concatenate(evaluated[:11]), np.concatenate(evaluated[11:])
    assert sorted([*rest, *test]) == list(range(58))
    assert record.train_loss[0] == pytest.approx(np.mean((theta[0, 0] - rest) ** 2), rel=1e-6)
    assert record.test_loss[0] == pytest.approx(np.mean((theta[0, 0] - test) ** 2), rel=1e-6)
    assert record.test_accuracy[0] == pytest.approx(np.mean(test > 10), rel=1e-6)


def test_a_problem_without_a_solver_has_no_effort():
    own = means()
    record, _ = next(train.fit(own.problem.recipe, range(9), HOST, own.problem))
    assert record.function_evaluations == record.accepted_steps == record.rejected_steps == (None,)


def test_minibatches_are_shuffled_without_implicit_transfers(away):
    problem = problems.classifier(problems.get("mnist").recipe._replace(batch_size=4, epochs=2), (6, 4, 3))
    data = Labelled(np.arange(60, dtype=np.uint8).reshape(10, 2, 3), np.arange(10, dtype=np.uint8) % 3)
    recipe = problem.recipe._replace(dtype="float64")
    ours, theirs = (list(train.fit(recipe, data, device, problem))[-1] for device in (away, HOST))
    np.testing.assert_allclose(to_host(ours[1]), theirs[1], rtol=1e-9)
    assert ours[0].test_accuracy == theirs[0].test_accuracy


@pytest.mark.parametrize(("schedule", "end"), [("cosine", 1e-5), ("exponential", None), ("constant", None)])
def test_the_learning_rate_goes_from_its_start_to_its_end_over_the_run(monkeypatch, schedule, end):
    seen = []
    monkeypatch.setitem(_task.OPTIMIZERS, "adam", lambda rate: seen.append(rate) or optim.adam(rate))
    settings = QUICK._replace(rate_schedule=schedule, learning_rate=1e-3, learning_rate_end=end, epochs=10)
    for restores, since in ((0, 0), (1, 40)):
        _task._optimizer(settings, 7, restores, since)
    plain, halved = (schedules.function_of(rate) for rate in seen)
    constant = schedule == "constant"
    assert plain(0) == pytest.approx(1e-3)
    assert plain(70) == pytest.approx(1e-3 if constant else 1e-5)
    assert halved(5) == pytest.approx(plain(45) / 2)  # the path goes on where a member that goes back left it


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_every_optimiser_moves_the_parameters_as_it_does_by_itself(name):
    settings = QUICK._replace(optimizer=name, learning_rate=0.1, clip=2.0, weight_decay=0.5)
    ours = _task._optimizer(settings, 1, 0, 0)
    theta, gradient = np.array([1.0, -2.0]), np.array([30.0, 40.0])
    plain = {"adamw": optim.adam}.get(name, optim.OPTIMIZERS[name])(0.1)
    state = plain.init(theta)
    expected, _ = plain.step(gradient / 25, state, theta * (1 - 0.05))
    np.testing.assert_allclose(ours.step(gradient, ours.init(theta), theta)[0], expected, rtol=1e-12)


def test_the_best_epoch_is_that_of_the_validation_set_where_there_is_one():
    found = []
    settings = QUICK._replace(validation=0.25, epochs=6, learning_rate=3e-2, continuation=False)
    for record, (member,) in train.epochs(*bound(settings, DATA, HOST)):
        found.append((record.validation_loss[0], member.state.theta))
        lowest, best = min(found, key=lambda pair: pair[0])
        assert member.lowest == lowest
        np.testing.assert_array_equal(member.best.theta, best)


def test_parts_are_disjoint_and_the_test_set_does_not_depend_on_the_validation_set():
    examples = problems.get("lorenz").examples(DATA, "float64", HOST)
    rest, validation, test = _task._parts(examples, Key(5), HOST, 0.3)
    assert [len(part.states) for part in (rest, validation, test)] == [6, 3, 1]
    every = np.sort(np.concatenate([part.parameters[:, 0] for part in (rest, validation, test)]))
    np.testing.assert_array_equal(every, DATA.parameters[:, 0])
    np.testing.assert_array_equal(test.states, _task._parts(examples, Key(5), HOST)[2].states)
