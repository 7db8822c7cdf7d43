"""The field of the series in a table: a net, equations of the user's with parameters, or the sum of both."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mcgc import nets
from mcgc.arrays import Array, Device
from mcgc.autodiff import ops
from mcgc.ode import DenseField, Solution, solve, solve_members
from mcgc.random import Key
from mcgc.train._driven import DrivenField, inputs_at, pack
from mcgc.train._known import Known, known_of_model
from mcgc.train._segments import Observed
from mcgc.train.settings import SOLVER, Settings


class TableField(NamedTuple):
    """The field dy/dt = g(t, y, p, u) + net(y, u) in scaled units, of which g or the net may be absent.

    θ has the coordinates of the free parameters (`Known.values`), and then the parameters of the net.
    """

    sizes: tuple[int, ...]
    activation: str
    skip: bool
    varying: bool
    interpolation: str
    known: Known | None

    @property
    def num_free(self) -> int:
        """The number of parameters of the equations that are fitted."""
        return 0 if self.known is None else self.known.num_free

    def init(self, key: Key, dtype: str, device: Device, scheme: str) -> Array:
        """Draw θ. The parameters of the equations begin at their starts, and a net beside equations begins at 0."""
        if self.known is None:
            return nets.init(key, self.sizes, dtype, device, scheme)
        xp = device.namespace
        zeros = lambda n: xp.zeros(n, dtype=getattr(xp, dtype), device=device.handle)
        if not self.sizes:
            return zeros(self.num_free)
        theta, last = nets.init(key, self.sizes, dtype, device, scheme), (self.sizes[-2] + 1) * self.sizes[-1]
        return ops.concat([zeros(self.num_free), theta[:-last], zeros(last)])

    def solved(self, settings: Settings, theta: Array, batch: Observed, throw: bool) -> Solution:
        """Return the solutions from the first state of each series, in scaled units, at its times."""
        how: dict[str, Any] = {name: getattr(settings, name) for name in SOLVER} | {"throw": throw}
        start, inputs = batch.states[..., 0, :], batch.inputs
        run = solve_members if theta.ndim > 1 else solve
        knots = batch.knots.shape[-1]
        if self.varying:
            inputs = pack(ops.astype(batch.knots, inputs.dtype), inputs)
        if self.known is None:
            return run(self._net(knots), start, batch.times, (theta, inputs), **how)
        values = self.known.values(theta[..., : self.num_free])
        begun, units = batch.units[..., :1], ops.reshape(batch.units, (-1, batch.units.shape[-1]))[:1, 1:]
        if not self.sizes and not self.varying:
            rows = ops.broadcast_to(values[..., None, :], (*values.shape[:-1], start.shape[-2], values.shape[-1]))
            fed = ops.concat([inputs, begun], axis=-1)
            q = ops.concat([rows, ops.broadcast_to(fed, (*rows.shape[:-1], fed.shape[-1]))], axis=-1)
            shared = units if theta.ndim == 1 else ops.broadcast_to(units, (theta.shape[0], units.shape[-1]))
            return run(self.known.field(), start, batch.times, (shared, q), **how)
        net = self._net(knots) if self.sizes else None
        field = _Sum(self.known, net, units, knots if self.varying else 0, self.interpolation)
        both = ops.concat([values, theta[..., self.num_free :]], axis=-1)
        return run(field, start, batch.times, (both, ops.concat([begun, inputs], axis=-1)), **how)

    def _net(self, knots: int) -> Any:
        if self.varying:
            return DrivenField(self.sizes, self.activation, self.skip, knots, self.interpolation)
        return DenseField(self.sizes, self.activation, self.skip)


def field_of_model(model: Mapping[str, Any]) -> TableField:
    """Return the field that the `model` of a run file says."""
    sizes, activation, skip = tuple(model["sizes"]), model["activation"] or "", bool(model["skip"])
    return TableField(sizes, activation, skip, bool(model["varying"]), model["interpolation"], known_of_model(model))


class _Sum(NamedTuple):
    """Equations, and a net that may be None. The params are (p and θ, the time at 0 and the inputs or their knots)."""

    known: Known
    net: Any
    units: Array
    knots: int
    interpolation: str

    def __call__(self, t: Array, y: Array, params: tuple[Array, Array]) -> Array:
        """Return dy/dt, of the shape of y, (rows, states)."""
        both, fed = params
        count, rows = len(self.known.parameters), y.shape[0]
        begun, inputs = fed[:, :1], fed[:, 1:]
        p = both[..., :count]
        if both.ndim > 1:
            p = ops.broadcast_to(p[:, None, :], (both.shape[0], rows // both.shape[0], count))
            p = ops.reshape(p, (rows, count))
        u = inputs_at(t, inputs, self.knots, self.interpolation) if self.knots else inputs
        q = ops.concat([ops.broadcast_to(p, (rows, count)), u, begun], axis=-1)
        rate = self.known.rate(t, y, q, self.units)
        return rate if self.net is None else rate + self.net(t, y, (both[..., count:], inputs))
