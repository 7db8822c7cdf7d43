"""Going on with a run gives the bits of the run that was never stopped, and what is not the same run is refused."""

from pathlib import Path

import numpy as np
import pytest
from small import bound

from mcgc import train
from mcgc.arrays import HOST, to_device, to_host
from mcgc.autodiff import ops
from mcgc.errors import InputError
from mcgc.train import Problem, Settings, run_file
from mcgc.train._resume import differences, pack, records, unpack

SETTINGS = Settings("means", 0.1, -2.0, 0.05, 0.1, epochs=5, batch_size=7, warmup_epochs=1, members=3, seed=4)
NUMBERS = np.linspace(-1, 1, 40)


def means(slope=1.0):
    """Give a problem whose loss is not a number for θ₁ ≤ 0, where a large learning rate leads."""
    return Problem(
        "means",
        "numbers, and a barrier",
        SETTINGS,
        examples=lambda data, dtype, device: to_device(data, device, dtype),
        init=lambda key, dtype, device: to_device([0.5, 1.0], device, dtype),
        objective=lambda settings: (
            lambda theta, rows: (
                ops.mean(ops.square(theta[0] - rows)) + theta[1] - slope * ops.log(theta[1]),
                None,
            )
        ),
        shuffled=True,
        accuracy=lambda theta, rows: ops.mean(rows * theta[0]),
    )


def run(settings, device=HOST, stop=None):
    """Return the run after `stop` epochs, or all."""
    found, states = [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        for record, members in train.epochs(*bound(settings, NUMBERS, device, means())):
            found.append(record)
            states = [pack(members), *states[:1]]
            if record.epoch == stop:
                break
    return run_file.RunFile(
        settings._asdict(), run_file.versions(), {"sha256": "ab"}, "cpu", stop is None, run_file.columns(found), states
    )


def go_on(old, settings, device=HOST):
    task = train.bind(settings, NUMBERS, device, means())
    found, states = records(old), list(old.states)
    with np.errstate(invalid="ignore", divide="ignore"):
        for record, members in train.epochs(task, unpack(old.states[0], task), old.epoch):
            found.append(record)
            states = [pack(members), *states[:1]]
    return old._replace(epochs=run_file.columns(found), states=states)


def assert_same(ours, theirs):
    for a, b in ((ours.epochs, theirs.epochs), *zip(ours.states, theirs.states, strict=True)):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype, name
            if not name.endswith("seconds"):
                assert a[name].tobytes() == b[name].tobytes(), name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dtype": "float64"},
        {"continuation": False},
        {"estimator": "antithetic", "num_samples": 2},
        {"schedule": "decay", "gamma": 0.5},
        {"estimator": "score-baseline", "learning_rate": 0.9, "on_divergence": "restore"},
    ],
)
def test_a_run_taken_up_after_any_epoch_has_the_bits_of_the_whole_run(tmp_path, changes):
    settings = SETTINGS._replace(**changes)
    whole = run(settings)
    for stop in range(1, settings.epochs):
        run_file.save(tmp_path / "run.h5", run(settings, stop=stop), overwrite=True)
        assert_same(go_on(run_file.load(tmp_path / "run.h5"), settings), whole)
    assert ("learning_rate" in changes) == bool(whole.epochs["restored"].any())  # the large one takes members back


def test_a_run_is_taken_up_without_implicit_transfers(strict):
    settings = SETTINGS._replace(dtype="float64", epochs=3)
    assert_same(go_on(run(settings, strict, stop=1), settings, strict), run(settings, strict))


def test_a_run_of_fewer_epochs_goes_on_as_the_longer_one():
    assert_same(go_on(run(SETTINGS._replace(epochs=2)), SETTINGS), run(SETTINGS))


def test_members_are_packed_by_name_and_unpacked_to_the_same():
    task, begun = bound(SETTINGS, NUMBERS, HOST, means())
    leaves = pack(begun)
    assert leaves["state/theta"].shape == (3, 2)
    assert leaves["state/optimizer/mean"].dtype == np.float32
    assert leaves["noise/bits"].tolist() == [member.noise.bits for member in begun]
    assert leaves["lowest"].tolist() == [np.inf] * 3
    for member, again in zip(begun, unpack(leaves, task), strict=True):
        assert (member.noise, member.order, member.lowest) == (again.noise, again.order, again.lowest)
        np.testing.assert_array_equal(to_host(member.state.theta), to_host(again.state.theta))


@pytest.mark.parametrize(
    ("leaf", "value", "words"),
    [
        ("state/theta", None, "not best/"),
        ("more", np.zeros(3), "holds best/.*more"),
        (
            "state/theta",
            np.zeros((3, 3), np.float32),
            r"'state/optimizer/mean' as float32 of shape \(3, 2\), not",
        ),
        ("state/theta", np.zeros((3, 2)), "not float32"),
        ("best/theta", np.full((3, 2), np.nan, np.float32), "'best/theta' that is not finite"),
    ],
)
def test_states_of_another_run_are_refused(leaf, value, words):
    task, begun = bound(SETTINGS, NUMBERS, HOST, means())
    leaves = pack(begun)
    leaves.pop(leaf, None)
    if value is not None:
        leaves[leaf] = value
    with pytest.raises(InputError, match=words):
        unpack(leaves, task)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("train_loss", None, "not accepted_steps"),
        ("train_loss", np.zeros((2, 4)), r"'train_loss' in the shape \(2, 4\), not \(2, 3\)"),
        ("epoch", np.array([1, 3]), "not counted from 1"),
    ],
)
def test_records_that_are_not_complete_are_refused(column, value, words):
    old = run(SETTINGS, stop=2)
    columns = (
        {**old.epochs, column: value} if value is not None else {k: v for k, v in old.epochs.items() if k != column}
    )
    with pytest.raises(InputError, match=words):
        records(old._replace(epochs=columns))


def test_what_determines_the_numbers_must_not_differ():
    old = run(SETTINGS, stop=1)
    now = old._replace(
        settings=SETTINGS._replace(epochs=9)._asdict(),
        versions={**run_file.versions(), "h5py": "0"},
        dataset={"sha256": "ab", "source": "elsewhere"},
    )
    assert differences(old, now) == []
    older = {name: value for name, value in old.settings.items() if name not in ("schedule", "gamma")}
    assert differences(old._replace(settings=older), now) == []  # of a file from before there were schedules
    now = now._replace(
        settings=SETTINGS._replace(beta=0.5)._asdict(),
        versions={**run_file.versions(), "numpy": "0"},
        dataset={"sha256": "cd"},
        device="cuda:1",
    )
    assert differences(old, now) == [
        "beta was 0.1 and is 0.5",
        f"version of numpy was {np.__version__} and is 0",
        "sha256 of the dataset was ab and is cd",
        "kind of device was cpu and is cuda",
    ]
    assert differences(old._replace(device="cuda:0"), now)[-1].startswith("sha256")


def test_versions_do_not_count_for_a_run_that_is_finished():
    whole = run(SETTINGS)
    assert differences(whole, whole._replace(versions={"numpy": "0"})) == []


def test_the_model_must_be_the_same_where_the_file_says_it():
    old = run(SETTINGS, stop=1)
    now = old._replace(model={"kind": "classifier", "sizes": (3, 2)})
    assert differences(old, now) == []
    assert differences(now._replace(model={"kind": "classifier", "sizes": [3, 2]}), now) == []
    assert differences(now._replace(model={"kind": "classifier", "sizes": [3, 4]}), now) == [
        "sizes of the model was [3, 4] and is [3, 2]"
    ]


def test_a_file_of_version_4_goes_on_as_the_run_that_it_is():
    old = run_file.load(Path(__file__).parents[2] / "data/run-version-4.h5")
    task = train.bind(SETTINGS, NUMBERS, HOST, means())
    found = [record for record, _ in train.epochs(task, unpack(old.states[0], task), old.epoch)]
    whole = records(run(SETTINGS))
    assert len(found) == SETTINGS.epochs - 2
    for ours, theirs in zip([*records(old), *found], whole, strict=True):
        for name in ("train_loss", "grad_log_lam", "grad_log_lam_total", "log_lam"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-4), name
