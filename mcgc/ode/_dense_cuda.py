"""Whole solutions of dy/dt = net(y, inputs) on a GPU, and their vjp: one launch there, and three back.

A block of threads solves a trajectory (`mcgc.ode._cuda_march`). The host reads once, when all are solved: how many
steps each took, and how it ended. If the log had no room for a solution whose derivative is wanted, it is enlarged, and
the solution is repeated. Later solutions begin with the larger log.
"""

from typing import Any

import numpy as np

from mcgc.arrays import Array, device_of, namespace_of, to_host
from mcgc.kernels import launching
from mcgc.kernels.cuda_dense import total_of_blocks
from mcgc.ode import _cuda_march, _cuda_net
from mcgc.ode._integrate import Method, Stats, Status
from mcgc.ode._solve import Solved
from mcgc.ode._tableaux import Tableau

ROOM = 64  # steps of a trajectory that the first log has room for
MOST = 2**30  # bytes of the gradients of θ, one from each trajectory

_room: dict[tuple, int] = {}  # that the largest log so far had
_tolerances: dict[tuple, Array] = {}
_constants: dict[tuple, tuple] = {}  # on each device; a tableau is held, so that no other has its id


def fits(sizes: tuple[int, ...], theta: Array, y0: Array, method: Method) -> bool:
    """Tell whether the kernels take a net, parameters and trajectories of these sizes, and this method."""
    states, stages = sizes[-1], len(method.tableau.c)
    members = 1 if theta.ndim == 1 else theta.shape[0]
    return (
        max(sizes) <= _cuda_net.WIDEST
        and states <= _cuda_net.STATES
        and stages <= _cuda_net.STAGES
        and members > 0
        and y0.shape[0] % members == 0
        and y0.shape[0] * theta.shape[-1] * theta.dtype.itemsize <= MOST
    )


def solve_dense(
    sizes: tuple[int, ...],
    activation: str,
    y0: Array,
    theta: Array,
    inputs: Array,
    ts: Array,
    method: Method,
    with_vjp: bool,
) -> Solved | None:
    """Return the solution, or None where times are not in order, or with `method.throw` where a trajectory fails.

    θ (m,) or (members, m); the trajectories come member after member.
    """
    xp, dtype, (batch, states), times = namespace_of(y0), y0.dtype, y0.shape, ts.shape[1]
    march, pull = _cuda_march.KERNELS[dtype.name]
    a, e, dense, widths = _on_device(method.tableau, sizes, y0)
    stages, powers, m = len(method.tableau.c), len(method.tableau.dense[0]), theta.shape[-1]
    theta, y0, inputs, ts = (xp.ascontiguousarray(x) for x in (theta, y0, inputs, ts))
    tolerances = [_of_each(x, y0) for x in (method.rtol, method.atol)]
    each, is_tanh = batch // (theta.size // m), int(activation == "tanh")
    net, shape = (widths, len(sizes) - 1, m), (states, stages, powers, times, each)
    empty = lambda size, dtype: xp.empty(size, dtype=dtype, device=device_of(y0))
    ys, counts = empty((batch, times, states), dtype), empty((batch, 4), xp.int64)
    when, fraction = empty(batch * times, xp.int64), empty(batch * times, dtype)
    about = (sizes, method.tableau.name)
    room = _room.get(about, ROOM) if with_vjp else 0
    while True:
        log = empty(batch * room, dtype), *(empty(batch * room * states, dtype) for _ in range(2))
        _launch(
            march, batch, ys, counts, when, fraction, *log, theta, y0, inputs, ts, a, e, dense, *tolerances, *net,
            *shape, method.tableau.order, method.max_steps, float(method.max_step), room, is_tanh,
        )  # fmt: skip
        most, evaluations, ordered, failed = _read(counts)
        if not with_vjp or most <= room:
            break
        room = _room[about] = 1 << most.bit_length()
    if not ordered or (failed and method.throw):
        return None
    status = counts[:, 2]
    if failed:
        ys = xp.where((status == int(Status.SUCCESS))[:, None, None], ys, xp.nan)

    def vjp(cotangent: Array) -> list:
        zeros = lambda size: xp.zeros(size, dtype=dtype, device=device_of(y0))
        parts, y_bar, inputs_bar = zeros(batch * m), zeros(y0.shape), zeros(inputs.shape)
        values, outputs = sum(sizes[:-1]), sum(sizes[1:])
        kept, bars = (empty(batch * (stages - 1) * n, dtype) for n in (values, outputs))
        turned = empty(theta.size, dtype)
        _launch(_cuda_march.turn, theta.size // m * (len(sizes) - 1), turned, theta, *net)
        cotangent = xp.ascontiguousarray(cotangent, dtype)
        _launch(
            pull, batch, parts, y_bar, inputs_bar, kept, bars, cotangent, counts, when, fraction, *log,
            theta, turned, y0, inputs, a, dense, *net, *shape, room, is_tanh, values, outputs,
        )  # fmt: skip
        return [y_bar, None, total_of_blocks(parts, each, theta), inputs_bar]

    return Solved(ys, Stats(counts[:, 0], counts[:, 1], evaluations), status, vjp)


def _read(counts: Array) -> tuple[int, int, bool, bool]:
    """Return the most steps, the evaluations, whether all times are in order, and whether a trajectory failed."""
    accepted, _, status, evaluations = to_host(counts).T
    ordered = bool((status != _cuda_march.UNORDERED).all())
    return int(accepted.max()), int(evaluations.max()), ordered, bool((status != Status.SUCCESS).any())


def _launch(kernel: Any, blocks: int, *arguments: Any) -> None:
    launching.launch(kernel, blocks, _cuda_net.THREADS, *map(_passed, arguments))


def _passed(x: Any) -> Any:
    """Return an argument as a kernel takes it: a flat array, an int64 or a float64."""
    return np.int64(x) if type(x) is int else np.float64(x) if type(x) is float else x.ravel()


def _of_each(tolerance: Any, y0: Array) -> Array:
    """Return a tolerance as an array of one for each state; that of a number is made once."""
    if type(tolerance) is not float:
        return tolerance
    device = device_of(y0)
    key = tolerance, y0.shape[1], getattr(device, "id", device)
    if key not in _tolerances:
        xp = namespace_of(y0)
        _tolerances[key] = xp.full(y0.shape[1], tolerance, dtype=xp.float64, device=device)
    return _tolerances[key]


def _on_device(tableau: Tableau, sizes: tuple[int, ...], like: Array) -> tuple:
    """Return the tableau's stages, error and dense output and the widths of a net as arrays, copied there once."""
    device = device_of(like)
    key = id(tableau), sizes, like.dtype, getattr(device, "id", device)
    if key not in _constants:
        from mcgc.ode._compiled import constants_of

        a, _, e, dense, _ = constants_of(tableau, like.dtype)
        given = a, e, dense, np.asarray(sizes, np.int64)
        _constants[key] = *(namespace_of(like).asarray(x, device=device) for x in given), tableau
    return _constants[key][:4]
