"""Dense nets on the CPU with the rows in the lanes of vectors: the layers of `cpu_dense`, features-major.

The values of a layer have shape (nₗ, room): each unit has its values of all rows side by side. So the rows fill the
vectors, whatever the width of a layer, and no weights are turned. The sums of a row run over the inner index from first
to last, as those of `cpu_dense` do, so its values have the same bits. Those of the gradient of the weights run over the
rows, as `cpu_inner` says.

A `room` of an odd number of registers is the fastest (`room_for`), in arrays that begin at a register's multiple.
"""

# mypy: disable-error-code="call-arg"
# (mypy takes a compiled function for one without arguments)

from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np

from mcgc.kernels import buffers, threads
from mcgc.kernels.compiled import compiled
from mcgc.kernels.cpu_activations import ACTIVATIONS, activate, keeps_z, times_slope
from mcgc.kernels.cpu_inner import inner_products
from mcgc.kernels.cpu_layers import adds, as_array, keeps, lengths, stored
from mcgc.kernels.cpu_matmul import VECTORS, matmul
from mcgc.kernels.cpu_sharing import sharing
from mcgc.kernels.cpu_transpose import transpose
from mcgc.kernels.cpu_vectors import REGISTER

WORTH = 15 * 10**5  # products of weights and rows for each thread


def room_for(rows: int, itemsize: int) -> int:
    """Return the least room for `rows` rows that is an odd number of registers: so units share no set of a cache."""
    lanes = REGISTER // itemsize
    return (-(-rows // lanes) | 1) * lanes


@compiled
def forward_lanes(theta, x, hidden, room, first, rows, sizes, activation, skip, scratch):
    """Compute the values of `rows` rows from `first` on, of which `x` holds the inputs, row-major.

    `scratch` has room for z₁ of all rows.
    """
    last, none = sizes.size - 2, theta.dtype.type(-np.inf)
    shift = room * lengths(sizes)[1] if keeps(activation, skip) else 0
    a_at, w_at, at = 0, 0, first
    for layer in range(last + 1):
        k, n = sizes[layer], sizes[layer + 1]
        z_at, b_at = at if layer == last else at + shift, w_at + k * n
        floor = none if activation > 0 or layer == last or shift > 0 else theta.dtype.type(0)
        if layer == 0:
            c_at = first * n
            matmul(scratch, c_at, n, theta, b_at, 0, 1, floor, x, first * k, k, 1, theta, 0, n, rows, n, k, theta, -1)
            transpose(hidden, z_at, room, scratch, c_at, n, rows, n)
        else:
            matmul(
                hidden, z_at, room, theta, b_at, 1, 0, floor, theta, w_at, 1, n, hidden, a_at, room, n, rows, k,
                hidden, -1,
            )  # fmt: skip
        if layer < last and (activation > 0 or shift > 0):
            for unit in range(n):
                p, q = at + unit * room, z_at + unit * room
                h, z = hidden[p : p + rows], hidden[q : q + rows]
                activate(activation, z, h)
                if shift > 0 and not keeps_z(activation):
                    z[:] = h
                if adds(sizes, layer + 1, skip):
                    for r in range(rows):
                        h[r] += x[(first + r) * k + unit] if layer == 0 else hidden[a_at + unit * room + r]
        a_at = at
        w_at += (k + 1) * n
        at += room * n


@compiled
def output_lanes(y, hidden, room, first, rows, sizes):
    """Copy z_L of `rows` rows from `first` on to y, row-major."""
    out = sizes[-1]
    transpose(y, first * out, out, hidden, room * (lengths(sizes)[1] - out) + first, room, out, rows)


@compiled
def _backward_layer(
    theta, w_at, hidden, kept_at, c, at, bars, g_at, room, rows, k, n, activation, carry, carry_at, carried, carries
):
    """Carry the cotangents of z_l, at g_at, back to z_{l−1}, at `at` in c, whose slope is that of what is at kept_at.

    If kept_at is < 0, they go back to x. `carry` holds the cotangents of h_l, if h_{l−1} was added to it (`carried`),
    and then those of h_{l−1}, if something was added to that (`carries`).
    """
    kind = theta.dtype.type
    rectified = kept_at >= 0 and activation == 0 and not carries
    d, d_at, d_row, d_step = (carry, carry_at, room, 1) if carried else (np.zeros(1, theta.dtype), 0, 0, 0)
    matmul(
        c, at, room, d, d_at, d_row, d_step, kind(-np.inf), theta, w_at, n, 1, bars, g_at, room, k, rows, n,
        hidden, kept_at if rectified else -1,
    )  # fmt: skip
    if kept_at >= 0 and not rectified:
        for unit in range(k):
            p, q, s = at + unit * room, kept_at + unit * room, carry_at + unit * room
            if carries:
                carry[s : s + rows] = c[p : p + rows]
            times_slope(activation, hidden[q : q + rows], c[p : p + rows])


@compiled
def _weights_of_layer(theta_bar, w_at, x, hidden, h_at, bars, g_at, room, rows, k, n, scratch):
    """Write the gradient of a layer's weights and biases, h_{l−1} at h_at, or x if that is < 0, over all rows.

    x is row-major. Its columns fill the lanes, and `scratch` has room for the weights.
    """
    zeros, ones = np.zeros(n, theta_bar.dtype), np.ones(rows, theta_bar.dtype)
    if h_at >= 0:
        inner_products(theta_bar, w_at, n, zeros, 0, 0, hidden, h_at, room, bars, g_at, room, k, n, rows)
    else:
        none = theta_bar.dtype.type(-np.inf)
        matmul(scratch, 0, k, zeros, 0, 0, 0, none, bars, g_at, room, 1, x, 0, k, n, k, rows, x, -1)
        transpose(theta_bar, w_at, n, scratch, 0, k, n, k)
    inner_products(theta_bar, w_at + k * n, n, zeros, 0, 0, ones, 0, 0, bars, g_at, room, 1, n, rows)


@compiled
def backward_lanes(
    theta_bar, theta, x, hidden, bars, half, room, first, rows, sizes, activation, skip, cotangent, carry, x_bar,
    with_x, scratch,
):  # fmt: skip
    """Carry the cotangents of y of `rows` rows from `first` on, row-major, back to those of every z_l, in `bars`.

    `bars` has the layout of `hidden`. Where `half` is > 0 it has but two halves of that length, which take turns, and
    the gradient of all weights is written to theta_bar on the way; then the rows are all. The cotangents of x, if they
    are wanted, go to x_bar, row-major. `scratch` has room for x and for the weights of the first layer; `carry`, with
    `skip`, for the widest layer.
    """
    w_at, values = lengths(sizes)
    shift, out = room * values if keeps(activation, skip) else 0, sizes[-1]
    h_at = room * (values - out) + first
    g_at, at = (first, half) if half > 0 else (h_at, 0)
    transpose(bars, g_at, room, cotangent, first * out, out, rows, out)
    for layer in range(sizes.size - 2, -1, -1):
        k, n = sizes[layer], sizes[layer + 1]
        w_at -= (k + 1) * n
        h_at -= room * k  # < 0 for the inputs
        at = at if half > 0 else h_at
        if half > 0:
            h = h_at if layer > 0 else -1
            _weights_of_layer(theta_bar, w_at, x, hidden, h, bars, g_at, room, rows, k, n, scratch)
        carried, carries = adds(sizes, layer + 1, skip), adds(sizes, layer, skip)
        if layer > 0:
            _backward_layer(
                theta, w_at, hidden, h_at + shift, bars, at, bars, g_at, room, rows, k, n, activation,
                carry, first, carried, carries,
            )  # fmt: skip
            at, g_at = g_at, at
        elif with_x:
            _backward_layer(
                theta, w_at, hidden, -1, scratch, first, bars, g_at, room, rows, k, n, activation,
                carry, first, carried, False,
            )  # fmt: skip
            transpose(x_bar, first * k, k, scratch, first, room, k, rows)


@compiled
def weights_lanes(theta_bar, x, hidden, bars, room, rows, sizes, scratch, since, until):
    """Write the gradient of the layers from `since` to before `until`, counted from 0, over all rows."""
    w_at, at = 0, 0
    for layer in range(until):
        k, n = sizes[layer], sizes[layer + 1]
        if layer >= since:
            h_at = at - room * k if layer > 0 else -1
            _weights_of_layer(theta_bar, w_at, x, hidden, h_at, bars, at, room, rows, k, n, scratch)
        w_at += (k + 1) * n
        at += room * n


@compiled
def _forward_of_rows(first, until, y, theta, x, hidden, room, sizes, activation, skip, scratch):
    forward_lanes(theta, x, hidden, room, first, until - first, sizes, activation, skip, scratch)
    output_lanes(y, hidden, room, first, until - first, sizes)


@compiled
def _backward_of_rows(first, until, half, cotangent, carry, x_bar, with_x, activation, skip, theta, both):
    theta_bar, x, hidden, bars, room, sizes, scratch = both
    backward_lanes(
        theta_bar, theta, x, hidden, bars, half, room, first, until - first, sizes, activation, skip, cotangent, carry,
        x_bar, with_x, scratch,
    )  # fmt: skip


@compiled
def _weights_of_layers(since, until, both, rows):
    theta_bar, x, hidden, bars, room, sizes, scratch = both
    weights_lanes(theta_bar, x, hidden, bars, room, rows, sizes, scratch, since, until)


_share_forward, _share_backward, _share_weights = map(
    sharing, (_forward_of_rows, _backward_of_rows, _weights_of_layers)
)


@compiled(nogil=True)
def _forward(mailboxes, ends, *arguments):
    _share_forward(mailboxes, ends, arguments)


@compiled(nogil=True)
def _backward(mailboxes, ends, layers, of_rows, both):
    _share_backward(mailboxes, ends, (*of_rows, both))
    if layers.size > 2:
        _share_weights(mailboxes, layers, (both, ends[-1]))


def forward_in_lanes(
    theta: np.ndarray, x: np.ndarray, sizes: tuple[int, ...], activation: str, skip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Compute `cpu_dense.dense_forward`."""
    rows, kind = x.shape[0], theta.dtype
    room, net, code, flat = room_for(rows, x.itemsize), as_array(sizes), ACTIVATIONS.index(activation), x.reshape(-1)
    hidden = buffers.empty(stored(sizes, activation, skip) * room, kind)
    y, scratch = buffers.empty(rows * sizes[-1], kind), buffers.empty(rows * sizes[1], kind)
    ends = _rows_of_threads(rows, theta.size, x.itemsize)
    _forward(threads.crew(ends), ends, y, theta, flat, hidden, room, net, code, skip, scratch)
    return y.reshape(rows, sizes[-1]), hidden


def vjp_in_lanes(
    theta: np.ndarray,
    x: np.ndarray,
    hidden: np.ndarray,
    sizes: tuple[int, ...],
    activation: str,
    skip: bool,
    cotangent: np.ndarray,
    with_x: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Compute `cpu_dense.dense_vjp`."""
    rows, kind, widest = x.shape[0], theta.dtype, max(sizes)
    room, net, code, flat = room_for(rows, x.itemsize), as_array(sizes), ACTIVATIONS.index(activation), x.reshape(-1)
    ends = _rows_of_threads(rows, theta.size, x.itemsize)
    layers = _layers_of_threads(sizes, ends.size - 1)
    half = 0 if ends.size > 2 else room * widest
    theta_bar, bars = buffers.empty(theta.size, kind), buffers.empty(2 * half or room * sum(sizes[1:]), kind)
    carry, x_bar = buffers.empty(room * widest if skip else 0, kind), buffers.empty(x.size if with_x else 0, kind)
    scratch = buffers.empty(max(room, sizes[1]) * sizes[0], kind)
    of_rows = half, cotangent.reshape(-1), carry, x_bar, with_x, code, skip, theta
    _backward(threads.crew(ends), ends, layers, of_rows, (theta_bar, flat, hidden, bars, room, net, scratch))
    return theta_bar, x_bar.reshape(x.shape) if with_x else None


def _rows_of_threads(rows: int, parameters: int, itemsize: int) -> np.ndarray:
    """Return the ends of each thread's rows."""
    return threads.parts(rows, VECTORS * REGISTER // itemsize, rows * parameters // WORTH)


@lru_cache
def _layers_of_threads(sizes: tuple[int, ...], most: int) -> np.ndarray:
    """Return the ends of each thread's layers, with about as many weights each."""
    done = list(accumulate(k * n for k, n in pairwise(sizes)))
    ends = {0, *(sum(weights <= done[-1] * i / most for weights in done) + 1 for i in range(1, most)), len(done)}
    return np.array(sorted(end for end in ends if end <= len(done)), np.int64)
