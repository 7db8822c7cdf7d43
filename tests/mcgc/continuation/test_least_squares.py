"""least_squares: its minima against SciPy's, its errors against lmfit's, bounds, names, budgets and failures."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
import warnings

import lmfit
import numpy as np
import pytest
from residuals import DATA, MATRIX, RNG, SPAN, linear, wave
from scipy import optimize

import mcgc
from mcgc import least_squares
from mcgc.continuation import ScaleWarning
from mcgc.errors import InputError

BEST = np.linalg.lstsq(MATRIX, DATA, rcond=None)[0]
TIMES = np.linspace(0, 4, 30)
DECAY = 2.5 * np.exp(-1.3 * TIMES) + 0.5 + 0.05 * RNG.normal(size=30)


def decay(x):
    return x[0] * np.exp(-x[1] * TIMES) + x[2] - DECAY


def curve(t, a, b, c):
    return a * np.exp(-b * t) + c


WAVE = {"x0": [2.2, 0.5], "x_scale": [1.0, 1.0]}


@pytest.fixture
def fit():
    return least_squares(decay, [1.0, 0.5, 0.0], x_scale=1.0)


# ---- minima ----


def test_a_linear_problem_is_solved_in_one_step_of_the_path():
    found = least_squares(linear, np.zeros(3), x_scale=10.0, steps=1, polish=None)
    assert found.x == pytest.approx(BEST, abs=1e-4)  # μ is at least 1e-6 of the Gram matrix
    assert found.nfev == 1 + 6 + 1 + 6  # the start, one block, the end, the standard errors


@pytest.mark.parametrize("method", ["continuation", "lm", "eki", "dfgn", "auto"])
def test_every_method_ends_at_the_minimum_that_scipy_has(method):
    expected = optimize.least_squares(decay, [1.0, 0.5, 0.0], xtol=1e-14, ftol=1e-14, gtol=1e-14)
    found = least_squares(decay, [1.0, 0.5, 0.0], x_scale=1.0, method=method)
    assert found.x == pytest.approx(expected.x, rel=1e-6)
    assert (found.cost, found.success) == (pytest.approx(expected.cost, rel=1e-12), True)
    assert found.fun == pytest.approx(decay(found.x))


def test_the_path_passes_where_levenberg_marquardt_stays():
    stuck = optimize.least_squares(wave, WAVE["x0"])
    assert stuck.cost > 5
    solved = [least_squares(wave, **WAVE, seed=seed).cost < 1e-20 for seed in range(20)]
    assert sum(solved) >= 14


def test_the_end_is_never_above_that_of_levenberg_marquardt_from_the_start():
    hill = lambda x: np.asarray([(x[0] - 3) * (1 + 5 * np.sin(4 * x[0]) ** 2), 0.3 * x[1]])
    local = least_squares(hill, [2.9, 0.1], x_scale=5.0, method="lm").cost
    assert all(least_squares(hill, [2.9, 0.1], 5.0, steps=3, seed=s).cost <= local + 1e-20 for s in range(5))


def test_one_parameter_has_a_path_too():
    found = least_squares(
        lambda x: np.sin(3 * np.linspace(0, 6, 40) * x[0]) - np.sin(3 * np.linspace(0, 6, 40)), 0.5, 0.5
    )
    assert found.x == pytest.approx([1.0], abs=1e-8)


def test_more_parameters_than_residuals_end_at_a_solution():
    found = least_squares(lambda x: np.asarray([x.sum() - 1.0, x[0] - x[1]]), np.zeros(3), 1.0)
    assert found.cost < 1e-20
    assert np.isinf(found.standard_errors).all()


def test_derivatives_that_are_given_are_used():
    found = least_squares(linear, np.zeros(3), 1.0, method="lm", jac=lambda x: MATRIX)
    assert found.x == pytest.approx(BEST)
    assert found.njev > 0
    assert found.nfev < 12


def test_derivatives_of_the_wrong_shape_are_refused():
    with pytest.raises(InputError, match=r"jac must return an array of shape \(12, 3\)"):
        least_squares(linear, np.zeros(3), 1.0, method="lm", jac=lambda x: MATRIX.T)


def test_growing_horizons_follow_a_phase_that_levenberg_marquardt_loses():
    for horizons in (7, 9, [0.05, 0.1, 0.2, 0.4, 0.8]):
        found = least_squares(wave, **WAVE, horizons=horizons, times=SPAN)
        assert (found.method, found.success) == ("horizons", True)
        assert found.x == pytest.approx([3.0, 1.0])


def test_a_jitted_function_computes_the_points_of_a_step_in_one_call():
    t = mcgc.arrays.as_floats(TIMES, "t")
    jitted = mcgc.jit(lambda x: x[0] * mcgc.ops.exp(-x[1] * t) + x[2] - DECAY)
    found = least_squares(jitted, [1.0, 0.5, 0.0], 1.0, jac=jitted.jacobian)
    assert found.x == pytest.approx(least_squares(decay, [1.0, 0.5, 0.0], 1.0).x, rel=1e-7)


def test_batched_residuals_give_the_same_fit():
    one, many = (
        least_squares(f, np.zeros(3), 1.0, batched=b)
        for f, b in ((linear, False), (lambda x: x @ MATRIX.T - DATA, True))
    )
    assert one.x == pytest.approx(many.x)


# ---- the same bits, budgets, targets, callbacks ----


def test_one_seed_gives_the_same_bits_and_another_seed_another_path():
    first, again, other = (least_squares(wave, **WAVE, seed=seed) for seed in (3, 3, 4))
    assert first.path.x.tobytes() == again.path.x.tobytes()
    assert first.x.tobytes() == again.x.tobytes()
    assert first.path.x.tobytes() != other.path.x.tobytes()


@pytest.mark.parametrize("method", ["continuation", "lm", "eki", "dfgn", "auto"])
@pytest.mark.parametrize("most", [13, 60, 400])
def test_the_budget_is_kept_with_standard_errors_and_all(method, most):
    calls = []
    found = least_squares(
        lambda x: (calls.append(1), decay(x))[1], [1.0, 0.5, 0.0], 1.0, method=method, max_nfev=most, restarts=None
    )
    assert found.nfev == len(calls) <= most
    assert found.cost <= float((decay([1.0, 0.5, 0.0]) ** 2).sum() / 2)


def rounds_of(runs, last):
    """Return the first letters of the methods of each round, without repetitions, for rounds that end with `last`."""
    letters = re.sub(r"(.)\1+", r"\1", "".join(run.method[0] for run in runs))
    return [part + last for part in letters.split(last)[:-1]]


def test_auto_runs_the_methods_in_rounds_each_with_its_share():
    options = {"method": "auto", "max_nfev": 6000, "times": TIMES}
    rough = lambda x: np.round(decay(x), 2)
    runs = least_squares(rough, [1.0, 0.5, 0.0], 1.0, **options).runs
    rounds = rounds_of(runs, "e")
    assert len(rounds) > 2
    assert set(rounds) == {"dhce"}
    growth = 1.25 ** np.cumsum([0, *(run.method == "eki" for run in runs[:-1])])
    longest = {"dfgn": 20 * 4, "horizons": 300, "eki": 300}
    for run, factor in zip(runs, growth, strict=True):
        assert run.nfev <= np.ceil(longest.get(run.method, np.inf) * factor)
    for factor in np.unique(growth)[:2]:
        for name, total in {"dfgn": 20 * 4, "horizons": 600}.items():
            spent = sum(run.nfev for run, at in zip(runs, growth, strict=True) if run.method == name and at == factor)
            assert total * factor <= spent <= np.ceil(total * factor)


def test_auto_without_derivatives_takes_turns_of_dfgn_and_the_path():
    rough = lambda x: np.round(decay(x), 2)
    options = {"method": "auto", "max_nfev": 3000, "times": TIMES, "polish": None}
    rounds = rounds_of(least_squares(rough, [1.0, 0.5, 0.0], 1.0, **options).runs, "c")
    assert len(rounds) > 3
    assert set(rounds) == {"dc"}


def test_auto_with_derivatives_begins_with_levenberg_marquardt_in_place_of_dfgn():
    slopes = lambda x: np.stack([np.exp(-x[1] * TIMES), -x[0] * TIMES * np.exp(-x[1] * TIMES), np.ones(30)], axis=1)
    runs = least_squares(decay, [1.0, 0.5, 0.0], 1.0, method="auto", jac=slopes, max_nfev=2000).runs
    assert runs[0].method == "lm"
    assert {run.method for run in runs[1:]} == {"continuation", "eki"}


@pytest.mark.parametrize("size", [3, 12])
def test_auto_without_a_budget_runs_each_method_once(size):
    slopes = np.cos(np.outer(np.arange(30), np.arange(1, size + 1)))
    options = {"method": "auto", "times": np.arange(30.0)}
    find = lambda **more: least_squares(lambda x: slopes @ x - 1, np.zeros(size), 1.0, **options, **more).runs
    assert [run.method for run in find()] == ["dfgn", "horizons", "continuation", "eki", "lm"]
    assert [run.method for run in find(jac=lambda x: slopes)] == ["lm", "horizons", "continuation", "eki"]
    assert [run.method for run in find(polish=None)] == ["dfgn", "horizons", "continuation", "eki"]


def test_the_search_ends_at_the_target():
    found = least_squares(wave, **WAVE, target=1.0, restarts=None, max_nfev=4000)
    assert (found.success, found.message) == (True, "the cost has reached the target")
    assert found.cost <= 1.0


def test_a_callback_sees_each_step_and_may_stop_the_fit():
    seen = []

    def callback(intermediate_result):
        seen.append((intermediate_result.lam, intermediate_result.nfev))
        if len(seen) == 5:
            raise StopIteration

    found = least_squares(wave, **WAVE, callback=callback)
    assert [lam for lam, _ in seen] == pytest.approx(found.path.lam)
    assert (found.success, found.message) == (False, "the callback stopped the fit")
    assert len(found.path.lam) == len(found.weights) == 5
    points = []
    least_squares(decay, [1.0, 0.5, 0.0], 1.0, callback=points.append)
    assert points[0].shape == (3,)


def test_late_residuals_of_a_long_wave_have_little_weight_at_first():
    found = least_squares(wave, **WAVE)
    early, late = found.weights[0][5:20].mean(), found.weights[0][-15:].mean()
    assert late < early / 2


def test_the_path_that_leaves_its_scale_is_told():
    with pytest.warns(ScaleWarning, match=r"more than 5 scales from the start in x\[1\]"):
        least_squares(lambda x: np.asarray([x[0], x[1] - 100.0]), [0.1, 0.0], [1.0, 1.0])


# ---- standard errors and the report ----


def test_covariance_is_that_of_curve_fit(fit):
    values, covariance = optimize.curve_fit(curve, TIMES, DECAY, [1.0, 0.5, 0.0], ftol=1e-14, xtol=1e-14)
    assert fit.x == pytest.approx(values, rel=1e-6)
    assert fit.covariance == pytest.approx(covariance, rel=1e-4)
    absolute = least_squares(lambda x: decay(x) / 0.05, [1.0, 0.5, 0.0], 1.0, absolute_sigma=True)
    _, covariance = optimize.curve_fit(
        curve, TIMES, DECAY, [1.0, 0.5, 0.0], sigma=np.full(30, 0.05), absolute_sigma=True
    )
    assert absolute.covariance == pytest.approx(covariance, rel=1e-4)


def test_lmfits_parameters_give_lmfits_errors_and_expressions():
    given = lmfit.Parameters()
    given.add("a", 1.0, min=0, max=10)
    given.add("b", 0.5)
    given.add("c", 0.5, vary=False)
    given.add("half", expr="a / 2")
    residuals = lambda p: curve(TIMES, 2 * p["half"].value, p["b"].value, p["c"].value) - DECAY
    expected = lmfit.minimize(residuals, given)
    found = least_squares(residuals, given, {"b": 1.0})
    assert found.names == ("a", "b", "c", "half")
    assert found.x == pytest.approx([expected.params[name].value for name in found.names], rel=1e-5)
    assert found.standard_errors[:2] == pytest.approx([expected.params[name].stderr for name in "ab"], rel=1e-3)
    assert found.standard_errors[2] == 0
    assert given["a"].value == 1.0  # the caller's are left alone


def test_the_report_has_statistics_errors_and_correlations(fit):
    text = fit.report()
    variance = 2 * fit.cost / 27
    assert f"reduced chi-square   {variance:.8g}" in text
    assert f"x[1]: {fit.x[1]:.8g} +/- {fit.standard_errors[1]:.4g}" in text
    correlation = fit.covariance[1, 2] / np.sqrt(fit.covariance[1, 1] * fit.covariance[2, 2])
    assert f"x[1], x[2]: {correlation:+.3f}" in text


@pytest.mark.parametrize("scale", [None, 0.7])
def test_a_parameter_that_is_searched_by_its_logarithm_needs_a_positive_value_alone(scale):
    times = np.linspace(0, 4, 50)
    slow = lambda p: 1e3 * (p["a"] * np.exp(-p["b"] * times) - 3e-3 * np.exp(-2 * times))
    start = {"a": mcgc.Parameter(1e-2, log=True, scale=scale), "b": mcgc.Parameter(1.0, log=True, scale=scale)}
    found = least_squares(slow, start)
    assert found.x == pytest.approx([3e-3, 2.0], rel=1e-8)
    same = least_squares(slow, {name: one._replace(min=0.0) for name, one in start.items()})
    assert same.x.tobytes() == found.x.tobytes()
    drawn = []
    least_squares(lambda p: (drawn.append(p["a"]), slow(p))[1], start, method="dfgn", max_nfev=9)
    assert drawn[2] == pytest.approx(1e-2 * np.exp((scale or 1.0) / 2))  # half a scale away is a factor


def test_standard_errors_without_derivatives_are_those_over_a_thousandth_of_the_scale():
    rough = lambda x: np.floor(1e5 * linear(x)) / 1e5
    found = least_squares(rough, np.zeros(3), 1.0, polish=None)
    expected = np.sqrt(np.diag(np.linalg.inv(MATRIX.T @ MATRIX)) * 2 * found.cost / 9)
    assert found.standard_errors == pytest.approx(expected, rel=0.05)


# ---- parameters ----


def test_named_parameters_go_to_the_residuals_as_a_dict():
    named = {
        "a": mcgc.Parameter(1.0, scale=1.0),
        "b": mcgc.Parameter(0.5, min=0.01, log=True),
        "c": mcgc.Parameter(0.5, fixed=True),
    }
    found = least_squares(lambda p: curve(TIMES, **p) - DECAY, named)
    values, covariance = optimize.curve_fit(lambda t, a, b: curve(t, a, b, 0.5), TIMES, DECAY, [1.0, 0.5])
    assert (found.parameters["a"], found.parameters["b"]) == pytest.approx(tuple(values), rel=1e-5)
    assert found.parameters["c"] == 0.5
    assert found.standard_errors[:2] == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-3)
    assert "c: 0.5 (fixed)" in found.report()
    batched = least_squares(
        lambda p: curve(TIMES, *(np.asarray(p[name])[:, None] for name in "abc")) - DECAY, named, batched=True
    )
    assert batched.x == pytest.approx(found.x)


@pytest.mark.parametrize("method", ["continuation", "lm", "eki", "dfgn", "auto"])
def test_no_call_is_out_of_bounds_and_a_start_may_lie_on_one(method):
    low, high = np.asarray([0.0, 0.0, -1.0]), np.asarray([2.0, 3.0, 1.0])
    calls = []
    found = least_squares(
        lambda x: (calls.append(x.copy()), decay(x))[1], [0.0, 3.0, -1.0], 1.0, bounds=(low, high), method=method
    )
    assert (low <= np.asarray(calls)).all()
    assert (np.asarray(calls) <= high).all()
    expected = optimize.least_squares(decay, [1.0, 0.5, 0.0], bounds=(low, high), xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert expected.x[0] == pytest.approx(2.0)  # the minimum is on a bound
    assert found.x == pytest.approx(expected.x, abs=1e-5)
    again = least_squares(decay, [0.0, 3.0, -1.0], 1.0, bounds=optimize.Bounds(low, high), method=method)
    assert again.x.tobytes() == found.x.tobytes()


def test_a_linear_problem_within_bounds_is_solved_on_the_path_alone():
    low = BEST - np.asarray([1.0, 0.5, 0.2])
    found = least_squares(linear, low, 1.0, bounds=(low, np.inf), polish=None)
    assert found.x == pytest.approx(BEST, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x_scale": None}, "x_scale is needed"),
        ({"x_scale": [1.0, 2.0]}, "x_scale must be a number or one number for each of the 3"),
        ({"x_scale": 0.0}, r"x\[0\] needs a scale"),
        ({"x0": np.zeros((2, 2))}, "x0 must be a vector"),
        ({"x0": "a"}, "x0 must be a vector"),
        ({"x0": {"a": mcgc.Parameter(1.0)}, "x_scale": None}, "a needs a scale"),
        ({"x0": {"a": mcgc.Parameter(1.0)}, "x_scale": {"b": 1.0}}, "'b', which is no parameter"),
        ({"x0": {"a": mcgc.Parameter(-1.0, log=True)}, "x_scale": None}, "a is searched by its logarithm"),
        ({"x0": {"a": mcgc.Parameter(1.0, fixed=True)}, "x_scale": None}, "every parameter is fixed"),
        ({"bounds": (1.0, 2.0)}, r"x\[0\] must start at a finite number within its bounds"),
        ({"bounds": 3}, "bounds must be a pair"),
        ({"method": "lmm"}, "unknown method 'lmm'.*did you mean 'lm'"),
        ({"horizons": 5}, "horizons need times"),
        ({"horizons": 5, "times": [1.0]}, "times must have one number for each of the 12 residuals"),
        ({"horizons": [2.0], "times": np.arange(12.0)}, "horizons must be a number of them or fractions"),
        ({"polish": "bfgs"}, "polish must be"),
        ({"jac": "4-point"}, "jac must be"),
        ({"lam0": 0}, "lam0 must be"),
        ({"shrink": 2.0}, "shrink and tol lie between 0 and 1"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"restarts": None}, "give max_nfev"),
        ({"max_nfev": 5}, "max_nfev must be a whole number of at least 13"),
        ({"timeout": -1.0}, "timeout must be a positive number"),
        ({"batched": True, "workers": 2}, "leave out workers"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(change, sentence):
    options = {"x0": np.zeros(3), "x_scale": 1.0} | change
    with pytest.raises(InputError, match=sentence):
        least_squares(linear, options.pop("x0"), options.pop("x_scale"), **options)


# ---- failures ----


def test_a_simulator_that_raises_or_gives_nan_in_a_third_of_its_calls_does_not_lose_the_fit():
    rng = np.random.default_rng(1)

    def flaky(x):
        draw = rng.random()
        if draw < 1 / 6:
            raise RuntimeError("crashed")
        return np.full(80, np.nan) if draw < 1 / 3 else wave(x)

    for seed in range(3):
        found = least_squares(flaky, **WAVE, seed=seed, restarts=3)
        assert found.x == pytest.approx([3.0, 1.0], abs=1e-6)
        assert found.failures["raised"] > 10
        assert found.failures["not finite"] > 10
        assert "raised" in found.report()


@pytest.mark.parametrize("method", ["continuation", "horizons", "lm", "eki", "dfgn", "auto"])
def test_a_region_that_fails_is_gone_around_by_every_method(method):
    cliff = lambda x: decay(x) if x[1] > 0.45 else np.full(30, np.inf)
    found = least_squares(cliff, [1.0, 0.5, 0.0], 1.0, method=method, times=TIMES, jac="3-point")
    assert found.x == pytest.approx(least_squares(decay, [1.0, 0.5, 0.0], 1.0).x, rel=1e-6)
    assert {*found.failures} == (set() if method in ("lm", "horizons", "dfgn") else {"not finite"})


def test_a_start_that_fails_does_not_lose_the_fit():
    found = least_squares(lambda x: linear(x) if np.abs(x).max() > 0 else linear(x) * np.nan, np.zeros(3), 1.0)
    assert found.x == pytest.approx(BEST, abs=1e-6)


def test_late_residuals_that_are_nan_leave_the_early_ones_of_use():
    def diverging(x):
        row = wave(x)
        row[40:] = row[40:] if abs(x[0] - 3) < 0.5 else np.nan
        return row

    assert least_squares(diverging, **WAVE).x == pytest.approx([3.0, 1.0], abs=1e-6)


def test_residuals_that_always_fail_are_an_error_that_tells_the_first():
    with pytest.raises(InputError, match=r"residuals failed at x0 and in all \d+ calls: ZeroDivisionError: division"):
        least_squares(lambda x: 1 / 0, np.zeros(2), 1.0)


def test_a_residual_of_another_length_counts_as_a_failure():
    found = least_squares(lambda x: linear(x)[: 12 if x[0] < 0.3 else 11], np.zeros(3), 1.0)
    assert found.failures["wrong length"] > 0
    assert np.isfinite(found.cost)


def test_a_simulator_that_hangs_or_kills_its_process_does_not_lose_the_fit(tmp_path):
    log = tmp_path / "calls"
    log.touch()

    def deadly(x):
        with open(log, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # so that each call has a number of its own
            file.write(b".")
            file.flush()
            number = file.tell()
        if number in (9, 40):
            time.sleep(60)
        if number in (20, 60):
            os.kill(os.getpid(), signal.SIGKILL)
        return linear(x)

    begun = time.monotonic()
    found = least_squares(deadly, np.zeros(3), 1.0, workers=2, timeout=0.5, polish=None, steps=12)
    assert found.x == pytest.approx(BEST, abs=1e-4)
    assert found.failures["timed out"] == 2
    assert found.failures["killed"] == 2
    assert time.monotonic() - begun < 40


def test_processes_give_the_bits_of_this_process():
    alone, spread = (least_squares(wave, **WAVE, workers=workers) for workers in (None, 2))
    assert alone.x.tobytes() == spread.x.tobytes()


def test_the_import_of_mcgc_does_not_import_scipy_optimize_or_joblib():
    code = "import sys, mcgc; mcgc.least_squares; print('scipy.optimize' in sys.modules, 'joblib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_no_warning_comes_of_residuals_that_overflow():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = least_squares(lambda x: linear(x) * (1e200 if abs(x[0]) > 0.8 else 1.0), np.zeros(3), 1.0)
    assert found.x == pytest.approx(BEST, abs=1e-6)
