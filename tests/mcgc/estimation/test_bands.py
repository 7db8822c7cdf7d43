"""Bands of predictions: against draws of the parameters, lmfit, a closed form, and those of the file alone."""

import lmfit
import numpy as np
import pytest
from equations import driven, line, lotka_volterra, solution
from scipy import stats

import mcgc
from mcgc.errors import InputError
from mcgc.estimation import Experiment, read_estimate

TIMES, LATER = np.linspace(0, 8, 25), np.linspace(0, 10, 11)


@pytest.fixture(scope="module")
def found():
    """Give the fit of prey and hunter, both seen, with the start of the prey fitted."""
    clean = solution(lotka_volterra, (1.0, 0.8), TIMES, {"a": 0.8, "b": 4 / 3, "c": 1.5})
    values = clean + 0.05 * np.random.default_rng(3).normal(size=clean.shape)
    parts = {"a": mcgc.Parameter(0.7, 0.1, 3.0, log=True), "b": 1.3, "c": 1.5}
    data = Experiment(TIMES, values, [1.0, 0.8])
    return mcgc.estimate(lotka_volterra, data, parts, states=("prey", "hunter"), y0=["prey"], method="lm")


def test_standard_errors_are_the_spread_of_solutions_at_drawn_parameters(found):
    draws, narrower = 4000, 0.05  # of parameters near enough that the solutions are linear in them
    noise = np.random.default_rng(0).multivariate_normal(np.zeros(4), found.covariance, draws)
    x = found.x + narrower * noise
    p = dict(zip(("a", "b", "c"), x[:, :3].T, strict=True))
    field = lambda t, y, p: np.stack(
        [p["a"] * y[:, 0] - p["b"] * y[:, 0] * y[:, 1], p["b"] * y[:, 0] * y[:, 1] - p["c"] * y[:, 1]], axis=1
    )
    starts = np.stack([x[:, 3], np.full(draws, 0.8)], axis=1)
    ys = mcgc.ode.solve(field, starts, LATER, p, rtol=1e-9, atol=1e-11).ys
    bands = found.bands(LATER)
    np.testing.assert_allclose(bands.states, found.simulate(LATER), rtol=1e-12)
    assert bands.standard_errors[0] == pytest.approx([found.errors["prey(0)"], 0.0], rel=1e-9)
    ratio = ys[:, 1:].var(axis=0) / (narrower * bands.standard_errors[1:]) ** 2
    assert np.abs((ratio - 1) / np.sqrt(2 / draws)).max() < 4


def test_bands_have_the_quantiles_of_t_or_of_the_normal_distribution(found):
    bands = found.bands(LATER[1:], level=0.8)
    t = stats.t.ppf(0.9, 50 - 4)
    noise = np.asarray([found.sigma["prey"], found.sigma["hunter"]])
    np.testing.assert_allclose(bands.high - bands.states, t * bands.standard_errors, rtol=1e-10)
    wide = t * np.sqrt(bands.standard_errors**2 + noise**2)
    np.testing.assert_allclose(bands.data_high - bands.states, wide, rtol=1e-10)
    np.testing.assert_allclose(bands.states - bands.data_low, wide, rtol=1e-10)
    times = np.linspace(0, 2, 9)
    known = mcgc.estimate(line, Experiment(times, 0.3 + times, [0.3]), {"a": 1.0, "b": 1.0}, sigma=0.1, method="lm")
    bands = known.bands([1.0], level=0.95)
    slopes = np.stack([times, times**2 / 2], axis=1) / 0.1  # the solution is 0.3 + a t + b t² / 2
    at = np.asarray([1.0, 0.5])
    error = np.sqrt(at @ np.linalg.inv(slopes.T @ slopes) @ at)
    assert bands.standard_errors[0, 0] == pytest.approx(error, rel=1e-5)
    assert bands.high[0, 0] - bands.states[0, 0] == pytest.approx(1.959964 * error, rel=1e-5)


def test_bands_are_lmfits():
    times = np.linspace(0, 3, 20)
    values = 2 * np.exp(-0.7 * times) + 0.05 * np.random.default_rng(1).normal(size=20)
    found = mcgc.estimate(
        lambda t, y, p: [-p["k"] * y[0]], Experiment(times, values, [mcgc.Parameter(1.5, scale=1.0)]), {"k": 1.0},
        method="lm",
    )  # fmt: skip
    model = lmfit.Model(lambda x, start, k: start * np.exp(-k * x))
    fit = model.fit(values, x=times, start=1.5, k=1.0)
    at = np.linspace(0, 5, 7)
    expected = fit.eval_uncertainty(x=at, sigma=0.9)
    bands = found.bands(at, level=0.9)
    np.testing.assert_allclose(bands.high[:, 0] - bands.states[:, 0], expected, rtol=1e-3)


def test_the_file_alone_gives_the_same_bands(found, tmp_path):
    found.save(tmp_path / "fit.h5")
    expected, bands = found.bands(LATER), read_estimate(tmp_path / "fit.h5").bands(LATER)
    for name, one in expected._asdict().items():
        np.testing.assert_allclose(getattr(bands, name), one, rtol=2e-4, atol=1e-7, err_msg=name)
    given = read_estimate(tmp_path / "fit.h5").bands(LATER, start={"prey": 1.0, "hunter": 1.0})
    assert (given.standard_errors[0] == 0).all()  # a start that is given is known
    assert (given.standard_errors[1:] > 0).all()


def test_experiments_with_inputs_have_starts_of_their_own(tmp_path):
    times = np.linspace(0, 4, 12)
    clean = np.exp(-0.5 * times)[:, None]
    feeds = {"one": 0.3, "two": (np.asarray([0.0, 2.0, 4.0]), np.asarray([0.0, 1.0, 0.0]))}
    data = [
        Experiment(times, clean + 0.02 * np.cos(9 * times + i)[:, None], inputs={"feed": feed}, name=name)
        for i, (name, feed) in enumerate(feeds.items())
    ]
    found = mcgc.estimate(driven, data, {"k": 0.6, "g": mcgc.Parameter(0.5, scale=1.0)}, y0="fit", method="lm")
    found.save(tmp_path / "fit.h5")
    for i, name in enumerate(feeds):
        bands = found.bands(times, name)
        assert bands.standard_errors[0, 0] == pytest.approx(found.errors[f"y[0](0)[{name}]"], rel=1e-9)
        again = read_estimate(tmp_path / "fit.h5").bands(times, i)
        np.testing.assert_allclose(again.standard_errors, bands.standard_errors, rtol=1e-3)


def test_what_the_data_do_not_determine_has_no_bound_and_a_level_is_a_probability(found):
    times = np.linspace(0, 1, 5)
    both = lambda t, y, p: [-(p["a"] + p["b"]) * y[0]]
    lost = mcgc.estimate(both, Experiment(times, np.exp(-times), [1.0]), {"a": 0.6, "b": 0.6}, method="lm")
    assert np.isinf(lost.bands(times).standard_errors).all()
    with pytest.raises(InputError, match="level must be a probability"):
        found.bands(TIMES, level=1.0)
