"""The participation ratio against closed forms, and the layers of a net against the same in plain NumPy."""

import numpy as np
import pytest
from small import IMAGES, net

from bench.studies import participation_ratio
from mcgc.arrays import HOST
from mcgc.random import Key


def test_the_participation_ratio_of_known_spreads():
    square = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert participation_ratio.participation(square) == pytest.approx(2)
    assert participation_ratio.participation(square[:, :1] * [1.0, 2.0, 3.0] + 7) == pytest.approx(1)
    assert participation_ratio.participation(square * [1.0, 3.0]) == pytest.approx(100 / 82)  # (1 + 9)² / (1 + 81)
    assert np.isnan(participation_ratio.participation(square * 0))


def test_what_is_found_is_that_of_the_layers_of_the_net():
    problem = net(*(9,) * 6, epochs=1)
    theta = np.asarray(problem.init(Key(1), "float64", HOST))
    h, start, kept = IMAGES.images.reshape(10, 6) / 255.0, 0, []
    for n_in, n_out in zip(problem.sizes[:-1], problem.sizes[1:], strict=True):
        weights = theta[start : start + n_in * n_out].reshape(n_in, n_out)
        start += n_in * n_out + n_out
        y = h @ weights + theta[start - n_out : start]
        h = np.maximum(y, 0)
        kept.append(h)
    found = participation_ratio.found_of(problem, theta, problem.examples(IMAGES, "float64", HOST))
    assert found.ratios == pytest.approx([participation_ratio.participation(kept[4])])
    assert found.accuracy == (y.argmax(axis=1) == IMAGES.labels).mean()
    assert found.classes == len({*y.argmax(axis=1).tolist()})
