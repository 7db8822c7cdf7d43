"""Engine and reference agree step for step, and a wrong derivative, loss or update by 1e-6 shows where it is."""

import mcgc_datasets
import numpy as np
import pytest

from mcgc.checks import engine
from mcgc.checks.engine import SIGNS, SIZES, Difference, compare
from mcgc.continuation import _step, estimators
from mcgc.errors import InputError
from mcgc.kernels import cpu, cpu_dense
from mcgc.ode import _compiled
from mcgc.train import problems

WRONG = 1 + 1e-6


def series(problem):
    """Return five short series: four to train on, in two minibatches."""
    rng, states = np.random.default_rng(0), SIZES[problem][-1]
    times = np.linspace(0.0, 0.6, 4)
    return mcgc_datasets.SeriesData(times, rng.uniform(1, 3, (5, 2)), rng.normal(size=(5, 4, states)), "", "")


def images():
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (12, 28, 28), np.uint8), rng.integers(0, 10, 12).astype(np.uint8)
    return mcgc_datasets.MnistData(pixels, labels, pixels[:0], labels[:0], "", "")


def largest(problem, steps=3, **options):
    """Return the largest difference of each kind in `steps` steps from a large λ, so that all of f's shape matters."""
    problem = problems.get(problem)
    loose = {} if problem.name == "mnist" else {"rtol": 1e-4, "atol": 1e-6}
    settings = problem.recipe._replace(**{"warmup_epochs": 0, "batch_size": 2, "log_lam0": -5.0} | loose | options)
    data = images() if problem.name == "mnist" else series(problem.name)
    found = compare(problem, settings, data, steps)
    assert [difference.step for difference in found] == list(range(1, steps + 1))
    return Difference(*np.max(found, axis=0))


def assert_agrees(found):
    assert max(found[1:]) < 1e-10, found


def test_there_is_a_reference_for_every_problem_and_estimator():
    assert set(SIZES) == set(problems.names())
    assert set(SIGNS) == set(estimators.ESTIMATORS)


@pytest.mark.parametrize("num_samples", [1, 3])
@pytest.mark.parametrize("estimator", SIGNS)
def test_they_agree_for_every_estimator(estimator, num_samples):
    assert_agrees(largest("lotka-volterra", estimator=estimator, num_samples=num_samples))


@pytest.mark.parametrize("solver", [{"solver": "dopri8"}, {"solver": "bosh3"}, {"solver": "rk4", "step_size": 0.07}])
def test_they_agree_for_solvers_of_every_kind(solver):
    assert_agrees(largest("lotka-volterra", steps=2, **solver))


def test_they_agree_on_the_deep_net_of_lorenz():
    assert_agrees(largest("lorenz"))


@pytest.mark.parametrize("loss", ["softmax-cross-entropy", "cross-entropy"])
def test_they_agree_on_images_for_both_losses(loss):
    assert_agrees(largest("mnist", loss=loss))


def test_they_agree_in_the_warm_up_and_after_it():
    assert_agrees(largest("lotka-volterra", steps=5, warmup_epochs=1))


def test_they_agree_where_log_lam_meets_its_cap_and_only_with_the_same_cap(monkeypatch):
    options = {"steps": 1, "learning_rate_lam": 5.0, "beta": 0.0}
    for seed in range(4):
        assert_agrees(largest("lotka-volterra", seed=seed, **options))
    monkeypatch.setattr(engine, "CAP", 1.0)
    moved = [largest("lotka-volterra", seed=seed, **options).log_lam for seed in range(4)]
    capped = [apart for apart in moved if apart == pytest.approx(1 / 4)]  # of φ = −3 with one, −4 with the other
    assert len(capped) > 0
    assert all(apart < 1e-10 for apart in moved if apart not in capped)  # where φ fell


def test_a_step_is_that_of_the_seed():
    problem = problems.get("lotka-volterra")
    first, again, other = (
        compare(problem, problem.recipe._replace(seed=seed), series(problem.name), 1) for seed in (0, 0, 1)
    )
    assert first == again != other


def scaled(function, place):
    """Return `function` with the result at `place` wrong by a millionth."""

    def wrong(*args):
        found = list(function(*args))
        found[place] = found[place] * WRONG
        return tuple(found)

    return wrong


def test_a_wrong_derivative_of_the_solution_shows_in_the_gradient(monkeypatch):
    monkeypatch.setattr(_compiled, "vjp_dense", scaled(_compiled.vjp_dense, 0))
    found = largest("lorenz", steps=1)
    assert found.grad_theta == pytest.approx(1e-6, rel=1e-3)
    assert max(found.loss, found.grad_log_lam) < 1e-10


def test_a_wrong_derivative_of_the_first_layer_shows_however_small_it_is(monkeypatch):
    right = _compiled.vjp_dense

    def wrong(*args):
        theta_bar, *others = right(*args)
        first = np.arange(theta_bar.size) < 5 * 50
        assert np.abs(theta_bar[first]).max() < 0.1 * np.abs(theta_bar).max()
        return (np.where(first, theta_bar * WRONG, theta_bar), *others)

    monkeypatch.setattr(_compiled, "vjp_dense", wrong)
    assert largest("lorenz", steps=1).grad_theta == pytest.approx(1e-6, rel=1e-3)


def test_a_wrong_derivative_of_the_net_shows_in_the_gradient(monkeypatch):
    monkeypatch.setattr(cpu_dense, "dense_vjp", scaled(cpu_dense.dense_vjp, 0))
    found = largest("mnist", steps=1)
    assert found.grad_theta == pytest.approx(1e-6, rel=1e-3)
    assert max(found.loss, found.grad_log_lam) < 1e-10


def test_a_wrong_estimator_shows_in_its_gradient_and_nowhere_else(monkeypatch):
    right = estimators.ESTIMATORS["pathwise"]
    wrong = right._replace(formula=lambda sample: right.formula(sample) * WRONG)
    monkeypatch.setitem(estimators.ESTIMATORS, "pathwise", wrong)
    found = largest("lotka-volterra", steps=1, estimator="pathwise")
    assert found.grad_log_lam == pytest.approx(1e-6, rel=1e-3)
    assert max(found.loss, found.grad_theta, found.theta) < 1e-10


def test_a_wrong_update_shows_in_theta(monkeypatch):
    monkeypatch.setattr(cpu, "adam", scaled(cpu.adam, 0))
    found = largest("lotka-volterra", steps=1)
    assert found.theta == pytest.approx(1e-6, rel=1e-3)
    assert max(found.loss, found.grad_theta, found.grad_log_lam) < 1e-10


def test_a_wrong_decay_of_the_baseline_shows_after_two_steps(monkeypatch):
    monkeypatch.setattr(_step, "DECAY", 0.9)
    assert largest("lotka-volterra", steps=2, estimator="score-baseline").grad_log_lam < 1e-10
    assert largest("lotka-volterra", steps=3, estimator="score-baseline").grad_log_lam > 1e-6


def test_a_nan_of_the_engine_is_no_agreement(monkeypatch):
    monkeypatch.setattr(cpu_dense, "dense_vjp", lambda theta, *rest: (theta * np.nan, None))
    assert np.isnan(compare(problems.get("mnist"), problems.get("mnist").recipe, images(), 1)[0].grad_theta)


def test_what_has_no_reference_is_refused():
    problem = problems.get("lorenz")
    with pytest.raises(InputError, match="no reference for 'score' on 'mine'"):
        compare(problem._replace(name="mine"), problem.recipe, series("lorenz"), 1)
    with pytest.raises(InputError, match="leave continuation on, and schedules out"):
        compare(problem, problem.recipe._replace(continuation=False), series("lorenz"), 1)
