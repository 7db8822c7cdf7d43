"""The cross-entropy of logits in one pass over them, with its gradient, compiled for NumPy arrays.

The meanings are `mcgc.losses.cross_entropy` and `mcgc.losses.cross_entropy_of_softmax`. Sums run over the classes from
first to last, and over the rows in float64. Subnormal numbers count as zeros: as cotangents they would slow down a net.
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
from mcgc.kernels.cpu_subnormal import flush, restore


@compiled(error_model="numpy")
def _softmax(out, z, tops, logs):
    """Write softmax(z) of each row to `out`, its largest z to `tops`, and log Σ exp z minus that to `logs`.

    Infinities share as a limit. The exponentials are one loop over all rows, which becomes vector instructions.
    """
    rows, classes = z.shape
    none = z.dtype.type(0)
    for i in range(rows):
        top = z[i, 0]
        for j in range(classes):
            top = max(top, z[i, j])
        tops[i] = top
        for j in range(classes):
            out[i, j] = none if z[i, j] == top else z[i, j] - top
    flat = out.reshape(rows * classes)
    for k in range(flat.size):
        flat[k] = exp(flat[k])
    for i in range(rows):
        total = none
        for j in range(classes):
            total += out[i, j]
        for j in range(classes):
            out[i, j] /= total
        logs[i] = math.log(total)


@compiled(error_model="numpy")
def _cross_entropy(slope, logits, labels, of_softmax):
    mode = flush()
    rows, classes = logits.shape
    one, none = logits.dtype.type(1), logits.dtype.type(0)
    tops, logs = np.empty(rows, logits.dtype), np.empty(rows, logits.dtype)
    z = logits
    if of_softmax:
        z = np.empty((rows, classes), logits.dtype)
        _softmax(z, logits, tops, logs)
    _softmax(slope, z, tops, logs)
    sum_ = 0.0
    for i in range(rows):
        label, q, s = np.int64(labels[i]), slope[i], z[i]
        if not 0 <= label < classes:  # what is no class has no loss
            q[:] = none
            continue
        sum_ += logs[i] + (none if s[label] == tops[i] else tops[i] - s[label])
        q[label] -= one
        if of_softmax:
            inner = none
            for j in range(classes):
                inner += q[j] * s[j]
            for j in range(classes):
                q[j] = s[j] * (q[j] - inner) / rows
        else:
            for j in range(classes):
                q[j] /= rows
    restore(mode)
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
