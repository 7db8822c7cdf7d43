"""Losses against SciPy and their formulas, at ordinary values and where float32 ends."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.special

from mcgc import losses
from mcgc.arrays import HOST, to_device, to_host
from mcgc.autodiff import check_grads, ops, value_and_grad
from mcgc.errors import InputError
from mcgc.random import Key, normal

PREDICTION, TARGET = (3 * normal(Key(i), (4, 5), "float64") for i in (1, 2))
LOGITS = np.array([[1.0, -2.0, 0.5], [300.0, 0.0, -300.0], [0.0, 0.0, 0.0]])
LABELS = np.array([2, 0, 1])

OF_RESIDUALS = {
    "mse": (losses.mse, np.square),
    "mae": (losses.mae, np.abs),
    "huber": (losses.huber, lambda r: scipy.special.huber(1.0, r)),
    "huber, wide": (partial(losses.huber, delta=2.5), lambda r: scipy.special.huber(2.5, r)),
}

OF_LOGITS = {
    "cross_entropy": (losses.cross_entropy, lambda z: scipy.special.log_softmax(z, axis=-1)),
    "cross_entropy_of_softmax": (
        losses.cross_entropy_of_softmax,
        lambda z: scipy.special.log_softmax(scipy.special.softmax(z, axis=-1), axis=-1),
    ),
}


def expected_of(log_probabilities, labels):
    return -np.mean(np.take_along_axis(log_probabilities, labels[..., None], axis=-1))


@pytest.mark.parametrize("name", OF_RESIDUALS)
def test_losses_of_residuals_are_the_means_of_their_formulas(name, device):
    loss, formula = OF_RESIDUALS[name]
    prediction, target = (to_device(x, device) for x in (PREDICTION, TARGET))
    assert float(to_host(loss(prediction, target))) == pytest.approx(formula(PREDICTION - TARGET).mean(), rel=1e-14)
    check_grads(loss, prediction, target)


@pytest.mark.parametrize("name", OF_LOGITS)
@pytest.mark.parametrize("integers", ["uint8", "int64"])
@pytest.mark.parametrize("shape", [(), (7,), (2, 3)])
def test_losses_of_logits_are_minus_the_mean_log_probability_of_the_label(name, integers, shape, device):
    loss, log_probabilities = OF_LOGITS[name]
    z = 2 * normal(Key(3), (*shape, 5), "float64")
    labels = np.arange(math.prod(shape)).reshape(shape) * 3 % 5
    logits, classes = to_device(z, device), to_device(labels.astype(integers), device)
    assert float(to_host(loss(logits, classes))) == pytest.approx(expected_of(log_probabilities(z), labels), rel=1e-13)
    check_grads(lambda logits: loss(logits, classes), logits)


@pytest.mark.parametrize("name", OF_LOGITS)
@pytest.mark.parametrize("size", [1e-30, 100.0, 1e4, 1e30])
def test_losses_of_logits_are_right_at_extreme_logits_in_float32(name, size, device):
    loss, log_probabilities = OF_LOGITS[name]
    z = np.array([[size, -size, 0.0], [-size, size, size], [0.0, -size, size]], np.float32)
    for labels in (np.array([0, 1, 2]), np.array([1, 0, 0])):
        classes = to_device(labels, device)
        value, gradient = value_and_grad(lambda z, classes=classes: loss(z, classes))(to_device(z, device))
        expected = expected_of(log_probabilities(z.astype(float)), labels)
        assert value.dtype == device.namespace.float32
        assert float(to_host(value)) == pytest.approx(expected, rel=1e-6)
        if name == "cross_entropy":
            right = (scipy.special.softmax(z.astype(float), axis=-1) - np.eye(3)[labels]) / 3
            np.testing.assert_allclose(to_host(gradient), right, atol=1e-7)
        else:
            assert np.all(np.isfinite(to_host(gradient)))


def test_what_large_logits_have_in_common_is_not_rounded_off():
    z = np.array([[10_000.0, 10_001.0]], np.float32)
    assert losses.cross_entropy(z, np.array([1])) == pytest.approx(math.log1p(math.exp(-1)), rel=1e-6)


def test_a_class_that_is_ruled_out_takes_no_part():
    value, gradient = value_and_grad(losses.cross_entropy)(np.array([[1.0, -np.inf, 0.0]]), np.array([0]))
    without, part = value_and_grad(losses.cross_entropy)(np.array([[1.0, 0.0]]), np.array([0]))
    assert value == pytest.approx(without, rel=1e-15)
    np.testing.assert_allclose(gradient, [[part[0, 0], 0.0, part[0, 1]]], rtol=1e-14)


@pytest.mark.parametrize("members", [0, 1])
@pytest.mark.parametrize(
    ("logits", "label", "expected", "slope"),
    [
        ([np.inf, 0.0, -np.inf], 0, 0.0, [0, 0, 0]),
        ([np.inf, 0.0, np.inf], 2, math.log(2), [0.5, 0, -0.5]),
        ([np.inf, 0.0, 1.0], 1, np.inf, [1, -1, 0]),
        ([-np.inf, -np.inf, -np.inf], 1, math.log(3), [1 / 3, -2 / 3, 1 / 3]),
        ([np.nan, 0.0, 1.0], 1, np.nan, [np.nan] * 3),
    ],
)
def test_infinite_logits_have_the_loss_that_is_a_limit(logits, label, expected, slope, members, device):
    z, labels = np.array([logits])[(None,) * members], np.array([label])[(None,) * members]
    loss = lambda z: ops.sum(losses.cross_entropy(z, to_device(labels, device), members))
    value, gradient = value_and_grad(loss)(to_device(z, device))
    np.testing.assert_allclose(to_host(value), expected, rtol=1e-14)
    np.testing.assert_allclose(to_host(gradient), np.reshape(slope, z.shape), rtol=1e-14)


@pytest.mark.parametrize("name", OF_LOGITS)
def test_labels_of_another_byte_order_are_the_same_labels(name):
    loss, _ = OF_LOGITS[name]
    logits, labels = normal(Key(3), (4, 5), "float64"), np.array([2, 4, 0, 1])
    assert loss(logits, labels.astype(">i4")) == pytest.approx(float(loss(logits, labels)), rel=1e-14)


@pytest.mark.parametrize("name", OF_LOGITS)
def test_a_label_that_is_no_class_has_no_loss_and_no_gradient(name, device):
    loss, _ = OF_LOGITS[name]
    logits, labels = 2 * normal(Key(3), (4, 5), "float64"), np.array([2, 5, 0, -1])
    value, gradient = value_and_grad(lambda z: loss(z, to_device(labels, device)))(to_device(logits, device))
    known, part = value_and_grad(lambda z: loss(z, labels[::2]))(logits[::2, :])
    assert float(to_host(value)) == pytest.approx(known / 2, rel=1e-14)
    np.testing.assert_allclose(to_host(gradient)[::2], part / 2, rtol=1e-13)
    assert not to_host(gradient)[1::2].any()


@pytest.mark.parametrize("name", OF_LOGITS)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint64"])
@pytest.mark.parametrize("members", [0, 1])
def test_more_classes_than_the_dtype_of_labels_counts_are_told_apart(name, dtype, members, device):
    loss, log_probabilities = OF_LOGITS[name]
    z, labels = 2 * normal(Key(3), (2, 3, 300), "float64"), np.array([[0, 44, 127], [1, 5, 44]])
    if not members:
        z, labels = z[0], labels[0]
    logits, small = to_device(z, device), to_device(labels.astype(dtype), device)
    found, gradient = value_and_grad(lambda z: ops.sum(loss(z, small, members)))(logits)
    wide, expected = value_and_grad(lambda z: ops.sum(loss(z, to_device(labels, device), members)))(logits)
    assert float(to_host(found)) == float(to_host(wide))
    assert float(to_host(found)) == pytest.approx((1 + members) * expected_of(log_probabilities(z), labels), rel=1e-13)
    np.testing.assert_array_equal(to_host(gradient), to_host(expected))
    np.testing.assert_array_equal(
        to_host(losses.accuracy(logits, small, members)),
        to_host(losses.accuracy(logits, to_device(labels, device), members)),
    )
    if not members:
        assert to_host(losses.confusion(logits, small)).sum(axis=1).nonzero()[0].tolist() == [0, 44, 127]


@pytest.mark.parametrize("name", OF_RESIDUALS)
def test_residuals_of_integers_neither_wrap_around_nor_widen_the_loss(name, device):
    loss, formula = OF_RESIDUALS[name]
    prediction, target = np.array([3, 250, 7]), np.array([250, 3, 7])
    expected = formula((prediction - target).astype(float)).mean()
    for left, right, dtype in (
        *(("uint8", "uint8", "float64"), ("float32", "uint8", "float32"), ("float32", "int64", "float32")),
        *(("int64", "float64", "float64"), ("float64", "uint8", "float64")),
    ):
        found = loss(to_device(prediction, device, left), to_device(target, device, right))
        assert found.dtype == getattr(device.namespace, dtype)
        assert float(to_host(found)) == pytest.approx(expected, rel=1e-6)


def test_the_cross_entropy_of_a_softmax_has_its_bounds():
    z, labels = np.array([[500.0, 0.0, 0.0]]), np.array([0])
    assert losses.cross_entropy_of_softmax(z, labels) == pytest.approx(math.log1p(2 / math.e), rel=1e-14)
    assert losses.cross_entropy_of_softmax(z, labels + 1) == pytest.approx(math.log(math.e + 2), rel=1e-14)


def test_accuracy_is_the_share_of_rows_whose_largest_logit_is_the_label_s(device):
    logits = to_device(
        np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.5], [1.0, 1.0, 0.0]]), device, "float32"
    )
    for integers in ("uint8", "int64"):
        share = losses.accuracy(logits, to_device(np.array([1, 2, 2, 0], integers), device))
        assert share.dtype == device.namespace.float32
        assert float(to_host(share)) == 0.75


def test_confusion_counts_each_row_by_its_label_and_the_class_it_is_named(device):
    rng = np.random.default_rng(4)
    logits, labels = rng.integers(0, 3, size=(200, 5)).astype("float32"), rng.integers(0, 4, size=200)
    expected = np.zeros((5, 5))
    for row, label in zip(logits, labels, strict=True):
        expected[label, row.argmax()] += 1
    for integers in ("uint8", "int64"):
        counts = losses.confusion(to_device(logits, device), to_device(labels.astype(integers), device))
        assert counts.dtype == device.namespace.float32
        np.testing.assert_array_equal(to_host(counts), expected)
    with pytest.raises(InputError, match="labels are integers"):
        losses.confusion(logits, logits[:, 0])


def test_accuracy_may_be_taken_inside_a_derivative():
    def loss(logits):
        return losses.cross_entropy(logits, LABELS), losses.accuracy(logits, LABELS)

    (_, share), _ = value_and_grad(loss, has_aux=True)(LOGITS)
    assert share == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", OF_RESIDUALS)
def test_losses_of_residuals_keep_float32(name):
    prediction, target = (to_device(x, HOST, "float32") for x in (PREDICTION, TARGET))
    value, gradient = value_and_grad(OF_RESIDUALS[name][0])(prediction, target)
    assert value.dtype == gradient.dtype == np.float32
    assert value == pytest.approx(OF_RESIDUALS[name][1](PREDICTION - TARGET).mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: losses.mse(np.ones((2, 3)), np.ones(3)), "mse compares arrays of one shape"),
        (lambda: losses.mae(np.ones(2), np.ones(3)), "mae compares arrays of one shape"),
        (lambda: losses.huber(np.ones(2), np.ones(3)), "huber compares arrays of one shape"),
        (lambda: losses.huber(np.ones(3), np.ones(3), 0.0), "positive number delta"),
        (lambda: losses.cross_entropy(LOGITS, LABELS[:2]), "need labels of shape"),
        (lambda: losses.cross_entropy_of_softmax(LOGITS, LABELS[:2]), "need labels of shape"),
        (lambda: losses.accuracy(LOGITS, LABELS[:2]), "need labels of shape"),
        (lambda: losses.cross_entropy(LOGITS, LABELS / 2), "labels are integers"),
        (lambda: losses.cross_entropy(LOGITS, LABELS > 1), "labels are integers"),
        (lambda: losses.cross_entropy(LOGITS.astype(int), LABELS), "logits are floats, got int64"),
        (lambda: losses.confusion(LOGITS.astype("int8"), LABELS), "logits are floats, got int8"),
        (lambda: losses.accuracy(LOGITS + 1j, LABELS), "logits are floats, got complex128"),
        (lambda: losses.mse(TARGET + 1j, TARGET), "mse takes real numbers"),
        (lambda: losses.mae(TARGET, TARGET * 1j), "mae takes real numbers"),
        (lambda: losses.mse(TARGET[:0], TARGET[:0]), "mean over all axes .* takes 0 numbers"),
    ],
)
def test_what_does_not_fit_is_one_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", [*OF_RESIDUALS, *OF_LOGITS, "accuracy"])
def test_members_have_the_losses_that_each_has_alone(name, shared, device):
    loss = {**OF_RESIDUALS, **OF_LOGITS, "accuracy": (losses.accuracy,)}[name][0]
    prediction = to_device(normal(Key(7), (2, 4, 5), "float64"), device)
    if name in OF_RESIDUALS:
        target = normal(Key(8), (4, 5) if shared else (2, 4, 5), "float64")
    else:
        target = np.arange(4 if shared else 8).reshape((4,) if shared else (2, 4)) % 5
    target = to_device(target, device)
    found = to_host(loss(prediction, target, members=1))
    for i in range(2):
        alone = loss(prediction[i, ...], target if shared else target[i, ...])
        np.testing.assert_allclose(found[i], to_host(alone), rtol=1e-14)


@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy_of_softmax"])
def test_classes_of_vanishing_probability_have_no_subnormal_gradient(name):
    logits = np.asarray([[0, -50, -86, -90, -100, -200], [-120, 0, -87, -3, -89, -400]], np.float32)
    labels = np.asarray([0, 3])
    (loss, slope), (exact, wide) = (
        value_and_grad(getattr(losses, name))(logits.astype(dtype), labels) for dtype in ("float32", "float64")
    )
    np.testing.assert_allclose(loss, exact, rtol=1e-6)
    np.testing.assert_allclose(slope, wide, rtol=2e-6, atol=float(np.finfo(np.float32).smallest_normal))
    assert not np.any((slope != 0) & (np.abs(slope) < np.finfo(np.float32).smallest_normal))
