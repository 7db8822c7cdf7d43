"""solve: a batch of initial value problems, adaptive and differentiable."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from mcgc._integers import whole
from mcgc._jit import Jitted
from mcgc._shapes import Float, Int
from mcgc.arrays import Array, Device, as_floats, as_number, device_of, namespace_of, quietly, to_device, to_host
from mcgc.autodiff import ops
from mcgc.autodiff.engine import Traced, strip
from mcgc.autodiff.extend import fused
from mcgc.autodiff.pytree import flatten, unflatten
from mcgc.errors import InputError, TraceError, unknown
from mcgc.kernels import Body
from mcgc.ode._adjoint import backsolve, checkpointed, direct, pull_back
from mcgc.ode._events import Event, Occurrences, System
from mcgc.ode._integrate import Method, Stats, march
from mcgc.ode._jitted import solve_jitted
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


class Field(Protocol):
    """dy/dt = f(t, y, params), each row from its own row alone.

    t has shape (batch, 1) and y (batch, states); for a single trajectory they are () and (states,). The result is like
    y, in shape and dtype.
    """

    def __call__(self, t: Array, y: Array, params: Any, /) -> Array: ...


class Solution(NamedTuple):
    """A solution. For a single trajectory no array has the axis of the batch.

    Attributes
    ----------
    ys
        The states at the requested times, (batch, times, states).
    stats
        How many steps and evaluations were needed.
    status
        A `Status` of each trajectory, int64 (batch,): 0 for success.
    events
        The `Occurrences` of each event.
    """

    ys: Float[Array, "*batch times states"]
    stats: Stats
    status: Int[Array, "*batch"]
    events: tuple[Occurrences, ...] = ()


def solve(
    f: Field,
    y0: Any,
    ts: Any,
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
    events: Sequence[Event] = (),
) -> Solution:
    """Solve dy/dt = f(t, y, params) from y(ts[0]) = y0, and return y at the times ts.

    Differentiable in y0, ts and params.

    Parameters
    ----------
    f
        The field (see `Field`). A `DenseField` is solved in one compiled call on the CPU, and so is a field that
        `mcgc.jit` has compiled, there and on a GPU, with its events on the CPU.
    y0
        Where the trajectories start, (batch, states), or (states,) for a single one, in float32 or float64. Sequences
        of numbers and arrays of integers become float64 (`mcgc.arrays.as_floats`).
    ts
        The requested times, strictly monotonic in either direction: (times,), or (batch, times) for times of each
        trajectory's own. Times are float64 whatever the dtype of y0.
    params
        What f depends on, a pytree.
    solver
        The name of a row of `TABLEAUX`, or a `Tableau` of your own.
    rtol, atol
        Positive tolerances, each a number, or one for each state. A step is accepted where the root mean square of its
        error estimate over `atol + rtol * max(abs(y), abs(y_new))` is at most 1. Each trajectory has a step size of its
        own.
    step_size
        The size of equal steps, in units of t, instead of tolerances. They are at most that long. A solver without an
        error estimate (euler, midpoint, heun, rk4) needs it.
    max_step
        The longest step.
    adjoint
        How derivatives are computed, one of `ADJOINTS`; see Notes.
    max_steps
        How many steps a trajectory may take, the rejected ones among them.
    checkpoints
        How many states `"checkpointed"` stores at most.
    throw
        Whether a trajectory that fails raises. If not, its row of `ys` is NaN, its derivatives are zero, and `status`
        has the code of the failure. The other trajectories have the numbers that they have alone.
    events
        Events that are recorded, stop a trajectory, or reset its state; see `Event`. Not with `"backsolve"`.

    Returns
    -------
    Solution
        The states at the requested times, what it took, a status of each trajectory, and the occurrences of events.

    Raises
    ------
    SolveError
        If a trajectory fails: its step size becomes too small to advance the time, its state is not finite, it needs
        more than `max_steps`, or is reset too often. The sentence names t, dt, the worst trajectory and a remedy.
    InputError
        If an argument is out of range.
    TraceError
        If f uses a traced array that is not in `params`.

    Notes
    -----
    Steps are shortened to end at the last requested time, not for those in between. These states come from the dense
    output of the solver.

    `"checkpointed"` and `"direct"` give the derivative of the steps taken, with their sizes as constants (discretise,
    then differentiate). The first stores at most `checkpoints` states, and two numbers a step and trajectory. It
    replays the solution backwards in segments of at most 2 · steps / checkpoints steps. The second stores every stage
    of every step on the tape. `"backsolve"` stores the requested states alone. It solves the adjoint equation and the
    solution again backwards between them. Its derivative has an error of the order of the tolerances, or larger by the
    factor by which errors grow backwards in time. Where the solution contracts strongly that factor is large, and the
    derivative may be wrong without a sign of it [1]_. Higher derivatives are those of `"direct"`.

    The time of an event depends on the inputs x by the implicit function theorem: dt/dx = −(∂g/∂x) / (dg/dt), where g
    is taken along the dense output of the step. First and second derivatives are right. They grow without limit where
    the trajectory touches g = 0 without crossing it.

    Without `throw`, a parameter that is not finite may still make its own derivative NaN, and `"backsolve"` raises if
    its way back fails.

    References
    ----------
    .. [1] Gholami, Keutzer and Biros (2019), ANODE: Unconditionally accurate memory-efficient gradients for neural
       ODEs.

    Examples
    --------
    >>> from mcgc import grad
    >>> from mcgc.ode import solve
    >>> decay = lambda t, y, rate: -rate * y
    >>> print(solve(decay, [1.0], [0.0, 1.0], 0.5).ys.round(4))
    [[1.    ]
     [0.6065]]
    >>> print(grad(lambda rate: solve(decay, [1.0], [0.0, 1.0], rate).ys[1, 0])(0.5).round(4))
    -0.6065
    """
    tableau = check_options(solver, adjoint, step_size, max_step)
    _check_events(events, adjoint)
    max_steps, checkpoints = whole(max_steps, "max_steps"), whole(checkpoints, "checkpoints", 2)
    y0, ts, single = batch_of(y0, ts)
    rtol, atol = (tolerance(name, value, strip(y0)) for name, value in (("rtol", rtol), ("atol", atol)))
    jitted, f = (f, f.function) if isinstance(f, Jitted) else (None, f)
    method = Method(tableau, rtol, atol, step_size, max_steps, max_step, throw)
    leaves, structure = flatten(params)
    inputs = [y0, ts, *leaves]
    plain = [strip(x) for x in inputs]
    traced = [i for i, x in enumerate(inputs) if type(x) is Traced]

    def field_of(*rest: Any) -> Rate:
        tree = unflatten(structure, list(rest))
        bound = lambda function, shape: _bound(function, tree, single, shape)
        rate = bound(f, (1, -1))
        if not events:
            return rate
        resets = (bound(event.reset, (1, -1)) if event.reset else None for event in events)
        return System(rate, tuple(bound(event.function, (1,)) for event in events), tuple(resets))

    def checked_field() -> Rate:
        field = field_of(*plain[2:])
        if not isinstance(field, System):
            return _checked(field, "f", "like y", plain[0])
        guards = (_checked(guard, "the function of an event", "(batch,)", plain[0][:, 0]) for guard in field.guards)
        resets = (reset and _checked(reset, "the reset of an event", "like y", plain[0]) for reset in field.resets)
        return System(_checked(field.rate, "f", "like y", plain[0]), tuple(guards), tuple(resets))

    stored = checkpoints if traced and adjoint == "checkpointed" else 0
    by_steps = lambda: march(method, checked_field(), plain[1], plain[0], stored, events=events)
    with quietly():
        solved: Any = None
        if adjoint != "checkpointed":
            pass
        elif jitted:
            solved = solve_jitted(
                jitted, method, plain[0], plain[1], plain[2:], structure, single, stored > 0, 1 in traced, events
            )
        elif isinstance(f, WholeSolver) and not events and 1 not in traced and not single:
            solved = f.solve_whole(method, plain[0], plain[1], unflatten(structure, plain[2:]), stored > 0)
        plan: Any = solved or by_steps()

    def definition(*chosen: Any) -> Any:
        return direct(field_of, by_steps() if solved else plan, *_put(inputs, traced, chosen))

    def pullback(residuals: Any, _: Any, *cotangents: Array) -> list:
        varied = [i for i in traced if i >= 2]  # y0 and ts take part in any case
        field_of_varied = lambda *some: field_of(*_put(plain, varied, some)[2:])
        with quietly():
            if solved:
                return [bar for i, bar in enumerate(solved.vjp(*cotangents)) if i in traced]
            rest = [plain[i] for i in varied]
            bars = pull_back(_ADJOINTS[adjoint], field_of_varied, plan, plain[1], rest, cotangents, 1 in traced)
        found = dict(zip([0, 1, *varied], bars, strict=True))
        return [found[i] for i in traced]

    occurrences = plan.occurrences if events else ()
    out: Any = (plan.ys, *(x for found in occurrences for x in found[:2])) if events else plan.ys
    if traced and adjoint == "direct":
        out = definition(*(inputs[i] for i in traced))
    elif traced:
        body = Body(lambda *chosen, out=out: (out, None), pullback)
        out = fused(definition, lambda *chosen: body)(*(inputs[i] for i in traced))
    ys, *found = out if events else (out,)
    occurrences = tuple(map(Occurrences, found[::2], found[1::2], (each.count for each in occurrences)))
    solution = Solution(ys, plan.stats, plan.status, occurrences)
    return _of_one(solution) if single else solution


def batch_of(y0: Any, ts: Any) -> tuple[Array, Array, bool]:
    """Return y0 (batch, states) and ts (batch, times) in float64, and whether there is a single trajectory."""
    y0 = as_floats(y0, "y0")
    ts = as_floats(ts, "ts", y0, "float64")
    single = y0.ndim == 1
    if single:
        y0 = y0[None, :]
    _check_arrays(y0, ts)
    ts = ops.broadcast_to(ops.astype(ts, namespace_of(strip(ts)).float64), (y0.shape[0], ts.shape[-1]))
    return y0, ts, single


def _of_one(solution: Solution) -> Solution:
    """Return the solution without the axis of the batch."""
    ys, (accepted, rejected, evaluations), status, events = solution
    stats = Stats(accepted[0], rejected[0], evaluations)
    return Solution(ys[0, :, :], stats, status[0], tuple(Occurrences(*(x[0, ...] for x in each)) for each in events))


def _bound(function: Callable[..., Any], params: Any, single: bool, shape: tuple[int, ...]) -> Rate:
    """Return `function` of t (batch, 1) and y (batch, states), with a result of `shape` if there is a single row."""
    if single:
        return lambda t, y: ops.reshape(function(t[0, 0], y[0, :], params), shape)
    return lambda t, y: function(t, y, params)


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


def check_options(solver: str | Tableau, adjoint: str, step_size: float | None, max_step: float) -> Tableau:
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


def _check_events(events: Sequence[Event], adjoint: str) -> None:
    if not isinstance(events, Sequence) or not all(isinstance(event, Event) for event in events):
        raise InputError(f"events is a list of mcgc.ode.Event, got {events!r}")
    for i, event in enumerate(events):
        whole(event.most, f"most of event {i}")
        if event.direction not in (-1, 0, 1):
            raise InputError(f"the direction of event {i} must be -1, 0 or 1, got {event.direction!r}")
    if events and adjoint == "backsolve":
        raise InputError("backsolve has no derivative of events: choose adjoint='checkpointed' or 'direct'")


def _check_arrays(y0: Array, ts: Array) -> None:
    if y0.ndim != 2 or 0 in y0.shape:
        raise InputError(f"y0 must have shape (batch, states) or (states,), none of them 0, got {tuple(y0.shape)}")
    if ts.ndim not in (1, 2) or ts.shape[-1] < 2 or (ts.ndim == 2 and ts.shape[0] != y0.shape[0]):
        raise InputError(
            f"ts must have shape (times,), or (batch, times) with a batch of {y0.shape[0]} as y0 has, of two times or "
            f"more, got {tuple(ts.shape)}"
        )


def tolerance(name: str, value: Any, like: Array) -> Any:
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


def _checked(function: Rate, name: str, kind: str, like: Array) -> Rate:
    """Check what a function of the caller returns while the steps are chosen: an array of the shape of `like`."""

    def checked(t: Array, y: Array) -> Array:
        value = function(t, y)
        if type(value) is Traced and type(t) is not Traced:
            raise TraceError(
                f"{name} uses a traced array that solve does not know of: hand every array that {name} depends on over "
                "in params"
            )
        if value.shape != like.shape or value.dtype != like.dtype:
            raise InputError(
                f"{name} must return an array {kind}, {like.dtype} of shape {tuple(like.shape)}, "
                f"but returned {value.dtype} of shape {tuple(value.shape)}"
            )
        return value

    return checked
