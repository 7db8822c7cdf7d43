"""Regression and classification of tables: the loss is NumPy's, parts do not meet, and real data beat the baselines."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn import datasets

import mcgc
from mcgc import nets, train
from mcgc.arrays import HOST
from mcgc.errors import InputError
from mcgc.tables import rows_columns, rows_of
from mcgc.train import prepare
from mcgc.train._segments import TEST, TRAIN, VALIDATION
from mcgc.train._supervised import REGRESSION, divide_rows

RNG = np.random.default_rng(0)
TABLE = {
    "x": RNG.normal(size=60),
    "kind": RNG.choice(["a", "b"], 60),
    "who": np.repeat(np.arange(12), 5),
    "when": np.repeat(np.arange(20), 3)[::-1],
}
TABLE["y"] = 3 * TABLE["x"] + (TABLE["kind"] == "a") + 7
TABLE["z"] = np.where(RNG.random(60) < 0.3, np.nan, TABLE["x"] ** 2)
TABLE["class"] = np.where(TABLE["y"] > 7, "high", "low")


def rows(target="y", **options):
    return rows_of(TABLE, rows_columns(TABLE, target, "x,kind", group="who", time="when", **options))


def test_the_loss_of_a_regression_is_that_of_the_scaled_net_over_targets_that_are_there():
    problem, settings, own = prepare(TABLE, "regression", target="y,z", features="x,kind", dtype="float64", hidden="5")
    task = train.bind(settings, own, HOST, problem)
    theta = problem.init(mcgc.Key(0), "float64", HOST)
    kept, parts = divide_rows(own, settings)
    chosen = parts == TRAIN
    x, y = kept.features[chosen], kept.targets[chosen]
    scaled = nets.apply(theta, (x - x.mean(axis=0)) / x.std(axis=0), problem.sizes, "relu")
    wanted = np.nanmean((scaled - (y - np.nanmean(y, axis=0)) / np.nanstd(y, axis=0)) ** 2)
    assert float(task.objective(theta, task.train)[0]) == pytest.approx(wanted, rel=1e-12)


def test_the_loss_of_a_classification_is_the_cross_entropy_of_scipy():
    problem, settings, own = prepare(TABLE, "classification", target="class", features="x,kind", dtype="float64")
    task = train.bind(settings, own, HOST, problem)
    theta = problem.init(mcgc.Key(0), "float64", HOST)
    logits = nets.apply(theta, task.test.features, problem.sizes, "relu")
    labels = task.test.labels
    wanted = -log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean()
    assert float(task.objective(theta, task.test)[0]) == pytest.approx(wanted, rel=1e-12)
    assert float(problem.accuracy(theta, task.test)) == np.mean(logits.argmax(axis=1) == labels)


@pytest.mark.parametrize("column", ["who", "when"])
def test_no_group_or_time_is_in_two_parts(column):
    split = {"who": "group", "when": "time"}[column]
    own, parts = divide_rows(rows(), REGRESSION._replace(split=split, test=0.25, validation=0.2))
    labels = own.groups if split == "group" else own.times
    members = {part: {*labels[parts == part].tolist()} for part in (TRAIN, VALIDATION, TEST)}
    assert all(members.values())
    assert (
        not members[TRAIN] & members[TEST] | members[TRAIN] & members[VALIDATION] | members[VALIDATION] & members[TEST]
    )
    if split == "time":
        assert max(members[TRAIN]) < min(members[VALIDATION])
        assert max(members[VALIDATION]) < min(members[TEST])


def test_rows_at_random_are_in_one_part_each_and_members_share_the_test():
    _, parts = divide_rows(rows(), REGRESSION._replace(members=3))
    assert parts.shape == (3, 60)
    assert ((parts == TEST) == (parts[0] == TEST)).all()
    assert (parts == VALIDATION).sum(axis=0).max() == 1


def test_rows_without_a_target_are_left_out_and_counted():
    own, parts = divide_rows(rows("z"), REGRESSION)
    assert len(own.targets) == len(parts) == 60 - rows("z").missing["z"]
    assert not np.isnan(own.targets).any()


def test_what_a_split_lacks_is_one_sentence():
    own = rows_of(TABLE, rows_columns(TABLE, "y", "x"))
    with pytest.raises(InputError, match="the split by group needs a column of groups"):
        divide_rows(own, REGRESSION._replace(split="group"))
    with pytest.raises(InputError, match="the split by time needs a column of times"):
        divide_rows(own, REGRESSION._replace(split="time"))
    with pytest.raises(InputError, match="the table has 2 rows, of which 2 are set apart"):
        divide_rows(own._replace(features=own.features[:2], targets=own.targets[:2]), REGRESSION)
    none = rows("y,z")
    none.targets[:, 1] = np.nan
    with pytest.raises(InputError, match="target 'z' has no value in the training set"):
        divide_rows(none, REGRESSION)
    with pytest.raises(InputError, match="target 'y' has no value"):
        divide_rows(own._replace(targets=own.targets * np.nan), REGRESSION)
    with pytest.raises(InputError, match="the task regression needs a target"):
        prepare(TABLE, "regression")
    with pytest.raises(InputError, match="states does not apply to the task regression"):
        prepare(TABLE, "regression", target="y", states="x")
    with pytest.raises(InputError, match="unknown loss of regression 'cross-entropy'"):
        prepare(TABLE, "regression", target="y", features="x", loss="cross-entropy")


@pytest.mark.parametrize(
    ("load", "task"),
    [
        (datasets.load_breast_cancer, "classification"),
        (datasets.load_wine, "classification"),
        (datasets.load_diabetes, "regression"),
    ],
)
def test_real_tables_beat_the_plain_baseline(load, task):
    found = mcgc.fit(load(as_frame=True).frame, task, target="target", seed=1, epochs=60)
    scores, baselines = found.results["scores"]["test"], found.results["baselines"]
    if task == "regression":
        assert scores["rmse"]["all"] < 0.9 * baselines["mean"]["rmse"]["all"]
    else:
        assert scores["accuracy"] > max(0.9, baselines["most frequent class"]["accuracy"])


@pytest.mark.parametrize(("task", "target"), [("regression", "y,z"), ("classification", "class")])
def test_an_epoch_on_another_device_has_the_numbers_of_the_host(away, task, target):
    problem, checked, own = prepare(
        TABLE, task, target=target, features="x,kind", dtype="float64", members=2, hidden="4"
    )
    for settings in (checked, checked._replace(rotate=False)):
        found = [next(train.epochs(train.bind(settings, own, device, problem)))[0] for device in (HOST, away)]
        for field in ("train_loss", "validation_loss", "test_loss", "log_lam"):
            np.testing.assert_allclose(getattr(found[0], field), getattr(found[1], field), rtol=1e-9)
