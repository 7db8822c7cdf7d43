"""The cross-entropy of logits in one pass over them, with its gradient, compiled for NumPy arrays.

The meanings are `mcgc.losses.cross_entropy` and `mcgc.losses.cross_entropy_of_softmax`. Sums run over the classes from
first to last, and over the rows in float64.
"""

import math
from collections.abc import Sequence

import numpy as np

from mcgc.arrays import is_float
from mcgc.errors import InputError
from mcgc.kernels import buffers
from mcgc.kernels._dispatch import Body
from mcgc.kernels.compiled import compiled, laid_out


@compiled(error_model="numpy")
def _softmax(out, z):
    """Write softmax(z) to `out`, and return the largest z, and log Σ exp z minus that; infinities share as a limit."""
    top = z[0]
    for j in range(z.size):
        top = max(top, z[j])
    total = z.dtype.type(0)
    infinite = math.isinf(top)
    for j in range(z.size):
        out[j] = z.dtype.type(z[j] == top) if infinite else math.exp(z[j] - top)
        total += out[j]
    for j in range(z.size):
        out[j] /= total
    return top, math.log(total)


@compiled(error_model="numpy")
def _below(top, z, j):
    return top - z[j] if z[j] != top else z.dtype.type(0)


@compiled(error_model="numpy")
def _cross_entropy(slope, logits, labels, of_softmax):
    rows, classes = logits.shape
    s, q = np.empty(classes, logits.dtype), np.empty(classes, logits.dtype)
    sum_ = 0.0
    for i in range(rows):
        label, bar = np.int64(labels[i]), slope[i]
        known = 0 <= label < classes  # what is no class has no loss
        if of_softmax:
            _softmax(s, logits[i])
            top, log_total = _softmax(q, s)
            if known:
                sum_ += log_total + _below(top, s, label)
                q[label] -= q.dtype.type(1)
            inner = q.dtype.type(0)
            for j in range(classes):
                inner += q[j] * s[j]
            for j in range(classes):
                bar[j] = s[j] * (q[j] - inner) / rows if known else 0
        else:
            top, log_total = _softmax(q, logits[i])
            if known:
                sum_ += log_total + _below(top, logits[i], label)
                q[label] -= q.dtype.type(1)
            for j in range(classes):
                bar[j] = q[j] / rows if known else 0
    return sum_ / rows


def cross_entropy(logits: np.ndarray, labels: np.ndarray, of_softmax: bool) -> tuple[np.floating, np.ndarray]:
    """Return the loss of `logits` (rows, classes) for `labels` (rows,), and its gradient (rows, classes).

    Raises `InputError` if the shapes do not fit, there is no class, or the dtypes are not a float and an integer.
    """
    if logits.ndim != 2 or logits.shape[1] == 0 or labels.shape != logits.shape[:1]:
        raise InputError(f"logits (rows, classes) need labels (rows,), got shapes {logits.shape} and {labels.shape}")
    if not is_float(logits) or labels.dtype.kind not in "iu" or not labels.dtype.isnative:
        raise InputError(f"logits are float32 or float64 and labels integers, got {logits.dtype} and {labels.dtype}")
    slope = buffers.empty(logits.size, logits.dtype).reshape(logits.shape)
    loss = _cross_entropy(slope, laid_out(logits), laid_out(labels), of_softmax)
    return logits.dtype.type(loss), slope


def _forward(logits: np.ndarray, labels: np.ndarray, of_softmax: bool, members: int) -> tuple[np.floating, np.ndarray]:
    return cross_entropy(logits, labels, of_softmax)


def _vjp(slope: np.ndarray, indices: Sequence[int], cotangent: np.ndarray) -> tuple[np.ndarray, None]:
    return cotangent * slope, None


BODY = Body(_forward, _vjp)
