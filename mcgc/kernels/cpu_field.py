"""Fields dy/dt = g(t, y, p, u(t)) + net(y, u(t)) on the CPU: rows of them, and their cotangents, in compiled loops.

A row of values (`cpu_rows`) begins with the state and the inputs of a point, as the net takes them. A row of `inputs`
holds, where there is a formula g, the time in the data at the time 0; and then the inputs u, or where they change with
time what `mcgc.ode._driven_field.pack` makes of them: knots, and at each the values and the second derivatives.
"""

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mcgc.errors import InputError
from mcgc.kernels.compiled import inner
from mcgc.kernels.cpu_activations import ACTIVATIONS
from mcgc.kernels.cpu_formula import compute, pull
from mcgc.kernels.cpu_layers import keeps
from mcgc.kernels.cpu_rows import backward, forward, outputs_at, row_length


class Field(NamedTuple):
    """What a field is, for compiled code.

    Parameters
    ----------
    sizes : array of int64
        The sizes of the net; empty if there is none.
    activation : int
        The number of its activation (`cpu_activations`).
    skip : bool
        Whether hidden layers add their input.
    parameters, row : int
        How many numbers θ has, and a row of values.
    states, inputs, knots : int
        How many there are; no knots where the inputs are constant.
    previous : bool
        Whether inputs stay until the next knot.
    tape, constants : array of shape (operations, 4) and (operations,)
        The formula (`cpu_formula.tape_of`); empty if there is none.
    results : array of int64
        Which of its numbers are the derivatives.
    shared : array
        Its parameters and units. After these come, among its inputs, the time, the time in the data at the time 0, the
        state and the inputs.
    """

    sizes: np.ndarray
    activation: int
    skip: bool
    parameters: int
    row: int
    states: int
    inputs: int
    knots: int
    previous: bool
    tape: np.ndarray
    constants: np.ndarray
    results: np.ndarray
    shared: np.ndarray

    @property
    def columns(self) -> int:
        """How many numbers a row of `inputs` has."""
        of_inputs = self.knots * (1 + 2 * self.inputs) if self.knots else self.inputs
        return of_inputs + (1 if self.tape.size > 0 else 0)


@lru_cache(maxsize=256)
def field_of(
    sizes: tuple[int, ...],
    activation: str,
    skip: bool,
    knots: int,
    interpolation: str,
    states: int,
    inputs: int,
    dtype: np.dtype,
) -> Field:
    """Return a field without a formula. Raises `InputError` for an activation that is not compiled."""
    if sizes and activation not in ACTIVATIONS:
        raise InputError(f"the compiled nets know {', '.join(ACTIVATIONS)}, not {activation!r}")
    code = ACTIVATIONS.index(activation) if sizes else 0
    row = row_length(states + inputs, sizes, bool(sizes) and keeps(code, bool(skip)), np.dtype(dtype))
    parameters = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
    net = np.asarray(sizes, np.int64), code, bool(skip), parameters, row
    none = np.zeros((0, 4), np.int64), np.zeros(0, dtype), np.zeros(0, np.int64), np.zeros(0, dtype)
    return Field(*net, states, inputs, knots, interpolation == "previous", *none)


@inner(error_model="numpy")
def _interval(row, at, knots, t):
    """Return the number of the last knot at or before t, but not of the last of all."""
    low, high = 0, knots - 1
    while high - low > 1:
        middle = (low + high) // 2
        if row[at + middle] <= t:
            low = middle
        else:
            high = middle
    return low


@inner(error_model="numpy")
def _part(row, at, j, t):
    """Return the width of interval j, and which part of it is over at t, from 0 to 1."""
    kind = row.dtype.type
    width = row[at + j + 1] - row[at + j]
    width = width if width > 0 else kind(1)  # of what fills up a shorter series, where nothing rises
    return width, min(max((t - row[at + j]) / width, kind(0)), kind(1))


@inner(inline="always", error_model="numpy")
def _inputs_at(field, row, at, t, out, out_at):
    """Put the inputs at time t into `out` from `out_at` on; those of `row` begin at `at`."""
    kind, p, n = row.dtype.type, field.inputs, field.knots
    j = _interval(row, at, n, t)
    below, above = at + n + 2 * p * j, at + n + 2 * p * (j + 1)
    if field.previous:
        values = above if t >= row[at + j + 1] else below
        for d in range(p):
            out[out_at + d] = row[values + d]
        return
    width, s = _part(row, at, j, t)
    r = kind(1) - s
    for d in range(p):
        bend = (r * r * r - r) * row[below + p + d] + (s * s * s - s) * row[above + p + d]
        out[out_at + d] = row[below + d] + ((row[above + d] - row[below + d]) * s + bend * (width * width) / kind(6))


@inner(error_model="numpy")
def _pull_inputs(field, row, at, t, bar, bar_at, row_bar):
    """Add to `row_bar` the cotangents of a row of inputs, from those of the inputs at time t."""
    kind, p, n = row.dtype.type, field.inputs, field.knots
    j = _interval(row, at, n, t)
    below, above = at + n + 2 * p * j, at + n + 2 * p * (j + 1)
    if field.previous:
        values = above if t >= row[at + j + 1] else below
        for d in range(p):
            row_bar[values + d] += bar[bar_at + d]
        return
    width, s = _part(row, at, j, t)
    r = kind(1) - s
    inside = kind(1) if 0 < s < 1 else kind(0.5) if t == row[at + j] or t == row[at + j + 1] else kind(0)
    square = width * width / kind(6)
    for d in range(p):
        g = bar[bar_at + d]
        rise, c0, c1 = row[above + d] - row[below + d], row[below + p + d], row[above + p + d]
        of_s = rise + square * ((kind(1) - kind(3) * r * r) * c0 + (kind(3) * s * s - kind(1)) * c1)
        of_width = ((r * r * r - r) * c0 + (s * s * s - s) * c1) * width / kind(3)
        row_bar[below + d] += g * r
        row_bar[above + d] += g * s
        row_bar[below + p + d] += g * square * (r * r * r - r)
        row_bar[above + p + d] += g * square * (s * s * s - s)
        row_bar[at + j] += g * (inside * of_s * (s - kind(1)) / width - of_width)
        row_bar[at + j + 1] += g * (of_width - inside * of_s * s / width)


@inner(inline="always", error_model="numpy")
def _fill(field, given, values, at, t, begun):
    """Put the inputs of the formula at a row of values into `given`, after what is shared."""
    to = field.shared.size
    given[to], given[to + 1] = t, begun
    for d in range(field.states + field.inputs):
        given[to + 2 + d] = values[at + d]


@inner(inline="always", error_model="numpy")
def _add_formula(field, values, at, m, when, inputs, index, fields):
    """Add the formula at rows of values to `fields`."""
    width, shared = field.states + field.inputs, field.shared.size
    given, v = np.empty(shared + 2 + width, values.dtype), np.empty(field.tape.shape[0], values.dtype)
    for d in range(shared):
        given[d] = field.shared[d]
    for i in range(m):
        _fill(field, given, values, at + i * field.row, when[i], inputs[index[i], 0])
        compute(field.tape, field.constants, given, v)
        for d in range(field.states):
            fields[i, d] += v[field.results[d]]


@inner(error_model="numpy")
def _pull_formula(field, values, at, bars, bars_at, m, when, inputs, index, moves, g, inputs_bar, shared_bar):
    """Add the cotangents that come through the formula to those of x, of inputs, and of what is shared."""
    width, shared = field.states + field.inputs, field.shared.size
    given, given_bar = np.empty(shared + 2 + width, values.dtype), np.empty(shared + 2 + width, values.dtype)
    v, v_bar = np.empty(field.tape.shape[0], values.dtype), np.empty(field.tape.shape[0], values.dtype)
    for d in range(shared):
        given[d] = field.shared[d]
    for i in range(m):
        if moves[i] == 0:
            continue
        _fill(field, given, values, at + i * field.row, when[i], inputs[index[i], 0])
        compute(field.tape, field.constants, given, v)
        for d in range(v_bar.size):
            v_bar[d] = 0
        for d in range(given_bar.size):
            given_bar[d] = 0
        for d in range(field.states):
            v_bar[field.results[d]] += g[i, d]
        pull(field.tape, given_bar, v, v_bar)
        for d in range(shared):
            shared_bar[d] += given_bar[d]
        inputs_bar[index[i], 0] += given_bar[shared + 1]
        for d in range(width):
            bars[bars_at + i * field.row + d] += given_bar[shared + 2 + d]


@inner(error_model="numpy")
def evaluate(weights, field, values, at, m, when, points, inputs, index, fields):
    """Put the field at `points` (m, states) and times `when`, for the trajectories `index`, into `fields`.

    `weights` are those of `cpu_rows.pad`. The rows of values begin at `at`.
    """
    states, width, begun = field.states, field.states + field.inputs, 1 if field.tape.size > 0 else 0
    for i in range(m):
        row, r = at + i * field.row, index[i]
        for d in range(states):
            values[row + d] = points[i, d]
        if field.knots == 0:
            for d in range(width - states):
                values[row + states + d] = inputs[r, begun + d]
        else:
            _inputs_at(field, inputs[r], begun, when[i], values, row + states)
    if field.sizes.size > 0:
        forward(weights, values, at, field.row, m, field.sizes, field.activation, field.skip)
        out = at + outputs_at(field.sizes, values.itemsize)[0]
        for i in range(m):
            for d in range(states):
                fields[i, d] = values[out + i * field.row + d]
    else:
        for i in range(m):
            for d in range(states):
                fields[i, d] = 0
    if field.tape.size > 0:
        _add_formula(field, values, at, m, when, inputs, index, fields)


@inner(inline="always", error_model="numpy")
def stages(weights, field, values, at, by_stage, m, t, y, h, inputs, index, a, c, k, points, when):
    """Compute the stages `k` (stages, m, states) of a step from `y` at `t` of signed sizes `h`; k[0] is given.

    `points` becomes the new state. The rows of values of stage s begin at `at`, or if they are kept (`by_stage`) m rows
    after those of stage s − 1.
    """
    for s in range(1, a.shape[0]):
        for i in range(m):
            when[i] = t[i] + np.float64(c[s] * h[i])
            for d in range(points.shape[1]):
                total = k[0, i, d] * a[s, 0]
                for j in range(1, s):
                    total += a[s, j] * k[j, i, d]
                points[i, d] = y[i, d] + h[i] * total
        evaluate(weights, field, values, at, m, when, points, inputs, index, k[s])
        if by_stage:
            at += m * field.row


@inner(error_model="numpy")
def pull_rows(
    turned, field, values, at, bars, bars_at, m, when, inputs, index, moves, g, carry, inputs_bar, shared_bar
):
    """Carry the cotangents `g` (m, states) of the field at rows of values from `at` on back.

    Those of x are where the rows of `bars` begin, from `bars_at` on. Those of inputs and of what is shared are added. A
    row that does not move (`moves` is 0) has none.
    """
    states, width, begun = field.states, field.states + field.inputs, 1 if field.tape.size > 0 else 0
    if field.sizes.size > 0:
        g_at, wide = outputs_at(field.sizes, values.itemsize)
        for i in range(m):
            row = bars_at + i * field.row
            for d in range(wide - g_at):
                bars[row + g_at + d] = g[i, d] if d < states else values.dtype.type(0)
        backward(turned, values, at, bars, bars_at, field.row, m, field.sizes, field.activation, field.skip, carry)
    else:
        for i in range(m):
            for d in range(width):
                bars[bars_at + i * field.row + d] = 0
    if field.tape.size > 0:
        _pull_formula(field, values, at, bars, bars_at, m, when, inputs, index, moves, g, inputs_bar, shared_bar)
    for i in range(m):
        r, x_bar = index[i], bars_at + i * field.row + states
        if moves[i] == 0:
            continue
        if field.knots == 0:
            for d in range(width - states):
                inputs_bar[r, begun + d] += bars[x_bar + d]
        else:
            _pull_inputs(field, inputs[r], begun, when[i], bars, x_bar, inputs_bar[r])
