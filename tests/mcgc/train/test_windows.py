"""Windows of series and horizons: what is drawn, what an epoch covers, and what standardising leaves unchanged."""

from itertools import pairwise

import numpy as np
import pytest
from small import bound, decays, ode

import mcgc
from mcgc import train
from mcgc.arrays import HOST, to_device, to_host
from mcgc.autodiff import stop_gradient
from mcgc.errors import InputError, SolveError
from mcgc.random import Key
from mcgc.train import Serial, Stacked, _epoch
from mcgc.train._resume import pack, unpack
from mcgc.train._windows import batch_bounds, by_epoch, parse_horizons, per_epoch
from mcgc.train.problems import Series, scaling_of

ODE = ode(6)._replace(name="mine")
DATA = decays(end=0.5)  # 7 series of 3 intervals, of which 6 are trained on
LOOSE = {"rtol": 1e-3, "atol": 1e-3}


def begin(device=HOST, data=DATA, **changes):
    return bound(ODE.recipe._replace(**LOOSE, **changes), data, device, ODE)


def run(device=HOST, data=DATA, **changes):
    return list(train.epochs(*begin(device, data, **changes)))


def untimed(record):
    return record._replace(seconds=0.0, member_seconds=())


def test_horizons_are_lengths_and_shares():
    assert parse_horizons("1:0.5, 0.25 :2,all") == ((1, 0.5), (0.25, 2.0), (1.0, 1.0))


@pytest.mark.parametrize("text", ["", "1:", "0", "-1", "1.5", "0.0", "1:0", "1:nan", "1:inf", "some", "1;2", "1:2:3"])
def test_an_entry_that_is_no_horizon_is_one_sentence(text):
    with pytest.raises(InputError, match=r"horizons has the entry .*: give a number of intervals"):
        parse_horizons(text)


def test_shares_divide_the_epochs():
    at = by_epoch("1:5,2:3,0.5:1,all:1", 19, 10)
    assert [at(epoch) for epoch in range(1, 11)] == [1] * 5 + [2] * 3 + [10, 19]
    assert [by_epoch("1:2,all", 19, 1)(1), by_epoch("4", 19, 3)(3)] == [1, 4]


@pytest.mark.parametrize(("text", "lengths"), [("4,2", "4, 2"), ("0.5,9", "10, 9"), ("all,4", "19, 4")])
def test_horizons_that_shrink_are_one_sentence(text, lengths):
    with pytest.raises(InputError, match=f"horizons must not shrink, got windows of {lengths} intervals"):
        by_epoch(text, 19, 10)


def test_horizons_longer_than_the_series_are_whole_series():
    assert [by_epoch("1,4,8,all", 3, 4)(epoch) for epoch in range(1, 5)] == [1, 3, 3, 3]


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_window_is_a_slice_of_its_series(device, length):
    rng = np.random.default_rng(0)
    whole = [rng.normal(size=shape) for shape in ((3, 5), (3, 2), (3, 5, 2))]
    series = Series(*(to_device(x, device) for x in whole))
    starts = 5 - length
    indices = np.arange(3 * starts)
    found = ODE.windows(series, to_device(indices, device), length)
    stacked = ODE.windows(series, to_device(np.stack([indices, indices[::-1]]), device), length)
    for part, again in zip(found, stacked, strict=True):
        np.testing.assert_array_equal(to_host(again)[0], to_host(part))
        np.testing.assert_array_equal(to_host(again)[1], to_host(part)[::-1])
    times, parameters, states = whole
    for index in indices:
        i, j = divmod(index, starts)
        for part, expected in zip(
            found, (times[i, j : j + length + 1], parameters[i], states[i, j : j + length + 1]), strict=True
        ):
            np.testing.assert_array_equal(to_host(part)[index], expected)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_an_epoch_of_windows_covers_the_series_once_in_as_many_steps(length):
    study, (member,) = begin(horizons=str(length))
    series = [study.train.states[i] for i in range(6)]
    batches = list(_epoch.minibatches(study, member, 1))
    assert len(batches) == _epoch.steps(study.train, study.settings) == 2
    windows = [window for batch in batches for window in batch.states]
    assert len(windows) == per_epoch(6, 3, length) == 18 // length
    known = {s[j : j + length + 1].tobytes() for s in series for j in range(4 - length)}
    drawn = {window.tobytes() for window in windows}
    assert len(drawn) == len(windows)
    assert drawn <= known
    again = [window for batch in _epoch.minibatches(study, member, 2) for window in batch.states]
    assert [w.tobytes() for w in again] != [w.tobytes() for w in windows]


def test_no_window_is_of_a_series_that_is_set_apart():
    study, (member,) = begin(horizons="1", validation=0.3)
    apart = {tuple(row) for part in (study.test, study.validation) for row in to_host(part.parameters).tolist()}
    seen = {
        tuple(row)
        for epoch in range(1, 20)
        for batch in _epoch.minibatches(study, member, epoch)
        for row in batch.parameters.tolist()
    }
    assert len(apart) == 3
    assert len(seen) == 4
    assert not apart & seen


def test_records_tell_the_horizon_and_the_losses_of_whole_series():
    changes = {"horizons": "1:2,all:1", "epochs": 3, "continuation": False}
    epochs = run(**changes)
    study, _ = begin(**changes)
    assert [record.horizon for record, _ in epochs] == [1, 1, 3]
    for record, (member,) in epochs:
        assert record.train_loss[0] == pytest.approx(
            float(study.objective(member.state.theta, study.train)[0]), rel=1e-6
        )


def test_log_lambda_begins_anew_at_each_horizon_where_that_is_asked_for():
    changes = {"horizons": "1,all", "epochs": 4, "schedule": "geometric", "gamma": 0.5, "log_lam0": -6.0}
    fall = 2 * np.log(0.5)  # of the two steps of an epoch
    for restart, expected in ((True, [1, 2, 1, 2]), (False, [1, 2, 3, 4])):
        found = [record.log_lam[0] for record, _ in run(restart_lam=restart, **changes)]
        assert found == pytest.approx([-6.0 + times * fall for times in expected], rel=1e-6)


GROWN = {"horizons": "1,2,all", "standardize": True, "epochs": 3, "rate_schedule": "cosine", "validation": 0.2}


@pytest.mark.parametrize("done", [1, 2])
def test_a_run_with_horizons_that_goes_on_has_the_bits_of_the_whole_run(done):
    whole = run(**GROWN)
    study, _ = begin(**GROWN)
    taken_up = unpack(pack(whole[done - 1][1]), study)
    for (record, ours), (expected, theirs) in zip(train.epochs(study, taken_up, done), whole[done:], strict=True):
        assert untimed(record) == untimed(expected)
        for name, values in pack(ours).items():
            assert values.tobytes() == pack(theirs)[name].tobytes(), name


def test_horizons_and_standardising_need_no_implicit_transfers(away):
    ours, theirs = (run(device, dtype="float64", members=2, **GROWN)[-1][0] for device in (away, HOST))
    assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-9)
    assert ours.smoothed_loss == pytest.approx(theirs.smoothed_loss, rel=1e-9)
    assert ours.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-9)


def test_scaling_is_the_mean_and_the_standard_deviation_of_all_series_and_times(device):
    rng = np.random.default_rng(0)
    states, parameters = 300 + rng.normal(size=(4, 5, 2)) * [1, 1e-3], np.stack([np.arange(4.0), np.ones(4)], axis=1)
    series = Series(*(to_device(x, device) for x in (np.zeros((4, 5)), parameters, states)))
    found = [to_host(x) for x in scaling_of(series)]
    rows = states.reshape(-1, 2)
    expected = rows.mean(0), rows.std(0), parameters.mean(0), [np.arange(4).std(), 1.0]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_units_do_not_matter_where_series_are_standardised():
    scale = 4.0  # a power of two, so that nothing is rounded in another place
    other = DATA._replace(series=DATA.series * scale)
    ours, theirs = (run(data=data, standardize=True, epochs=2) for data in (DATA, other))
    for (record, (member,)), (scaled, (same,)) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(member.state.theta, same.state.theta)
        for field in ("train_loss", "test_loss", "smoothed_loss"):
            assert getattr(scaled, field)[0] == scale**2 * getattr(record, field)[0]


def test_losses_and_predictions_of_standardised_series_are_in_the_units_of_the_data():
    changes = {"standardize": True, "epochs": 1}
    (record, (member,)), *_ = run(**changes)
    study, _ = begin(**changes)
    predicted = ODE.predict(study.settings, study.scaling)(member.state.theta, study.test)
    assert record.test_loss[0] == pytest.approx(np.mean((predicted - study.test.states) ** 2), rel=1e-6)
    np.testing.assert_allclose(predicted[:, 0], study.test.states[:, 0], rtol=1e-6)


def test_whole_series_that_cannot_be_solved_yet_are_no_divergence_while_windows_are_short():
    calls = []

    def objective(settings, scaling=None):
        def loss(theta, batch):
            calls.append(batch.times.shape[-1])
            if batch.times.shape[-1] == 4 and len(calls) < 12:
                raise SolveError("too stiff")
            return ODE.objective(settings)(theta, batch)

        return loss

    problem = ODE._replace(objective=objective)
    settings = ODE.recipe._replace(**LOOSE, horizons="1,all", epochs=4, continuation=False)
    (first, _), *_, (last, (member,)) = train.epochs(*bound(settings, DATA, HOST, problem))
    assert (first.train_loss, first.test_loss, first.restored) == ((np.inf,), (np.inf,), (False,))
    assert first.smoothed_loss[0] > 0
    assert np.isfinite(last.train_loss[0])
    assert member.lowest <= last.train_loss[0]


@pytest.mark.parametrize(("total", "parts"), [(513, 7), (64, 7), (12, 5), (6, 10), (9, 9), (1, 3)])
def test_an_epoch_is_cut_into_as_many_steps_as_there_can_be(total, parts):
    ends = batch_bounds(total, parts)
    sizes = [b - a for a, b in pairwise(ends)]
    assert (ends[0], ends[-1], len(sizes)) == (0, total, min(parts, total))
    assert min(sizes) >= 1
    assert max(sizes) == -(-total // min(parts, total))


def test_an_epoch_whose_steps_all_fail_diverges():
    def fail(settings):
        def loss(theta, batch):
            if batch.times.shape[-1] < 4:
                raise SolveError("too stiff")
            return ODE.objective(settings)(theta, batch)

        return loss

    settings = ODE.recipe._replace(**LOOSE, horizons="2", epochs=1, continuation=False)
    ((record, _),) = train.fit(settings, DATA, HOST, ODE._replace(objective=fail))
    assert record.restored == (True,)


@pytest.mark.parametrize("strategy", [Serial(), Stacked()])
def test_a_member_that_cannot_solve_whole_series_leaves_the_losses_of_the_others(strict, strategy):
    def objective(settings):
        def loss(theta, batch):
            if batch.times.shape[-1] == 4 and to_host(stop_gradient(theta))[..., 0].min() < 0:
                raise SolveError("too stiff")
            return ODE.objective(settings)(theta, batch)

        return loss

    signs = iter((1.0, -1.0))

    def init(key, dtype, device):
        theta = abs(ODE.init(key, dtype, device))
        return theta * next(signs)

    own = ODE._replace(objective=objective, init=init)
    settings = ODE.recipe._replace(**LOOSE, horizons="1", epochs=1, members=2, continuation=False, learning_rate=1e-6)
    task, drawn = bound(settings, DATA, strict, own)
    ((record, _),) = train.epochs(task, drawn, strategy=strategy)
    assert [np.isfinite(loss) for loss in record.train_loss] == [True, False]


def test_a_member_whose_solution_fails_is_advanced_alone_and_the_others_are_not(strict):
    alone = []  # the signs of θ₁ of members whose loss was asked for by themselves; NaN after it exploded

    def objective(settings):
        def loss(theta, batch):
            if theta.ndim == 1:
                alone.append(np.sign(to_host(stop_gradient(theta))[0]))
            return ODE.objective(settings)(theta, batch)

        return loss

    def outcome(strategy):
        scales = iter((1.0, -30.0, 2.0))  # of which the second explodes
        init = lambda key, dtype, device: ODE.init(Key(4), dtype, device) * next(scales)
        own = ODE._replace(objective=objective, init=init)
        settings = ODE.recipe._replace(**LOOSE, horizons="1", epochs=1, members=3, continuation=False)
        task, drawn = bound(settings, DATA, strict, own)
        ((record, members),) = train.epochs(task, drawn, strategy=strategy)
        return untimed(record), [to_host(member.state.theta) for member in members]

    ours, thetas = outcome(Stacked())
    assert -1 in alone
    assert 1 not in alone
    theirs, expected = outcome(Serial())
    assert ours == theirs
    for one, other in zip(thetas, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert ours.restored == (False, True, False)
    assert 1 in alone


def test_a_member_goes_back_to_a_state_of_short_windows_whose_test_series_cannot_be_solved():
    def objective(settings):
        def loss(theta, batch):
            tested, trained = len(batch.times) == 1, isinstance(theta, mcgc.autodiff.Traced)
            if batch.times.shape[-1] == 4 and (tested or trained):
                raise SolveError("too stiff")
            return ODE.objective(settings)(theta, batch)

        return loss

    settings = ODE.recipe._replace(**LOOSE, horizons="1,all", epochs=2, batch_size=6, continuation=False)
    (first, _), (last, _) = train.fit(settings, DATA, HOST, ODE._replace(objective=objective))
    assert (first.restored, last.restored) == ((False,), (True,))
    assert (first.test_loss, last.test_loss) == ((np.inf,), (np.inf,))
    assert last.train_loss == first.train_loss


def test_horizons_that_are_no_text_and_series_of_one_time_are_one_sentence():
    with pytest.raises(InputError, match=r"horizons must be a text such as .*, got 4"):
        parse_horizons(4)
    with pytest.raises(InputError, match="horizons need series of at least two times"):
        by_epoch("all", 0, 3)
