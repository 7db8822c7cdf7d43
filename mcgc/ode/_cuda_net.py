"""What a block of threads computes together on its way along a trajectory: the net at a point, stages, and norms.

`mcgc.ode._cuda_march` has the kernels. What the threads have to know of each other is in memory that they share. The
sum over the inputs of a layer is formed in `GROUPS` parts, which are added up in order.
"""

import math
from collections.abc import Callable
from types import FunctionType

import numpy as np
from numba import cuda
from numba.cuda.extending import register_jitable

from mcgc._jit import _cuda_math
from mcgc.ode import _scalar

COLUMNS, GROUPS = 64, 4  # of the threads of a block: columns of a layer's weights, and parts of the sums over rows
THREADS = COLUMNS * GROUPS
WIDEST = 256  # layer, and no more than there are threads
STATES, STAGES = 16, 7  # at most
BUFFER, RATES = 2 * WIDEST, STAGES * STATES  # numbers that a block shares: two layers, and the stages of a step


_names = vars(_scalar) | {"floor": _cuda_math.floor}  # with the names of the device, which follow


def _for_device(name: str) -> Callable:
    """Return a function of numbers that sees the names of the device."""
    _names[name] = register_jitable(FunctionType(getattr(_scalar, name).__code__, _names, name))
    return _names[name]


log2_of, exp2_of, adapt, growth = map(_for_device, ("log2_of", "exp2_of", "adapt", "growth"))


# ---- the net at one point ----


@register_jitable
def _column(part, a, a_at, w, w_at, k, n, j, column, group):
    """Return Σᵢ aᵢ wᵢⱼ. All threads of a block call this together, those of a column with the same j."""
    total = type(w[w_at])(0)
    if j < n:
        i = group
        while i < k:
            total += a[a_at + i] * w[w_at + i * n + j]
            i += GROUPS
    part[group * COLUMNS + column] = total
    cuda.syncthreads()
    total = part[column]
    for other in range(1, GROUPS):
        total += part[other * COLUMNS + column]
    cuda.syncthreads()
    return total


@register_jitable
def _forward(buffer, part, theta, w_at, sizes, layers, curved, kept, kept_at, keep, column, group):
    """Apply the net to the front of `buffer`; return where in it the output is. With `keep`, h₁ … go to `kept`."""
    at = 0
    for layer in range(layers):
        k, n = sizes[layer], sizes[layer + 1]
        kept_at += k
        inner = layer < layers - 1
        first = 0
        while first < n:
            j = first + column
            total = _column(part, buffer, at, theta, w_at, k, n, j, column, group)
            if group == 0 and j < n:
                total += theta[w_at + k * n + j]
                if inner:
                    total = type(total)(math.tanh(total)) if curved else max(total, type(total)(0))
                    if keep:
                        kept[kept_at + j] = total
                buffer[WIDEST - at + j] = total
            first += COLUMNS
        cuda.syncthreads()
        at = WIDEST - at
        w_at += (k + 1) * n
    return at


@register_jitable
def backward(buffer, part, turned, w_at, sizes, layers, curved, kept, kept_at, bars, bars_at, column, group):
    """Carry the cotangent of the output, in front of `buffer`, to the input; return where in `buffer` that one is.

    `turned` has each layer's weights transposed, and ends at w_at; `kept` and `bars` end at kept_at and bars_at.
    """
    at = 0
    n = sizes[layers]
    bars_at -= n
    if group == 0:
        j = column
        while j < n:
            bars[bars_at + j] = buffer[j]
            j += COLUMNS
    for back in range(layers):
        k, n = sizes[layers - 1 - back], sizes[layers - back]
        inner = back < layers - 1
        w_at -= (k + 1) * n
        kept_at -= k
        bars_at -= k
        first = 0
        while first < k:
            i = first + column
            total = _column(part, buffer, at, turned, w_at, n, k, i, column, group)
            if group == 0 and i < k:
                if inner:
                    h = kept[kept_at + i]
                    if curved:
                        total *= type(h)(1) - h * h
                    elif not h > 0:
                        total = type(h)(0)
                    bars[bars_at + i] = total
                buffer[WIDEST - at + i] = total
            first += COLUMNS
        cuda.syncthreads()
        at = WIDEST - at
    return at


@register_jitable
def evaluate(
    rate, rate_at, point, inputs, in_at, states, buffer, part, theta, w_at, sizes, layers, curved, kept, kept_at, keep,
    column, group,
):  # fmt: skip
    """Put the field at `point` into `rate`; with `keep`, the values of the net go to `kept`, the input first."""
    i = group * COLUMNS + column
    if i < sizes[0]:
        x = point[i] if i < states else inputs[in_at + i - states]
        buffer[i] = x
        if keep:
            kept[kept_at + i] = x
    cuda.syncthreads()
    at = _forward(buffer, part, theta, w_at, sizes, layers, curved, kept, kept_at, keep, column, group)
    if i < states:
        rate[rate_at + i] = buffer[at + i]
    cuda.syncthreads()


@register_jitable
def take_stages(
    k, y, point, h, a, stages, inputs, in_at, states, buffer, part, theta, w_at, sizes, layers, curved, kept, kept_at,
    values, keep, column, group,
):  # fmt: skip
    """Compute the stages of a step of signed size `h`; the first is given. `point` becomes the new state."""
    d = group * COLUMNS + column
    for s in range(1, stages):
        if d < states:
            total = k[d] * a[s * stages]
            for j in range(1, s):
                total += a[s * stages + j] * k[j * STATES + d]
            point[d] = y[d] + h * total
        cuda.syncthreads()
        evaluate(
            k, s * STATES, point, inputs, in_at, states, buffer, part, theta, w_at, sizes, layers, curved,
            kept, kept_at + (s - 1) * values, keep, column, group,
        )  # fmt: skip


@register_jitable
def add_weights(parts, w_at, kept, kept_at, bars, bars_at, rows, values, outputs, sizes, layers, column, group):
    """Add the gradient of θ that comes from the `rows` last evaluations of the net."""
    for layer in range(layers):
        k, n = sizes[layer], sizes[layer + 1]
        j = column
        while j < n:
            i = group
            while i <= k:  # the last row is that of the biases
                total = type(parts[w_at])(0)
                for r in range(rows):
                    g = bars[bars_at + r * outputs + j]
                    total += kept[kept_at + r * values + i] * g if i < k else g
                parts[w_at + i * n + j] += total
                i += GROUPS
            j += COLUMNS
        w_at += (k + 1) * n
        kept_at += k
        bars_at += n


# ---- the size of a step ----


@register_jitable
def scaled_norm(x, x_at, minus, minus_at, y, states, rtol, atol):
    """Compute `control.scaled_norm` of one trajectory, for x less `minus`."""
    total = 0.0
    for d in range(states):
        difference = np.float64(x[x_at + d] - minus[minus_at + d])
        ratio = difference / (atol[d] + rtol[d] * abs(np.float64(y[d])))
        total += ratio * ratio
    return math.sqrt(total / states)


@register_jitable
def error_norm(k, y, point, size, e, stages, states, rtol, atol):
    """Compute `control.error_norm` of one trajectory."""
    total = 0.0
    for d in range(states):
        error = type(size)(0)
        for s in range(stages):
            error += e[s] * k[s * STATES + d]
        scale = max(abs(y[d]), abs(point[d]))
        ratio = np.float64(size * error) / (atol[d] + rtol[d] * abs(np.float64(scale)))
        total += ratio * ratio
    return math.sqrt(total / states)


@register_jitable
def dense_weight(dense, s, powers, fraction):
    """Return the polynomial of the dense output of one stage."""
    weight = type(fraction)(0)
    for power in range(powers - 1, -1, -1):
        weight = (weight + dense[s * powers + power]) * fraction
    return weight
