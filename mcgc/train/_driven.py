"""The field of a series whose inputs change with time."""

from typing import NamedTuple

from mcgc import nets
from mcgc.arrays import Array, namespace_of
from mcgc.autodiff import ops


class DrivenField(NamedTuple):
    """dy/dt = net(y, u(t)), where the inputs u go through values at knots.

    Its params are (θ, packed): `packed` (batch, ...) are knots, and values and curvatures there, as `pack` lays
    them out. With the interpolation "previous", u is the value of the last knot. Else it is the spline with these
    second derivatives at the knots, which is made of straight lines where they are zero. Beyond the knots it has the
    value at the end.
    """

    sizes: tuple[int, ...]
    activation: str
    skip: bool
    knots: int
    interpolation: str

    def __call__(self, t: Array, y: Array, params: tuple[Array, Array]) -> Array:
        """Return dy/dt, of the shape of y, (rows, states)."""
        theta, packed = params
        x = ops.concat([y, self._inputs(t, packed)], axis=-1)
        if theta.ndim > 1:
            x = ops.reshape(x, (*theta.shape[:-1], -1, self.sizes[0]))
        rate = nets.apply(theta, x, self.sizes, self.activation, self.skip)
        return ops.reshape(rate, y.shape) if theta.ndim > 1 else rate

    def _inputs(self, t: Array, packed: Array) -> Array:
        """Return u(t), (rows, inputs), as the first value and what each interval adds to it."""
        n, rows = self.knots, packed.shape[0]
        knots, inputs = packed[:, :n], ops.reshape(packed[:, n:], (rows, n, -1))
        p = inputs.shape[-1] // 2
        values, curvatures = inputs[:, :, :p], inputs[:, :, p:]
        rises = values[:, 1:, :] - values[:, :-1, :]
        if self.interpolation == "previous":
            xp = namespace_of(knots)
            share = xp.astype(t >= knots[:, 1:], knots.dtype)[:, :, None]
            return values[:, 0, :] + ops.sum(rises * share, axis=1)
        width = knots[:, 1:] - knots[:, :-1]
        width = ops.where(width > 0, width, 1)  # of what fills up a shorter series, where nothing rises
        share = ops.clip((t - knots[:, :-1]) / width, 0, 1)[:, :, None]
        rest_of = 1 - share
        bends = (rest_of**3 - rest_of) * curvatures[:, :-1, :] + (share**3 - share) * curvatures[:, 1:, :]
        return values[:, 0, :] + ops.sum(rises * share + bends * (width**2)[:, :, None] / 6, axis=1)


def pack(knots: Array, inputs: Array) -> Array:
    """Return knots (..., n) and inputs (..., n, 2 p), values and curvatures, as one array (..., n (1 + 2 p))."""
    return ops.concat([knots, ops.reshape(inputs, (*knots.shape[:-1], -1))], axis=-1)
