"""Dense nets on the CPU: all layers, and their vjp, in one compiled call each. The meaning is `mcgc.nets.apply`.

The values of a net lie layer after layer in one vector: those of hₗ of shape (rows, nₗ), row-major, and z_L after the
last hidden layer. Where the slope of the activation is not a function of hₗ, what it is computed from
(`cpu_activations`) follows in the same order. With many rows they lie the other way, as `cpu_lanes` tells.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np

from mcgc.errors import InputError
from mcgc.kernels import buffers
from mcgc.kernels._dispatch import Body
from mcgc.kernels.compiled import compiled, laid_out
from mcgc.kernels.cpu_activations import ACTIVATIONS, activate, keeps_z, times_slope
from mcgc.kernels.cpu_lanes import forward_in_lanes, room_for, vjp_in_lanes
from mcgc.kernels.cpu_layers import adds, as_array, keeps, lengths, stored
from mcgc.kernels.cpu_matmul import matmul
from mcgc.kernels.cpu_vectors import REGISTER

FLOATS = (np.dtype("float32"), np.dtype("float64"))
TALL = 250  # rows from which they always lie in the lanes
FEWEST = 3200  # values of the widest layer below which fewer rows never do; from here on they do where
FULL = 0.97  # units fill less of the lanes than this,
MANY = 10**5  # or a net has as many weights,
LONG = 5 * 10**7  # or there are as many products of weights and rows, which threads share
BLOCK = 64  # rows whose cotangents stay in the first cache while they meet every row of the weights


def dense_forward(
    theta: np.ndarray, x: np.ndarray, sizes: tuple[int, ...], activation: str, skip: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a dense net to rows.

    h₀ = x,  z_l = h_{l−1} W_l + b_l,  h_l = act(z_l) for l < L,  y = z_L. With `skip`, h_{l−1} is added to h_l where
    both have the same width.

    Parameters
    ----------
    theta : array of shape (m,)
        Every layer in order, W_l row-major and then b_l, in float32 or float64.
    x : array of shape (rows, n₀)
        The input, of the dtype of theta.
    sizes : tuple of int
        The widths (n₀, …, n_L).
    activation : str
        The function act, one of `mcgc.kernels.cpu_activations.ACTIVATIONS`.
    skip : bool
        Whether hidden layers that keep the width add their input.

    Returns
    -------
    y : array of shape (rows, n_L)
        The output.
    hidden : array of shape (rows (n₁ + … + n_L),) or twice that
        h_1 … h_{L−1}, z_L, and where they are needed what slopes are computed from, for `dense_vjp`. Each is row-major,
        or with many rows features-major as in `cpu_lanes`, with room for some more.

    Raises
    ------
    InputError
        If theta or x does not have the shape that `sizes` asks for, or they differ in dtype.
    """
    check(theta, x.dtype, x.shape, sizes, activation)
    theta, x = laid_out(theta), laid_out(x)
    if in_lanes(x.shape[0], sizes, x.itemsize):
        return forward_in_lanes(theta, x, sizes, activation, skip)
    rows, out = x.shape[0], sizes[-1]
    hidden, y = buffers.empty(stored(sizes, activation, skip) * rows, theta.dtype), np.empty((rows, out), theta.dtype)
    _dense_forward(y, theta, x, hidden, as_array(sizes), ACTIVATIONS.index(activation), skip)
    return y, hidden


@lru_cache(maxsize=256)
def in_lanes(rows: int, sizes: tuple[int, ...], itemsize: int) -> bool:
    """Tell whether the rows lie in the lanes of vectors, and not the units of a layer.

    They do if there are many. They do with fewer if units would leave lanes empty, the weights are too many to be
    turned, or threads may share the work. `python -m bench --case layouts` measures both. The choice depends on the
    shapes alone, and so do the bits.
    """
    lanes = REGISTER // itemsize
    if rows >= TALL or rows * max(sizes[1:]) < FEWEST:
        return rows >= TALL
    weights = sum(k * n for k, n in pairwise(sizes))
    filled = weights / sum(k * -(-n // lanes) * lanes for k, n in pairwise(sizes))
    return filled < FULL or weights >= MANY or rows * weights >= LONG


def check(theta: np.ndarray, dtype: np.dtype, shape: tuple[int, ...], sizes: tuple[int, ...], activation: str) -> None:
    """Raise `InputError` unless θ is that of such a net, and takes inputs of this dtype and shape."""
    if activation not in ACTIVATIONS:
        raise InputError(f"the compiled nets know {', '.join(ACTIVATIONS)}, not {activation!r}")
    if theta.dtype != dtype or dtype not in FLOATS:
        raise InputError(f"theta and x of a compiled net are both float32 or float64, got {theta.dtype} and {dtype}")
    if theta.shape != (_parameters(sizes),) or len(shape) != 2 or shape[1] != sizes[0]:
        raise InputError(f"a net of sizes {sizes} does not take theta of shape {theta.shape} and x of shape {shape}")


def dense_vjp(
    theta: np.ndarray,
    x: np.ndarray,
    hidden: np.ndarray,
    sizes: tuple[int, ...],
    activation: str,
    cotangent: np.ndarray,
    with_x: bool = True,
    skip: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the cotangents of theta and x for a cotangent of y, the output of `dense_forward`.

    g_L = cotangent,  g_{l−1} = (g_l W_lᵀ) ∘ act'(z_{l−1}),  W̄_l = h_{l−1}ᵀ g_l,  b̄_l = Σ_rows g_l,
    with g_{l−1} += ḡ_l, the cotangent of h_l, where h_{l−1} was added to h_l.

    Parameters
    ----------
    theta, x, sizes, activation, skip
        The arguments of `dense_forward`.
    hidden : array
        What `dense_forward` returned.
    cotangent : array of shape (rows, n_L)
        The cotangent of y.
    with_x : bool
        Whether to compute the cotangent of x.

    Returns
    -------
    theta_bar : array of shape (m,)
        The cotangent of theta.
    x_bar : array of shape (rows, n₀) or None
        The cotangent of x, None without `with_x`.

    Raises
    ------
    InputError
        If the arguments do not fit each other.
    """
    check(theta, x.dtype, x.shape, sizes, activation)
    rows, out = x.shape[0], (x.shape[0], sizes[-1])
    across = in_lanes(rows, sizes, x.itemsize)
    size = stored(sizes, activation, skip) * (room_for(rows, x.itemsize) if across else rows)
    if hidden.shape != (size,) or hidden.dtype != x.dtype or cotangent.shape != out:
        raise InputError(
            f"for x of shape {x.shape} and {x.dtype} dense_vjp takes what dense_forward returned, and a cotangent of "
            f"shape {out}, got {hidden.dtype} of shape {hidden.shape}, and one of shape {cotangent.shape}"
        )
    theta, x, hidden = laid_out(theta), laid_out(x), laid_out(hidden)
    cotangent = laid_out(cotangent.astype(theta.dtype, copy=False))
    if across:
        return vjp_in_lanes(theta, x, hidden, sizes, activation, skip, cotangent, with_x)
    theta_bar, bars = (buffers.empty(n, theta.dtype) for n in (theta.size, 2 * rows * max(sizes[1:])))
    carry, x_bar = (
        np.empty(rows * max(sizes) if skip else 0, theta.dtype),
        np.empty(x.shape if with_x else 0, theta.dtype),
    )
    code, flat = ACTIVATIONS.index(activation), x_bar.reshape(-1)
    _dense_vjp(theta_bar, bars, theta, x, hidden, as_array(sizes), code, skip, cotangent, with_x, carry, flat)
    return theta_bar, x_bar if with_x else None


def _forward(
    theta: np.ndarray, x: np.ndarray, sizes: tuple[int, ...], activation: str, skip: bool
) -> tuple[np.ndarray, tuple]:
    y, hidden = dense_forward(theta, x, sizes, activation, skip)
    return y, (theta, x, hidden, sizes, activation, skip)


def _vjp(residuals: tuple, indices: Sequence[int], cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    theta, x, hidden, sizes, activation, skip = residuals
    return dense_vjp(theta, x, hidden, sizes, activation, cotangent, 1 in indices, skip)


BODY = Body(_forward, _vjp)


@cache
def _parameters(sizes: tuple[int, ...]) -> int:
    return lengths(as_array(sizes))[0]


@compiled
def _turn(theta, sizes, with_x):
    """Return theta with every W_l transposed, row-major; W₁ only for the cotangents of x."""
    turned, w_at = np.empty_like(theta), 0
    for layer in range(sizes.size - 1):
        k, n = sizes[layer], sizes[layer + 1]
        if layer > 0 or with_x:
            for j in range(n):
                for i in range(k):
                    turned[w_at + j * k + i] = theta[w_at + i * n + j]
        w_at += (k + 1) * n
    return turned


@compiled
def _backward_layer(
    turned, w_at, kept, kept_at, bars, at, g_at, rows, k, n, activation, carry, carried, carries, x_bar
):
    """Carry the cotangents of z_l, at g_at, back to z_{l−1}, at `at`, with what its slope is computed from at kept_at.

    If kept_at is < 0, they go back to x. `carry` holds the cotangents of h_l, if h_{l−1} was added to it (`carried`),
    and then those of h_{l−1}, if something was added to that (`carries`).
    """
    kind = turned.dtype.type
    c, c_at = (bars, at) if kept_at >= 0 else (x_bar, 0)
    d, d_row = (carry, k) if carried else (np.zeros(k, kind), 0)
    rectified = kept_at >= 0 and activation == 0 and not carries
    matmul(
        c, c_at, k, d, 0, d_row, 1, kind(-np.inf), bars, g_at, n, 1, turned, w_at, k, rows, k, n,
        kept, kept_at if rectified else -1,
    )  # fmt: skip
    if kept_at >= 0 and not rectified:
        g = bars[at : at + rows * k]
        if carries:
            carry[: g.size] = g
        times_slope(activation, kept[kept_at : kept_at + rows * k], g)


@compiled
def _weights_of_layer(theta_bar, w_at, a, a_at, bars, g_at, rows, k, n):
    """Write the gradient of one layer's weights and biases to theta_bar, h_{l−1} at a_at in a."""
    c, none = theta_bar, theta_bar.dtype.type(-np.inf)
    one, zeros, b_at = np.ones(1, c.dtype), np.zeros(n, c.dtype), w_at + k * n
    for p in range(0, max(rows, 1), BLOCK):
        m = min(BLOCK, rows - p)
        d, d_w, d_b, d_row = (zeros, 0, 0, 0) if p == 0 else (c, w_at, b_at, n)
        matmul(c, w_at, n, d, d_w, d_row, 1, none, a, a_at + p * k, 1, k, bars, g_at + p * n, n, k, n, m, c, -1)
        matmul(c, b_at, n, d, d_b, d_row, 1, none, one, 0, 0, 0, bars, g_at + p * n, n, 1, n, m, c, -1)


@compiled
def _dense_forward(y, theta, x, hidden, sizes, activation, skip):
    rows, last, none = x.shape[0], sizes.size - 2, theta.dtype.type(-np.inf)
    a, a_at, w_at, at = x.reshape(-1), 0, 0, 0
    shift = rows * lengths(sizes)[1] if keeps(activation, skip) else 0
    for layer in range(last + 1):
        k, n = sizes[layer], sizes[layer + 1]
        z_at = at if layer == last else at + shift
        floor = none if activation > 0 or layer == last or shift > 0 else theta.dtype.type(0)
        matmul(hidden, z_at, n, theta, w_at + k * n, 0, 1, floor, a, a_at, k, 1, theta, w_at, n, rows, n, k, theta, -1)
        if layer < last and (activation > 0 or shift > 0):
            h, z = hidden[at : at + rows * n], hidden[z_at : z_at + rows * n]
            activate(activation, z, h)
            if shift > 0 and not keeps_z(activation):
                z[:] = h
            if skip and k == n:
                for q in range(h.size):
                    h[q] += a[a_at + q]
        a, a_at = hidden, at
        w_at += (k + 1) * n
        at += rows * n
    y.reshape(-1)[:] = hidden[a_at:at]


@compiled
def _dense_vjp(theta_bar, bars, theta, x, hidden, sizes, activation, skip, cotangent, with_x, carry, x_bar):
    rows = x.shape[0]
    parameters, values = lengths(sizes)
    shift = rows * values if keeps(activation, skip) else 0
    turned, flat, half = _turn(theta, sizes, with_x), x.reshape(-1), bars.size // 2
    w_at, h_at, at, g_at = parameters, rows * (values - sizes[-1]), 0, half
    bars[half : half + cotangent.size] = cotangent.reshape(-1)
    for layer in range(sizes.size - 2, -1, -1):  # each layer's cotangents are used up while they are in the cache
        k, n = sizes[layer], sizes[layer + 1]
        w_at -= (k + 1) * n
        h_at -= rows * k  # negative for the inputs
        a, a_at = (hidden, h_at) if layer > 0 else (flat, 0)
        _weights_of_layer(theta_bar, w_at, a, a_at, bars, g_at, rows, k, n)
        if layer > 0 or with_x:
            kept_at, both = (
                (h_at + shift if layer > 0 else -1),
                (adds(sizes, layer + 1, skip), adds(sizes, layer, skip)),
            )
            _backward_layer(turned, w_at, hidden, kept_at, bars, at, g_at, rows, k, n, activation, carry, *both, x_bar)
        at, g_at = g_at, at
