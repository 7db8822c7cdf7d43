"""Whole solutions of dy/dt = net(y, inputs) on the CPU, and their vjp, in one compiled call each.

The march takes the steps that `mcgc.ode._integrate.march` takes, with the same rules in the same order. A trajectory
that is done, or has failed, drops out of the batch. The log holds one state a trial step.

The values of the net at the stages fill a store of stated size. When it is full it is begun anew, and the way back
computes the values of all but the last filling again. If a stage was not finite it computes them all again, since the
store has the stages of rejected steps too. The gradient of the weights is formed once a filling, over all its stages.
"""

# mypy: disable-error-code="call-arg"
# (mypy takes a compiled function for one without arguments)

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from mcgc.errors import InputError
from mcgc.kernels.compiled import compiled, laid_out
from mcgc.kernels.cpu_dense import add_weights, as_array, backward_rows, check, forward_rows, lengths, turn
from mcgc.ode import _scalar
from mcgc.ode._integrate import SNAP, Method, Status, timeline
from mcgc.ode._tableaux import Tableau

STORE = 2**20  # bytes of the values that are kept for the way back, and as many again for their cotangents

for _function in (_scalar.log2_of, _scalar.exp2_of):
    register_jitable(_function)
_adapt, _growth = compiled(_scalar.adapt), compiled(_scalar.growth)
_TOO_MANY, _TOO_SMALL, _NOT_FINITE = map(int, (Status.TOO_MANY_STEPS, Status.STEP_TOO_SMALL, Status.NOT_FINITE))


class Log(NamedTuple):
    """What the way back needs of a march.

    Of each trial step, `begins`: where its entries begin, and `slots`: its first row of the store. Of each trajectory
    in it, one entry of `which`: its number; `h`: the signed size, 0 where the step was rejected; `y`, `k1`: the state
    and the field before it. `fillings`: the trial steps at which the store was begun. `when`, (batch, times): the
    trial step in which a requested time lies; `fraction`: where in it.
    """

    begins: np.ndarray
    slots: np.ndarray
    fillings: np.ndarray
    which: np.ndarray
    h: np.ndarray
    y: np.ndarray
    k1: np.ndarray
    when: np.ndarray
    fraction: np.ndarray


def march_dense(
    theta: np.ndarray,
    sizes: tuple[int, ...],
    activation: str,
    y0: np.ndarray,
    inputs: np.ndarray,
    ts: np.ndarray,
    method: Method,
    with_vjp: bool,
) -> tuple | None:
    """Solve dy/dt = net(y, inputs) for every trajectory, the net that of `dense_forward`.

    `y0` (batch, states) and `inputs` (batch, n₀ − states) have the dtype of theta; `ts` is (batch, times), float64.
    Returns the states (batch, times, states), the accepted and rejected steps (batch,), the number of trial steps, the
    status (batch,), and, if `with_vjp`, what `vjp_dense` needs. A trajectory that fails has states of NaN. Returns None
    if the times are not finite and in order, and with `method.throw` if a trajectory fails.

    Raises `InputError` if a shape or dtype is none of these.
    """
    fits = y0.ndim == inputs.ndim == ts.ndim == 2 and len(y0) == len(inputs) == len(ts)
    if not fits or y0.shape[1] != sizes[-1] or inputs.dtype != theta.dtype or ts.dtype != np.float64:
        given = ", ".join(f"{x.dtype} {x.shape}" for x in (y0, inputs, ts))
        raise InputError(
            f"a net of sizes {sizes} in {theta.dtype} solves y0 and inputs of that dtype and ts of float64, each of "
            f"shape (batch, n), got {given}"
        )
    check(theta, y0.dtype, (len(y0), sizes[-1] + inputs.shape[1]), sizes, activation)
    start, sign, elapsed = (laid_out(x) for x in timeline(ts, theta.dtype))
    if not ((elapsed[:, 1:] > elapsed[:, :-1]).all() and np.isfinite(elapsed[:, -1]).all()):
        return None
    smallest = 16 * np.finfo(ts.dtype).eps * (np.abs(start[:, 0]) + elapsed[:, -1])
    constants = _constants(method.tableau, theta.dtype)
    stages, values, batch = len(method.tableau.c), sum(sizes), y0.shape[0]
    room = max((stages - 1) * batch, STORE // (theta.itemsize * values)) if with_vjp else batch
    theta, y0, inputs = (laid_out(x) for x in (theta, y0, inputs))
    of_each = lambda x: _of_each(x, sizes[-1]) if type(x) is float else np.full(sizes[-1], x, np.float64)
    rtol, atol = of_each(method.rtol), of_each(method.atol)
    net = as_array(sizes), activation == "tanh"
    ys, accepted, rejected, trials, status, overflowed, store, log = _march(
        theta,
        *net,
        y0,
        inputs,
        elapsed,
        sign[:, 0],
        smallest,
        *constants,
        rtol,
        atol,
        method.max_steps,
        float(method.max_step),
        method.throw,
        room,
        with_vjp,
    )
    log, failed = Log(*log), status != Status.SUCCESS
    some_failed = failed.any()
    if some_failed:
        if method.throw:
            return None
        ys[failed] = np.nan
    if not with_vjp:
        return ys, accepted, rejected, trials, status, None
    if some_failed:
        y0, inputs = _without_failures(failed, y0, inputs, log)
    residuals = theta, net, y0, inputs, constants, room, store, overflowed or bool(some_failed), failed, log
    return ys, accepted, rejected, trials, status, residuals


def _without_failures(failed: np.ndarray, y0: np.ndarray, inputs: np.ndarray, log: Log) -> list[np.ndarray]:
    """Return y0 and inputs, where a trajectory failed those of one that succeeded, and empty its steps in the log."""
    first = failed.argmin()
    entries = failed[log.which]
    log.h[entries], log.y[entries], log.k1[entries] = 0, y0[first], 0
    return [np.where(failed[:, None], x[first], x) for x in (y0, inputs)]


def vjp_dense(residuals: tuple, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cotangents of theta, y0 and inputs, from that of the states of `march_dense` (batch, times, states).

    A trajectory that failed has none. Raises `InputError` if the cotangent does not have that shape.
    """
    theta, net, y0, inputs, (a, _, dense, _), room, store, again, failed, log = residuals
    if cotangent.shape != (*log.when.shape, y0.shape[1]):
        raise InputError(f"states of shape {(*log.when.shape, y0.shape[1])} have no cotangent of {cotangent.shape}")
    cotangent = laid_out(cotangent.astype(theta.dtype, copy=False))
    if failed.all():
        return np.zeros_like(theta), np.zeros_like(y0), np.zeros_like(inputs)
    if failed.any():
        cotangent = np.where(failed[:, None, None], cotangent.dtype.type(0), cotangent)
    return _vjp(theta, *net, y0, inputs, a, dense, room, store, again, log, cotangent)


@lru_cache
def _of_each(tolerance: float, states: int) -> np.ndarray:
    return np.full(states, tolerance)


def _constants(tableau: Tableau, dtype: np.dtype) -> tuple:
    """Return a (stages, stages), the error weights, the dense output and the order of the error, as arrays."""
    stages = len(tableau.c)
    a = np.zeros((stages, stages), dtype)
    for stage, row in enumerate(tableau.a):
        a[stage, : len(row)] = row
    (error,) = tableau.error
    return a, np.asarray(error, dtype), np.asarray(tableau.dense, dtype), tableau.order


@compiled
def _norm(x, y, rtol, atol):
    """Compute `control.scaled_norm` of one trajectory."""
    total = 0.0
    for d in range(x.size):
        ratio = np.float64(x[d]) / (atol[d] + rtol[d] * abs(np.float64(y[d])))
        total += ratio * ratio
    return np.sqrt(total / x.size)


@compiled
def _evaluate(theta, sizes, is_tanh, x, hidden, room, first, m, points, inputs, index, fields):
    """Put the field at `points`, for the trajectories `index`, into `fields`; its values fill rows from `first` on."""
    states, width, n = points.shape[1], sizes[0], sizes[-1]
    for i in range(m):
        row = (first + i) * width
        x[row : row + states] = points[i]
        x[row + states : row + width] = inputs[index[i]]
    forward_rows(theta, x, hidden, room, first, m, sizes, is_tanh)
    out = hidden.size - room * n + first * n
    for i in range(m):
        fields[i] = hidden[out + i * n : out + (i + 1) * n]


@compiled
def _stages(theta, sizes, is_tanh, x, hidden, room, first, stride, m, y, h, inputs, index, a, k, points):
    """Compute the stages `k` (stages, m, states) of a step from `y` of signed sizes `h`; k[0] is given.

    `points` becomes the new state; stage s has the rows from first + (s − 1) · stride on.
    """
    for s in range(1, a.shape[0]):
        for i in range(m):
            for d in range(points.shape[1]):
                total = k[0, i, d] * a[s, 0]
                for j in range(1, s):
                    total += a[s, j] * k[j, i, d]
                points[i, d] = y[i, d] + h[i] * total
        _evaluate(theta, sizes, is_tanh, x, hidden, room, first + (s - 1) * stride, m, points, inputs, index, k[s])


@compiled
def _first_sizes(theta, sizes, is_tanh, x, hidden, room, y, k1, sign, length, inputs, index, order, rtol, atol):
    """Compute `control.first_step`, of trajectories of the given `length` of time."""
    kind, batch = theta.dtype.type, y.shape[0]
    points, k2, found = np.empty_like(y), np.empty_like(y), np.empty(batch, theta.dtype)
    for i in range(batch):
        size, slope = _norm(y[i], y[i], rtol, atol), _norm(k1[i], y[i], rtol, atol)
        found[i] = min(kind(1e-6 if size < 1e-5 or slope < 1e-5 else 0.01 * size / slope), length[i])
        for d in range(y.shape[1]):
            points[i, d] = y[i, d] + found[i] * sign[i] * k1[i, d]
    _evaluate(theta, sizes, is_tanh, x, hidden, room, 0, batch, points, inputs, index, k2)
    for i in range(batch):
        h0 = np.float64(found[i])
        steepest = max(_norm(k1[i], y[i], rtol, atol), _norm(k2[i] - k1[i], y[i], rtol, atol) / h0)
        found[i] = min(kind(_growth(steepest, h0, order)) * found[i], length[i])
    return found


@compiled
def _weight(coefficients, fraction):
    """Return the polynomial of the dense output of one stage."""
    weight = coefficients[0] * type(fraction)(0)
    for j in range(coefficients.size - 1, -1, -1):
        weight = (weight + coefficients[j]) * fraction
    return weight


@compiled
def _room_for(array, size):
    """Return `array`, or a copy with room for twice as many if it has no room for `size`."""
    if size <= array.size:
        return array
    larger = np.empty(2 * size, array.dtype)
    larger[: array.size] = array
    return larger


@compiled
def _march(
    theta, sizes, is_tanh, y0, inputs, elapsed, sign, smallest, a, e, dense, order, rtol, atol, max_steps, max_step,
    throw, room, with_vjp,
):  # fmt: skip
    kind = theta.dtype.type
    (batch, states), times, stages = y0.shape, elapsed.shape[1], a.shape[0]
    _, values = lengths(sizes)
    x, hidden = np.empty(room * sizes[0], theta.dtype), np.empty(room * values, theta.dtype)
    ys = np.empty((batch, times, states), theta.dtype)
    ys[:, 0, :] = y0

    index, m = np.arange(batch), batch
    k, points, error = np.empty((stages, batch, states), theta.dtype), np.empty_like(y0), np.empty(states, theta.dtype)
    _evaluate(theta, sizes, is_tanh, x, hidden, room, 0, batch, y0, inputs, index, k[0])
    length = elapsed[:, -1].astype(theta.dtype)
    size = _first_sizes(
        theta, sizes, is_tanh, x, hidden, room, y0, k[0], sign, length, inputs, index, order, rtol, atol
    )
    y, h, now = y0.copy(), np.empty_like(size), np.zeros(batch)
    last, was_rejected = np.full(batch, _scalar.SMALLEST), np.zeros(batch, np.bool_)
    accepted, rejected = np.zeros(batch, np.int64), np.zeros(batch, np.int64)
    next_time = np.ones(batch, np.int64)

    begins, slots, fillings = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(8, np.int64)
    log_index, log_h = np.empty(256, np.int64), np.empty(256, theta.dtype)
    log_y, log_k1 = np.empty(256 * states, theta.dtype), np.empty(256 * states, theta.dtype)
    when, fraction = np.zeros((batch, times), np.int64), np.zeros((batch, times), theta.dtype)
    entries, used, filled, trial = 0, 0, 0, 0
    status, failed, overflowed = np.zeros(batch, np.int64), False, False

    # `index` names the trajectories that still move; y, h, k and size hold theirs in that order, the rest is by name
    while m > 0 and trial < max_steps and not (throw and failed):
        if with_vjp and (trial == 0 or used + (stages - 1) * m > room):
            fillings = _room_for(fillings, filled + 1)
            fillings[filled] = trial
            filled, used = filled + 1, 0
        for i in range(m):
            r = index[i]
            size[i] = min(size[i], kind(elapsed[r, times - 1] - now[r]), kind(max_step))
            h[i] = size[i] * sign[r]
        stride = m if with_vjp else 0
        _stages(theta, sizes, is_tanh, x, hidden, room, used, stride, m, y, h, inputs, index, a, k, points)
        if with_vjp:
            begins, slots = _room_for(begins, trial + 1), _room_for(slots, trial + 1)
            begins[trial], slots[trial] = entries, used
            log_index, log_h = _room_for(log_index, entries + m), _room_for(log_h, entries + m)
            size_needed = (entries + m) * states
            log_y, log_k1 = _room_for(log_y, size_needed), _room_for(log_k1, size_needed)
            for i in range(m):
                log_index[entries + i] = index[i]
                for d in range(states):
                    log_y[(entries + i) * states + d] = y[i, d]
                    log_k1[(entries + i) * states + d] = k[0, i, d]
            used += (stages - 1) * m

        moving = 0
        for i in range(m):
            r = index[i]
            for d in range(states):
                total = kind(0)
                for s in range(stages):
                    total += e[s] * k[s, i, d]
                error[d] = size[i] * total
            norm = _norm(error, np.maximum(np.abs(y[i]), np.abs(points[i])), rtol, atol)
            good, factor, last[r] = _adapt(norm, last[r], was_rejected[r], order)
            was_rejected[r] = not good
            end = elapsed[r, times - 1]
            if good:
                accepted[r] += 1
                after = now[r] + size[i]
                if abs(end - after) < kind(SNAP) * size[i]:
                    after = end
                while next_time[r] < times and elapsed[r, next_time[r]] <= after:
                    j = next_time[r]
                    part = kind((elapsed[r, j] - now[r]) / size[i])
                    when[r, j], fraction[r, j] = trial, part
                    for d in range(states):
                        change = kind(0)
                        for power in range(dense.shape[1] - 1, -1, -1):
                            total = kind(0)
                            for s in range(stages):
                                total += dense[s, power] * k[s, i, d]
                            change = (change + h[i] * total) * part
                        ys[r, j, d] = y[i, d] + change
                    next_time[r] += 1
                now[r] = after
            else:
                rejected[r] += 1
            if with_vjp:
                log_h[entries + i] = h[i] if good else kind(0)
            new_size = size[i] * kind(factor)
            overflowed = overflowed or not np.isfinite(norm)
            if now[r] < end and not new_size > smallest[r]:
                status[r], failed = _TOO_SMALL if np.isfinite(norm) else _NOT_FINITE, True
            elif now[r] < end:
                index[moving], size[moving] = r, new_size
                if good:
                    y[moving], k[0, moving] = points[i], k[stages - 1, i]
                else:
                    y[moving], k[0, moving] = y[i], k[0, i]
                moving += 1
        entries += m
        m = moving
        trial += 1

    if not (throw and failed):
        for i in range(m):
            status[index[i]] = _TOO_MANY
    store = x, hidden
    log = (
        begins[:trial],
        slots[:trial],
        fillings[:filled],
        log_index[:entries],
        log_h[:entries],
        log_y[: entries * states].reshape(-1, states),
        log_k1[: entries * states].reshape(-1, states),
        when,
        fraction,
    )
    return ys, accepted, rejected, trial, status, overflowed, store, log


@compiled
def _vjp(theta, sizes, is_tanh, y0, inputs, a, dense, room, store, again, log, cotangent):
    x, hidden = store
    begins, slots, fillings, log_index, log_h, log_y, log_k1, when, fraction = log
    kind = theta.dtype.type
    (batch, states), width, stages, n = y0.shape, sizes[0], a.shape[0], sizes[-1]
    turned = turn(theta, sizes, True)
    theta_bar, y_bar, k1_bar = np.zeros_like(theta), np.zeros_like(y0), np.zeros_like(y0)
    inputs_bar, x_bar = np.zeros_like(inputs), np.empty(batch * width, theta.dtype)
    k_bar, before_bar = np.empty((stages, batch, states), theta.dtype), np.empty_like(y0)
    bars, outputs = np.empty_like(hidden), hidden.size - room * n
    k, points = np.empty_like(k_bar), np.empty_like(y0)
    time = np.full(batch, cotangent.shape[1] - 1)
    again_x, again_hidden = np.empty_like(x), np.empty_like(hidden)

    until = begins.size
    for filling in range(fillings.size - 1, -1, -1):
        since, final = fillings[filling], until - 1
        in_final = (begins[until] if until < begins.size else log_h.size) - begins[final]
        if again or filling < fillings.size - 1:
            x, hidden = again_x, again_hidden
            for trial in range(since, until):
                begin, end = begins[trial], begins[trial + 1] if trial + 1 < begins.size else log_h.size
                m = end - begin
                k[0, :m] = log_k1[begin:end]
                index, h, y = log_index[begin:end], log_h[begin:end], log_y[begin:end]
                _stages(theta, sizes, is_tanh, x, hidden, room, slots[trial], m, m, y, h, inputs, index, a, k, points)
        for trial in range(final, since - 1, -1):
            begin = begins[trial]
            m = (begins[trial + 1] if trial + 1 < begins.size else log_h.size) - begin
            k_bar[:, :m] = kind(0)
            before_bar[:m] = kind(0)
            for i in range(m):
                r, h = log_index[begin + i], log_h[begin + i]
                if h == 0:
                    continue
                k_bar[stages - 1, i] = k1_bar[r]
                while time[r] > 0 and when[r, time[r]] == trial:
                    for s in range(stages):
                        weight = h * _weight(dense[s], fraction[r, time[r]])
                        for d in range(states):
                            k_bar[s, i, d] += weight * cotangent[r, time[r], d]
                    before_bar[i] += cotangent[r, time[r]]
                    time[r] -= 1
            for s in range(stages - 1, 0, -1):
                first = slots[trial] + (s - 1) * m
                for i in range(m):
                    bars[outputs + (first + i) * n : outputs + (first + i + 1) * n] = k_bar[s, i]
                backward_rows(turned, hidden, bars, room, first, m, sizes, is_tanh, x_bar, True)
                for i in range(m):
                    r, h = log_index[begin + i], log_h[begin + i]
                    if h == 0:
                        continue
                    for d in range(states):
                        point_bar = x_bar[i * width + d]
                        if s == stages - 1:
                            point_bar += y_bar[r, d]
                        before_bar[i, d] += point_bar
                        for j in range(s):
                            k_bar[j, i, d] += h * a[s, j] * point_bar
                    for d in range(width - states):
                        inputs_bar[r, d] += x_bar[i * width + states + d]
            for i in range(m):
                if log_h[begin + i] != 0:
                    y_bar[log_index[begin + i]], k1_bar[log_index[begin + i]] = before_bar[i], k_bar[0, i]
        add_weights(theta_bar, x, hidden, bars, room, slots[final] + (stages - 1) * in_final, sizes)
        until = since

    _evaluate(theta, sizes, is_tanh, again_x, again_hidden, room, 0, batch, y0, inputs, np.arange(batch), points)
    for i in range(batch):
        bars[outputs + i * n : outputs + (i + 1) * n] = k1_bar[i]
    backward_rows(turned, again_hidden, bars, room, 0, batch, sizes, is_tanh, x_bar, True)
    add_weights(theta_bar, again_x, again_hidden, bars, room, batch, sizes)
    for i in range(batch):
        for d in range(states):
            y_bar[i, d] += x_bar[i * width + d] + cotangent[i, 0, d]
        for d in range(width - states):
            inputs_bar[i, d] += x_bar[i * width + states + d]
    return theta_bar, y_bar, inputs_bar
