"""The problems: recipes of the paper, losses against closed forms and plain NumPy, and images kept as bytes."""

from itertools import pairwise

import numpy as np
import pytest
from small import Labelled, Series

from mcgc.arrays import HOST, to_device, to_host
from mcgc.continuation import ESTIMATORS
from mcgc.errors import InputError
from mcgc.random import Key
from mcgc.train import problems, validate


def digits(count=12):
    rng = np.random.default_rng(0)
    return Labelled(rng.integers(0, 256, (count, 28, 28), np.uint8), rng.integers(0, 10, count, np.uint8))


@pytest.mark.parametrize(
    ("name", "m", "recipe"),
    [
        ("mnist", 784 * 50 + 50 + 28 * 2550 + 510, (1e-3, -13, 1e-4, 1e-2, 200, 250, 0)),
        ("lotka-volterra", 4 * 50 + 50 + 3 * 2550 + 102, (1e-1, -10, 1e-3, 3e-1, 400, 4, 20)),
        ("lorenz", 5 * 50 + 50 + 18 * 2550 + 153, (1e-2, -10, 3e-3, 3e-1, 200, 4, 10)),
    ],
)
def test_nets_and_recipes_are_those_of_the_paper(name, m, recipe):
    problem = problems.get(name)
    settings = validate(problem.recipe, problem.options)
    assert (
        settings.beta,
        settings.log_lam0,
        settings.learning_rate,
        settings.learning_rate_lam,
        settings.epochs,
        settings.batch_size,
        settings.warmup_epochs,
    ) == recipe
    assert (settings.problem, settings.continuation, settings.estimator, settings.num_samples, settings.dtype) == (
        name,
        True,
        "score",
        1,
        "float32",
    )
    theta = problem.init(Key(0), "float32", HOST)
    assert (theta.shape, theta.dtype) == ((m,), np.float32)


@pytest.mark.parametrize("name", problems.names())
def test_every_recipe_is_valid_and_those_of_estimators_are_theirs(name):
    problem = problems.get(name)
    recipes = problem.recipes()
    assert next(iter(recipes)) == "paper"
    assert recipes["paper"] == problem.recipe
    for key, settings in recipes.items():
        assert validate(settings, problem.options) == settings
        assert key not in ESTIMATORS or settings.estimator == key
        assert (settings.problem, settings.members, settings.seed) == (name, 1, 0)


def test_an_unknown_problem_is_answered_with_the_list():
    with pytest.raises(InputError, match="choose one of mnist, lotka-volterra, lorenz"):
        problems.get("lorentz")


@pytest.mark.parametrize(("name", "num_states"), [("lotka-volterra", 2), ("lorenz", 3)])
def test_a_field_of_zero_keeps_the_first_state(name, num_states, device):
    problem = problems.get(name)
    states = np.random.default_rng(1).normal(size=(3, 4, num_states))
    examples = problem.examples(Series(np.linspace(0, 1, 4), np.ones((3, 2)), states), "float64", device)
    theta = 0 * problem.init(Key(0), "float64", device)
    loss, stats = problem.objective(problem.recipe)(theta, examples)
    assert to_host(loss) == pytest.approx(np.mean((states - states[:, :1]) ** 2), rel=1e-12)
    assert stats.evaluations > 0


def forward(theta, x, sizes):
    """Return the logits of a net of rectified layers, one row at a time, from the layout of θ that nets documents."""
    rows = []
    for row in x:
        at = 0
        for n_in, n_out in pairwise(sizes):
            weights = theta[at : at + n_in * n_out].reshape(n_in, n_out)
            row = row @ weights + theta[at + n_in * n_out : at + (n_in + 1) * n_out]
            at += (n_in + 1) * n_out
            row = np.maximum(row, 0) if at < len(theta) else row
        rows.append(row)
    return np.array(rows)


def log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("loss", ["softmax-cross-entropy", "cross-entropy"])
def test_the_losses_of_mnist_are_those_of_plain_numpy(loss, device):
    problem, data = problems.get("mnist"), digits()
    theta = np.random.default_rng(2).normal(size=problem.init(Key(0), "float64", HOST).shape) / 5
    z = forward(theta, data.images.reshape(-1, 784) / 255, (784, *(50,) * 29, 10))
    z = np.exp(log_softmax(z)) if loss == "softmax-cross-entropy" else z
    expected = -log_softmax(z)[np.arange(12), data.labels].mean()
    examples = problem.examples(data, "float64", device)
    found, stats = problem.objective(problem.recipe._replace(loss=loss))(to_device(theta, device), examples)
    assert to_host(found) == pytest.approx(expected, rel=1e-9)
    assert stats is None


def test_the_accuracy_of_mnist_is_the_fraction_of_labels_with_the_largest_logit(device):
    problem, data = problems.get("mnist"), digits(40)
    theta = np.random.default_rng(2).normal(size=problem.init(Key(0), "float64", HOST).shape) / 5
    named = forward(theta, data.images.reshape(-1, 784) / 255, (784, *(50,) * 29, 10)).argmax(axis=1)
    data = data._replace(labels=np.where(np.arange(40) < 13, named, (named + 1) % 10).astype(np.uint8))
    found = problem.accuracy(to_device(theta, device), problem.examples(data, "float64", device))
    assert to_host(found) == pytest.approx(13 / 40)
    counts = to_host(problem.confusion(to_device(theta, device), problem.examples(data, "float64", device)))
    assert counts.trace() == 13
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(data.labels, minlength=10))
    np.testing.assert_array_equal(counts.sum(axis=0), np.bincount(named, minlength=10))


def test_images_stay_bytes_on_the_device_and_the_data_as_they_were(device):
    data = digits()
    kept = data.images.copy()
    examples = problems.get("mnist").examples(data, "float32", device)
    assert (examples.pixels.shape, examples.labels.shape) == ((12, 784), (12,))
    assert str(examples.pixels.dtype).endswith("uint8")
    np.testing.assert_array_equal(to_host(examples.pixels), kept.reshape(12, 784))
    problem = problems.get("mnist")
    loss, _ = problem.objective(problem.recipe)(problem.init(Key(0), "float32", device), examples)
    assert str(loss.dtype).endswith("float32")
    np.testing.assert_array_equal(data.images, kept)
