"""The table of variances: its numbers against exact ones, and the document against its maker."""

from pathlib import Path

import pytest

from bench.studies import variances
from mcgc.continuation import ESTIMATORS

ROOT = Path(__file__).parents[2]


def test_the_variance_on_a_quadratic_is_the_exact_one():
    # ½ λ εᵀAε has variance ½ λ² tr A² and mean ½ λ tr A
    a = variances.MATRIX.diagonal()
    expected = 2 * sum(a**2) / sum(a) ** 2
    for number in (1, 4):
        found = variances.relative_variance(variances.FORMS[0], "antithetic", 1e-2, number, draws=2000)
        assert found == pytest.approx(expected / number, rel=0.2)


def test_the_document_has_a_row_for_every_cell_measured():
    lines = (ROOT / "docs" / "variances.md").read_text().splitlines()
    header = variances.table(draws=2).splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert [row[:3] for row in rows] == [line.split(" | ")[:3] for line in header if line.startswith("| ")]
    assert rows[0][3:] == [*list(ESTIMATORS)[:-1], f"{list(ESTIMATORS)[-1]} |"]
