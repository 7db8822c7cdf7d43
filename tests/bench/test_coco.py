"""The study of `minimize` on COCO/bbob: its areas, its counts, and the table in the documentation."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.studies import coco

ROOT = Path(__file__).parents[2]


def test_the_area_is_the_share_of_targets_met_over_the_logarithm_of_the_evaluations():
    never, at_once, halfway = np.full(51, np.inf), np.full(51, 0.5), np.full(51, 10.0)
    assert coco.area([never], 100) == 0.0
    assert coco.area([at_once], 100) == 1.0
    assert coco.area([halfway], 100) == pytest.approx(0.5)
    assert coco.area([never, at_once, halfway], 100) == pytest.approx(0.5)


def test_the_document_has_the_table_of_the_record():
    record = json.loads((ROOT / "bench" / "studies" / "coco.json").read_text(encoding="utf-8"))
    assert coco.table(record) in (ROOT / "docs" / "when.md").read_text(encoding="utf-8")


def test_a_run_is_stopped_at_its_budget_and_notes_when_each_target_is_met():
    pytest.importorskip("cocoex", reason="coco-experiment is not installed")
    function, dimension, solved, met = coco.attempt(("mcgc.minimize", 0, 60, 1))  # the sphere in 2 dimensions
    assert (function, dimension) == (1, 2)
    np.testing.assert_array_equal(met, np.sort(met))
    assert np.isfinite(met[0])
    assert met[np.isfinite(met)].max() <= 60
    assert solved == np.isfinite(met[-1])
