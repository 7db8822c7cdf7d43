"""`mcgc.estimate`: estimates and errors beside SciPy's, several experiments, inputs, failures, and mistakes."""

import time

import numpy as np
import pytest
from equations import FITZHUGH, TRUE, driven, explosion, fitzhugh_nagumo, line, lotka_volterra, solution
from scipy import optimize

import mcgc
from mcgc.errors import InputError, SolveError
from mcgc.estimation import Experiment, _problem, experiments_of
from mcgc.tables import series_columns, series_of

STARTS = ((1.0, 1.0), (0.6, 1.4))
TIMES = (np.linspace(0, 8, 25), np.linspace(0, 5, 12) ** 1.2)
FREE = {"a": mcgc.Parameter(0.5, 0.1, 3.0, log=True), "b": mcgc.Parameter(4 / 3, fixed=True), "c": 1.2}


def noisy(array, size, seed=0):
    return array + size * np.random.default_rng(seed).normal(size=array.shape)


def two_experiments(columns=slice(None), size=0.05, y0=STARTS):
    found = []
    for i, (start, times) in enumerate(zip(STARTS, TIMES, strict=True)):
        values = noisy(solution(lotka_volterra, start, times, TRUE), size, i)
        found.append(Experiment(times, values[:, columns], y0[i], name=f"run {i}"))
    return found


def by_scipy(residuals, start):
    """Return x and standard errors by Levenberg–Marquardt of SciPy, with central differences of exact solutions."""
    found = optimize.least_squares(residuals, start, method="lm", diff_step=1e-6, xtol=1e-12, ftol=1e-12)
    return found, np.linalg.inv(found.jac.T @ found.jac)


@pytest.fixture(scope="module")
def prey():
    """Give the fit of the prey alone, in two experiments."""
    data = two_experiments([0])
    data[0].values[5] = np.nan
    return data, mcgc.estimate(lotka_volterra, data, FREE, observed=[0], method="lm")


def test_prey_alone_in_two_experiments_gives_what_scipy_gives_from_the_true_values(prey):
    data, found = prey

    def residuals(x):
        p = {"a": x[0], "b": 4 / 3, "c": x[1]}
        both = [solution(lotka_volterra, one.y0, one.times, p)[:, :1] - one.values for one in data]
        flat = np.concatenate([one.ravel() for one in both])
        return flat[~np.isnan(flat)]

    expected, inverse = by_scipy(residuals, [TRUE["a"], TRUE["c"]])
    variance = 2 * expected.cost / (expected.fun.size - 2)
    np.testing.assert_allclose(found.x, [expected.x[0], 4 / 3, expected.x[1]], rtol=1e-5)
    np.testing.assert_allclose(found.standard_errors[[0, 2]], np.sqrt(np.diag(inverse) * variance), rtol=1e-3)
    np.testing.assert_allclose(
        found.correlations[0, 2], inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1]), rtol=1e-3
    )
    assert found.sigma["y[0]"] == pytest.approx(np.sqrt(variance), rel=1e-6)
    assert found.errors["b"] == 0.0
    assert found.failures == {}


def test_a_missing_value_has_no_residual_and_the_others_are_predicted_minus_observed(prey):
    data, found = prey
    assert np.isnan(found.residuals[0][5, 0])
    assert found.fun.size == 36
    np.testing.assert_allclose(found.fitted[0] - data[0].values, found.residuals[0])
    inner = found.residuals[1][:, 0]
    np.testing.assert_allclose(inner / found.sigma["y[0]"], found.fun[24:])


def test_simulate_gives_the_solution_of_an_experiment_at_any_times(prey):
    _, found = prey
    times = np.array([3.0, 0.0, 1.5])
    expected = solution(lotka_volterra, STARTS[1], np.sort(times), found.parameters)[[2, 0, 1]]
    np.testing.assert_allclose(found.simulate(times, "run 1"), expected, rtol=1e-6)
    np.testing.assert_allclose(found.simulate([0.0, 1.0], 0, {"a": 0.0, "b": 0.0})[1], [1.0, np.exp(-found.x[2])])
    with pytest.raises(InputError, match="before the start 0 of experiment 'run 0'"):
        found.simulate([-1.0])
    with pytest.raises(InputError, match="'q'"):
        found.simulate([1.0], parameters={"q": 1.0})


def test_the_report_has_values_errors_and_the_noise(prey):
    text = prey[1].report()
    assert "c: " in text
    assert "(fixed)" in text
    assert "Noise (estimated)" in text


def test_fitted_starts_are_what_scipy_gives(prey):
    data = two_experiments(size=0.03, y0=[(0.9, 1.1), (0.7, 1.3)])
    found = mcgc.estimate(lotka_volterra, data, FREE, y0="fit", sigma=0.03, method="lm")

    def residuals(x):
        p = {"a": x[0], "b": 4 / 3, "c": x[1]}
        both = [
            solution(lotka_volterra, y0, one.times, p) - one.values
            for one, y0 in zip(data, x[2:].reshape(2, 2), strict=True)
        ]
        return np.concatenate([one.ravel() for one in both]) / 0.03

    expected, inverse = by_scipy(residuals, [TRUE["a"], TRUE["c"], *np.ravel(STARTS)])
    free = [0, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(found.x[free], expected.x, rtol=1e-4)
    np.testing.assert_allclose(found.standard_errors[free], np.sqrt(np.diag(inverse)), rtol=1e-3)
    assert found.names[3:] == ("y[0](0)[run 0]", "y[1](0)[run 0]", "y[0](0)[run 1]", "y[1](0)[run 1]")


def test_the_derivatives_are_those_of_the_residuals_also_of_an_observed_function_and_of_fitted_starts():
    data = [one._replace(values=one.values[:, :1]) for one in two_experiments()]
    observed = lambda y, p: [p["a"] * y[0] + y[1] ** 2]
    found = mcgc.estimate(lotka_volterra, data, FREE, observed=observed, states=("u", "v"), y0=["v"], method="lm")
    problem = found.problem
    check_derivatives(problem, found.parameters)
    assert found.names[3:] == ("v(0)[run 0]", "v(0)[run 1]")


def check_derivatives(problem, values):
    exact = problem.jacobian(values)
    for i, (name, value) in enumerate(values.items()):
        step = 1e-5 * max(abs(value), 0.1)
        plus, minus = (problem.residuals({**values, name: value + sign * step})[0] for sign in (1, -1))
        np.testing.assert_allclose(exact[:, i], (plus - minus) / (2 * step), rtol=1e-4, atol=1e-4)


def test_draws_that_are_solved_in_parts_have_the_bits_of_all_at_once(prey, monkeypatch):
    problem = prey[1].problem
    draws = {"a": np.linspace(0.5, 1.5, 7), "b": np.full(7, 4 / 3), "c": np.linspace(1.0, 2.0, 7)}
    whole = problem.residuals(draws)
    monkeypatch.setattr(_problem, "MOST", 3 * 37 * 2)
    assert problem.residuals(draws).tobytes() == whole.tobytes()


def test_equal_seeds_give_equal_bits_and_all_methods_the_same_minimum(prey):
    data, expected = prey
    fits = [
        mcgc.estimate(lotka_volterra, data, FREE, observed=[0], method=how, seed=1)
        for how in ("continuation", "continuation", "horizons", "eki", "auto")
    ]
    assert fits[0].x.tobytes() == fits[1].x.tobytes()
    for found in fits:
        np.testing.assert_allclose(found.x, expected.x, rtol=1e-5)
        assert found.success


def test_a_known_start_is_taken_from_the_first_values_which_are_not_compared():
    times = TIMES[0]
    values = solution(lotka_volterra, STARTS[0], times, TRUE)
    found = mcgc.estimate(lotka_volterra, (times, values), FREE, method="lm")
    assert found.fun.size == 2 * 24
    np.testing.assert_allclose(found.x, list(TRUE.values()), rtol=1e-6)


def test_the_noise_of_each_column_is_estimated_and_weights_it():
    data = [
        one._replace(values=noisy(solution(lotka_volterra, one.y0, one.times, TRUE), np.array([0.2, 0.01]), 3))
        for one in two_experiments()
    ]
    found = mcgc.estimate(lotka_volterra, data, FREE, method="lm")
    weighted = mcgc.estimate(lotka_volterra, data, FREE, sigma=list(found.sigma.values()), method="lm")
    np.testing.assert_allclose(list(found.sigma.values()), [0.2, 0.01], rtol=0.3)
    np.testing.assert_allclose(found.x, weighted.x, rtol=1e-4)
    np.testing.assert_allclose(found.standard_errors, weighted.standard_errors, rtol=1e-3)
    assert 2 * found.cost == pytest.approx(found.fun.size - 2, rel=1e-2)


def test_solutions_that_fail_are_counted_and_the_fit_goes_on():
    times = np.linspace(0, 1.5, 16)  # y = 1/(1 - k t), which is infinite before the end for k > 2/3
    data = Experiment(times, noisy(1 / (1 - 0.5 * times), 0.02), [1.0])
    found = mcgc.estimate(explosion, data, {"k": mcgc.Parameter(1.5, scale=1.0)}, seed=2, restarts=3, sigma=0.02)
    assert found.parameters["k"] == pytest.approx(0.5, abs=0.01)
    assert found.failures["not finite"] > 3


def test_a_profile_of_a_linear_problem_is_the_parabola_of_the_standard_error():
    times = np.linspace(0, 2, 21)
    data = Experiment(times, noisy(0.3 + 1.5 * times + times**2, 0.1), [0.3])
    found = mcgc.estimate(line, data, {"a": 1.0, "b": mcgc.Parameter(1.0, scale=1.0)}, sigma=0.1, method="lm")
    design = np.stack([times, times**2 / 2], 1) / 0.1
    inverse = np.linalg.inv(design.T @ design)
    np.testing.assert_allclose(found.standard_errors, np.sqrt(np.diag(inverse)), rtol=1e-6)
    for name in ("a", "b"):
        profile = found.profile(name, 0.9)
        scaled = (profile.values - found.parameters[name]) / found.errors[name]
        np.testing.assert_allclose(profile.rises, scaled**2, rtol=1e-4, atol=1e-6)
        ends = found.parameters[name] + np.array([-1, 1]) * 1.6448536 * found.errors[name]
        np.testing.assert_allclose([profile.low, profile.high], ends, rtol=1e-3)
    bounded = mcgc.estimate(line, data, {"a": mcgc.Parameter(1.45, 1.3, 1.48), "b": 2.0}, sigma=0.1, method="lm")
    assert bounded.profile("a", 0.999999).high == 1.48
    with pytest.raises(InputError, match="probability"):
        found.profile("a", 2.0)


def test_inputs_that_vary_are_followed_from_knot_to_knot():
    times, knots = np.linspace(0, 6, 31), np.array([0.0, 1.3, 2.0, 4.5])
    feed = np.array([0.0, 2.0, 0.5, 1.0])
    p = {"k": 0.7, "g": 1.3}
    ramp = lambda t: {"feed": np.interp(t, knots, feed)}
    values = [
        solution(lambda t, y, p: driven(t, y, p, ramp(t)), [0.5], times, p, rtol=1e-9, atol=1e-11),
        solution(driven, [1.0], times[:20], p, {"feed": 0.4}),
    ]
    data = [
        Experiment(times, values[0], [0.5], {"feed": (knots, feed)}),
        Experiment(times[:20], values[1], [1.0], {"feed": 0.4}),
    ]
    found = mcgc.estimate(driven, data, {"k": 0.2, "g": 0.5}, method="lm")
    np.testing.assert_allclose(found.x, [0.7, 1.3], rtol=1e-5)
    assert found.failures == {}
    check_derivatives(found.problem, {"k": 0.6, "g": 1.0})
    np.testing.assert_allclose(found.simulate(times), values[0], atol=1e-5)
    steps = [Experiment(times, values[0], [0.5], {"feed": (knots, feed)})]
    held = mcgc.estimate(driven, steps, {"k": 0.7, "g": 1.3}, interpolation="previous", method="lm")
    exact = 0.5 * np.exp(-0.7 * 1.0)  # the first value of the input is 0
    np.testing.assert_allclose(held.simulate([1.0], parameters=p), [[exact]], rtol=1e-6)


def test_a_table_of_series_gives_the_fit_of_its_experiments(prey):
    data, expected = prey
    rows = [
        {"t": t, "run": one.name, "prey": None if np.isnan(value) else value}
        for one in data
        for t, (value,) in zip(one.times.tolist(), one.values.tolist(), strict=True)
    ]
    columns = series_columns(rows, group="run", states="prey")._replace(states=("prey", "hunter"))
    series = series_of(rows, columns)
    given = [one._replace(y0=start) for one, start in zip(experiments_of(series, {"hunter": 1.0}), STARTS, strict=True)]
    found = mcgc.estimate(lotka_volterra, given, FREE, method="lm")
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-6)
    with pytest.raises(InputError, match="state 'hunter'"):
        mcgc.estimate(lotka_volterra, series, FREE)


def test_times_may_be_there_twice_and_begin_after_the_start_which_may_be_searched_by_its_logarithm():
    times = np.array([3.0, 1.0, 2.0, 2.0])
    values = 1 / (1 / 0.3 - 0.2 * times)
    values[2:] *= [1.01, 0.99]
    start = [mcgc.Parameter(0.5, log=True)]
    found = mcgc.estimate(explosion, Experiment(times, values, start, t0=0.0), {"k": 0.1}, method="lm")
    expected, _ = by_scipy(lambda x: 1 / (1 / x[1] - x[0] * times) - values, [0.2, 0.3])
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-5)
    assert found.errors["y[0](0)"] > 0


def test_a_start_at_which_no_solution_succeeds_is_one_sentence():
    data = Experiment([0.0, 2.0], [1.0, 2.0], [1.0])
    with pytest.raises(SolveError, match="fails at the start and at all"):
        mcgc.estimate(explosion, data, {"k": mcgc.Parameter(500.0, 400.0, 600.0)}, method="lm")


MISTAKES = (
    ({"method": "lm", "horizons": 3}, "horizons are for the methods auto and horizons"),
    ({"parameters": {"q": 1.0}}, r"field\(t, y, p\) raises KeyError: 'a'"),
    ({"parameters": {}}, "dict of names"),
    ({"observed": [2]}, "none of the 2 states"),
    ({"observed": ["w"], "states": ("u", "v")}, "'w'"),
    ({"observed": [0, 1]}, "1 columns"),
    ({"sigma": -1.0}, "sigma must be a positive number"),
    ({"method": "newton"}, "'newton'"),
    ({"y0": "guess"}, "y0 must be"),
    ({"interpolation": "cubic"}, "'cubic'"),
    ({"data": Experiment([0.0, 1.0], [1.0], [1.0, 1.0])}, "shape"),
    ({"data": Experiment([0.0, 1.0], [1.0, 2.0], [1.0, 1.0], t0=0.5)}, "none before it"),
    ({"data": Experiment([0.0, 1.0], [np.nan, np.nan], [1.0, 1.0])}, "every observed value is missing"),
    ({"data": [Experiment([0.0, 1.0], [1.0, 2.0], [1.0, 1.0], name="x")] * 2}, "the same name"),
    ({"data": Experiment([0.0, 1.0], [1.0, 2.0], [1.0, None])}, "start of state 'y\\[1\\]'"),
    ({"data": Experiment([0.0, 1.0], [1.0, 2.0], [1.0, 1.0], {"w": [1.0]})}, "make them equal"),
)


@pytest.mark.parametrize(("change", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence(change, sentence):
    data = Experiment(TIMES[0], np.ones(25), [1.0, 1.0])
    given = {"data": data, "parameters": FREE, "observed": [0], **change}
    with pytest.raises(InputError, match=sentence) as raised:
        mcgc.estimate(lotka_volterra, **given)
    assert "\n" not in str(raised.value)


def test_fitzhugh_nagumo_from_a_start_where_scipy_fails_ends_at_the_optimum_in_under_three_seconds():
    times = np.linspace(0, 20, 101)
    values = noisy(solution(fitzhugh_nagumo, [-1.0, 1.0], times, FITZHUGH), 0.1)
    start = np.array([-0.17, 0.3, 7.77])
    named = lambda x: dict(zip("abc", x, strict=True))
    residuals = lambda x: (
        solution(fitzhugh_nagumo, [-1.0, 1.0], times, named(x), method="LSODA", rtol=1e-6, atol=1e-8) - values
    ).ravel()
    expected, inverse = by_scipy(residuals, list(FITZHUGH.values()))
    stuck = optimize.least_squares(residuals, start)
    assert stuck.cost > 100 * expected.cost
    parts = {name: mcgc.Parameter(float(value), scale=scale) for name, value, scale in zip("abc", start, (0.5, 0.5, 5))}  # noqa: B905
    data = Experiment(times, values, [-1.0, 1.0])
    seconds = []
    for _ in range(3):  # the first compiles
        begin = time.perf_counter()
        found = mcgc.estimate(fitzhugh_nagumo, data, parts)
        seconds.append(time.perf_counter() - begin)
    errors = np.sqrt(np.diag(inverse) * 2 * expected.cost / (202 - 3))
    np.testing.assert_allclose(found.standard_errors, errors, rtol=0.2)
    assert (np.abs(found.x - expected.x) < 0.1 * errors).all()
    assert min(seconds[1:]) < 3.0


def test_standard_errors_and_chi_square_are_lmfits_at_the_optimum(prey):
    lmfit = pytest.importorskip("lmfit")
    data, found = prey
    parts = lmfit.Parameters()
    parts.add("a", 0.8)
    parts.add("b", 4 / 3, vary=False)
    parts.add("c", 1.5)

    def residuals(parts):
        p = parts.valuesdict()
        both = [solution(lotka_volterra, one.y0, one.times, p)[:, :1] - one.values for one in data]
        flat = np.concatenate([one.ravel() for one in both])
        return flat[~np.isnan(flat)]

    expected = lmfit.minimize(residuals, parts, epsfcn=1e-8)
    assert found.errors["a"] == pytest.approx(expected.params["a"].stderr, rel=0.01)
    assert found.errors["c"] == pytest.approx(expected.params["c"].stderr, rel=0.01)
