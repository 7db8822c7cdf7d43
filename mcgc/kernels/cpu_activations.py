"""The activations of dense nets on the CPU, and their slopes, in compiled loops. The meaning is that of `mcgc.ops`.

A layer keeps what its slope is computed from: the value a for those whose slope is a function of a, z for the others.
"""

import math

import numpy as np

from mcgc.kernels.compiled import inner
from mcgc.kernels.cpu_exp import exp, tanh

ACTIVATIONS = ("relu", "tanh", "sigmoid", "softplus", "silu", "gelu")  # from silu on the slope is one of z
_RELU, _TANH, _SIGMOID, _SOFTPLUS, _SILU, _GELU = range(6)
_ROOT, _BELL, _FAR = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi), 1e4


@inner(error_model="numpy")
def keeps_z(activation):
    """Tell whether the slope is computed from z, and not from the value."""
    return activation >= _SILU


@inner(error_model="numpy")
def _logistic(x):
    tail = exp(-abs(x))
    return (tail if x < 0 else type(x)(1)) / (type(x)(1) + tail)


@inner(error_model="numpy")
def activate(activation, z, a):
    """Put the activation of each element of `z` into `a`, which may be the same array."""
    kind = a.dtype.type
    if activation == _RELU:
        for q in range(a.size):
            a[q] = z[q] if z[q] > kind(0) or z[q] != z[q] else kind(0)
    elif activation == _TANH:
        for q in range(a.size):
            a[q] = tanh(z[q])
    elif activation == _SIGMOID:
        for q in range(a.size):
            a[q] = _logistic(z[q])
    elif activation == _SOFTPLUS:
        for q in range(a.size):
            a[q] = max(z[q], kind(0)) + np.log1p(exp(-abs(z[q])))
    elif activation == _SILU:
        for q in range(a.size):
            gate = _logistic(z[q])
            a[q] = gate * (gate if gate == 0 else z[q])
    else:
        for q in range(a.size):
            gate = kind(1) + kind(math.erf(z[q] * kind(_ROOT)))
            a[q] = kind(0.5) * (gate if gate == 0 else z[q]) * gate


@inner(error_model="numpy")
def times_slope(activation, kept, g):
    """Multiply each element of `g` by the slope of the activation, from what was kept."""
    kind = g.dtype.type
    one = kind(1)
    if activation == _RELU:
        for q in range(g.size):
            g[q] = g[q] if kept[q] > kind(0) else kind(0)
    elif activation == _TANH:
        for q in range(g.size):
            g[q] *= one - kept[q] * kept[q]
    elif activation == _SIGMOID:
        for q in range(g.size):
            g[q] *= kept[q] * (one - kept[q])
    elif activation == _SOFTPLUS:
        for q in range(g.size):
            g[q] *= -np.expm1(-kept[q])
    elif activation == _SILU:
        for q in range(g.size):
            z = kept[q]
            gate = _logistic(z)
            out = gate * (gate if gate == 0 else z)
            g[q] *= gate + min(out, kind(_FAR)) * _logistic(-z)
    else:
        for q in range(g.size):
            z = kept[q]
            near = min(max(z, kind(-_FAR)), kind(_FAR))
            bell = exp(-near * near * kind(0.5)) * kind(_BELL)
            g[q] *= kind(0.5) * (one + kind(math.erf(z * kind(_ROOT)))) + near * bell
