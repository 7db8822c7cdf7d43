"""Losses: scalar functions of a prediction and a target, averaged over everything else; and the accuracy."""

import math

from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.errors import InputError


def mse(prediction: Array, target: Array) -> Array:
    """Return the mean squared error, the mean over all elements of (prediction − target)².

    Both have the same shape. Raises `InputError` if they do not.
    """
    return ops.mean(ops.square(_residual("mse", prediction, target)))


def mae(prediction: Array, target: Array) -> Array:
    """Return the mean absolute error, the mean over all elements of |prediction − target|, with derivative 0 at 0.

    Both have the same shape. Raises `InputError` if they do not.
    """
    return ops.mean(abs(_residual("mae", prediction, target)))


def huber(prediction: Array, target: Array, delta: float = 1.0) -> Array:
    """Return the mean over all elements r = prediction − target of ½ r² where |r| ≤ δ, else δ (|r| − ½ δ) (Huber 1964).

    Both have the same shape; `delta` is δ. Raises `InputError` if the shapes differ or δ is not a positive number.
    """
    if not 0 < delta < math.inf:
        raise InputError(f"huber needs a positive number delta, got {delta}")
    residual = _residual("huber", prediction, target)
    near = ops.minimum(ops.maximum(residual, -delta), delta)
    return ops.mean(near * (residual - near / 2))


def _residual(name: str, prediction: Array, target: Array) -> Array:
    if prediction.shape != target.shape:
        raise InputError(f"{name} compares arrays of one shape, got {prediction.shape} and {target.shape}")
    return prediction - target


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Return the mean over rows of −log softmax(z)[y] = log Σⱼ exp zⱼ − z_y, for logits z and the label y.

    `logits` has shape (..., classes) and `labels`, integers in [0, classes), the shape (...). That labels are in this
    range is not looked at, for they stay on their device.

    Raises `InputError` if the shapes do not fit or the labels are not integers.
    """
    _check_labels(logits, labels)
    classes = namespace_of(labels).arange(logits.shape[-1], dtype=labels.dtype, device=device_of(labels))
    chosen = ops.where(labels[..., None] == classes, ops.log_softmax(logits), 0)
    return -ops.mean(ops.sum(chosen, axis=-1))


def cross_entropy_of_softmax(logits: Array, labels: Array) -> Array:
    """Return cross_entropy(softmax(z), y): a softmax's output taken as if it were logits, as in the paper's figure 5.

    A row's loss lies between log(1 + (classes − 1)/e) and log(e + classes − 1).
    Arguments and errors are those of `cross_entropy`.
    """
    return cross_entropy(ops.softmax(logits), labels)


def accuracy(logits: Array, labels: Array) -> Array:
    """Return the share of rows whose largest logit is that of the label, a 0-dimensional constant on the device.

    It has the dtype of `logits`; equal logits count for the first. Arguments and errors are those of `cross_entropy`.
    """
    _check_labels(logits, labels)
    logits = strip(logits)
    xp = namespace_of(logits)
    found = xp.argmax(logits, axis=-1)
    return xp.mean(xp.astype(found == xp.astype(labels, found.dtype), logits.dtype))


def confusion(logits: Array, labels: Array) -> Array:
    """Return how many rows of class k are named j, c_kj, (classes, classes), a constant on the device.

    It has the dtype of `logits`, (rows, classes), and `labels` is (rows,); equal logits count for the first, and a
    label that is no class counts nowhere. Errors are those of `cross_entropy`.
    """
    _check_labels(logits, labels)
    logits = strip(logits)
    xp = namespace_of(logits)
    classes = xp.arange(logits.shape[-1], dtype=xp.int64, device=device_of(logits))
    true, named = (
        xp.astype(xp.astype(found, xp.int64)[:, None] == classes, logits.dtype)
        for found in (labels, xp.argmax(logits, axis=-1))
    )
    return xp.matmul(xp.permute_dims(true, (1, 0)), named)


def _check_labels(logits: Array, labels: Array) -> None:
    if logits.shape[:-1] != labels.shape:
        raise InputError(f"logits of shape {logits.shape} need labels of shape {logits.shape[:-1]}, got {labels.shape}")
    if not namespace_of(labels).isdtype(labels.dtype, "integral"):
        raise InputError(f"labels are integers, got {labels.dtype}: convert them")
