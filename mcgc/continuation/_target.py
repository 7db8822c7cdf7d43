"""The function that `minimize` minimises, in units of the scale and within bounds: it counts, and keeps the best point.

A point z stands for x = x₀ + scale ∘ z. Beyond a bound f is continued by reflection, so that noise may leave the box.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mcgc._jit import Jitted
from mcgc.arrays import Array, Device, device_of, is_array, namespace_of, to_device, to_host
from mcgc.continuation.estimators import evaluator
from mcgc.errors import InputError


class Spent(Exception):
    """The evaluations are used up."""


class Best(NamedTuple):
    """The lowest value so far: its point z on the host, the point x, f and ∇f there (None without gradients)."""

    z: np.ndarray
    x: Array
    value: float
    slope: Any


class Target:
    """f at points z, with gradients in units of the scale unless `source` is "score".

    Parameters
    ----------
    fun, jac, args, batched : Any
        As for `minimize`.
    source : {"engine", "given", "score", "2-point"}
        Where gradients come from.
    start : array of shape (m,)
        x₀.
    scale : array of shape (m,), float64 on the host
        The scale.
    bounds : pair of arrays of shape (m,), float64 on the host
        The lower and upper bounds, which may be infinite.
    maxfev : int or inf
        The number of points that may be evaluated. `Spent` is raised at the next.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        jac: Any,
        args: tuple,
        source: str,
        start: Array,
        scale: np.ndarray,
        bounds: tuple[np.ndarray, np.ndarray],
        batched: bool,
        maxfev: float,
    ):
        if isinstance(fun, Jitted) and source != "given" and not batched:
            rows, batched = fun.rows(), True
            fun, jac, source = (rows.value_and_grad, True, "given") if source == "engine" else (rows, jac, source)
        self.fun, self.jac, self.args, self.batched = fun, jac, args, batched
        self.source, self.start, self.maxfev = source, start, maxfev
        self.device = Device("", namespace_of(start), device_of(start))
        self.dtype = "float32" if start.dtype == self.device.namespace.float32 else "float64"
        self.scale, self.bounds = scale, bounds
        self._scale, self._low, self._high = (self.on_device(each) for each in (scale, *bounds))
        self._evaluate = evaluator(self._objective, "score" if source == "2-point" else source, False, batched)
        self.nfev, self.njev, self.dropped = 0, 0, 0
        self.first = math.nan  # f at the start
        self.best: Best | None = None
        self.watch: Callable[[int], None] = lambda nfev: None

    @property
    def has_gradients(self) -> bool:
        """Whether values come with gradients."""
        return self.source != "score"

    @property
    def bounded(self) -> bool:
        """Whether any bound is finite."""
        return bool(np.isfinite(self.bounds).any())

    @property
    def box(self) -> list[tuple[float, float]]:
        """The bounds of z."""
        start = to_host(self.start).astype("float64")
        low, high = ((bound - start) / self.scale for bound in self.bounds)
        return list(zip(low.tolist(), high.tolist(), strict=True))

    def on_device(self, values: np.ndarray) -> Array:
        """Return an array of the host with the dtype and on the device of the start."""
        return to_device(values, self.device, self.dtype)

    def x_of(self, z: Any) -> Array:
        """Return x of a point z of the host or the device, in an array of its own."""
        point = z if is_array(z) and not isinstance(z, np.ndarray) else self.on_device(np.asarray(z))
        return self.device.namespace.asarray(self._reflected(point)[0], copy=True)

    def __call__(self, points: Array) -> tuple[Array, Any]:
        """Return f (n,) and its gradients with respect to z (n, m), or None, at points (n, m)."""
        xp = self.device.namespace
        if self.source == "2-point":
            return self._differences(points)
        x, sign = self._reflected(points)
        values, slopes = self._of_x(x)
        within = None if slopes is None else slopes * (sign * self._scale)
        finite = xp.isfinite(values)
        if within is not None:
            finite = finite & xp.all(xp.isfinite(within), axis=-1)
        self._note(points, x, values, slopes, to_host(finite))
        return values, within

    def host(self, z: np.ndarray) -> tuple[float, np.ndarray | None]:
        """Return f and its gradient at one point, as float64 on the host."""
        values, slopes = self(self.on_device(np.asarray(z))[None, :])
        slope = None if slopes is None else to_host(slopes)[0].astype("float64")
        return float(to_host(values)[0]), slope

    def check(self) -> None:
        """Evaluate the start. Raise `InputError` if the engine cannot differentiate the function there."""
        try:
            self.first = self.host(np.zeros(self.scale.shape))[0]
        except Exception as error:
            if self.source != "engine":
                raise
            start = self.start[None, :] if self.batched else self.start
            self.fun(start, *self.args)  # an error of its own is more to the point
            raise InputError(
                f"fun cannot be differentiated ({' '.join(str(error).split())}): write it with mcgc.ops, "
                'give its gradient as jac (a function, or True), or do without by jac="none", which under '
                'scipy.optimize.minimize is options={"gradient_free": True}'
            ) from error

    def _objective(self, x: Array, batch: Any) -> Any:
        """Return what `evaluator` takes: f, or f with its gradient where the user gives it."""
        points = x.shape[:-1]
        if self.source == "engine":
            return self.fun(x, *self.args)
        if self.source != "given":
            return self._numbers(self.fun(x, *self.args), points)
        if self.jac is True:
            value, slope = self.fun(x, *self.args)
        else:
            value, slope = self.fun(x, *self.args), self.jac(x, *self.args)
        return self._numbers(value, points), self._numbers(slope, x.shape)

    def _numbers(self, value: Any, shape: tuple) -> Array:
        """Return numbers of the user's function as an array of this shape."""
        xp = self.device.namespace
        found = xp.asarray(value, dtype=self.start.dtype, device=self.device.handle)
        if math.prod(found.shape) != math.prod(shape):
            raise InputError(
                f"fun and its gradient must give {math.prod(shape)} numbers at points of shape {shape or '()'}, got "
                f"an array of shape {tuple(found.shape)}: for a vector of residuals use mcgc.least_squares"
            )
        return xp.reshape(found, shape)

    def _of_x(self, x: Array) -> tuple[Array, Any]:
        """Return values and gradients with respect to x, and count them."""
        count = x.shape[0]
        if self.nfev + count > self.maxfev:
            raise Spent
        self.nfev += count
        self.njev += count if self.source in ("engine", "given") else 0
        found = self._evaluate([x[i, ...] for i in range(count)], None)
        self.watch(self.nfev)
        xp = self.device.namespace
        values = xp.stack([xp.asarray(value, dtype=x.dtype, device=self.device.handle) for value, _, _ in found])
        return values, None if found[0][1] is None else xp.stack([slope for _, slope, _ in found])

    def _differences(self, points: Array) -> tuple[Array, Array]:
        """Return values, and gradients by forward differences in z."""
        xp, m = self.device.namespace, points.shape[-1]
        step = math.sqrt(float(xp.finfo(points.dtype).eps))
        moved = points[:, None, :] + step * xp.eye(m + 1, m, k=-1, dtype=points.dtype, device=self.device.handle)
        flat = xp.reshape(moved, (-1, m))
        x, _ = self._reflected(flat)
        values, _ = self._of_x(x)
        self._note(flat, x, values, None, to_host(xp.isfinite(values)))
        values = xp.reshape(values, (-1, m + 1))
        return values[:, 0], (values[:, 1:] - values[:, :1]) / step

    def _reflected(self, z: Array) -> tuple[Array, Array]:
        """Return x of z, reflected at the bounds, and the sign of ∂x/∂z for each element."""
        xp = self.device.namespace
        x = self.start + self._scale * z
        if not self.bounded:
            return x, xp.ones_like(x)
        low, high = self._low, self._high
        zero, one = xp.zeros_like(x), xp.ones_like(x)
        width = high - low
        both = xp.isfinite(width) & (width > 0)
        period = 2 * xp.where(both, width, one)
        past = xp.where(both, xp.remainder(x - xp.where(both, low, zero), period), zero)
        inside = xp.where(past > period / 2, period - past, past) + xp.where(both, low, zero)
        bounce = xp.where(x < low, 2 * low - x, xp.where(x > high, 2 * high - x, x))  # where one bound is infinite
        outside = (x < low) | (x > high)
        turned = xp.where(both, past > period / 2, outside)
        sign = xp.where(width > 0, xp.where(turned, -one, one), zero)
        return xp.minimum(xp.maximum(xp.where(both, inside, bounce), low), high), sign

    def _note(self, z: Array, x: Array, values: Array, slopes: Any, finite: np.ndarray) -> None:
        """Keep the best of new points, and count those that are not finite."""
        self.dropped += int(finite.size - finite.sum())
        if not finite.any():
            return
        found = np.where(finite, to_host(values).astype("float64"), np.inf)
        i = int(found.argmin())
        if self.best is None or found[i] < self.best.value:
            slope = None if slopes is None else slopes[i, ...]
            self.best = Best(to_host(z[i, ...]).astype("float64"), x[i, ...], float(found[i]), slope)
