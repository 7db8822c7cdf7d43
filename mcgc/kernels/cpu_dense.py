"""Dense nets on the CPU: all layers, and their vjp, in one compiled call each.

A net's values lie layer after layer in one vector with room for `room` rows: those of hₗ, (room, nₗ) row-major, and
after the last hidden layer those of z_L; the cotangents of zₗ lie in another in the same way. So a solver can fill the
rows little by little, and sum the gradient of the weights over many of them at once.
"""

from functools import cache

import numpy as np
from numba import njit

from mcgc.errors import InputError
from mcgc.kernels.cpu_matmul import matmul

BLOCK = 64  # rows whose cotangents stay in the first cache while they meet every row of the weights


def dense_forward(
    theta: np.ndarray, x: np.ndarray, sizes: tuple[int, ...], activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a dense net to rows.

    h₀ = x,  z_l = h_{l−1} W_l + b_l,  h_l = act(z_l) for l < L,  y = z_L.

    theta: every layer in order, W_l row-major then b_l, in one float32 or float64 vector. x: (rows, n₀), of
    the same dtype. sizes: (n₀, …, n_L). activation: "relu" or "tanh".
    Returns y (rows, n_L) and, for `dense_vjp`, h_1 … h_{L−1}, z_L, each row-major, in one vector.
    Raises `InputError` if theta or x does not have the size that `sizes` asks for.
    """
    return _dense_forward(np.ascontiguousarray(theta), np.ascontiguousarray(x), as_array(sizes), activation == "tanh")


def dense_vjp(
    theta: np.ndarray,
    x: np.ndarray,
    hidden: np.ndarray,
    sizes: tuple[int, ...],
    activation: str,
    cotangent: np.ndarray,
    with_x: bool = True,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Pull `cotangent` (rows, n_L) back through the net of `dense_forward`, whose `hidden` is given.

    g_L = cotangent,  g_{l−1} = (g_l W_lᵀ) ∘ act'(z_{l−1}),  W̄_l = h_{l−1}ᵀ g_l,  b̄_l = Σ_rows g_l,
    with act' taken from h: [h > 0] for relu (0 at 0), 1 − h² for tanh.

    Returns theta_bar, of the shape of theta, and x_bar, of the shape of x, or None without `with_x`.
    Raises `InputError` if an argument does not have the size that `sizes` asks for.
    """
    theta_bar, x_bar = _dense_vjp(
        np.ascontiguousarray(theta),
        np.ascontiguousarray(x),
        hidden,
        as_array(sizes),
        activation == "tanh",
        np.ascontiguousarray(cotangent),
        with_x,
    )
    return theta_bar, x_bar if with_x else None


@cache
def as_array(sizes: tuple[int, ...]) -> np.ndarray:
    """Return `sizes` as an array: one type for every net, so that none is compiled anew."""
    return np.asarray(sizes, dtype=np.int64)


@njit(cache=True)
def lengths(sizes):
    """Return how many parameters a net has, and how many values its layers give a row."""
    parameters = values = 0
    for layer in range(1, sizes.size):
        parameters += (sizes[layer - 1] + 1) * sizes[layer]
        values += sizes[layer]
    return parameters, values


@njit(cache=True)
def forward_rows(theta, x, hidden, room, first, rows, sizes, is_tanh):
    """Compute the values of `rows` rows from `first` on, of which `x` holds the inputs."""
    last, none = sizes.size - 2, theta.dtype.type(-np.inf)
    a, a_at, w_at, start = x, first * sizes[0], 0, 0
    for layer in range(last + 1):
        k, n = sizes[layer], sizes[layer + 1]
        at = start + first * n
        floor = none if is_tanh or layer == last else theta.dtype.type(0)
        matmul(hidden, at, n, theta, w_at + k * n, 0, floor, a, a_at, k, 1, theta, w_at, n, rows, n, k)
        if is_tanh and layer < last:
            h = hidden[at : at + rows * n]
            for q in range(h.size):
                h[q] = np.tanh(h[q])
        a, a_at = hidden, at
        w_at += (k + 1) * n
        start += room * n


@njit(cache=True)
def turn(theta, sizes, with_x):
    """Return theta with every W_l in the place of W_l transposed, row-major; W₁ only for the cotangents of x."""
    turned, w_at = np.empty_like(theta), 0
    for layer in range(sizes.size - 1):
        k, n = sizes[layer], sizes[layer + 1]
        if layer > 0 or with_x:
            for j in range(n):
                for i in range(k):
                    turned[w_at + j * k + i] = theta[w_at + i * n + j]
        w_at += (k + 1) * n
    return turned


@njit(cache=True)
def backward_rows(turned, hidden, bars, room, first, rows, sizes, is_tanh, x_bar, with_x):
    """Carry the cotangents of z_L of `rows` rows from `first` on, which `bars` holds, back to z₁, and to x in `x_bar`.

    The cotangents of x, if they are wanted, are written from the beginning of `x_bar`.
    """
    kind = turned.dtype.type
    w_at, values = lengths(sizes)
    start = room * values
    zeros = np.zeros(sizes.max(), turned.dtype)
    for layer in range(sizes.size - 2, -1 if with_x else 0, -1):
        k, n = sizes[layer], sizes[layer + 1]
        w_at -= (k + 1) * n
        start -= room * n
        c, at = (bars, start - room * k + first * k) if layer > 0 else (x_bar, 0)
        g_at = start + first * n
        matmul(c, at, k, zeros, 0, 0, kind(-np.inf), bars, g_at, n, 1, turned, w_at, k, rows, k, n)
        if layer > 0:
            h, g = hidden[at : at + rows * k], bars[at : at + rows * k]
            if is_tanh:
                for q in range(h.size):
                    g[q] *= kind(1) - h[q] * h[q]
            else:
                for q in range(h.size):
                    g[q] = g[q] if h[q] > kind(0) else kind(0)


@njit(cache=True)
def add_weights(theta_bar, x, hidden, bars, room, rows, sizes):
    """Add to theta_bar the gradient of theta that comes from the first `rows` rows."""
    none = theta_bar.dtype.type(-np.inf)
    a, a_at, w_at, start = x, 0, 0, 0
    for layer in range(sizes.size - 1):
        k, n = sizes[layer], sizes[layer + 1]
        c = theta_bar
        for p in range(0, rows, BLOCK):
            m = min(BLOCK, rows - p)
            matmul(c, w_at, n, c, w_at, n, none, a, a_at + p * k, 1, k, bars, start + p * n, n, k, n, m)
        bias = c[w_at + k * n : w_at + (k + 1) * n]
        for p in range(rows):
            bar = bars[start + p * n : start + (p + 1) * n]
            for j in range(n):
                bias[j] += bar[j]
        a, a_at = hidden, start
        w_at += (k + 1) * n
        start += room * n


@njit(cache=True)
def _dense_forward(theta, x, sizes, is_tanh):
    rows = x.shape[0]
    parameters, values = lengths(sizes)
    if theta.size != parameters or x.shape[1] != sizes[0]:
        raise InputError("theta or x does not fit the sizes of the dense net: give them its lengths")
    hidden = np.empty(rows * values, theta.dtype)
    forward_rows(theta, x.reshape(-1), hidden, rows, 0, rows, sizes, is_tanh)
    return hidden[rows * (values - sizes[-1]) :].copy().reshape(rows, sizes[-1]), hidden


@njit(cache=True)
def _dense_vjp(theta, x, hidden, sizes, is_tanh, cotangent, with_x):
    rows = x.shape[0]
    parameters, values = lengths(sizes)
    if (
        theta.size != parameters
        or x.shape[1] != sizes[0]
        or hidden.size != rows * values
        or cotangent.shape[0] != rows
        or cotangent.shape[1] != sizes[-1]
    ):
        raise InputError("an argument of dense_vjp does not fit the net: give what dense_forward took and returned")
    bars, theta_bar = np.empty(rows * values, theta.dtype), np.zeros(parameters, theta.dtype)
    x_bar = np.empty(rows * sizes[0] if with_x else 0, theta.dtype)
    bars[rows * (values - sizes[-1]) :] = cotangent.reshape(-1)
    backward_rows(turn(theta, sizes, with_x), hidden, bars, rows, 0, rows, sizes, is_tanh, x_bar, with_x)
    add_weights(theta_bar, x.reshape(-1), hidden, bars, rows, rows, sizes)
    return theta_bar, x_bar.reshape(-1, sizes[0])
