"""Check that each kernel gives the numbers of its reference up to rounding, on this machine and its devices."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from mcgc import kernels, losses, nets
from mcgc._jit import jit
from mcgc.arrays import DTYPES, HOST, Array, Device, namespace_of, to_device, to_host
from mcgc.autodiff import ops, value_and_grad, vjp
from mcgc.kernels import reference
from mcgc.ode import DenseField, solve
from mcgc.random import Key, normal

SIZES = (5, 50, 50, 50, 3)
ROWS = 7
COUNT = 10_001  # of the elements of a vector: no multiple of a tile

Case = tuple[Callable[[], Any], Callable[[], Any]]  # the kernel and its reference, each a function to arrays


class Comparison(NamedTuple):
    """The result of comparing one kernel, or one computation, with its reference on the host.

    Parameters
    ----------
    kernel : str
        What was compared.
    device, dtype : str
        Where and in which dtype it was computed.
    difference : float
        The largest absolute difference, in ulps of the largest element of the array. It is ∞ if integers differ.
    allowed : float
        The difference that rounding may make.
    seconds : float
        The time of the first call: to compile the kernel or to read it from Numba's cache, and to run it.
    error : str, optional
        The error that it raised instead.
    """

    kernel: str
    device: str
    dtype: str
    difference: float
    allowed: float
    seconds: float
    error: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether the difference is allowed. NaN is not, nor is an error."""
        return self.error is None and self.difference <= self.allowed


def compare_kernels(device: Device = HOST) -> Iterator[Comparison]:
    """Compare every kernel for arrays on `device` with its reference, in float32 and float64.

    Parameters
    ----------
    device : Device
        The device. The host by default.

    Returns
    -------
    iterator of Comparison
        One for each kernel and dtype.

    Examples
    --------
    >>> from mcgc.checks.kernels import compare_kernels
    >>> all(comparison.agrees for comparison in compare_kernels())
    True
    """
    for name, (case, allowed) in CASES.items():
        for dtype in DTYPES:
            if device == HOST or name in ON_EVERY_DEVICE:
                yield compare(name, device, dtype, allowed, *case(dtype, device))


def compare(
    name: str, device: Device, dtype: str, allowed: float, body: Callable[[], Any], expected: Callable[[], Any]
) -> Comparison:
    """Compare arrays that are computed on a device with those that are computed on the host.

    Parameters
    ----------
    name : str
        What is compared.
    device : Device
        The device.
    dtype : str
        The dtype.
    allowed : float
        The difference that rounding may make, in ulps of the largest element.
    body, expected : function () → arrays
        They compute on the device, and on the host.

    Returns
    -------
    Comparison
        The difference. An error that `body` or `expected` raises is part of it.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.arrays import HOST
    >>> from mcgc.checks.kernels import compare
    >>> compare("one", HOST, "float64", 4.0, lambda: [np.ones(2)], lambda: [np.ones(2)]).difference
    0.0
    """
    difference, seconds, message, began = math.nan, math.nan, None, time.perf_counter()
    try:
        ours = [to_host(array) for array in body()]
        seconds = time.perf_counter() - began
        difference = _largest([_ulps(a, b) for a, b in zip(ours, expected(), strict=True)])
    except Exception as error:  # whatever the compiler or the processor lacks is the result
        message = f"{type(error).__name__}: {error}".splitlines()[0]
    return Comparison(name, device.name, dtype, difference, allowed, seconds, message)


def _ulps(ours: Any, expected: Any) -> Array:
    xp = namespace_of(expected)
    if (ours.shape, ours.dtype) != (expected.shape, expected.dtype):
        raise TypeError(
            f"{ours.dtype} of shape {ours.shape}, where {expected.dtype} of shape {expected.shape} was expected"
        )
    if xp.isdtype(expected.dtype, "integral"):
        return xp.asarray(0.0 if xp.all(ours == expected) else math.inf)
    unit = xp.finfo(expected.dtype).eps * xp.max(xp.abs(expected))
    return xp.max(xp.abs(ours - expected)) / unit


def _largest(values: list) -> float:
    return float(namespace_of(*values).max(values))  # of which NaN is the largest


def _perturb(dtype: str, device: Device) -> Case:
    theta = normal(Key(0), (COUNT,), dtype)
    there, scale = to_device(theta, device), to_device(0.3, device, dtype)
    return lambda: kernels.perturb(there, scale, Key(1)), lambda: reference.perturb(theta, to_host(scale), Key(1))


def _noise_dot(dtype: str, device: Device) -> Case:
    # the noise itself as the gradient: no term cancels another, and every one that is lost shows
    eps = normal(Key(1), (COUNT,), dtype)
    there = to_device(eps, device)
    return lambda: (kernels.noise_dot(there, Key(1)),), lambda: (reference.noise_dot(eps, Key(1)),)


def _adam(dtype: str, device: Device) -> Case:
    theta, gradient, mean = (normal(Key(i), (COUNT,), dtype) for i in range(3))
    arrays = (theta, gradient, mean, mean * mean)
    there = [to_device(array, device) for array in arrays]
    of = lambda adam, arrays: adam(*arrays, 7, 0.01, 0.9, 0.999, 1e-8)
    return lambda: of(kernels.adam, there), lambda: of(reference.adam, arrays)


def _matmul(dtype: str, device: Device) -> Case:
    xp, k, n = device.namespace, 50, 33
    a, b = normal(Key(0), (ROWS, k), dtype), normal(Key(1), (k, n), dtype)

    def body() -> tuple[Array]:
        from mcgc.kernels.cpu_matmul import matmul

        c = xp.zeros_like(normal(Key(2), (ROWS * n,), dtype))
        matmul(c, 0, n, c, 0, n, 1, c.dtype.type(-xp.inf), a.ravel(), 0, k, 1, b.ravel(), 0, n, ROWS, n, k, c, -1)
        return (c.reshape(ROWS, n),)

    return body, lambda: (a @ b,)


def _net(dtype: str) -> tuple[Array, Array]:
    """Return θ with biases that are not zero, and the inputs of `ROWS` rows."""
    theta = nets.init(Key(0), SIZES, dtype) + 0.1 * normal(Key(1), (nets.num_parameters(SIZES),), dtype)
    return theta, normal(Key(2), (ROWS, SIZES[0]), dtype)


def _dense_forward(dtype: str, device: Device) -> Case:
    theta, x = _net(dtype)

    def body() -> tuple[Array]:
        from mcgc.kernels.cpu_dense import dense_forward

        return (dense_forward(theta, x, SIZES, "relu")[0],)

    return body, lambda: (_layer_by_layer(theta, x),)


def _dense_vjp(dtype: str, device: Device) -> Case:
    theta, x = _net(dtype)
    cotangent = normal(Key(3), (ROWS, SIZES[-1]), dtype)

    def body() -> tuple:
        from mcgc.kernels.cpu_dense import dense_forward, dense_vjp

        return dense_vjp(theta, x, dense_forward(theta, x, SIZES, "relu")[1], SIZES, "relu", cotangent)

    return body, lambda: vjp(_layer_by_layer, theta, x)[1](cotangent)


def _layer_by_layer(theta: Array, x: Array) -> Array:
    *hidden, (weights, biases) = nets.unpack(theta, SIZES)
    for w, b in hidden:
        x = nets.ACTIVATIONS["relu"](x @ w + b)
    return x @ weights + biases


def _cross_entropy(dtype: str, device: Device) -> Case:
    logits, labels = 3 * normal(Key(0), (ROWS, 10), dtype), device.namespace.arange(ROWS)

    def body() -> tuple:
        from mcgc.kernels.cpu_losses import cross_entropy

        return cross_entropy(logits, labels, True)

    as_a_stack = lambda z: losses.cross_entropy_of_softmax(z[None, :, :], labels[None, :])
    return body, lambda: value_and_grad(as_a_stack)(logits)


def _solve(dtype: str, device: Device) -> Case:
    field, states = DenseField(SIZES), SIZES[-1]
    theta, x = _net(dtype)
    y0, inputs = x[:, :states], x[:, states:]
    ts = device.namespace.linspace(0.0, 1.0, 5)
    cotangent = normal(Key(3), (ROWS, 5, states), dtype)

    def of(f: Any) -> tuple:
        def run(theta: Array, y0: Array) -> tuple:
            solution = solve(f, y0, ts, (theta, inputs), rtol=1e-4, atol=1e-6)
            return solution.ys, solution.stats

        ys, pullback, stats = vjp(run, theta, y0, has_aux=True)
        return (ys, *pullback(cotangent), stats.accepted, stats.rejected)

    whole: Any = SimpleNamespace(solve_whole=field.solve_whole)  # no function: it cannot be solved step by step instead
    if kernels.platform(theta) is None:  # without the compiler there is no other way
        whole = field
    return lambda: of(whole), lambda: of(lambda t, y, params: field(t, y, params))


def _jit(dtype: str, device: Device) -> Case:
    y, p, cotangent = (normal(Key(i), (3,), dtype) for i in range(3))

    def field(y: Array, p: Array) -> Array:
        u, v, w = y[0], y[1], y[2]
        drive = ops.sin(3 * u) * ops.exp(-v * v) + ops.where(w > 0, ops.tanh(w), p[0] * w)
        return ops.stack([p[1] * (v - u), ops.sqrt(1 + u * u) / (2 + ops.cos(w)) - abs(v) ** 1.5, u * v - p[2] * drive])

    def of(found: tuple) -> tuple:
        value, pullback = found
        return (value, *pullback(cotangent))

    return lambda: of(jit(field).vjp(y, p)), lambda: of(vjp(field, y, p))


ON_EVERY_DEVICE = ("perturb", "noise_dot", "adam")
CASES: Mapping[str, tuple[Callable[[str, Device], Case], float]] = {
    "perturb": (_perturb, 16.0),
    "noise_dot": (_noise_dot, 16.0),
    "adam": (_adam, 16.0),
    "matmul": (_matmul, 64.0),
    "dense_forward": (_dense_forward, 64.0),
    "dense_vjp": (_dense_vjp, 64.0),
    "cross_entropy": (_cross_entropy, 16.0),
    "solve": (_solve, 1024.0),
    "jit": (_jit, 64.0),
}
