"""solve: a batch of initial value problems, adaptive and differentiable."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from mcgc._integers import whole
from mcgc.arrays import Array, Device, as_floats, as_number, device_of, namespace_of, quietly, to_device, to_host
from mcgc.autodiff import ops
from mcgc.autodiff.engine import Traced, strip
from mcgc.autodiff.extend import fused
from mcgc.autodiff.pytree import flatten, unflatten
from mcgc.errors import InputError, TraceError, unknown
from mcgc.kernels import Body
from mcgc.ode._adjoint import backsolve, checkpointed, direct, pull_back
from mcgc.ode._integrate import Method, Stats, march
from mcgc.ode._step import Rate
from mcgc.ode._tableaux import TABLEAUX, Tableau

_ADJOINTS = {"backsolve": backsolve, "checkpointed": checkpointed}
ADJOINTS = (*_ADJOINTS, "direct")


class Solved(NamedTuple):
    """A solution by one call, and its `vjp`: from the cotangent of `ys` to those of y0, ts and the leaves of params."""

    ys: Array
    stats: Stats
    status: Array
    vjp: Callable[[Array], list]


@runtime_checkable
class WholeSolver(Protocol):
    """A field with a compiled body for whole solutions. The meaning of the body is a solution step by step."""

    def solve_whole(self, method: Method, y0: Array, ts: Array, params: Any, with_vjp: bool) -> Solved | None:
        """Return the solution, or None where the body does not fit the arguments."""


class Solution(NamedTuple):
    """`ys`: the states at the requested times; `stats`: what it took; `status`: a `Status` of each trajectory."""

    ys: Array
    stats: Stats
    status: Array


def solve(
    f: Callable[[Array, Array, Any], Array],
    y0: Array,
    ts: Array,
    params: Any = None,
    *,
    solver: str | Tableau = "dopri5",
    rtol: Any = 1e-6,
    atol: Any = 1e-8,
    step_size: float | None = None,
    max_step: float = math.inf,
    adjoint: str = "checkpointed",
    max_steps: int = 16384,
    checkpoints: int = 64,
    throw: bool = True,
) -> Solution:
    """Solve dy/dt = f(t, y, params) from y(ts[0]) = y0 and return y at the times ts.

    `y0` has shape (batch, states), or (states,) for a single trajectory, in float32 or float64. `ts`, strictly
    monotonic in either direction, has shape (times,), or (batch, times) for times of each trajectory's own. `f` is
    called with t of shape (batch, 1), or () for a single trajectory, y of the shape of y0, and `params`, a pytree;
    it returns an array like y, each row from its own row alone. The result's `ys` has shape (batch, times, states),
    or (times, states). y0 and ts may be sequences of numbers, or arrays of integers, and then become float64
    (`mcgc.arrays.as_floats`).

    With tolerances, each trajectory has its own step size: a step is accepted where the root mean square of its
    error estimate over atol + rtol max(|y|, |y_new|) is at most 1; `rtol` and `atol` are positive numbers, or have one
    for each state, (states,). No step is longer than `max_step`. Steps are shortened to end at the last requested
    time, not for those in between: these values come from the solver's dense output. With `step_size`, in units of t,
    the steps are equal and of at most that size; a solver without an error estimate (euler, midpoint, heun, rk4)
    needs it. Times are kept in float64 whatever the dtype of y0.

    `solver` is the name of a row of `TABLEAUX`, or a `Tableau` of your own.

    Differentiable in y0, ts and params. `adjoint="checkpointed"` and `"direct"` give the derivative of the steps
    taken, with their sizes as constants (discretise, then differentiate). The first stores at most `checkpoints`
    states and two numbers a step and trajectory, and replays the solution backwards in segments of at most
    2 · steps / checkpoints steps; the second keeps every stage of every step on the tape. `"backsolve"` stores no
    state but the requested ones, and solves the adjoint equation and the solution again backwards between them:
    its derivative has an error of its own, of the order of the tolerances, or larger by the factor by which errors
    grow backwards in time. Where the solution contracts strongly that factor is large, and the derivative may be
    wrong without a sign of it (Gholami et al. 2019). Higher derivatives are those of `direct`.

    A trajectory fails if its step size becomes too small to advance the time, its state is not finite, or it needs more
    than `max_steps` steps. With `throw`, `SolveError` names t, dt, the worst trajectory and a remedy. Without, the
    result's `status`, int64 (batch,), has a code of `Status` for each trajectory, 0 for success. The rows of `ys` of
    one that failed are NaN and its derivatives are zero. The others are as they are alone. (A parameter that is itself
    not finite may still make its own derivative NaN. With `"backsolve"`, a failure on the way back raises.)

    Raises `SolveError` if a trajectory fails, unless `throw` is False; `InputError` if an argument is out of range;
    `TraceError` if f uses a traced array that is not in `params`.
    """
    tableau = _check_options(solver, adjoint, step_size, max_step)
    max_steps, checkpoints = whole(max_steps, "max_steps"), whole(checkpoints, "checkpoints", 2)
    y0 = as_floats(y0, "y0")
    ts = as_floats(ts, "ts", y0, "float64")
    single = y0.ndim == 1
    if single:
        y0 = y0[None, :]
    _check_arrays(y0, ts)
    rtol, atol = (_tolerance(name, value, strip(y0)) for name, value in (("rtol", rtol), ("atol", atol)))
    method = Method(tableau, rtol, atol, step_size, max_steps, max_step, throw)
    ts = ops.broadcast_to(ops.astype(ts, namespace_of(strip(ts)).float64), (y0.shape[0], ts.shape[-1]))
    leaves, structure = flatten(params)
    inputs = [y0, ts, *leaves]
    plain = [strip(x) for x in inputs]
    traced = [i for i, x in enumerate(inputs) if type(x) is Traced]

    def field_of(*rest: Any) -> Rate:
        tree = unflatten(structure, list(rest))
        if single:
            return lambda t, y: f(t[0, 0], y[0, :], tree)[None, :]
        return lambda t, y: f(t, y, tree)

    stored = checkpoints if traced and adjoint == "checkpointed" else 0
    by_steps = lambda: march(method, _plain_field(field_of(*plain[2:]), plain[0]), plain[1], plain[0], stored)
    able = adjoint == "checkpointed" and 1 not in traced and not single
    with quietly():
        solved = None
        if able and isinstance(f, WholeSolver):
            solved = f.solve_whole(method, *plain[:2], unflatten(structure, plain[2:]), stored > 0)
        plan: Any = solved or by_steps()

    def definition(*chosen: Any) -> Array:
        return direct(field_of, by_steps() if solved else plan, *_put(inputs, traced, chosen))

    def pullback(residuals: Any, _: Any, cotangent: Array) -> list:
        varied = [i for i in traced if i >= 2]  # y0 and ts take part in any case
        field_of_varied = lambda *some: field_of(*_put(plain, varied, some)[2:])
        with quietly():
            if solved:
                return [bar for i, bar in enumerate(solved.vjp(cotangent)) if i in traced]
            rest = [plain[i] for i in varied]
            bars = pull_back(_ADJOINTS[adjoint], field_of_varied, plan, plain[1], rest, cotangent, 1 in traced)
        found = dict(zip([0, 1, *varied], bars, strict=True))
        return [found[i] for i in traced]

    ys, stats, status = plan.ys, plan.stats, plan.status
    if traced and adjoint == "direct":
        ys = definition(*(inputs[i] for i in traced))
    elif traced:
        body = Body(lambda *chosen: (plan.ys, None), pullback)
        ys = fused(definition, lambda *chosen: body)(*(inputs[i] for i in traced))
    if single:
        ys, stats, status = ys[0, :, :], Stats(stats.accepted[0], stats.rejected[0], stats.evaluations), status[0]
    return Solution(ys, stats, status)


def _put(inputs: Sequence, indices: Sequence[int], values: Sequence) -> list:
    """Return `inputs` with `values` at the given indices."""
    given = dict(zip(indices, values, strict=True))
    return [given.get(i, x) for i, x in enumerate(inputs)]


def tableau_of(solver: str | Tableau) -> Tableau:
    """Return `solver` itself, or the tableau of that name. Raises `InputError`, with the list, if there is none."""
    if isinstance(solver, Tableau):
        return solver
    if not isinstance(solver, str) or solver not in TABLEAUX:
        raise InputError(unknown("solver", solver, TABLEAUX))
    return TABLEAUX[solver]


def _check_options(solver: str | Tableau, adjoint: str, step_size: float | None, max_step: float) -> Tableau:
    tableau = tableau_of(solver)
    if not isinstance(adjoint, str) or adjoint not in ADJOINTS:
        raise InputError(unknown("adjoint", adjoint, ADJOINTS))
    if step_size is not None and not 0 < as_number(step_size) < math.inf:
        raise InputError(f"step_size must be a positive number, got {step_size!r}")
    if not as_number(max_step) > 0:
        raise InputError(f"max_step must be a positive number, got {max_step!r}")
    if step_size is None and not tableau.error:
        raise InputError(f"the solver {tableau.name!r} has no error estimate to choose steps by: give it a step_size")
    return tableau


def _check_arrays(y0: Array, ts: Array) -> None:
    if y0.ndim != 2 or 0 in y0.shape:
        raise InputError(f"y0 must have shape (batch, states) or (states,), none of them 0, got {tuple(y0.shape)}")
    if ts.ndim not in (1, 2) or ts.shape[-1] < 2 or (ts.ndim == 2 and ts.shape[0] != y0.shape[0]):
        raise InputError(
            f"ts must have shape (times,), or (batch, times) with a batch of {y0.shape[0]} as y0 has, of two times or "
            f"more, got {tuple(ts.shape)}"
        )


def _tolerance(name: str, value: Any, like: Array) -> Any:
    """Return a tolerance as a number, or as a float64 array (states,) on the device of `like`, (batch, states)."""
    if type(value) is Traced:
        raise TraceError(f"{name} has no derivative: give it as a number, or with mcgc.stop_gradient")
    if type(value) is float and 0 < value < math.inf:
        return value
    value = to_host(as_floats(value, name))
    if not (namespace_of(value).isfinite(value) & (value > 0)).all():
        raise InputError(f"{name} must be a positive number, got {value}")
    if value.ndim == 0:
        return float(value)
    if value.shape != like.shape[1:]:
        raise InputError(f"{name} must be one number, or one for each of {like.shape[1]} states, got {value.shape}")
    return to_device(value, Device("", namespace_of(like), device_of(like)), "float64")


def _plain_field(field: Rate, y0: Array) -> Rate:
    """Check what the field returns while the steps are chosen."""

    def checked(t: Array, y: Array) -> Array:
        dy = field(t, y)
        if type(dy) is Traced:
            raise TraceError(
                "f uses a traced array that solve does not know of: hand every array that f depends on over in params"
            )
        if dy.shape != y0.shape or dy.dtype != y0.dtype:
            raise InputError(
                f"f must return an array like y, {y0.dtype} of shape {tuple(y0.shape)}, "
                f"but returned {dy.dtype} of shape {tuple(dy.shape)}"
            )
        return dy

    return checked
