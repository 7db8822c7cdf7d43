"""Fields made of a net and of equations, whose inputs may change with time, solved in one compiled call on the CPU."""

import math
from typing import Any, NamedTuple

import numpy as np

from mcgc import nets
from mcgc.arrays import Array, as_floats, is_host, namespace_of
from mcgc.autodiff import ops
from mcgc.errors import InputError
from mcgc.kernels import Kernel
from mcgc.ode._equations import ScaledEquations
from mcgc.ode._integrate import Method, Stats, march
from mcgc.ode._solve import Solved


class DrivenField(NamedTuple):
    """dy/dt = g(t, y, p, u(t)) + net(y, u(t)), of which g or the net may be absent, for `mcgc.ode.solve`.

    The net has `sizes`, `activation` and `skip` (`mcgc.nets`); no sizes are no net. `equations` are g.

    Its params are (θ, inputs). θ has the parameters p of the equations, and then those of the net. A row of `inputs`
    has, if there are equations, the time in the data at t = 0. Then come constant inputs u, or with `knots` what
    `pack` makes of knots. With the `interpolation` "previous", u(t) is the value of the last knot. Else it is the
    spline with the given second derivatives at the knots, which is made of straight lines where they are zero. Beyond
    the knots it has the value at the end.

    θ may have members, (members, m): then trajectories come member after member, as many of each.
    """

    sizes: tuple[int, ...]
    activation: str = "relu"
    skip: bool = False
    knots: int = 0
    interpolation: str = "linear"
    equations: ScaledEquations | None = None

    def __call__(self, t: Array, y: Array, params: tuple[Array, Array]) -> Array:
        """Return dy/dt, of the shape of y, (rows, states)."""
        theta, inputs = params
        count = 0 if self.equations is None else self.equations.parameters
        begun = 0 if self.equations is None else 1
        u = inputs[:, begun:]
        u = inputs_at(t, u, self.knots, self.interpolation) if self.knots else u
        rate = None
        if self.equations is not None:
            p, rows = theta[..., :count], y.shape[0]
            if theta.ndim > 1:
                members = math.prod(theta.shape[:-1])
                p = ops.broadcast_to(ops.reshape(p, (members, 1, count)), (members, rows // members, count))
                p = ops.reshape(p, (rows, count))
            rate = self.equations(t, y, ops.broadcast_to(p, (rows, count)), u, inputs[:, :1])
        if not self.sizes:
            return rate
        x = ops.concat([y, u], axis=-1)
        if theta.ndim > 1:
            x = ops.reshape(x, (*theta.shape[:-1], -1, self.sizes[0]))
        of_net = nets.apply(theta[..., count:], x, self.sizes, self.activation, self.skip)
        of_net = ops.reshape(of_net, y.shape) if theta.ndim > 1 else of_net
        return of_net if rate is None else rate + of_net

    def solve_whole(self, method: Method, y0: Array, ts: Array, params: Any, with_vjp: bool) -> Solved | None:
        """Return the solution of `mcgc.ode._integrate.march` by one compiled call, or None where that cannot be."""
        return solve_whole(self, method, y0, ts, pair_of(params), with_vjp)


def pair_of(params: Any) -> tuple[Array, Array]:
    """Return params as θ and inputs. Raises `InputError` if they are something else."""
    if not isinstance(params, tuple | list) or len(params) != 2:
        raise InputError(
            "the params of a DenseField are (theta, inputs), with inputs of shape (batch, 0) if there are none"
        )
    return params[0], params[1]


def inputs_at(t: Array, packed: Array, knots: int, interpolation: str) -> Array:
    """Return u(t), (rows, inputs), as the first value and what each interval adds to it."""
    rows = packed.shape[0]
    when, inputs = packed[:, :knots], ops.reshape(packed[:, knots:], (rows, knots, -1))
    p = inputs.shape[-1] // 2
    values, curvatures = inputs[:, :, :p], inputs[:, :, p:]
    rises = values[:, 1:, :] - values[:, :-1, :]
    if interpolation == "previous":
        xp = namespace_of(when)
        share = xp.astype(t >= when[:, 1:], when.dtype)[:, :, None]
        return values[:, 0, :] + ops.sum(rises * share, axis=1)
    width = when[:, 1:] - when[:, :-1]
    width = ops.where(width > 0, width, 1)  # of what fills up a shorter series, where nothing rises
    share = ops.clip((t - when[:, :-1]) / width, 0, 1)[:, :, None]
    rest_of = 1 - share
    bends = (rest_of**3 - rest_of) * curvatures[:, :-1, :] + (share**3 - share) * curvatures[:, 1:, :]
    return values[:, 0, :] + ops.sum(rises * share + bends * (width**2)[:, :, None] / 6, axis=1)


def pack(knots: Array, inputs: Array) -> Array:
    """Return knots (..., n) and inputs (..., n, 2 p), values and second derivatives, as (..., n (1 + 2 p))."""
    return ops.concat([knots, ops.reshape(inputs, (*knots.shape[:-1], -1))], axis=-1)


# ---- in one compiled call ----


def solve_whole(
    field: DrivenField, method: Method, y0: Array, ts: Array, params: tuple[Array, Array], with_vjp: bool
) -> Solved | None:
    """Return the solution of `mcgc.ode._integrate.march` by one compiled call, or None where that cannot be.

    There is no such call for dtypes that differ, for methods with stages for the dense output alone, on the host for
    members, and on a GPU for steps of equal size and for more than a plain net. With `method.throw` a solution that
    fails is None too.
    """
    theta, inputs = (as_floats(x, name, y0) for x, name in zip(params, ("theta", "inputs"), strict=True))
    solve_dense = _march.body(y0, theta, inputs, field, method)
    return None if solve_dense is None else solve_dense(field, y0, theta, inputs, ts, method, with_vjp)


def _fits(y0: Array, theta: Array, inputs: Array, field: DrivenField, method: Method) -> bool:
    """Tell whether the compiled march takes these arrays, this field and this method."""
    tableau, chosen = method.tableau, method.step_size is None and len(method.tableau.error) == 1
    simple = (chosen or (is_host(y0) and method.step_size is not None)) and not tableau.extra
    there = is_host(y0) == is_host(theta) == is_host(inputs)
    if not (simple and there and theta.dtype == inputs.dtype == y0.dtype):
        return False
    (batch, states), equations = y0.shape, field.equations
    free = 0 if equations is None else equations.parameters
    of_net = nets.num_parameters(field.sizes) if field.sizes else 0
    shaped = theta.shape[-1:] == (free + of_net,) and (not field.sizes or field.sizes[-1] == states)
    p = _num_inputs(field, states)
    columns = (equations is not None) + (field.knots * (1 + 2 * p) if field.knots else p)
    if not shaped or inputs.shape != (batch, columns):
        return False
    if is_host(y0):
        return theta.ndim == 1
    from mcgc.ode import _dense_cuda

    plain = equations is None and not field.knots and not field.skip and field.activation in nets.FUSED_ON_GPU
    return plain and theta.ndim <= 2 and _dense_cuda.fits(field.sizes, theta, y0, method)


def _num_inputs(field: DrivenField, states: int) -> int:
    if field.sizes:
        return field.sizes[0] - states
    return field.equations.inputs if field.equations is not None else 0


_march = Kernel(
    march, _fits, cpu="mcgc.ode._driven_field:_solve_dense", cuda="mcgc.ode._driven_field:_solve_dense_on_gpu"
)


def _solve_dense_on_gpu(
    field: DrivenField, y0: Array, theta: Array, inputs: Array, ts: Array, method: Method, with_vjp: bool
) -> Solved | None:
    from mcgc.ode import _dense_cuda

    return _dense_cuda.solve_dense(tuple(field.sizes), field.activation, y0, theta, inputs, ts, method, with_vjp)


def _solve_dense(
    field: DrivenField, y0: Array, theta: Array, inputs: Array, ts: Array, method: Method, with_vjp: bool
) -> Solved | None:
    """Return the solution by one compiled call, or None where it fails and `method.throw` is set."""
    from mcgc.kernels.cpu_field import field_of
    from mcgc.ode import _compiled

    states, free = y0.shape[1], 0
    spec = field_of(tuple(field.sizes), *field[1:5], states, _num_inputs(field, states), theta.dtype)
    if field.equations is not None:
        free = field.equations.parameters
        tape, constants, results = field.equations.tape(theta.dtype)
        shared = np.concatenate([theta[:free], field.equations.units.reshape(-1)])
        spec = spec._replace(tape=tape, constants=constants, results=results, shared=shared)
    found = _compiled.march_dense(spec, theta[free:], y0, inputs, ts, method, with_vjp)
    if found is None:
        return None
    ys, accepted, rejected, trials, status, residuals = found
    evaluations = (2 if method.step_size is None else 1) + trials * (len(method.tableau.c) - 1)

    def vjp(cotangent: Array) -> list:
        theta_bar, y0_bar, inputs_bar, shared_bar = _compiled.vjp_dense(residuals, cotangent)
        theta_bar = np.concatenate([shared_bar[:free], theta_bar]) if free else theta_bar
        return [y0_bar, None, theta_bar, inputs_bar]

    return Solved(ys, Stats(accepted, rejected, evaluations), status, vjp)
