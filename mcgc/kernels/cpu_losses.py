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
from mcgc.kernels.cpu_exp import exp

WIDE = 64  # rows that are computed side by side, in the lanes of vectors


@compiled(error_model="numpy")
def _softmax(out, z):
    """Write softmax(z) to `out`, and return the largest z, and log Σ exp z minus that; infinities share as a limit."""
    top = z[0]
    for j in range(z.size):
        top = max(top, z[j])
    total = z.dtype.type(0)
    infinite = math.isinf(top)
    for j in range(z.size):
        out[j] = z.dtype.type(z[j] == top) if infinite else exp(z[j] - top)
        total += out[j]
    for j in range(z.size):
        out[j] /= total
    return top, math.log(total)


@compiled(error_model="numpy")
def _softmax_of_columns(out, z, top, total):
    """Write the softmax of each column of z, which is finite, to `out`, its largest number to `top`, and Σ exp."""
    top[:], total[:] = z[0], 0
    for j in range(1, z.shape[0]):
        row = z[j]
        for w in range(WIDE):
            top[w] = max(top[w], row[w])
    for j in range(z.shape[0]):
        row, e = z[j], out[j]
        for w in range(WIDE):
            e[w] = exp(row[w] - top[w])
        for w in range(WIDE):
            total[w] += e[w]
    for j in range(z.shape[0]):
        e = out[j]
        for w in range(WIDE):
            e[w] /= total[w]


@compiled(error_model="numpy")
def _below(top, z, j):
    return top - z[j] if z[j] != top else z.dtype.type(0)


@compiled(error_model="numpy")
def _loss_of_row(bar, logits, label, of_softmax, s, q, rows):
    """Write the slope of a row, and return its loss."""
    classes, loss = logits.size, 0.0
    known = 0 <= label < classes  # what is no class has no loss
    if of_softmax:
        _softmax(s, logits)
        top, log_total = _softmax(q, s)
        if known:
            loss = log_total + _below(top, s, label)
            q[label] -= q.dtype.type(1)
        inner = q.dtype.type(0)
        for j in range(classes):
            inner += q[j] * s[j]
        for j in range(classes):
            bar[j] = s[j] * (q[j] - inner) / rows if known else 0
    else:
        top, log_total = _softmax(q, logits)
        if known:
            loss = log_total + _below(top, logits, label)
            q[label] -= q.dtype.type(1)
        for j in range(classes):
            bar[j] = q[j] / rows if known else 0
    return loss


@compiled(error_model="numpy")
def _columns_of(z, logits, first, count):
    """Copy `count` rows of the logits to the first columns of z, and tell whether all are finite."""
    finite = True
    z[:] = 0
    for w in range(count):
        for j in range(z.shape[0]):
            z[j, w] = logits[first + w, j]
            finite &= math.isfinite(z[j, w])
    return finite


@compiled(error_model="numpy")
def _cross_entropy(slope, logits, labels, of_softmax):
    rows, classes = logits.shape
    s, q = np.empty(classes, logits.dtype), np.empty(classes, logits.dtype)
    z, p = np.empty((classes, WIDE), logits.dtype), np.empty((classes, WIDE), logits.dtype)
    top, total, inner = np.empty(WIDE, logits.dtype), np.empty(WIDE, logits.dtype), np.empty(WIDE, logits.dtype)
    sum_ = 0.0
    for i in range(0, rows, WIDE):
        count = min(WIDE, rows - i)
        if not _columns_of(z, logits, i, count):
            for r in range(i, i + count):
                sum_ += _loss_of_row(slope[r], logits[r], np.int64(labels[r]), of_softmax, s, q, rows)
            continue
        if of_softmax:
            _softmax_of_columns(p, z, top, total)
            z, p = p, z
        _softmax_of_columns(p, z, top, total)
        inner[:] = 0
        for w in range(count):
            label = np.int64(labels[i + w])
            if 0 <= label < classes:
                sum_ += math.log(total[w]) + (top[w] - z[label, w])
                p[label, w] -= p.dtype.type(1)
        if of_softmax:
            for j in range(classes):
                of_z, of_p = z[j], p[j]
                for w in range(WIDE):
                    inner[w] += of_p[w] * of_z[w]
            for j in range(classes):
                of_z, of_p = z[j], p[j]
                for w in range(WIDE):
                    of_p[w] = of_z[w] * (of_p[w] - inner[w])
        for w in range(count):
            known = 0 <= np.int64(labels[i + w]) < classes
            for j in range(classes):
                slope[i + w, j] = p[j, w] / rows if known else 0
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
