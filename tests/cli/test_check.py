"""`mcgc check`: what it compares, what it shows, and that it fails where engine and autograd differ."""

import json

import numpy as np
import pytest
from mcgc_datasets import mnist_image, write_series

from mcgc.checks import engine
from mcgc.continuation import estimators
from mcgc.ode import _compiled

COLUMNS = ["loss", "grad_theta", "grad_log_lam", "theta", "log_lam"]


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Put a small dataset of lorenz into data.h5, and give a cache of datasets of its own."""
    rng = np.random.default_rng(0)
    write_series(tmp_path / "data.h5", "lorenz", np.linspace(0, 0.5, 4), np.ones((6, 2)), rng.normal(size=(6, 4, 3)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "mcgc" / "datasets"


@pytest.fixture
def fake(monkeypatch, data):
    """Replace the comparison by one that returns `fake.found`; return its calls."""
    calls = []

    def compare(problem, settings, series, steps):
        calls.append((problem.name, settings, series.source, steps))
        return [engine.Difference(1, 1e-12, 2e-12, 3e-12, 4e-12, 5e-12), *compare.found]

    compare.found, compare.calls = [], calls
    monkeypatch.setattr(engine, "compare", compare)
    return compare


def test_engine_and_autograd_agree(mcgc):
    result = mcgc("check", "--problem", "lorenz", "--dataset", "data.h5", "--steps", 2, "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    (row,) = found.pop("problems")
    assert found == {"agrees": True, "limit": 1e-8, "estimator": "score"}
    assert (row["problem"], row["steps"]) == ("lorenz", 2)
    assert 0 < max(row[name] for name in COLUMNS) < 1e-10
    assert row["seconds"] > 0


def test_a_derivative_that_is_wrong_by_a_millionth_fails(mcgc, monkeypatch):
    right = _compiled.vjp_dense

    def wrong(*args):
        theta_bar, *others = right(*args)
        return (theta_bar * (1 + 1e-6), *others)

    monkeypatch.setattr(_compiled, "vjp_dense", wrong)
    result = mcgc("check", "--problem", "lorenz", "--dataset", "data.h5", "--steps", 1)
    assert result.exit_code == 1
    assert "1.0e-06" in result.stdout
    assert result.stderr == "mcgc: engine and autograd differ by more than 1e-08 in theta-gradient of lorenz\n"


def test_an_estimator_that_is_wrong_by_a_millionth_fails(mcgc, monkeypatch):
    right = estimators.ESTIMATORS["antithetic"]
    wrong = right._replace(formula=lambda sample: right.formula(sample) * (1 + 1e-6))
    monkeypatch.setitem(estimators.ESTIMATORS, "antithetic", wrong)
    args = ["check", "--problem", "lorenz", "--dataset", "data.h5", "--steps", 1]
    assert mcgc(*args).exit_code == 0
    result = mcgc(*args, "--estimator", "antithetic")
    assert result.exit_code == 1
    assert "in lambda-gradient of lorenz" in result.stderr


def test_the_largest_difference_of_all_steps_counts_and_a_nan_most(mcgc, fake):
    fake.found = [engine.Difference(2, 1e-9, 2e-8, 0.0, float("nan"), 0.0), engine.Difference(3, *[1e-11] * 5)]
    result = mcgc("check", "--problem", "lorenz", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert not found["agrees"]
    assert [found["problems"][0][name] for name in COLUMNS] == [1e-9, 2e-8, 1e-11, None, 1e-11]
    assert result.stderr.endswith("in theta-gradient of lorenz, theta of lorenz\n")


def test_options_reach_the_comparison_and_no_warm_up_holds_log_lam(mcgc, fake):
    assert mcgc("check", "--problem", "lorenz", "--steps", 7, "--seed", 5, "--estimator", "pathwise").exit_code == 0
    ((name, settings, _, steps),) = fake.calls
    assert (name, steps, settings.seed, settings.estimator, settings.warmup_epochs) == ("lorenz", 7, 5, "pathwise", 0)


def test_all_problems_whose_data_are_there_are_checked(mcgc, fake, small):
    result = mcgc("check")
    assert [name for name, *_ in fake.calls] == ["lotka-volterra", "lorenz"]
    lines = result.stdout.splitlines()
    titles = ["loss", "theta-gradient", "lambda-gradient", "theta", "log lambda", "seconds"]
    assert lines[0].split() == " ".join(["problem", "steps", *titles]).split()
    assert lines[1].split()[:-1] == ["lotka-volterra", "3", "1.0e-12", "2.0e-12", "3.0e-12", "4.0e-12", "5.0e-12"]
    fake.calls.clear()
    small.mkdir(parents=True)
    (small / "mnist.h5").touch()
    mcgc("check")
    assert [name for name, *_ in fake.calls] == ["mnist", "lotka-volterra", "lorenz"]


def test_a_dataset_is_for_the_problem_that_it_says(mcgc, fake, tmp_path):
    images, labels = np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8)
    (tmp_path / "digits.h5").write_bytes(mnist_image(images, labels, images, labels))
    mcgc("check", "--dataset", "digits.h5")
    assert [(name, source) for name, _, source, _ in fake.calls] == [
        ("mnist", "digits.h5"),
        ("lotka-volterra", "built in memory"),
        ("lorenz", "built in memory"),
    ]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ("--problem x", "unknown problem 'x'"),
        ("--steps 0", "0 is not in the range x>=1"),
        ("--problem lorenz --estimator magic", "estimator must be one of score, "),
        ("--problem lorenz --seed -1", "seed must be a whole number"),
        ("--dataset missing.h5", "missing.h5"),
    ],
)
def test_a_mistake_gets_one_sentence_and_status_2(mcgc, args, sentence):
    result = mcgc("check", *args.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("mcgc: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
