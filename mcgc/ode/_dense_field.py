"""Dense nets as the fields of differential equations, which `mcgc.ode.solve` solves in one compiled call on the CPU."""

import math
from typing import Any, NamedTuple

from mcgc import nets
from mcgc.arrays import Array, as_floats, namespace_of
from mcgc.autodiff import ops
from mcgc.errors import InputError
from mcgc.ode._driven_field import DrivenField, pair_of, solve_whole
from mcgc.ode._events import Occurrences
from mcgc.ode._integrate import Method, Stats
from mcgc.ode._solve import Field, Solution, Solved, solve, tableau_of
from mcgc.ode._tableaux import Tableau


class DenseField(NamedTuple):
    """dy/dt = net(y, inputs): a net of `sizes`, `activation` and `skip` (see `mcgc.nets`), for `mcgc.ode.solve`.

    Its params are (θ, inputs): θ of shape (m,), and inputs (batch, n₀ − states), constant numbers of each trajectory
    that the net takes after the state (batch, states); sizes[-1] is the number of states.

    θ may have members, (members, m): then trajectories come member after member, as many of each.
    """

    sizes: tuple[int, ...]
    activation: str = "relu"
    skip: bool = False

    def __call__(self, t: Array, y: Array, params: tuple[Array, Array]) -> Array:
        """Return dy/dt, of the shape of y. Raises `InputError` as `mcgc.nets.apply` does."""
        theta, inputs = pair_of(params)
        nets.num_parameters(self.sizes)
        y = as_floats(y, "y")
        theta, inputs = as_floats(theta, "theta", y), as_floats(inputs, "inputs", y)
        if y.ndim == 0 or inputs.shape[:-1] != y.shape[:-1]:
            raise InputError(f"states of shape {tuple(y.shape)} need inputs for each, got shape {tuple(inputs.shape)}")
        x = ops.concat([y, inputs], axis=-1)
        if theta.ndim > 1:
            members = math.prod(theta.shape[:-1])
            if x.ndim != 2 or x.shape[1] != self.sizes[0] or members == 0 or x.shape[0] % members:
                raise InputError(f"{members} members need as many rows each of {self.sizes[0]}, got {tuple(x.shape)}")
            x = ops.reshape(x, (*theta.shape[:-1], -1, self.sizes[0]))
        rate = nets.apply(theta, x, self.sizes, self.activation, self.skip)
        return ops.reshape(rate, y.shape) if theta.ndim > 1 else rate

    def solve_whole(self, method: Method, y0: Array, ts: Array, params: Any, with_vjp: bool) -> Solved | None:
        """Return the solution of `mcgc.ode._integrate.march` by one compiled call, or None where that cannot be.

        There is no such call on other devices, for dtypes that differ, for methods with stages for the dense output
        alone, and on a GPU for steps of equal size. With `method.throw` a solution that fails is None too.
        """
        return solve_whole(DrivenField(*self), method, y0, ts, pair_of(params), with_vjp)


def solve_members(
    field: Field, y0: Array, ts: Array, params: tuple[Array, Array], *, solver: str | Tableau = "dopri5", **how: Any
) -> Solution:
    """Solve as `mcgc.ode.solve` does for each member of θ, with all their trajectories in one batch.

    Parameters
    ----------
    field : Field
        The field. Its params are (θ, inputs), as those of a `DenseField`.
    y0 : array of shape (batch, states) or (members, batch, states)
        Where the trajectories start. The members share an array without their axis.
    ts : array of shape (batch, times) or (members, batch, times)
        The requested times.
    params : tuple of two arrays
        θ of shape (members, m), and inputs of shape (batch, n₀ − states) or (members, batch, n₀ − states).
    solver : str or Tableau
        As for `solve`.
    **how
        Other options of `solve`.

    Returns
    -------
    Solution
        As of `solve`, with the axis of the members in front of all arrays. The evaluations are those of each member,
        (members,), on the device. They leave out those that other members needed after this one was done. Stages for
        the dense output alone (dopri8) count for all members.

    Raises
    ------
    InputError
        If a shape is none of these, and as `solve` does.
    SolveError
        As `solve` does.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import Key, nets, split
    >>> from mcgc.ode import DenseField, solve_members
    >>> field = DenseField((2, 8, 2))
    >>> theta = np.stack([nets.init(key, field.sizes, "float64") for key in split(Key(0), 3)])
    >>> y0, ts = np.ones((4, 2)), np.tile([0.0, 0.5, 1.0], (4, 1))
    >>> solve_members(field, y0, ts, (theta, np.zeros((4, 0)))).ys.shape
    (3, 4, 3, 2)
    """
    theta, inputs = pair_of(params)
    theta, y0, ts = as_floats(theta, "theta", y0), as_floats(y0, "y0", theta), as_floats(ts, "ts", y0, "float64")
    inputs = as_floats(inputs, "inputs", theta)
    if theta.ndim != 2:
        raise InputError(f"solve_members takes theta of shape (members, m), got {tuple(theta.shape)}")
    members = theta.shape[0]

    def joined(name: str, x: Array) -> Array:
        if x.ndim not in (2, 3) or x.shape[:-2] not in ((), (1,), (members,)):
            raise InputError(f"{name} has shape (batch, n) or ({members}, batch, n), got {tuple(x.shape)}")
        return ops.reshape(ops.broadcast_to(x, (members, *x.shape[-2:])), (members * x.shape[-2], x.shape[-1]))

    params = theta, joined("inputs", inputs)
    solution = solve(field, joined("y0", y0), joined("ts", ts), params, solver=solver, **how)
    xp, tableau = namespace_of(solution.stats.accepted), tableau_of(solver)
    ys, (accepted, rejected, evaluations), status, found = solution
    each = lambda x: ops.reshape(x, (members, -1, *x.shape[1:]))
    accepted, rejected = each(accepted), each(rejected)
    tries = xp.max(accepted + rejected, axis=-1)
    idle = (xp.max(tries) - tries) * (len(tableau.c) - 1 - tableau.extra)
    events = tuple(Occurrences(*map(each, occurrences)) for occurrences in found)
    return Solution(each(ys), Stats(accepted, rejected, evaluations - idle), each(status), events)
