"""Losses against their formulas."""

import numpy as np
import pytest

from mcgc import losses
from mcgc.arrays import to_device, to_host
from mcgc.autodiff import check_grads
from mcgc.errors import InputError

LOGITS = np.array([[1.0, -2.0, 0.5], [300.0, 0.0, -300.0], [0.0, 0.0, 0.0]])
LABELS = np.array([2, 0, 1])


def test_mse_is_the_mean_of_squares(device):
    x, y = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    assert float(to_host(losses.mse(to_device(x, device), to_device(y, device)))) == pytest.approx(
        ((x - y) ** 2).mean()
    )
    check_grads(lambda x: losses.mse(x, to_device(y, device)), to_device(x, device))


def test_cross_entropy_is_minus_the_log_probability_of_the_label(device):
    logits, labels = to_device(LOGITS, device), to_device(LABELS, device)
    expected = np.mean([np.log(np.exp([1, -2, 0.5]).sum()) - 0.5, 0.0, np.log(3)])
    assert float(to_host(losses.cross_entropy(logits, labels))) == pytest.approx(expected, rel=1e-14)
    check_grads(lambda logits: losses.cross_entropy(logits, labels), logits)


def test_losses_keep_float32():
    logits = LOGITS.astype(np.float32)
    assert losses.cross_entropy(logits, LABELS.astype(np.uint8)).dtype == np.float32
    assert losses.mse(logits, logits).dtype == np.float32


def test_shapes_that_do_not_fit_are_one_sentence():
    with pytest.raises(InputError, match="one shape"):
        losses.mse(np.ones((2, 3)), np.ones(3))
    with pytest.raises(InputError, match="labels"):
        losses.cross_entropy(LOGITS, LABELS[:2])
