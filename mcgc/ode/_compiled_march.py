"""The march of a field of a net and a formula, in one compiled call; see `mcgc.ode._compiled`."""

# mypy: disable-error-code="call-arg"
# (mypy takes a compiled function for one without arguments)

import numpy as np
from numba.extending import register_jitable

from mcgc.kernels.compiled import compiled, inner
from mcgc.kernels.cpu_field import evaluate, stages
from mcgc.ode import _scalar
from mcgc.ode._integrate import SNAP, Status

for _function in (_scalar.log2_of, _scalar.exp2_of):
    register_jitable(_function)
_adapt, _growth = (compiled(function, error_model="numpy") for function in (_scalar.adapt, _scalar.growth))
_TOO_MANY, _TOO_SMALL, _NOT_FINITE = map(int, (Status.TOO_MANY_STEPS, Status.STEP_TOO_SMALL, Status.NOT_FINITE))


@inner(error_model="numpy")
def _norm(x, y, rtol, atol):
    """Compute `control.scaled_norm` of one trajectory."""
    total = 0.0
    for d in range(x.size):
        ratio = np.float64(x[d]) / (atol[d] + rtol[d] * abs(np.float64(y[d])))
        total += ratio * ratio
    return np.sqrt(total / x.size)


@inner(inline="always", error_model="numpy")
def _first_sizes(weights, field, values, start, y, k1, sign, length, inputs, index, order, rtol, atol):
    """Compute `control.first_step`, of trajectories of the given `length` of time."""
    kind, batch = weights.dtype.type, y.shape[0]
    points, k2, found = np.empty_like(y), np.empty_like(y), np.empty(batch, weights.dtype)
    when = np.empty(batch, weights.dtype)
    for i in range(batch):
        size, slope = _norm(y[i], y[i], rtol, atol), _norm(k1[i], y[i], rtol, atol)
        found[i] = min(kind(1e-6 if size < 1e-5 or slope < 1e-5 else 0.01 * size / slope), length[i])
        when[i] = start[i] + np.float64(found[i] * sign[i])
        for d in range(y.shape[1]):
            points[i, d] = y[i, d] + found[i] * sign[i] * k1[i, d]
    evaluate(weights, field, values, 0, batch, when, points, inputs, index, k2)
    for i in range(batch):
        h0 = np.float64(found[i])
        for d in range(y.shape[1]):
            k2[i, d] -= k1[i, d]
        steepest = max(_norm(k1[i], y[i], rtol, atol), _norm(k2[i], y[i], rtol, atol) / h0)
        found[i] = min(kind(_growth(steepest, h0, order)) * found[i], length[i])
    return found


@inner(inline="always", error_model="numpy")
def _error(k, i, size, e, y, new, rtol, atol):
    """Return the scaled norm of the error of trajectory i in a step of this size from `y` to `new`."""
    kind, total = new.dtype.type, 0.0
    for d in range(y.size):
        error = kind(0)
        for s in range(e.size):
            error += e[s] * k[s, i, d]
        error *= size
        a, b = abs(y[d]), abs(new[d])
        ratio = np.float64(error) / (atol[d] + rtol[d] * np.float64(a if a > b else b))
        total += ratio * ratio
    return np.sqrt(total / y.size)


@inner(inline="always", error_model="numpy")
def _between(dense, k, i, y, h, part, out):
    """Put the dense output of trajectory i, at a part of a step from y, into `out`."""
    kind = y.dtype.type
    for d in range(y.size):
        change = kind(0)
        for power in range(dense.shape[1] - 1, -1, -1):
            total = kind(0)
            for s in range(dense.shape[0]):
                total += dense[s, power] * k[s, i, d]
            change = (change + h * total) * part
        out[d] = y[d] + change


@inner(inline="always")
def _keep(values, at, row, m, places, count, stages):
    """Move the rows of the trajectories at `places` of m to the beginning of those of a step, stage by stage."""
    to = at
    for s in range(stages - 1):
        for i in range(count):
            since = at + (s * m + places[i]) * row
            if since != to:
                for q in range(row):
                    values[to + q] = values[since + q]
            to += row


@compiled(error_model="numpy")
def _room_for(array, size):
    """Return `array`, or a copy with room for twice as many if it has no room for `size`."""
    if size <= array.size:
        return array
    larger = np.empty(2 * size, array.dtype)
    for q in range(array.size):
        larger[q] = array[q]
    return larger


@compiled(error_model="numpy")
def march(
    weights, field, values, room, y0, inputs, start, elapsed, sign, smallest, equal, sizes, a, c, e, dense, order, rtol,
    atol, max_steps, max_step, throw, with_vjp,
):  # fmt: skip
    """Take the steps, of `sizes` if they are `equal`, else of sizes that are found.

    Returns the states, the accepted and rejected steps, the number of trial steps, the status, how many of the steps in
    the log have their values in the first `room` rows of `values`, and the `Log`. A batch of rows more has room for
    values that are not kept.
    """
    kind = weights.dtype.type
    (batch, states), times, num_stages, row = y0.shape, elapsed.shape[1], a.shape[0], field.row
    ys = np.empty((batch, times, states), weights.dtype)
    for i in range(batch):
        for d in range(states):
            ys[i, 0, d] = y0[i, d]

    index, places, m = np.arange(batch), np.empty(batch, np.int64), batch
    k, points = np.empty((num_stages, batch, states), weights.dtype), np.empty_like(y0)
    t, at, length = np.empty(batch), np.empty(batch, weights.dtype), np.empty(batch, weights.dtype)
    for i in range(batch):
        at[i], length[i] = start[i], elapsed[i, times - 1]
    evaluate(weights, field, values, 0, batch, at, y0, inputs, index, k[0])
    size = sizes
    if not equal:
        size = _first_sizes(weights, field, values, start, y0, k[0], sign, length, inputs, index, order, rtol, atol)
    y, h, now = y0.copy(), np.empty_like(size), np.zeros(batch)
    last, was_rejected = np.full(batch, _scalar.SMALLEST), np.zeros(batch, np.bool_)
    accepted, rejected = np.zeros(batch, np.int64), np.zeros(batch, np.int64)
    next_time = np.ones(batch, np.int64)

    begins, slots = np.empty(64, np.int64), np.empty(64, np.int64)
    log_index, log_h, log_t = np.empty(256, np.int64), np.empty(256, weights.dtype), np.empty(256)
    log_y, log_k1 = np.empty(256 * states, weights.dtype), np.empty(256 * states, weights.dtype)
    when, fraction = np.zeros((batch, times), np.int64), np.zeros((batch, times), weights.dtype)
    entries, used, kept, logged, trials = 0, 0, 0, 0, 0
    status, failed = np.zeros(batch, np.int64), False

    # `index` names the trajectories that still move; y, h, k and size hold theirs in that order, the rest is by name
    while m > 0 and trials < max_steps and not (throw and failed):
        for i in range(m):
            r = index[i]
            size[i] = min(size[i], kind(elapsed[r, times - 1] - now[r]), kind(max_step))
            h[i] = size[i] * sign[r]
            t[i] = start[r] + sign[r] * now[r]
        keep = with_vjp and kept == logged and used + (num_stages - 1) * m <= room
        values_at = (used if keep else room) * row
        stages(weights, field, values, values_at, keep, m, t, y, h, inputs, index, a, c, k, points, at)
        if with_vjp:
            begins, slots = _room_for(begins, logged + 2), _room_for(slots, logged + 2)
            log_index, log_h = _room_for(log_index, entries + m), _room_for(log_h, entries + m)
            log_t = _room_for(log_t, entries + m)
            needed = (entries + m) * states
            log_y, log_k1 = _room_for(log_y, needed), _room_for(log_k1, needed)
            begins[logged], slots[logged] = entries, used

        moving = count = 0
        for i in range(m):
            r, end = index[i], elapsed[index[i], times - 1]
            if equal:
                finite = True
                for d in range(states):
                    finite = finite and np.isfinite(points[i, d])
                good, new_size = finite, size[i]
            else:
                norm = _error(k, i, size[i], e, y[i], points[i], rtol, atol)
                finite = np.isfinite(norm)
                good, factor, last[r] = _adapt(norm, last[r], was_rejected[r], order)
                was_rejected[r] = not good
                new_size = size[i] * kind(factor)
            if good:
                accepted[r] += 1
                after = now[r] + size[i]
                if abs(end - after) < kind(SNAP) * size[i]:
                    after = end
                while next_time[r] < times and elapsed[r, next_time[r]] <= after:
                    j = next_time[r]
                    part = kind((elapsed[r, j] - now[r]) / size[i])
                    when[r, j], fraction[r, j] = logged, part
                    _between(dense, k, i, y[i], h[i], part, ys[r, j])
                    next_time[r] += 1
                now[r] = after
                if with_vjp:
                    log_index[entries], log_h[entries], log_t[entries], places[count] = r, h[i], t[i], i
                    for d in range(states):
                        log_y[entries * states + d] = y[i, d]
                        log_k1[entries * states + d] = k[0, i, d]
                    entries, count = entries + 1, count + 1
            else:
                rejected[r] += 1
            if now[r] < end and not (new_size > smallest[r] and (good or not equal)):
                status[r], failed = _TOO_SMALL if finite else _NOT_FINITE, True
            elif now[r] < end:
                index[moving], size[moving] = r, new_size
                for d in range(states):
                    y[moving, d] = points[i, d] if good else y[i, d]
                    k[0, moving, d] = k[num_stages - 1, i, d] if good else k[0, i, d]
                moving += 1
        if count > 0:
            if keep:
                kept += 1
                if count < m:
                    _keep(values, values_at, row, m, places, count, num_stages)
            logged, used = logged + 1, used + (num_stages - 1) * count
        m = moving
        trials += 1

    if not (throw and failed):
        for i in range(m):
            status[index[i]] = _TOO_MANY
    begins[logged], slots[logged] = entries, used
    log = (
        begins[: logged + 1],
        slots[: logged + 1],
        log_index[:entries],
        log_h[:entries],
        log_t[:entries],
        log_y[: entries * states].reshape(-1, states),
        log_k1[: entries * states].reshape(-1, states),
        when,
        fraction,
    )
    return ys, accepted, rejected, trials, status, kept, log
