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
        x = ops.concat([y, inputs_at(t, packed, self.knots, self.interpolation)], axis=-1)
        if theta.ndim > 1:
            x = ops.reshape(x, (*theta.shape[:-1], -1, self.sizes[0]))
        rate = nets.apply(theta, x, self.sizes, self.activation, self.skip)
        return ops.reshape(rate, y.shape) if theta.ndim > 1 else rate


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
    """Return knots (..., n) and inputs (..., n, 2 p), values and curvatures, as one array (..., n (1 + 2 p))."""
    return ops.concat([knots, ops.reshape(inputs, (*knots.shape[:-1], -1))], axis=-1)
