"""The dynamics of a table: the loss is what NumPy and SciPy make of it, and training goes the same way always."""

import numpy as np
import pytest
from reactor import reactor
from scipy.integrate import solve_ivp

import mcgc
from mcgc import nets, train
from mcgc.arrays import HOST
from mcgc.errors import InputError
from mcgc.tables import interpolate, series_columns, series_of
from mcgc.train import Processes, Stacked, prepare
from mcgc.train._masked import masked_mean

NAMES = {"group": "run", "states": "A,B", "inputs": "feed"}
SMALL = {"hidden": "8", "epochs": 4, "horizons": "1,all"}


def bound(data, **settings):
    problem, checked, own = prepare(data, "dynamics", **NAMES, **(SMALL | settings))
    return train.bind(checked, own, HOST, problem), own


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
@pytest.mark.parametrize("interpolation", ["linear", "cubic", "previous", None])
def test_the_loss_is_that_of_scipys_solutions_at_what_was_observed(activation, interpolation):
    data = reactor(runs=6, seed=3, varying=interpolation is not None)
    settings = {"dtype": "float64", "rtol": 1e-9, "atol": 1e-9, "activation": activation, "skip": True, "hidden": "6,6"}
    names = {"interpolation": interpolation} if interpolation else {}
    problem, checked, own = prepare(data, "dynamics", **NAMES, **names, **(SMALL | settings))
    task = train.bind(checked, own, HOST, problem)
    theta = problem.init(mcgc.Key(1), "float64", HOST)
    scaling, squares = task.scaling, []
    groups = [own.groups.index(label) for label in _train_groups(own, checked)]
    for series in groups:
        a, b = own.bounds[series : series + 2]
        times, states, fed = own.times[a:b], own.states[a:b], own.inputs[a:b, 0]
        unit = scaling.time[0]

        def field(t, y, times=times, fed=fed, unit=unit):
            u = interpolate(times, fed, np.array(t * unit + times[0]), interpolation or "linear")
            scaled = (u - scaling.inputs_mean[0]) / scaling.inputs_sd[0]
            return nets.apply(theta, np.append(y, scaled), problem.sizes, activation, True)

        start = (states[0] - scaling.mean) / scaling.sd
        at = (times - times[0]) / unit
        how = {"rtol": 1e-8, "atol": 1e-9, "max_step": float(np.diff(at).min())}
        found = solve_ivp(field, (0, at[-1]), start, t_eval=at, **how).y.T
        squares.append((found - (states - scaling.mean) / scaling.sd)[1:].ravel())
    wanted = np.nanmean(np.concatenate(squares) ** 2)
    loss, _ = task.objective(theta, task.train)
    assert float(loss) == pytest.approx(wanted, rel=2e-3 if interpolation == "previous" else 1e-5)


def _train_groups(own, settings):
    from mcgc.train._segments import TRAIN, pieces_of

    return [own.groups[series] for series, *_, part in pieces_of(own, settings) if part == TRAIN]


def test_a_masked_mean_is_that_of_numpy_over_what_is_there():
    rng = np.random.default_rng(0)
    residual, seen = rng.normal(size=(2, 5, 3)) * 2, (rng.random((5, 3)) < 0.6).astype(float)
    there = [member[seen > 0] for member in residual]
    huber = lambda r: np.where(abs(r) <= 1, r**2 / 2, abs(r) - 0.5)
    for name, of in (("mse", np.square), ("mae", np.abs), ("huber", huber)):
        np.testing.assert_allclose(masked_mean(residual, seen, name, 1), [of(x).mean() for x in there], rtol=1e-14)
        np.testing.assert_allclose(masked_mean(residual[0], seen, name, 0), of(there[0]).mean(), rtol=1e-14)
    assert float(masked_mean(residual[0], seen * 0, "mse", 0)) == 0


def test_the_scaling_is_of_what_was_observed_in_the_training_set():
    task, own = bound(reactor(runs=8, seed=5, missing=0.3), dtype="float64")
    rows = np.concatenate(
        [np.arange(*own.bounds[i : i + 2]) for i in map(own.groups.index, _train_groups(own, task.settings))]
    )
    np.testing.assert_allclose(task.scaling.mean, np.nanmean(own.states[rows], axis=0), rtol=1e-12)
    np.testing.assert_allclose(task.scaling.sd, np.nanstd(own.states[rows], axis=0), rtol=1e-12)


def test_what_is_missing_does_not_change_the_loss():
    data = reactor(runs=6, seed=6)
    task, _ = bound(data)
    theta = task.problem.init(mcgc.Key(0), "float32", HOST)
    loss = float(task.objective(theta, task.train)[0])
    gaps = task.train.states.copy()
    gaps[:, 1:][task.train.seen[:, 1:] == 0] += 100
    assert float(task.objective(theta, task.train._replace(states=gaps))[0]) == loss


def test_the_steps_of_a_member_depend_neither_on_the_strategy_nor_on_the_number_of_members():
    data = reactor(runs=7, seed=7)
    found = {}
    for name, members, strategy in (
        ("two", 2, None),
        ("one", 1, None),
        ("stacked", 2, Stacked()),
        ("two", 2, Processes(2)),
    ):
        task, _ = bound(data, members=members, bootstrap=True)
        *_, (_, after) = train.epochs(task, strategy=strategy)
        found.setdefault(name, []).append(after)
    first = [after[0].state.theta for afters in found.values() for after in afters]
    for theta in first[1:]:
        np.testing.assert_array_equal(first[0], theta)


def test_members_of_a_bootstrap_train_on_series_drawn_with_replacement():
    from mcgc.train._epoch import _drawn

    task, _ = bound(reactor(runs=30, seed=8, missing=0), members=2, bootstrap=True)
    draws = [_drawn(member, 1000, HOST) for member in train.draw(task)]
    for drawn in draws:
        assert (drawn.min() >= 0) & (drawn.max() < 1000)
        assert abs(len({*drawn.tolist()}) / 1000 - (1 - np.exp(-1))) < 0.05
    assert (draws[0] != draws[1]).any()


def test_a_run_ends_when_its_patience_does_and_is_finished(tmp_path):
    data = reactor(runs=8, seed=9)
    task, _ = bound(data, patience=2, epochs=400, horizons="all", learning_rate=0.05)
    with train.Run.create(tmp_path / "run.h5", task) as run:
        records = list(run.epochs())
        assert run.finished
    scores = [record.validation_loss[0] for record in records]
    assert len(records) < 400
    assert len(records) - 1 - int(np.argmin(scores)) == 2
    again = train.Run.resume(tmp_path / "run.h5", task)
    with again as run:
        assert run.finished
        assert list(run.epochs()) == []


def test_a_run_that_goes_on_has_the_bits_of_one_that_never_stopped(tmp_path):
    data = reactor(runs=7, seed=10)
    whole, _ = bound(data, members=2)
    *_, (_, wanted) = train.epochs(whole)
    with train.Run.create(tmp_path / "run.h5", whole) as run:
        for record in run.epochs():
            if record.epoch == 2:
                break
    with train.Run.resume(tmp_path / "run.h5", whole) as run:
        assert [record.epoch for record in run.epochs()] == [3, 4]
    found = train.run_file.load(tmp_path / "run.h5")
    np.testing.assert_array_equal(found.states[0]["state/theta"], [member.state.theta for member in wanted])


def test_settings_that_do_not_apply_are_one_sentence():
    data = reactor(runs=6)
    with pytest.raises(InputError, match="unknown loss of dynamics 'cross-entropy'"):
        bound(data, loss="cross-entropy")
    with pytest.raises(InputError, match="hidden has the entry '8y'"):
        bound(data, hidden="8y")
    with pytest.raises(InputError, match="unknown setting 'lr'"):
        bound(data, lr=1)
    with pytest.raises(InputError, match="target does not apply to the task dynamics"):
        prepare(data, "dynamics", target="A")
    with pytest.raises(InputError, match=r"unknown task 'dynamic': .*did you mean 'dynamics'"):
        prepare(data, "dynamic")


def test_series_columns_are_those_that_the_model_names():
    data = reactor(runs=6)
    own = series_of(data, series_columns(data, **NAMES))
    problem, _, _ = prepare(data, "dynamics", **NAMES, hidden=(5, 4))
    assert problem.model["sizes"] == [3, 5, 4, 2]
    assert (problem.model["states"], problem.model["inputs"], problem.model["varying"]) == (["A", "B"], ["feed"], False)
    assert own.columns.group == problem.model["group"] == "run"


@pytest.mark.parametrize("varying", [False, True])
def test_an_epoch_on_another_device_has_the_numbers_of_the_host(away, varying):
    problem, checked, own = prepare(
        reactor(runs=6, seed=11, varying=varying),
        "dynamics",
        **NAMES,
        **SMALL,
        dtype="float64",
        members=2,
        rotate=False,
    )
    found = [next(train.epochs(train.bind(checked, own, device, problem)))[0] for device in (HOST, away)]
    for field in ("train_loss", "validation_loss", "test_loss", "log_lam"):
        np.testing.assert_allclose(getattr(found[0], field), getattr(found[1], field), rtol=1e-6)
