"""`mcgc minimize`: its result, its options, and its mistakes."""

import json
import math
import re

import pytest

from mcgc import minimize
from mcgc.paper import test_functions


def test_the_result_is_what_the_library_finds(mcgc):
    result = mcgc("minimize", "levy", "--iterations", 80, "--seed", 3, "--json")
    assert result.exit_code == 0, result.stderr
    levy = test_functions.get("levy")
    expected = minimize(levy.function, levy.start, maxiter=80, seed=3, batched=True, scale=1.0)
    found = json.loads(result.stdout)
    assert found["x"] == expected.x.tolist()
    assert found["fun"] == expected.fun
    assert found["nfev"] == expected.nfev
    assert found["nit"] == expected.nit
    assert found["minimum"] == 0
    assert found["distance"] == math.dist(expected.x, (1, 1))
    assert found["log_lam"] == pytest.approx(math.log(3 * 3e-3))


def test_every_option_reaches_the_library(mcgc):
    options = "--iterations 50 --warmup 5 --estimator pathwise --num-samples 2 --lam0 1.5 --shrink 0.01 --lr 0.1"
    more = "--lr-lam 0.2 --beta 0.5 --tol 0.001 --dimension 3 --start 1,2,-1"
    found = json.loads(mcgc("minimize", "rastrigin", *options.split(), *more.split(), "--json").stdout)
    expected = minimize(
        test_functions.get("rastrigin", 3).function,
        [1.0, 2.0, -1.0],
        scale=1.0,
        maxiter=50,
        warmup=5,
        estimator="pathwise",
        num_samples=2,
        lam0=1.5,
        shrink=0.01,
        learning_rate=0.1,
        learning_rate_lam=0.2,
        beta=0.5,
        tol=0.001,
        batched=True,
    )
    assert found["dimension"] == 3
    assert found["x"] == expected.x.tolist()
    assert found["log_lam"] == expected.log_lam[-1]


def test_the_text_has_point_value_distance_and_effort(mcgc):
    text = mcgc("minimize", "quartic", "--iterations", 100).stdout
    assert text.startswith("quartic, dimension 1: ")
    assert "the global minimum is -0.619684" in text
    assert "from the nearest global minimizer" in text
    assert re.search(r"effort    1\d\d iterations, \d+ evaluations", text)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ("", "Missing argument 'FUNCTION'"),
        ("nothing", "unknown test function 'nothing': choose one of quartic, "),
        ("levy --dimension 0", "the dimension of a test function must be a whole number of at least 1, got 0"),
        ("rosenbrock --dimension 1", "at least 2 dimensions"),
        ("levy --start 1", "--start must be 2 numbers separated by commas, got '1'"),
        ("levy --start a,b", "--start must be 2 numbers"),
        ("levy --start nan,1", "x0 must be a vector of finite numbers"),
        ("levy --lam0 -1", "--lam0 and --tol must be positive numbers, got -1.0"),
        ("levy --shrink 1", "--shrink must lie between 0 and 1, got 1.0"),
        ("levy --iterations 0", "--iterations must be a whole number"),
        ("levy --num-samples 0", "--num-samples must be a whole number of at least 1, got 0"),
        ("levy --estimator magic", "unknown --estimator 'magic'"),
        ("levy --lr 0", "a learning rate is a positive number"),
        ("levy --seed -1", "a seed must be a whole number"),
        ("levy --seed x", "'x' is not a valid integer"),
    ],
)
def test_a_mistake_gets_one_sentence_and_status_2(mcgc, args, sentence):
    result = mcgc("minimize", *args.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("mcgc: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_shows_the_defaults_of_the_library(mcgc):
    text = " ".join(mcgc("minimize", "--help").stdout.split())
    assert "at the start. [default: 3.0]" in text
    assert "Number of steps. [default: 1000]" in text
