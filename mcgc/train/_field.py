"""The field of the series in a table: a net, equations of the user's with parameters, or the sum of both."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mcgc import nets
from mcgc.arrays import Array, Device
from mcgc.autodiff import ops
from mcgc.ode import Solution, solve, solve_members
from mcgc.ode._driven_field import DrivenField, pack
from mcgc.random import Key
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
        start, inputs, equations = batch.states[..., 0, :], batch.inputs, None
        knots = batch.knots.shape[-1] if self.varying else 0
        if knots:
            inputs = pack(ops.astype(batch.knots, inputs.dtype), inputs)
        if self.known is not None:
            units = ops.reshape(batch.units, (-1, batch.units.shape[-1]))[:1, 1:]
            equations = self.known.scaled(units)
            values = self.known.values(theta[..., : self.num_free])
            theta = ops.concat([values, theta[..., self.num_free :]], axis=-1)
            inputs = ops.concat([batch.units[..., :1], inputs], axis=-1)
        field = DrivenField(self.sizes, self.activation, self.skip, knots, self.interpolation, equations)
        run = solve_members if theta.ndim > 1 else solve
        return run(field, start, batch.times, (theta, inputs), **how)


def field_of_model(model: Mapping[str, Any]) -> TableField:
    """Return the field that the `model` of a run file says."""
    sizes, activation, skip = tuple(model["sizes"]), model["activation"] or "", bool(model["skip"])
    return TableField(sizes, activation, skip, bool(model["varying"]), model["interpolation"], known_of_model(model))
