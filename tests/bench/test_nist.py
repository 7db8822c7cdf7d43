"""Problems with certified values: their formulas, and the digits that least_squares reaches on some of them."""

import json

import numpy as np
import pytest
from scipy import optimize

from bench.studies.nist import problems as nist
from bench.studies.nist.__main__ import FITS

PROBLEMS = {one.name: one for one in nist.problems()}
QUICK = ["Misra1a", "Kirby2", "Hahn1", "BoxBOD", "Eckerle4", "Rat43", "Thurber"]  # SciPy misses Hahn1, Kirby2, BoxBOD


def test_there_are_27_problems_and_each_formula_has_the_certified_sum_of_squares():
    assert len(PROBLEMS) == 27
    for one in PROBLEMS.values():
        rss = float((one.residuals(one.certified) ** 2).sum())
        assert rss == pytest.approx(one.rss, rel=1e-8, abs=1e-20), one.name  # Lanczos1 is printed to 11 digits


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("start", [0, 1])
def test_parameters_have_six_certified_digits_and_standard_errors_four(name, start):
    one = PROBLEMS[name]
    x, errors, _ = FITS["least_squares"](one, one.starts[start])
    assert nist.digits(x, one.certified) >= 6
    assert nist.digits(errors, one.deviations) >= 4


def test_digits_count_the_worst_parameter():
    assert nist.digits([1.001, 2.0], np.asarray([1.0, 2.0])) == pytest.approx(3)
    assert nist.digits([np.nan, 2.0], np.asarray([1.0, 2.0])) == 0
    assert nist.digits([1.0], np.asarray([1.0])) == nist.MOST


def test_the_record_has_54_fits_of_each_method_and_the_numbers_of_the_page():
    record = json.loads((nist.FILE.parent / "results.json").read_text(encoding="utf-8"))["fits"]
    assert record.keys() == FITS.keys()
    assert {len(rows) for rows in record.values()} == {54}
    page = (nist.FILE.parents[3] / "docs" / "least-squares.md").read_text(encoding="utf-8")
    for method, rows in record.items():
        counts = [sum(row[2] >= 6 for row in rows), sum(row[2] >= 4 for row in rows), sum(row[3] >= 4 for row in rows)]
        assert f"| {method.replace('method=', '').strip(chr(39))} | {' | '.join(map(str, counts))} |" in page


def test_scipy_is_measured_at_its_tightest():
    one = PROBLEMS["Misra1a"]
    x, errors, count = FITS["SciPy lm"](one, one.starts[1])
    values, covariance = optimize.curve_fit(
        lambda t, b1, b2: b1 * (1 - np.exp(-b2 * t)), one.data["x"], one.data["y"], one.starts[1]
    )
    assert x == pytest.approx(values, rel=1e-5)
    assert errors == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-3)
    assert count > 10
