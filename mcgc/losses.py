"""Losses: scalar functions of a prediction and a target, averaged over everything else; and the accuracy.

The first `members` axes of a prediction are those of an ensemble: each of its members has a loss of its own. The target
has them too, or is one for all. A prediction of integers counts as float64. A target of integers is cast to the dtype
of the prediction.
"""

import math

from mcgc.arrays import Array, device_of, is_dtype, is_host, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.autodiff.extend import fused
from mcgc.autodiff.ops.rows import real, refuse_complex
from mcgc.errors import InputError
from mcgc.kernels import Kernel


def mse(prediction: Array, target: Array, members: int = 0) -> Array:
    """Return the mean squared error, the mean over all elements of (prediction − target)².

    Both have the same shape. Raises `InputError` if they do not.
    """
    return _mean(ops.square(_residual("mse", prediction, target, members)), members)


def mae(prediction: Array, target: Array, members: int = 0) -> Array:
    """Return the mean absolute error, the mean over all elements of |prediction − target|, with derivative 0 at 0.

    Both have the same shape. Raises `InputError` if they do not.
    """
    return _mean(abs(_residual("mae", prediction, target, members)), members)


def huber(prediction: Array, target: Array, delta: float = 1.0, members: int = 0) -> Array:
    """Return the mean over all elements r = prediction − target of ½ r² where |r| ≤ δ, else δ (|r| − ½ δ) (Huber 1964).

    Both have the same shape; `delta` is δ. Raises `InputError` if the shapes differ or δ is not a positive number.
    """
    if not 0 < delta < math.inf:
        raise InputError(f"huber needs a positive number delta, got {delta}")
    residual = _residual("huber", prediction, target, members)
    near = ops.minimum(ops.maximum(residual, -delta), delta)
    return _mean(near * (residual - near / 2), members)


def _mean(x: Array, members: int) -> Array:
    """Return the mean over all but the first axes."""
    return ops.mean(x, axis=tuple(range(members, x.ndim)) if members else None)


def _residual(name: str, prediction: Array, target: Array, members: int) -> Array:
    if target.shape not in (prediction.shape, prediction.shape[members:]):
        raise InputError(f"{name} compares arrays of one shape, got {prediction.shape} and {target.shape}")
    refuse_complex(name, target)
    prediction = real(name, prediction)
    if not is_dtype(namespace_of(strip(target)), target.dtype, "real floating"):
        target = ops.astype(target, prediction.dtype)
    return prediction - target


def cross_entropy(logits: Array, labels: Array, members: int = 0) -> Array:
    """Return the mean over rows of −log softmax(z)[y] = log Σⱼ exp zⱼ − z_y, for logits z and the label y.

    `logits` has shape (..., classes) and `labels`, integers in [0, classes), the shape (...). That labels are in this
    range is not looked at, for they stay on their device.

    A label that is no class has no loss and no gradient. Where logits are infinite, the softmax is the limit for equal
    ones: those equal to the largest share it equally.

    Raises `InputError` if the shapes do not fit, the labels are not integers, or the logits are not floats.
    """
    _check_labels(logits, labels, members)
    return _cross_entropy(logits, labels, of_softmax=False, members=members)


def cross_entropy_of_softmax(logits: Array, labels: Array, members: int = 0) -> Array:
    """Return cross_entropy(softmax(z), y): a softmax's output taken as if it were logits, as in the paper's figure 5.

    A row's loss lies between log(1 + (classes − 1)/e) and log(e + classes − 1).
    Arguments and errors are those of `cross_entropy`.
    """
    _check_labels(logits, labels, members)
    return _cross_entropy(logits, labels, of_softmax=True, members=members)


def _definition(logits: Array, labels: Array, of_softmax: bool, members: int) -> Array:
    scores = ops.log_softmax(ops.softmax(logits) if of_softmax else logits)
    return -_mean(ops.sum(ops.where(_one_hot(labels, logits.shape[-1]), scores, 0), axis=-1), members)


def _one_hot(labels: Array, classes: int) -> Array:
    """Return whether a label is each class, (..., classes), whatever integers the labels are of."""
    xp = namespace_of(labels)
    return xp.astype(labels, xp.int64)[..., None] == xp.arange(classes, dtype=xp.int64, device=device_of(labels))


def _fits(logits: Array, labels: Array, of_softmax: bool, members: int) -> bool:
    fits = (logits.ndim, members) == (2, 0) and logits.shape[1] > 0
    return fits and is_host(labels) and labels.dtype.isnative


_kernel = Kernel(_definition, _fits, cpu="mcgc.kernels.cpu_losses:BODY")
_cross_entropy = fused(_definition, _kernel.body)


def accuracy(logits: Array, labels: Array, members: int = 0) -> Array:
    """Return the share of rows whose largest logit is that of the label, a 0-dimensional constant on the device.

    It has the dtype of `logits`; equal logits count for the first. Arguments and errors are those of `cross_entropy`.
    """
    _check_labels(logits, labels, members)
    logits = strip(logits)
    xp = namespace_of(logits)
    found = xp.argmax(logits, axis=-1)
    right = xp.astype(found == xp.astype(labels, found.dtype), logits.dtype)
    return xp.mean(right, axis=tuple(range(members, right.ndim)))


def confusion(logits: Array, labels: Array) -> Array:
    """Return how many rows of class k are named j, c_kj, (classes, classes), a constant on the device.

    It has the dtype of `logits`, (rows, classes), and `labels` is (rows,); equal logits count for the first, and a
    label that is no class counts nowhere. Errors are those of `cross_entropy`.
    """
    _check_labels(logits, labels, 0)
    logits = strip(logits)
    xp = namespace_of(logits)
    true, named = (
        xp.astype(_one_hot(found, logits.shape[-1]), logits.dtype) for found in (labels, xp.argmax(logits, axis=-1))
    )
    return xp.matmul(xp.permute_dims(true, (1, 0)), named)


def _check_labels(logits: Array, labels: Array, members: int) -> None:
    if labels.shape not in (logits.shape[:-1], logits.shape[members:-1]):
        raise InputError(f"logits of shape {logits.shape} need labels of shape {logits.shape[:-1]}, got {labels.shape}")
    if not is_dtype(namespace_of(labels), labels.dtype, "integral"):
        raise InputError(f"labels are integers, got {labels.dtype}: convert them")
    if not is_dtype(namespace_of(strip(logits)), logits.dtype, "real floating"):
        raise InputError(f"logits are floats, got {logits.dtype}: convert them")
