"""Losses: scalar functions of a prediction and a target, averaged over everything else; and the accuracy.

The first `members` axes of a prediction are those of an ensemble: each of its members has a loss of its own. The target
has them too, or is one for all. A prediction of integers counts as float64. A target of integers is cast to the dtype
of the prediction.
"""

import math
from collections.abc import Sequence

from mcgc.arrays import Array, device_of, is_dtype, is_float, is_host, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.engine import strip
from mcgc.autodiff.extend import fused
from mcgc.autodiff.ops.rows import real, refuse_complex
from mcgc.errors import InputError
from mcgc.kernels import Body, Kernel


def mse(prediction: Array, target: Array, members: int = 0) -> Array:
    """Return the mean squared error, the mean over all elements of (prediction − target)². Differentiable in both.

    Parameters
    ----------
    prediction : array
        The prediction, of any shape, in float32 or float64. Integers count as float64.
    target : array
        The target, of the shape of `prediction`. With members it may lack their axes, and is then one for all. Integers
        are cast to the dtype of the prediction.
    members : int
        How many of the first axes of `prediction` are those of members, 0 by default.

    Returns
    -------
    array of shape (), or of the first `members` axes
        The mean, or that of each member, in the dtype of the difference.

    Raises
    ------
    InputError
        If the shapes differ, or an array is complex.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import losses
    >>> float(losses.mse(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    prediction, target = _alike("mse", prediction, target, members)
    return _mean_square(prediction, target, members=members)


def _square_definition(prediction: Array, target: Array, members: int) -> Array:
    return _mean(ops.square(prediction - target), members)


def _square_forward(prediction: Array, target: Array, members: int) -> tuple[Array, Array]:
    residual = prediction - target
    return ops.mean(residual * residual), residual


def _square_vjp(residual: Array, indices: Sequence[int], cotangent: Array) -> tuple[Array, Array]:
    bar = residual * (2 * cotangent / residual.size)
    return bar, -bar


_square_body = Body(_square_forward, _square_vjp)  # one operation on the tape instead of three
_mean_square = fused(
    _square_definition, lambda x, y, members: None if members or x.shape != y.shape or not x.ndim else _square_body
)


def mae(prediction: Array, target: Array, members: int = 0) -> Array:
    """Return the mean absolute error, the mean over all elements of |prediction − target|. Differentiable in both.

    The derivative of the absolute value at 0 is 0.

    Parameters
    ----------
    prediction : array
        The prediction, of any shape, in float32 or float64. Integers count as float64.
    target : array
        The target, as for `mse`.
    members : int
        How many of the first axes of `prediction` are those of members, 0 by default.

    Returns
    -------
    array of shape (), or of the first `members` axes
        The mean, or that of each member, in the dtype of the difference.

    Raises
    ------
    InputError
        If the shapes differ, or an array is complex.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import losses
    >>> float(losses.mae(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    1.0
    """
    return _mean(abs(_residual("mae", prediction, target, members)), members)


def huber(prediction: Array, target: Array, delta: float = 1.0, members: int = 0) -> Array:
    """Return the Huber loss, the mean over all elements of ½ r² where |r| ≤ δ, else δ (|r| − ½ δ).

    Here r = prediction − target. Differentiable in both.

    Parameters
    ----------
    prediction : array
        The prediction, of any shape, in float32 or float64. Integers count as float64.
    target : array
        The target, as for `mse`.
    delta : float
        The positive number δ, in units of the prediction, 1 by default.
    members : int
        How many of the first axes of `prediction` are those of members, 0 by default.

    Returns
    -------
    array of shape (), or of the first `members` axes
        The mean, or that of each member, in the dtype of the difference.

    Raises
    ------
    InputError
        If the shapes differ, an array is complex, or δ is not a positive number.

    References
    ----------
    Huber 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import losses
    >>> float(losses.huber(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    0.75
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
    prediction, target = _alike(name, prediction, target, members)
    return prediction - target


def _alike(name: str, prediction: Array, target: Array, members: int) -> tuple[Array, Array]:
    """Return both as floats of one kind. Raises `InputError` if they cannot be compared."""
    if target.shape not in (prediction.shape, prediction.shape[members:]):
        raise InputError(f"{name} compares arrays of one shape, got {prediction.shape} and {target.shape}")
    refuse_complex(name, target)
    prediction = real(name, prediction)
    if not is_dtype(namespace_of(strip(target)), target.dtype, "real floating"):
        target = ops.astype(target, prediction.dtype)
    return prediction, target


def cross_entropy(logits: Array, labels: Array, members: int = 0) -> Array:
    """Return the cross-entropy, the mean over rows of −log softmax(z)[y] = log Σⱼ exp zⱼ − z_y.

    Here z are the logits of a row and y is its label. Differentiable in the logits.

    Parameters
    ----------
    logits : array of shape (..., classes)
        The logits z, in float32 or float64.
    labels : array of shape (...)
        The labels y, integers in [0, classes) of any dtype. With members they may lack their axes, and are then those
        of all.
    members : int
        How many of the first axes of `logits` are those of members, 0 by default.

    Returns
    -------
    array of shape (), or of the first `members` axes
        The mean, or that of each member, in the dtype of the logits.

    Raises
    ------
    InputError
        If the shapes do not fit, the labels are not integers, or the logits are not floats.

    Notes
    -----
    Labels stay on their device, so their range is not checked. A label that is no class has no loss and no gradient.
    Where logits are infinite, the softmax is the limit for equal ones: those equal to the largest share it equally.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import losses
    >>> round(float(losses.cross_entropy(np.zeros((3, 10)), np.array([0, 5, 9]))), 4)  # log 10
    2.3026
    """
    _check_labels(logits, labels, members)
    return _cross_entropy(logits, labels, of_softmax=False, members=members)


def cross_entropy_of_softmax(logits: Array, labels: Array, members: int = 0) -> Array:
    """Return cross_entropy(softmax(z), y): the output of a softmax is taken as if it were logits.

    A row's loss lies between log(1 + (classes − 1)/e) and log(e + classes − 1). Differentiable in the logits.

    Parameters
    ----------
    logits : array of shape (..., classes)
        The logits z, in float32 or float64.
    labels : array of shape (...)
        The labels y, as for `cross_entropy`.
    members : int
        How many of the first axes of `logits` are those of members, 0 by default.

    Returns
    -------
    array of shape (), or of the first `members` axes
        The mean, or that of each member, in the dtype of the logits.

    Raises
    ------
    InputError
        As `cross_entropy` does.

    References
    ----------
    Ilersich and Nair (2024), Deep learning with Gaussian continuation, figure 5.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import losses
    >>> round(float(losses.cross_entropy_of_softmax(np.array([[100.0, 0.0]]), np.array([0]))), 4)  # log(1 + 1/e)
    0.3133
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
    if is_host(logits) != is_host(labels) or 0 in logits.shape[-2:]:
        return False
    if is_host(logits):
        return (logits.ndim, members) == (2, 0) and labels.dtype.isnative
    return (logits.ndim, members) in ((2, 0), (3, 1)) and logits.size > 0


_kernel = Kernel(_definition, _fits, cpu="mcgc.kernels.cpu_losses:BODY", cuda="mcgc.kernels.cuda_losses:BODY")
_cross_entropy = fused(_definition, _kernel.body)


def accuracy(logits: Array, labels: Array, members: int = 0) -> Array:
    """Return the fraction of rows whose largest logit is that of the label. It is a constant for derivatives.

    Parameters
    ----------
    logits : array of shape (..., classes)
        The logits, in float32 or float64. Among equal ones the first counts as the largest.
    labels : array of shape (...)
        The labels, as for `cross_entropy`.
    members : int
        How many of the first axes of `logits` are those of members, 0 by default.

    Returns
    -------
    array of shape (), or of the first `members` axes
        The fraction, or that of each member, in the dtype and on the device of the logits.

    Raises
    ------
    InputError
        As `cross_entropy` does.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import losses
    >>> float(losses.accuracy(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 0])))
    0.5
    """
    _check_labels(logits, labels, members)
    logits = strip(logits)
    xp = namespace_of(logits)
    found = xp.argmax(logits, axis=-1)
    right = xp.astype(found == xp.astype(labels, found.dtype), logits.dtype)
    return xp.mean(right, axis=tuple(range(members, right.ndim)))


def confusion(logits: Array, labels: Array) -> Array:
    """Return the confusion matrix: c_kj is the number of rows of class k whose largest logit is that of class j.

    It is a constant for derivatives.

    Parameters
    ----------
    logits : array of shape (rows, classes)
        The logits, in float32 or float64. Among equal ones the first counts as the largest.
    labels : array of shape (rows,)
        The labels, integers in [0, classes) of any dtype. A label that is no class counts nowhere.

    Returns
    -------
    array of shape (classes, classes)
        The counts, in the dtype and on the device of the logits.

    Raises
    ------
    InputError
        As `cross_entropy` does.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import losses
    >>> losses.confusion(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 0]))
    array([[1., 1.],
           [0., 0.]])
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
    if not (is_float(logits) or is_dtype(namespace_of(strip(logits)), logits.dtype, "real floating")):
        raise InputError(f"logits are floats, got {logits.dtype}: convert them")
