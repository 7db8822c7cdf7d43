"""Whole solutions of fields made of a net and a formula on the CPU, and their vjp, in one compiled call each.

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
from mcgc.kernels.compiled import compiled, inner, laid_out
from mcgc.kernels.cpu_dense import FLOATS, add_weights, turn
from mcgc.kernels.cpu_field import Field, evaluate, num_values, pull_rows
from mcgc.ode import _scalar
from mcgc.ode._integrate import SNAP, Method, Status, timeline
from mcgc.ode._tableaux import Tableau

STORE = 2**20  # bytes of the values that are kept for the way back, and as many again for their cotangents

for _function in (_scalar.log2_of, _scalar.exp2_of):
    register_jitable(_function)
_adapt, _growth = (compiled(function, error_model="numpy") for function in (_scalar.adapt, _scalar.growth))
_TOO_MANY, _TOO_SMALL, _NOT_FINITE = map(int, (Status.TOO_MANY_STEPS, Status.STEP_TOO_SMALL, Status.NOT_FINITE))


class Log(NamedTuple):
    """What the way back needs of a march.

    Of each trial step, `begins`: where its entries begin, and `slots`: its first row of the store. Of each trajectory
    in it, one entry of `which`: its number; `h`: the signed size, 0 where the step was rejected; `t`, `y`, `k1`: the
    time, the state and the field before it. `fillings`: the trial steps at which the store was begun. `when`, (batch,
    times): the trial step in which a requested time lies; `fraction`: where in it.
    """

    begins: np.ndarray
    slots: np.ndarray
    fillings: np.ndarray
    which: np.ndarray
    h: np.ndarray
    t: np.ndarray
    y: np.ndarray
    k1: np.ndarray
    when: np.ndarray
    fraction: np.ndarray


def march_dense(
    field: Field, theta: np.ndarray, y0: np.ndarray, inputs: np.ndarray, ts: np.ndarray, method: Method, with_vjp: bool
) -> tuple | None:
    """Solve dy/dt = field for every trajectory; θ is that of the net alone.

    `y0` (batch, states) and `inputs` (batch, ...) have the dtype of theta; `ts` is (batch, times), float64. Returns the
    states (batch, times, states), the accepted and rejected steps (batch,), the number of trial steps, the status
    (batch,), and, if `with_vjp`, what `vjp_dense` needs. A trajectory that fails has states of NaN. Returns None if the
    times are not finite and in order, and with `method.throw` if a trajectory fails.

    Raises `InputError` if a shape or dtype is none of these.
    """
    fits = y0.ndim == inputs.ndim == ts.ndim == 2 and len(y0) == len(inputs) == len(ts)
    alike = (
        y0.dtype == inputs.dtype == theta.dtype == field.shared.dtype
        and theta.dtype in FLOATS
        and ts.dtype == np.float64
    )
    fits = fits and theta.shape == (field.parameters,) and inputs.shape[1] == field.columns
    if not (fits and alike and y0.shape[1] == field.states):
        given = ", ".join(f"{x.dtype} {x.shape}" for x in (y0, inputs, ts))
        raise InputError(
            f"a field of {field.states} states takes theta of shape ({field.parameters},), y0 and inputs, all in "
            f"float32 or float64, and ts in float64, each of shape (batch, n), got theta of {theta.shape} and {given}"
        )
    start, sign, elapsed = (laid_out(x) for x in timeline(ts, theta.dtype))
    if not ((elapsed[:, 1:] > elapsed[:, :-1]).all() and np.isfinite(elapsed[:, -1]).all()):
        return None
    smallest = 16 * np.finfo(ts.dtype).eps * (np.abs(start[:, 0]) + elapsed[:, -1])
    constants = constants_of(method.tableau, theta.dtype)
    stages, values, batch = len(method.tableau.c), field.values + field.states + field.inputs, y0.shape[0]
    room = max((stages - 1) * batch, STORE // (theta.itemsize * values)) if with_vjp else batch
    theta, y0, inputs = (laid_out(x) for x in (theta, y0, inputs))
    of_each = lambda x: _of_each(x, field.states) if type(x) is float else np.full(field.states, x, np.float64)
    rtol, atol = of_each(method.rtol), of_each(method.atol)
    ys, accepted, rejected, trials, status, overflowed, store, log = _march(
        theta,
        field,
        y0,
        inputs,
        start[:, 0],
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
    residuals = (
        theta,
        field,
        y0,
        inputs,
        start[:, 0],
        constants,
        room,
        store,
        overflowed or bool(some_failed),
        failed,
        log,
    )
    return ys, accepted, rejected, trials, status, residuals


def _without_failures(failed: np.ndarray, y0: np.ndarray, inputs: np.ndarray, log: Log) -> list[np.ndarray]:
    """Return y0 and inputs, where a trajectory failed those of one that succeeded, and empty its steps in the log."""
    first = failed.argmin()
    entries = failed[log.which]
    log.h[entries], log.y[entries], log.k1[entries] = 0, y0[first], 0
    return [np.where(failed[:, None], x[first], x) for x in (y0, inputs)]


def vjp_dense(residuals: tuple, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the cotangents of theta, y0, inputs and `field.shared`, from that of the states of `march_dense`.

    A trajectory that failed has none. Raises `InputError` if the cotangent does not have that shape.
    """
    theta, field, y0, inputs, start, (a, c, _, dense, _), room, store, again, failed, log = residuals
    if cotangent.shape != (*log.when.shape, y0.shape[1]):
        raise InputError(f"states of shape {(*log.when.shape, y0.shape[1])} have no cotangent of {cotangent.shape}")
    cotangent = laid_out(cotangent.astype(theta.dtype, copy=False))
    if failed.all():
        return np.zeros_like(theta), np.zeros_like(y0), np.zeros_like(inputs), np.zeros_like(field.shared)
    if failed.any():
        cotangent = np.where(failed[:, None, None], cotangent.dtype.type(0), cotangent)
    return _vjp(theta, field, y0, inputs, start, a, c, dense, room, store, again, log, cotangent)


@lru_cache
def _of_each(tolerance: float, states: int) -> np.ndarray:
    return np.full(states, tolerance)


def constants_of(tableau: Tableau, dtype: np.dtype) -> tuple:
    """Return a (stages, stages), c, the error weights, the dense output and the order of the error, as arrays."""
    stages = len(tableau.c)
    a = np.zeros((stages, stages), dtype)
    for stage, row in enumerate(tableau.a):
        a[stage, : len(row)] = row
    (error,) = tableau.error
    return a, np.asarray(tableau.c, dtype), np.asarray(error, dtype), np.asarray(tableau.dense, dtype), tableau.order


@inner(error_model="numpy")
def _norm(x, y, rtol, atol):
    """Compute `control.scaled_norm` of one trajectory."""
    total = 0.0
    for d in range(x.size):
        ratio = np.float64(x[d]) / (atol[d] + rtol[d] * abs(np.float64(y[d])))
        total += ratio * ratio
    return np.sqrt(total / x.size)


@inner(error_model="numpy")
def _stages(theta, field, x, hidden, room, first, stride, m, t, y, h, inputs, index, a, c, k, points, when):
    """Compute the stages `k` (stages, m, states) of a step from `y` at `t` of signed sizes `h`; k[0] is given.

    `points` becomes the new state; stage s has the rows from first + (s − 1) · stride on.
    """
    for s in range(1, a.shape[0]):
        for i in range(m):
            when[i] = t[i] + np.float64(c[s] * h[i])
            for d in range(points.shape[1]):
                total = k[0, i, d] * a[s, 0]
                for j in range(1, s):
                    total += a[s, j] * k[j, i, d]
                points[i, d] = y[i, d] + h[i] * total
        evaluate(theta, field, x, hidden, room, first + (s - 1) * stride, m, when, points, inputs, index, k[s])


@inner(error_model="numpy")
def _first_sizes(theta, field, x, hidden, room, start, y, k1, sign, length, inputs, index, order, rtol, atol):
    """Compute `control.first_step`, of trajectories of the given `length` of time."""
    kind, batch = theta.dtype.type, y.shape[0]
    points, k2, found = np.empty_like(y), np.empty_like(y), np.empty(batch, theta.dtype)
    when = np.empty(batch, theta.dtype)
    for i in range(batch):
        size, slope = _norm(y[i], y[i], rtol, atol), _norm(k1[i], y[i], rtol, atol)
        found[i] = min(kind(1e-6 if size < 1e-5 or slope < 1e-5 else 0.01 * size / slope), length[i])
        when[i] = start[i] + np.float64(found[i] * sign[i])
        for d in range(y.shape[1]):
            points[i, d] = y[i, d] + found[i] * sign[i] * k1[i, d]
    evaluate(theta, field, x, hidden, room, 0, batch, when, points, inputs, index, k2)
    for i in range(batch):
        h0 = np.float64(found[i])
        steepest = max(_norm(k1[i], y[i], rtol, atol), _norm(k2[i] - k1[i], y[i], rtol, atol) / h0)
        found[i] = min(kind(_growth(steepest, h0, order)) * found[i], length[i])
    return found


@inner(error_model="numpy")
def _weight(coefficients, fraction):
    """Return the polynomial of the dense output of one stage."""
    weight = coefficients[0] * type(fraction)(0)
    for j in range(coefficients.size - 1, -1, -1):
        weight = (weight + coefficients[j]) * fraction
    return weight


@compiled(error_model="numpy")
def _room_for(array, size):
    """Return `array`, or a copy with room for twice as many if it has no room for `size`."""
    if size <= array.size:
        return array
    larger = np.empty(2 * size, array.dtype)
    larger[: array.size] = array
    return larger


@compiled(error_model="numpy")
def _march(
    theta, field, y0, inputs, start, elapsed, sign, smallest, a, c, e, dense, order, rtol, atol, max_steps, max_step,
    throw, room, with_vjp,
):  # fmt: skip
    kind = theta.dtype.type
    (batch, states), times, stages = y0.shape, elapsed.shape[1], a.shape[0]
    x = np.empty(room * (states + field.inputs), theta.dtype)
    hidden = np.empty(room * field.values, theta.dtype)
    ys = np.empty((batch, times, states), theta.dtype)
    ys[:, 0, :] = y0

    index, m = np.arange(batch), batch
    k, points, error = np.empty((stages, batch, states), theta.dtype), np.empty_like(y0), np.empty(states, theta.dtype)
    t, at = start.copy(), start.astype(theta.dtype)
    evaluate(theta, field, x, hidden, room, 0, batch, at, y0, inputs, index, k[0])
    length = elapsed[:, -1].astype(theta.dtype)
    size = _first_sizes(theta, field, x, hidden, room, start, y0, k[0], sign, length, inputs, index, order, rtol, atol)
    y, h, now = y0.copy(), np.empty_like(size), np.zeros(batch)
    last, was_rejected = np.full(batch, _scalar.SMALLEST), np.zeros(batch, np.bool_)
    accepted, rejected = np.zeros(batch, np.int64), np.zeros(batch, np.int64)
    next_time = np.ones(batch, np.int64)

    begins, slots, fillings = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(8, np.int64)
    log_index, log_h, log_t = np.empty(256, np.int64), np.empty(256, theta.dtype), np.empty(256)
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
            t[i] = start[r] + sign[r] * now[r]
        stride = m if with_vjp else 0
        _stages(theta, field, x, hidden, room, used, stride, m, t, y, h, inputs, index, a, c, k, points, at)
        if with_vjp:
            begins, slots = _room_for(begins, trial + 1), _room_for(slots, trial + 1)
            begins[trial], slots[trial] = entries, used
            log_index, log_h = _room_for(log_index, entries + m), _room_for(log_h, entries + m)
            log_t = _room_for(log_t, entries + m)
            size_needed = (entries + m) * states
            log_y, log_k1 = _room_for(log_y, size_needed), _room_for(log_k1, size_needed)
            for i in range(m):
                log_index[entries + i], log_t[entries + i] = index[i], t[i]
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
        log_t[:entries],
        log_y[: entries * states].reshape(-1, states),
        log_k1[: entries * states].reshape(-1, states),
        when,
        fraction,
    )
    return ys, accepted, rejected, trial, status, overflowed, store, log


@compiled(error_model="numpy")
def _vjp(theta, field, y0, inputs, start, a, c, dense, room, store, again, log, cotangent):
    x, hidden = store
    begins, slots, fillings, log_index, log_h, log_t, log_y, log_k1, when, fraction = log
    kind, net = theta.dtype.type, field.sizes.size > 0
    (batch, states), width, stages = y0.shape, field.states + field.inputs, a.shape[0]
    turned = turn(theta, field.sizes, True) if net else theta
    carry = np.empty(batch * field.sizes.max() if field.skip and net else 0, theta.dtype)
    theta_bar, y_bar, k1_bar = np.zeros_like(theta), np.zeros_like(y0), np.zeros_like(y0)
    inputs_bar, x_bar, shared_bar = (
        np.zeros_like(inputs),
        np.empty(batch * width, theta.dtype),
        np.zeros_like(field.shared),
    )
    k_bar, before_bar = np.empty((stages, batch, states), theta.dtype), np.empty_like(y0)
    bars = np.empty(room * num_values(field), theta.dtype)
    k, points, at = np.empty_like(k_bar), np.empty_like(y0), np.empty(batch, theta.dtype)
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
                index, h, t, y = log_index[begin:end], log_h[begin:end], log_t[begin:end], log_y[begin:end]
                _stages(theta, field, x, hidden, room, slots[trial], m, m, t, y, h, inputs, index, a, c, k, points, at)
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
            index, moves = log_index[begin : begin + m], log_h[begin : begin + m]
            for s in range(stages - 1, 0, -1):
                for i in range(m):
                    at[i] = log_t[begin + i] + np.float64(c[s] * moves[i])
                first = slots[trial] + (s - 1) * m
                pull_rows(
                    turned, field, x, hidden, bars, room, first, m, at, inputs, index, moves, k_bar[s], carry, x_bar,
                    inputs_bar, shared_bar,
                )  # fmt: skip
                for i in range(m):
                    r, h = index[i], moves[i]
                    if h == 0:
                        continue
                    for d in range(states):
                        point_bar = x_bar[i * width + d]
                        if s == stages - 1:
                            point_bar += y_bar[r, d]
                        before_bar[i, d] += point_bar
                        for j in range(s):
                            k_bar[j, i, d] += h * a[s, j] * point_bar
            for i in range(m):
                if log_h[begin + i] != 0:
                    y_bar[log_index[begin + i]], k1_bar[log_index[begin + i]] = before_bar[i], k_bar[0, i]
        if net:
            add_weights(theta_bar, x, hidden, bars, room, slots[final] + (stages - 1) * in_final, field.sizes)
        until = since

    at[:] = start
    every, moves = np.arange(batch), np.ones(batch, theta.dtype)
    evaluate(theta, field, again_x, again_hidden, room, 0, batch, at, y0, inputs, every, points)
    pull_rows(
        turned, field, again_x, again_hidden, bars, room, 0, batch, at, inputs, every, moves, k1_bar, carry, x_bar,
        inputs_bar, shared_bar,
    )  # fmt: skip
    if net:
        add_weights(theta_bar, again_x, again_hidden, bars, room, batch, field.sizes)
    for i in range(batch):
        for d in range(states):
            y_bar[i, d] += x_bar[i * width + d] + cotangent[i, 0, d]
    return theta_bar, y_bar, inputs_bar, shared_bar
