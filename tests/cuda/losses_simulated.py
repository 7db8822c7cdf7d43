"""The kernel of the cross-entropy in Numba's simulator: `test_cuda.py` runs this beside `simulated.py`."""

import numpy as np
import pytest
from numba import config, cuda

from mcgc.kernels import cpu_losses
from mcgc.kernels import cuda as kernels
from mcgc.kernels.cuda_losses import BODY, cross_entropy

CLASSES = 5


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    assert config.ENABLE_CUDASIM
    launch = lambda kernel, blocks, *arguments: cuda.jit(kernel)[blocks, kernels.THREADS](*arguments)
    monkeypatch.setattr(kernels, "THREADS", 4)
    monkeypatch.setattr(kernels, "_launch", launch)
    monkeypatch.setattr(kernels, "empty", lambda shape, like: np.full(shape, np.nan, like.dtype))


def given(members, rows, dtype):
    """Return logits, some of them infinite or not a number, and labels, some of which are no class."""
    rng = np.random.default_rng(rows)
    logits = 3 * rng.normal(size=(members, rows, CLASSES)).astype(dtype)
    logits[0, 0, 1], logits[-1, -1] = np.inf, -np.inf
    logits[0, rows // 2, 2] = np.nan
    return logits, rng.integers(-1, CLASSES + 1, (members, rows)).astype(np.int16)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("of_softmax", [False, True])
@pytest.mark.parametrize("rows", [1, 4, 9])
def test_losses_and_gradients_are_those_of_the_cpu_for_each_member(rows, of_softmax, dtype):
    logits, labels = given(2, rows, dtype)
    found, slopes = cross_entropy(logits, labels, of_softmax, 1)
    shared, _ = cross_entropy(logits, labels[0], of_softmax, 1)
    for i in range(2):
        right, slope = cpu_losses.cross_entropy(logits[i], labels[i], of_softmax)
        unit = 16 * np.finfo(dtype).eps
        np.testing.assert_allclose(found[i], right, rtol=unit)
        np.testing.assert_allclose(slopes[i], slope, rtol=unit, atol=unit)
        alone, slope = cross_entropy(logits[i], labels[i], of_softmax, 0)
        assert alone.shape == ()
        np.testing.assert_array_equal(alone, found[i])
        np.testing.assert_array_equal(slope, slopes[i])
        np.testing.assert_array_equal(cross_entropy(logits[i], labels[0], of_softmax, 0)[0], shared[i])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_cotangent_of_each_member_scales_its_gradient():
    logits, labels = given(3, 4, np.float64)
    _, slopes = BODY.forward(logits, labels, False, 1)
    bars, none = BODY.vjp(slopes, [0], np.array([1.0, 2.0, -1.0]))
    assert none is None
    np.testing.assert_array_equal(bars, slopes * np.array([1.0, 2.0, -1.0])[:, None, None])
