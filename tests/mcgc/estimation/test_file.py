"""Files of estimates: what is written is read, and what is no such file is refused."""

import h5py
import numpy as np
import pytest
from equations import line

import mcgc
from mcgc.errors import DatasetError
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
