"""What TensorBoard's own reader finds in the event files is what the records of the run hold."""

import importlib.util

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mcgc
from mcgc import train
from mcgc.errors import InputError, OutputError
from mcgc.train import _tensorboard

RNG = np.random.default_rng(0)
X = RNG.normal(size=60)
TABLE = {"x": X, "y": 2 * X, "c": np.where(X > 0, "up", "down")}
LINE = {"target": "y", "features": "x", "hidden": 8, "epochs": 4}


def read(folder):
    """Return what TensorBoard reads of a folder: by tag, the steps and the values."""
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    scalars = {tag: found.Scalars(tag) for tag in found.Tags()["scalars"]}
    return {tag: ([e.step for e in events], [e.value for e in events]) for tag, events in scalars.items()}


def test_each_member_has_its_losses_and_lambda(tmp_path):
    board = train.TensorBoard(tmp_path / "logs")
    fitted = mcgc.fit(TABLE, "regression", **LINE, members=2, hooks=[board])
    for member in (0, 1):
        found = read(tmp_path / "logs" / f"member-{member}")
        assert {*found} == {*_tensorboard.TAGS.values(), "lambda/value"} - {"accuracy/test"}
        for field, tag in _tensorboard.TAGS.items():
            if tag in found:
                assert found[tag][0] == [1, 2, 3, 4]
                np.testing.assert_allclose(found[tag][1], fitted.file.epochs[field][:, member], rtol=1e-6)
        np.testing.assert_allclose(found["lambda/value"][1], np.exp(found["lambda/log"][1]), rtol=1e-5)


def test_the_scores_of_the_run_are_there_at_its_last_epoch(tmp_path):
    fitted = mcgc.fit(TABLE, "regression", **LINE, hooks=[train.TensorBoard(tmp_path / "logs")])
    for part, scores in fitted.results["scores"].items():
        found = read(tmp_path / "logs" / part)
        assert found["rmse/y"][0] == [4]
        assert found["rmse/y"][1][0] == pytest.approx(scores["rmse"]["y"], rel=1e-6)
        assert found["r2/all"][1][0] == pytest.approx(scores["r2"]["all"], rel=1e-6)


def test_a_classification_has_accuracies_and_none_without_continuation_has_lambda(tmp_path):
    board = train.TensorBoard(tmp_path / "logs")
    fitted = mcgc.fit(TABLE, "classification", target="c", epochs=3, hidden=8, continuation=False, hooks=[board])
    found = read(tmp_path / "logs" / "member-0")
    assert {"lambda/log", "lambda/value"}.isdisjoint(found)
    np.testing.assert_allclose(found["accuracy/test"][1], fitted.file.epochs["test_accuracy"][:, 0], rtol=1e-6)
    assert read(tmp_path / "logs" / "test")["accuracy/all"][1][0] == pytest.approx(
        fitted.results["scores"]["test"]["accuracy"]
    )


def test_events_are_on_the_disk_after_each_epoch(tmp_path):
    problem, settings, own = train.prepare(TABLE, "regression", **LINE)
    task, board = train.bind(settings, own, problem=problem), train.TensorBoard(tmp_path / "logs")
    with train.Run.create(tmp_path / "r.h5", task) as run:
        epochs = run.epochs(hooks=[board])
        next(epochs)
        next(epochs)  # only now was the hook called for the first
        assert read(tmp_path / "logs" / "member-0")["loss/train"][0] == [1]
        epochs.close()


def test_a_run_that_goes_on_continues_in_its_folder_and_a_new_one_has_its_own(tmp_path):
    problem, settings, own = train.prepare(TABLE, "regression", **LINE, rate_schedule="constant")
    task = lambda epochs: train.bind(settings._replace(epochs=epochs), own, problem=problem)
    with train.Run.create(tmp_path / "r.h5", task(2)) as run:
        assert len(list(run.epochs(hooks=[train.TensorBoard(tmp_path / "logs")]))) == 2
    with train.Run.resume(tmp_path / "r.h5", task(4)) as run:
        assert len(list(run.epochs(hooks=[train.TensorBoard(tmp_path / "logs")]))) == 2
    assert read(tmp_path / "logs" / "member-0")["loss/train"][0] == [1, 2, 3, 4]
    other = train.TensorBoard(tmp_path / "logs")
    mcgc.fit(TABLE, "regression", **LINE, hooks=[other])
    assert other.directory == tmp_path / "logs-2"
    assert read(tmp_path / "logs" / "member-0")["loss/train"][0] == [1, 2, 3, 4]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="event files cannot be written in"):
        mcgc.fit(TABLE, "regression", **LINE, hooks=[train.TensorBoard(tmp_path / "file" / "logs")])


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(_tensorboard, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'mcgc\[tensorboard\]'"):
        train.TensorBoard("logs")
    assert importlib.util.find_spec("tensorboard") is not None
