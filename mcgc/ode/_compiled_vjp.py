"""The way back of a march of a field of a net and a formula, in one compiled call; see `mcgc.ode._compiled`."""

# mypy: disable-error-code="call-arg"
# (mypy takes a compiled function for one without arguments)

import numpy as np

from mcgc.kernels.compiled import compiled, inner
from mcgc.kernels.cpu_field import evaluate, pull_rows, stages
from mcgc.kernels.cpu_rows import add_weights
from mcgc.kernels.cpu_subnormal import flush, restore


@inner(inline="always", error_model="numpy")
def _weight(coefficients, fraction):
    """Return the polynomial of the dense output of one stage."""
    weight = coefficients[0] * type(fraction)(0)
    for j in range(coefficients.size - 1, -1, -1):
        weight = (weight + coefficients[j]) * fraction
    return weight


@compiled(error_model="numpy")
def pull_back(
    weights,
    turned,
    field,
    values,
    kept,
    again,
    y0,
    inputs,
    start,
    a,
    c,
    dense,
    log,
    cotangent,
    bars,
    carry,
    weights_bar,
):
    """Add the cotangent of the weights to `weights_bar`, and return those of y0, inputs and `field.shared`.

    The values of the first `kept` steps of the log are in `values`. Those of the others are computed again, as many at
    a time as `again` has room for. The rows of `bars` fill up from the last to the first, in the order in which steps
    are pulled back; then their part of the weights' cotangent is added.

    The cotangents of deep nets may vanish. Subnormal ones are zeros (`cpu_subnormal`): else the way back takes three
    times as long. The values keep theirs.
    """
    begins, slots, log_index, log_h, log_t, log_y, log_k1, when, fraction = log
    kind, row, net = weights.dtype.type, field.row, field.sizes.size > 0
    (batch, states), num_stages = y0.shape, a.shape[0]
    room, rows = again.size // row, bars.size // row
    y_bar, k1_bar = np.zeros_like(y0), np.zeros_like(y0)
    inputs_bar, shared_bar = np.zeros_like(inputs), np.zeros_like(field.shared)
    k_bar, before_bar = np.empty((num_stages, batch, states), weights.dtype), np.empty_like(y0)
    k, points, at = np.empty_like(k_bar), np.empty_like(y0), np.empty(batch, weights.dtype)
    time = np.full(batch, cotangent.shape[1] - 1)

    until, lowest = begins.size - 1, rows
    while until > 0:
        since, here, first = 0, values, 0  # `here` has the values of the steps from `since` on, without `first` rows
        if until > kept:
            since, here = until - 1, again
            while since > kept and slots[until] - slots[since - 1] <= room:
                since -= 1
            first = slots[since]
            for trial in range(since, until):
                begin, end = begins[trial], begins[trial + 1]
                m = end - begin
                for i in range(m):
                    for d in range(states):
                        k[0, i, d] = log_k1[begin + i, d]
                index, h, t, y = log_index[begin:end], log_h[begin:end], log_t[begin:end], log_y[begin:end]
                values_at = (slots[trial] - first) * row
                stages(weights, field, here, values_at, True, m, t, y, h, inputs, index, a, c, k, points, at)
        values_at, mode = 0, flush()
        for trial in range(until - 1, since - 1, -1):
            begin, end = begins[trial], begins[trial + 1]
            m = end - begin
            for i in range(m):
                r, h = log_index[begin + i], log_h[begin + i]
                for d in range(states):
                    before_bar[i, d] = kind(0)
                    for s in range(num_stages):
                        k_bar[s, i, d] = kind(0)
                if h == 0:
                    continue
                for d in range(states):
                    k_bar[num_stages - 1, i, d] = k1_bar[r, d]
                while time[r] > 0 and when[r, time[r]] == trial:
                    for s in range(num_stages):
                        weight = h * _weight(dense[s], fraction[r, time[r]])
                        for d in range(states):
                            k_bar[s, i, d] += weight * cotangent[r, time[r], d]
                    for d in range(states):
                        before_bar[i, d] += cotangent[r, time[r], d]
                    time[r] -= 1
            index, moves = log_index[begin:end], log_h[begin:end]
            for s in range(num_stages - 1, 0, -1):
                for i in range(m):
                    at[i] = log_t[begin + i] + np.float64(c[s] * moves[i])
                if net and lowest < m:
                    add_weights(weights_bar, here, values_at, bars, lowest * row, row, rows - lowest, field.sizes)
                lowest = (lowest if lowest >= m else rows) - m
                values_at = (slots[trial] - first + (s - 1) * m) * row
                pull_rows(
                    turned, field, here, values_at, bars, lowest * row, m, at, inputs, index, moves, k_bar[s], carry,
                    inputs_bar, shared_bar,
                )  # fmt: skip
                for i in range(m):
                    r, h = index[i], moves[i]
                    if h == 0:
                        continue
                    for d in range(states):
                        point_bar = bars[(lowest + i) * row + d]
                        if s == num_stages - 1:
                            point_bar += y_bar[r, d]
                        before_bar[i, d] += point_bar
                        for j in range(s):
                            k_bar[j, i, d] += h * a[s, j] * point_bar
            for i in range(m):
                for d in range(states):
                    if moves[i] != 0:
                        y_bar[index[i], d], k1_bar[index[i], d] = before_bar[i, d], k_bar[0, i, d]
        if net:
            add_weights(weights_bar, here, values_at, bars, lowest * row, row, rows - lowest, field.sizes)
        restore(mode)
        until, lowest = since, rows

    every, moves = np.arange(batch), np.empty(batch, weights.dtype)
    for i in range(batch):
        at[i], moves[i] = start[i], 1
    evaluate(weights, field, again, 0, batch, at, y0, inputs, every, points)
    mode = flush()
    pull_rows(turned, field, again, 0, bars, 0, batch, at, inputs, every, moves, k1_bar, carry, inputs_bar, shared_bar)
    if net:
        add_weights(weights_bar, again, 0, bars, 0, row, batch, field.sizes)
    for i in range(batch):
        for d in range(states):
            y_bar[i, d] += bars[i * row + d] + cotangent[i, 0, d]
    restore(mode)
    return y_bar, inputs_bar, shared_bar
