"""Losses: scalar functions of a prediction and a target, averaged over everything else."""

from mcgc.arrays import Array, device_of, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.errors import InputError


def mse(prediction: Array, target: Array) -> Array:
    """Return the mean squared error, the mean over all elements of (prediction − target)².

    Both have the same shape. Raises `InputError` if they do not.
    """
    if prediction.shape != target.shape:
        raise InputError(f"mse compares arrays of one shape, got {prediction.shape} and {target.shape}")
    return ops.mean(ops.square(prediction - target))


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Return the mean over rows of −log softmax(logits)[label].

    `logits` has shape (..., classes) and `labels`, integers in [0, classes), the shape (...). Raises `InputError` if
    the shapes do not fit.
    """
    if logits.shape[:-1] != labels.shape:
        raise InputError(f"logits of shape {logits.shape} need labels of shape {logits.shape[:-1]}, got {labels.shape}")
    xp = namespace_of(labels)
    classes = xp.arange(logits.shape[-1], dtype=labels.dtype, device=device_of(labels))
    chosen = xp.astype(labels[..., None] == classes, strip(logits).dtype)
    return -ops.sum(chosen * ops.log_softmax(logits)) / max(1, labels.size)
