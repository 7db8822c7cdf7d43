"""The cross-entropy of logits on CuPy arrays, with its gradient, in two launches.

The meanings are `mcgc.losses.cross_entropy` and `mcgc.losses.cross_entropy_of_softmax`. A thread has a row, and sums
over its classes from first to last. The losses of a member's rows are then added up in fixed order.
"""

import math
from collections.abc import Sequence

import numpy as np
from numba import cuda
from numba.cuda.extending import register_jitable

from mcgc.arrays import Array
from mcgc.kernels import cuda as kernels
from mcgc.kernels._dispatch import Body


@register_jitable
def _power(z, top):
    """Return exp(z − top); infinities share as a limit."""
    if math.isinf(top):
        return type(z)(1) if z == top else type(z)(0)
    return type(z)(math.exp(z - top))


@register_jitable
def _top_and_total(z, at, classes):
    """Return the largest z, and Σ exp(z − that)."""
    top, total = z[at], type(z[at])(0)
    for j in range(1, classes):
        top = max(top, z[at + j])
    for j in range(classes):
        total += _power(z[at + j], top)
    return top, total


@register_jitable
def _loss(z, at, label, top, total):
    below = top - z[at + label] if z[at + label] != top else type(top)(0)
    return type(top)(math.log(total)) + below


@register_jitable
def _row(slope, z, at, label, classes, rows):
    """Return the loss of a row of logits, and write its gradient over `rows` to `slope`."""
    top, total = _top_and_total(z, at, classes)
    for j in range(classes):
        q = _power(z[at + j], top) / total
        slope[at + j] = (q - (type(q)(1) if j == label else type(q)(0))) / rows
    return _loss(z, at, label, top, total)


@register_jitable
def _row_of_softmax(slope, z, at, label, classes, rows):
    """Do the same for the softmax of the row, which `slope` holds meanwhile."""
    top, total = _top_and_total(z, at, classes)
    for j in range(classes):
        slope[at + j] = _power(z[at + j], top) / total
    top_s, total_s = _top_and_total(slope, at, classes)
    loss, inner = _loss(slope, at, label, top_s, total_s), type(top)(0)
    for j in range(classes):
        q = _power(slope[at + j], top_s) / total_s - (type(top)(1) if j == label else type(top)(0))
        inner += q * slope[at + j]
    for j in range(classes):
        s = slope[at + j]
        q = _power(s, top_s) / total_s - (type(top)(1) if j == label else type(top)(0))
        slope[at + j] = s * (q - inner) / rows
    return loss


def _cross_entropy(losses, slope, logits, labels, length, rows, classes, label_step, of_softmax):
    """Compute the loss of each row over `rows`; what is no class has none. Members are `label_step` labels apart."""
    r = np.int64(cuda.blockIdx.x) * np.int64(kernels.THREADS) + np.int64(cuda.threadIdx.x)
    if r < length:
        at, label = r * classes, np.int64(labels[r // rows * label_step + r % rows])
        loss = type(logits[at])(0)
        count = type(loss)(rows)
        if label < 0 or label >= classes:
            for j in range(classes):
                slope[at + j] = 0
        elif of_softmax != 0:
            loss = _row_of_softmax(slope, logits, at, label, classes, count) / count
        else:
            loss = _row(slope, logits, at, label, classes, count) / count
        losses[r] = loss


def cross_entropy(logits: Array, labels: Array, of_softmax: bool, members: int) -> tuple[Array, Array]:
    """Return the loss of `logits` (rows, classes), or of each member's, and its gradient in their shape.

    `labels` are (rows,), or (members, rows).
    """
    rows, classes = logits.shape[-2:]
    head, length = logits.shape[:-2], logits.size // classes
    of_rows, slope = kernels.empty((length,), logits), kernels.empty(logits.shape, logits)
    losses = kernels.empty((length // rows,), logits)
    arrays, step = (of_rows, slope.ravel(), logits.ravel(), labels.ravel()), rows if labels.ndim > 1 else 0
    blocks = -(-length // kernels.THREADS)
    kernels._launch(_cross_entropy, blocks, *arrays, length, rows, classes, step, int(of_softmax))
    kernels._launch(kernels._total, losses.size, losses, of_rows, rows)
    return losses.reshape(head), slope


def _vjp(slope: Array, indices: Sequence[int], cotangent: Array) -> tuple[Array, None]:
    return cotangent[..., None, None] * slope, None


BODY = Body(cross_entropy, _vjp)
