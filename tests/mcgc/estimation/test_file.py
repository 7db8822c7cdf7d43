"""Files of estimates: what is written is read, and what is no such file is refused."""

import h5py
import numpy as np
import pytest
from equations import line

import mcgc
from mcgc.errors import DatasetError, InputError
from mcgc.estimation import Experiment, is_estimate, read_estimate, summary


@pytest.fixture(scope="module")
def found():
    """Give the fit of a line."""
    times = np.linspace(0, 2, 9)
    values = 0.3 + 1.5 * times + times**2 + 0.1 * np.cos(9 * times)
    return mcgc.estimate(line, Experiment(times, values, [0.3], name="é"), {"a": 1.0, "b": 1.0}, method="lm")


def test_what_is_saved_is_read(found, tmp_path):
    found.save(tmp_path / "fit.h5")
    saved = read_estimate(tmp_path / "fit.h5")
    assert saved.summary == summary(found)
    assert saved.report == found.report()
    np.testing.assert_array_equal(saved.x, found.x)
    np.testing.assert_array_equal(saved.covariance, found.covariance)
    np.testing.assert_array_equal(saved.experiments[0]["fitted"], found.fitted[0])
    exact = (
        0.3
        + found.x[0] * saved.experiments[0]["curve_times"]
        + found.x[1] / 2 * saved.experiments[0]["curve_times"] ** 2
    )
    np.testing.assert_allclose(saved.experiments[0]["curve"][:, 0], exact, rtol=1e-6)


def test_equal_estimates_give_equal_bytes(found, tmp_path):
    found.save(tmp_path / "one.h5")
    found.save(tmp_path / "two.h5")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


@pytest.mark.parametrize("damage", ["cut", "key", "summary", "other", "text"])
def test_a_file_that_is_damaged_or_another_is_refused_in_one_sentence(found, tmp_path, damage):
    path = tmp_path / "fit.h5"
    found.save(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    elif damage == "text":
        path.write_text("no HDF5")
    else:
        with h5py.File(path, "a") as file:
            if damage == "other":
                file.attrs["format"] = "another"
            else:
                del file["x" if damage == "key" else "summary"]
                if damage == "summary":
                    file["summary"] = np.frombuffer(b"[1", np.uint8)
    with pytest.raises(DatasetError, match=r"fit\.h5'") as raised:
        read_estimate(path)
    assert "\n" not in str(raised.value)
    assert is_estimate(path) == (damage in ("key", "summary"))
    assert not is_estimate(tmp_path / "none.h5")


@pytest.mark.parametrize("interpolation", ["linear", "previous"])
def test_a_file_alone_gives_the_solutions_of_the_estimate(tmp_path, interpolation):
    def driven(t, y, p, u):
        return [u["v"] - p["k"] * y[0], p["k"] * y[0] - 0.5 * y[1] + 0.1 * mcgc.ops.sin(p["m"] * t)]

    times = np.linspace(1, 4, 9)
    values = np.stack([1 + 0.2 * np.sin(times), 0.5 * np.cos(times)], axis=1)
    data = [
        Experiment(times, values, inputs={"v": (np.array([0.0, 2.0, 3.0]), np.array([1.0, 2.0, 0.5]))}, name="ramp"),
        Experiment(times, values, [1.0, 0.3], inputs={"v": 1.0}, t0=0.5, name="constant"),
    ]
    start = {"k": 1.0, "m": mcgc.Parameter(2.0, fixed=True)}
    found = mcgc.estimate(driven, data, start, y0=[1], method="lm", interpolation=interpolation)
    found.save(tmp_path / "fit.h5")
    saved = read_estimate(tmp_path / "fit.h5")
    for name, until in (("ramp", 6.0), ("constant", 5.0)):
        at = np.linspace(1.0, until, 13)
        np.testing.assert_allclose(saved.simulate(at, name), found.simulate(at, name), rtol=1e-4, atol=1e-4)
    from scipy.integrate import solve_ivp

    k = found.parameters["k"]
    rate = lambda t, y: [0.7 - k * y[0], k * y[0] - 0.5 * y[1] + 0.1 * np.sin(2 * t)]
    wanted = solve_ivp(rate, (2, 5), [3.0, 1.0], t_eval=[2, 3, 5], rtol=1e-9, atol=1e-10).y.T
    given = {"y[0]": 3.0, "y[1]": 1.0}, {"v": 0.7}
    np.testing.assert_allclose(saved.simulate([2, 3, 5], 0, *given), wanted, atol=1e-6)
    for wrong, sentence in (
        ({"experiment": "slope"}, "unknown experiment 'slope'"), ({"times": [0.2]}, "none before the start 1"),
        ({"start": {"y[0]": 1.0}}, "the estimate has the states"), ({"start": given[0]}, "has the inputs v"),
        ({"experiment": 2}, "there are 2 experiments"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=sentence):
            saved.simulate(**({"times": [2.0]} | wrong))


def test_a_file_of_the_first_version_is_read_and_says_what_it_lacks(found, tmp_path):
    found.save(tmp_path / "fit.h5")
    with h5py.File(tmp_path / "fit.h5", "a") as file:
        file.attrs["version"] = 1
        del file["model"], file["experiments/0/y0"], file["experiments/0/knots"], file["experiments/0/inputs"]
    saved = read_estimate(tmp_path / "fit.h5")
    assert saved.summary == summary(found)
    with pytest.raises(InputError, match="of an older version, without its field: estimate again"):
        saved.simulate([1.0])
