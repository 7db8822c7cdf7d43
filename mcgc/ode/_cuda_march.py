"""Kernels of whole solutions of dy/dt = net(y, inputs), and of their vjp. A block of threads solves a trajectory.

`mcgc.ode._compiled` has the same loops for the CPU: the same steps by the same rules. Here a trajectory takes no notice
of the others. All threads of a block compute the size of a step, each for itself, from the same numbers.

The way back takes the steps from the last to the first. It computes the values of the net at the stages of a step
again, and adds to the block's gradient of θ what the step gives.
"""

import math

import numpy as np
from numba import cuda
from numba.cuda.types import float32, float64

from mcgc.ode._cuda_net import (
    BUFFER,
    COLUMNS,
    RATES,
    STATES,
    THREADS,
    adapt,
    add_weights,
    backward,
    dense_weight,
    error_norm,
    evaluate,
    growth,
    scaled_norm,
    take_stages,
)
from mcgc.ode._integrate import SNAP, Status
from mcgc.ode._scalar import SMALLEST

UNORDERED = -1
EPSILON = float(np.finfo(np.float64).eps)
_SUCCESS, _TOO_MANY, _TOO_SMALL, _NOT_FINITE = map(
    int, (Status.SUCCESS, Status.TOO_MANY_STEPS, Status.STEP_TOO_SMALL, Status.NOT_FINITE)
)


def turn(turned, theta, sizes, layers, parameters):
    """Transpose each layer's weights, of one layer of one member a block."""
    at = cuda.blockIdx.x // layers * parameters
    for layer in range(cuda.blockIdx.x % layers):
        at += (sizes[layer] + 1) * sizes[layer + 1]
    k, n = sizes[cuda.blockIdx.x % layers], sizes[cuda.blockIdx.x % layers + 1]
    q = cuda.threadIdx.x
    while q < k * n:
        turned[at + q % n * k + q // n] = theta[at + q]
        q += THREADS


def _kernels_of(dtype):
    """Return the kernels of the march and of the way back, for one dtype of the memory that threads share."""

    def march(
        ys, counts, when, fraction, log_h, log_y, log_k, theta, y0, inputs, ts, a, e, dense, rtol, atol, sizes, layers,
        parameters, states, stages, powers, times, each, order, max_steps, max_step, room, is_tanh,
    ):  # fmt: skip
        """Solve a trajectory. `counts` gets its accepted and rejected steps, its status and its evaluations.

        The status is `UNORDERED` where the times are not finite and in order.
        Of the accepted steps, the first `room` are logged: the signed size, and the state and the field before it.
        """
        buffer, part = cuda.shared.array(BUFFER, dtype), cuda.shared.array(THREADS, dtype)
        y, point = cuda.shared.array(STATES, dtype), cuda.shared.array(STATES, dtype)
        k = cuda.shared.array(RATES, dtype)
        row, d = cuda.blockIdx.x, cuda.threadIdx.x
        column, group = d % COLUMNS, d // COLUMNS
        w_at, in_at, at = row // each * parameters, row * (sizes[0] - states), row * times
        curved, kind = is_tanh != 0, type(y0[0])
        if d < states:
            y[d] = y0[row * states + d]
            ys[at * states + d] = y[d]
        cuda.syncthreads()
        evaluate(
            k, 0, y, inputs, in_at, states, buffer, part, theta, w_at, sizes, layers, curved, ys, 0, False, column,
            group,
        )  # fmt: skip

        start = ts[at]
        sign = 1.0 if ts[at + times - 1] >= start else -1.0
        end = (ts[at + times - 1] - start) * sign
        smallest = 16 * EPSILON * (abs(start) + end)
        ordered = math.isfinite(end)
        for i in range(1, times):
            ordered = ordered and (ts[at + i] - ts[at + i - 1]) * sign > 0
        direction, length = kind(sign), kind(end)
        if d < states:
            point[d] = 0
        cuda.syncthreads()
        far = scaled_norm(y, 0, point, 0, y, states, rtol, atol)
        slope = scaled_norm(k, 0, point, 0, y, states, rtol, atol)
        size = min(kind(1e-6 if far < 1e-5 or slope < 1e-5 else 0.01 * far / slope), length)
        cuda.syncthreads()
        if d < states:
            point[d] = y[d] + size * direction * k[d]
        cuda.syncthreads()
        evaluate(
            k, STATES, point, inputs, in_at, states, buffer, part, theta, w_at, sizes, layers, curved, ys, 0, False,
            column, group,
        )  # fmt: skip
        h0 = np.float64(size)
        steepest = max(slope, scaled_norm(k, STATES, k, 0, y, states, rtol, atol) / h0)
        size = min(kind(growth(steepest, h0, order)) * size, length)
        if not math.isfinite(slope + steepest):
            size = kind(math.nan)  # the first step fails

        now, last, was_rejected = 0.0, SMALLEST, False
        accepted, rejected, status, next_time = 0, 0, _TOO_MANY, 1
        going = ordered
        while going and accepted + rejected < max_steps:
            longest = min(kind(end - now), kind(max_step))
            size = longest if size > longest else size  # `min` of a GPU would lose a NaN
            h = size * direction
            take_stages(
                k, y, point, h, a, stages, inputs, in_at, states, buffer, part, theta, w_at, sizes, layers, curved,
                ys, 0, 0, False, column, group,
            )  # fmt: skip
            size_of_error = error_norm(k, y, point, size, e, stages, states, rtol, atol)
            good, factor, last = adapt(size_of_error, last, was_rejected, order)
            was_rejected = not good
            if good:
                after = now + size
                if abs(end - after) < kind(SNAP) * size:
                    after = end
                if accepted < room and d < states:
                    entry = row * room + accepted
                    log_h[entry] = h
                    log_y[entry * states + d], log_k[entry * states + d] = y[d], k[d]
                while next_time < times and (ts[at + next_time] - start) * sign <= after:
                    share = kind(((ts[at + next_time] - start) * sign - now) / size)
                    if d == 0:
                        when[at + next_time], fraction[at + next_time] = accepted, share
                    if d < states:
                        change = kind(0)
                        for power in range(powers - 1, -1, -1):
                            total = kind(0)
                            for s in range(stages):
                                total += dense[s * powers + power] * k[s * STATES + d]
                            change = (change + h * total) * share
                        ys[(at + next_time) * states + d] = y[d] + change
                    next_time += 1
                accepted += 1
                now = after
            else:
                rejected += 1
            size *= kind(factor)
            if now >= end:
                going, status = False, _SUCCESS
            elif not size > smallest:
                going, status = False, _TOO_SMALL if math.isfinite(size_of_error) else _NOT_FINITE
            cuda.syncthreads()
            if good and d < states:
                y[d], k[d] = point[d], k[(stages - 1) * STATES + d]
            cuda.syncthreads()
        if d == 0:
            counts[4 * row], counts[4 * row + 1] = accepted, rejected
            counts[4 * row + 2] = status if ordered else UNORDERED
            counts[4 * row + 3] = 2 + (accepted + rejected) * (stages - 1)

    def pull(
        parts, y_bars, in_bars, kept, bars, cotangent, counts, when, fraction, log_h, log_y, log_k, theta, turned, y0,
        inputs, a, dense, sizes, layers, parameters, states, stages, powers, times, each, room, is_tanh, values,
        outputs,
    ):  # fmt: skip
        """Carry the cotangents of a trajectory's states back, unless it failed; `parts` and the bars begin as zeros.

        `kept` has room for the values of the net at the stages of a step, and `bars` for their cotangents.
        """
        buffer, part = cuda.shared.array(BUFFER, dtype), cuda.shared.array(THREADS, dtype)
        y, point = cuda.shared.array(STATES, dtype), cuda.shared.array(STATES, dtype)
        k, k_bar = cuda.shared.array(RATES, dtype), cuda.shared.array(RATES, dtype)
        y_bar, before_bar = cuda.shared.array(STATES, dtype), cuda.shared.array(STATES, dtype)
        row, d = cuda.blockIdx.x, cuda.threadIdx.x
        column, group = d % COLUMNS, d // COLUMNS
        w_at, in_at, at = row // each * parameters, row * (sizes[0] - states), row * times
        kept_at, bars_at, p_at = row * (stages - 1) * values, row * (stages - 1) * outputs, row * parameters
        curved, width = is_tanh != 0, sizes[0]
        if counts[4 * row + 2] != _SUCCESS:
            return
        if d < states:
            y_bar[d], k_bar[d] = 0, 0
        time = times - 1
        accepted = counts[4 * row]
        for back in range(accepted):
            step = accepted - 1 - back
            entry = row * room + step
            h = log_h[entry]
            if d < states:
                y[d], k[d] = log_y[entry * states + d], log_k[entry * states + d]
            cuda.syncthreads()
            take_stages(
                k, y, point, h, a, stages, inputs, in_at, states, buffer, part, theta, w_at, sizes, layers, curved,
                kept, kept_at, values, True, column, group,
            )  # fmt: skip
            if d < states:
                k_bar[(stages - 1) * STATES + d] = k_bar[d]
                for s in range(stages - 1):
                    k_bar[s * STATES + d] = 0
                before_bar[d] = 0
            while time > 0 and when[at + time] == step:
                if d < states:
                    bar = cotangent[(at + time) * states + d]
                    for s in range(stages):
                        k_bar[s * STATES + d] += h * dense_weight(dense, s, powers, fraction[at + time]) * bar
                    before_bar[d] += bar
                time -= 1
            cuda.syncthreads()
            for s in range(stages - 1, 0, -1):
                if d < states:
                    buffer[d] = k_bar[s * STATES + d]
                cuda.syncthreads()
                found = backward(
                    buffer, part, turned, w_at + parameters, sizes, layers, curved, kept, kept_at + s * values,
                    bars, bars_at + s * outputs, column, group,
                )  # fmt: skip
                if d < states:
                    bar = buffer[found + d]
                    if s == stages - 1:
                        bar += y_bar[d]
                    before_bar[d] += bar
                    for j in range(s):
                        k_bar[j * STATES + d] += h * a[s * stages + j] * bar
                elif d < width:
                    in_bars[in_at + d - states] += buffer[found + d]
                cuda.syncthreads()
            if d < states:
                y_bar[d] = before_bar[d]
            add_weights(
                parts, p_at, kept, kept_at, bars, bars_at, stages - 1, values, outputs, sizes, layers, column, group
            )
            cuda.syncthreads()

        if d < states:  # the field at the start
            y[d] = y0[row * states + d]
        cuda.syncthreads()
        evaluate(
            k, 0, y, inputs, in_at, states, buffer, part, theta, w_at, sizes, layers, curved, kept, kept_at, True,
            column, group,
        )  # fmt: skip
        if d < states:
            buffer[d] = k_bar[d]
        cuda.syncthreads()
        found = backward(
            buffer, part, turned, w_at + parameters, sizes, layers, curved, kept, kept_at + values, bars,
            bars_at + outputs, column, group,
        )  # fmt: skip
        if d < states:
            y_bars[row * states + d] = y_bar[d] + buffer[found + d] + cotangent[at * states + d]
        elif d < width:
            in_bars[in_at + d - states] += buffer[found + d]
        add_weights(parts, p_at, kept, kept_at, bars, bars_at, 1, values, outputs, sizes, layers, column, group)

    return march, pull


KERNELS = {  # by dtype
    "float32": _kernels_of(float32),
    "float64": _kernels_of(float64),
}
