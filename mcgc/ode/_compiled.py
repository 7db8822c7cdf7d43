"""Whole solutions of fields made of a net and a formula on the CPU, and their vjp, in one compiled call each.

The march takes the steps that `mcgc.ode._integrate.march` takes, with the same rules in the same order. A trajectory
that is done, or has failed, drops out of the batch. The log holds one state of each trajectory and accepted step.

The values of the net at the stages of accepted steps fill a store of stated size. Those that it has no room for are
computed again on the way back, a few steps at a time. The gradient of the weights is formed over many stages at once.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mcgc.errors import InputError
from mcgc.kernels import buffers
from mcgc.kernels.compiled import laid_out
from mcgc.kernels.cpu_dense import FLOATS
from mcgc.kernels.cpu_field import Field
from mcgc.kernels.cpu_product import padded
from mcgc.kernels.cpu_rows import copy_length, pad, pad_turned, unpad
from mcgc.ode._compiled_march import march
from mcgc.ode._compiled_vjp import pull_back
from mcgc.ode._integrate import SNAP, Method, Status, timeline
from mcgc.ode._tableaux import Tableau

STORE = 2**20  # bytes of the values that are kept for the way back, at most
AGAIN = 2**19  # bytes of the values that are computed again at a time, and of cotangents


class Log(NamedTuple):
    """What the way back needs of a march.

    Of each step in which a trajectory advanced, and then of the end, `begins`: where its entries begin, and `slots`:
    its first row of values. Of each trajectory that advanced in it, one entry of `which`: its number; `h`: the signed
    size; `t`, `y`, `k1`: the time, the state and the field before it. `when`, (batch, times): the step in which a
    requested time lies; `fraction`: where in it.
    """

    begins: np.ndarray
    slots: np.ndarray
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
    constants, limit, sizes = constants_of(method.tableau, theta.dtype), method.max_step, np.zeros(len(y0), theta.dtype)
    if method.step_size is not None:
        end, longest, limit = elapsed[:, -1], min(method.step_size, method.max_step), np.inf
        sizes = (end / np.maximum(np.ceil(end / longest - SNAP), 1)).astype(theta.dtype)
    theta, y0, inputs = (laid_out(x) for x in (theta, y0, inputs))
    of_each = lambda x: _of_each(x, field.states) if type(x) is float else np.full(field.states, x, np.float64)
    batch, net = len(y0), tuple(field.sizes.tolist())
    weights = buffers.empty(copy_length(net, theta.dtype), theta.dtype)
    pad(theta, field.sizes, weights)
    room = STORE // (theta.itemsize * field.row) if with_vjp else 0
    values = buffers.empty((room + batch) * field.row, theta.dtype)
    times = start[:, 0], elapsed, sign[:, 0], smallest, method.step_size is not None, sizes
    limits = of_each(method.rtol), of_each(method.atol), method.max_steps, float(limit), method.throw
    ys, accepted, rejected, trials, status, kept, log = march(
        weights, field, values, room, y0, inputs, *times, *constants, *limits, with_vjp
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
        (y0, inputs), kept = _without_failures(failed, y0, inputs, log), 0
    residuals = theta, weights, field, y0, inputs, start[:, 0], constants, values, kept, failed, log
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
    theta, weights, field, y0, inputs, start, (a, c, _, dense, _), values, kept, failed, log = residuals
    if cotangent.shape != (*log.when.shape, y0.shape[1]):
        raise InputError(f"states of shape {(*log.when.shape, y0.shape[1])} have no cotangent of {cotangent.shape}")
    cotangent = laid_out(cotangent.astype(theta.dtype, copy=False))
    if failed.all():
        return np.zeros_like(theta), np.zeros_like(y0), np.zeros_like(inputs), np.zeros_like(field.shared)
    if failed.any():
        cotangent = np.where(failed[:, None, None], cotangent.dtype.type(0), cotangent)
    dtype, batch, most = theta.dtype, len(y0), AGAIN // (theta.itemsize * field.row)
    widest = padded(max(field.sizes, default=0), dtype.itemsize)
    turned, weights_bar = (buffers.empty(weights.size, dtype) for _ in range(2))
    pad_turned(theta, field.sizes, turned)
    weights_bar[:] = 0
    again = buffers.empty(max((len(c) - 1) * batch, most) * field.row, dtype)
    bars = buffers.empty(max(batch, most) * field.row, dtype)
    carry = np.empty(batch * widest if field.skip else 0, dtype)
    steps = values, kept, again, y0, inputs, start, a, c, dense, log, cotangent
    y_bar, inputs_bar, shared_bar = pull_back(weights, turned, field, *steps, bars, carry, weights_bar)
    theta_bar = np.empty_like(theta)
    unpad(weights_bar, field.sizes, theta_bar)
    return theta_bar, y_bar, inputs_bar, shared_bar


@lru_cache
def _of_each(tolerance: float, states: int) -> np.ndarray:
    return np.full(states, tolerance)


def constants_of(tableau: Tableau, dtype: np.dtype) -> tuple:
    """Return a (stages, stages), c, the error weights, the dense output and the order of the error, as arrays."""
    stages = len(tableau.c)
    a = np.zeros((stages, stages), dtype)
    for stage, row in enumerate(tableau.a):
        a[stage, : len(row)] = row
    error = tableau.error[0] if tableau.error else np.zeros(stages)
    return a, np.asarray(tableau.c, dtype), np.asarray(error, dtype), np.asarray(tableau.dense, dtype), tableau.order
