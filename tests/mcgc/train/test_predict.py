"""Predictions from a run file are those of the training, in the units of the data."""

from collections import deque

import numpy as np
import pytest
from mcgc_datasets import SeriesData
from small import bound

from mcgc import train
from mcgc.arrays import HOST
from mcgc.errors import InputError
from mcgc.train import predict, problems, run_file

LOTKA_VOLTERRA = problems.get("lotka-volterra")


@pytest.fixture(scope="module", params=[True, False])
def trained(request, tmp_path_factory):
    """Give a study, its last record, and its run as the file has it."""
    rng = np.random.default_rng(0)
    times, parameters = np.linspace(0, 0.5, 4), rng.uniform(1, 2, (8, 2))
    series = 5 + 3 * np.exp(-parameters[:, None, :] * times[:, None])
    data = SeriesData(times, parameters, series, "built in memory", "ab" * 32)
    settings = LOTKA_VOLTERRA.recipe_of()._replace(epochs=2, members=2, standardize=request.param)
    study, members = bound(settings, data, HOST)
    path = tmp_path_factory.mktemp("run") / "run.h5"
    *_, (_, after) = train.epochs(study, members)
    with train.Run.create(path, study) as run:
        deque(run.epochs(), maxlen=0)
    return study, after, run_file.load(path)


def test_a_run_file_alone_gives_the_predictions_of_the_training(trained):
    study, members, run = trained
    test = study.test
    found = predict(run, test.states[:, 0], test.times[0], test.parameters)
    assert (found.shape, found.dtype) == ((2, *test.states.shape), np.float32)
    assert bool(run.scaling) is study.settings.standardize
    for member, ours in zip(members, found, strict=True):
        loss, aux = study.objective(member.best.theta, test)
        own = aux.loss if study.settings.standardize else loss
        assert np.mean((ours - test.states) ** 2) == pytest.approx(float(own), rel=1e-5)


def test_lists_are_taken_and_other_shapes_are_one_sentence(trained):
    *_, run = trained
    assert predict(run, [[5, 6]], [0, 1, 2], [[1, 2]]).shape == (2, 1, 3, 2)
    with pytest.raises(InputError, match=r"parameters \(series, 2\), but they have the shapes \(1, 2\) and \(1, 3\)"):
        predict(run, [[5.0, 6.0]], [0.0, 1.0], [[1.0, 2.0, 3.0]])
    for times, rows in (([[0.0, 1.0]] * 2, [[1.0, 2.0]]), (0.0, [[1.0, 2.0]]), ([0.0, 1.0], [[1.0, 2.0]] * 2)):
        with pytest.raises(InputError, match="starts and parameters have a row for each series"):
            predict(run, [[5.0, 6.0]], times, rows)
    with pytest.raises(InputError, match="mnist has no series to predict"):
        predict(run._replace(model={}, settings={**run.settings, "problem": "mnist"}), [[5.0]], [0.0], [[1.0]])
