"""Dense nets on CuPy arrays: all layers in one launch, and their vjp in two. The meaning is `mcgc.nets.apply`.

A block of threads takes `ROWS` rows of one member through all layers, forth or back. The values of the layers lie in
global memory as those of `mcgc.kernels.cpu_dense` do, for each member: a block reads there what it wrote before. Each
block forms the gradient of the weights of its rows. These parts are then added up in the order of the blocks. So there
are no atomics, a call repeats its bits, and a member has the bits that it would have by itself.

This suits nets whose layers are too small to fill a GPU. Wide ones are left to the products of the array library.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda.extending import register_jitable

from mcgc.arrays import Array, device_of, namespace_of
from mcgc.kernels import cuda as kernels
from mcgc.kernels import launching
from mcgc.kernels._dispatch import Body

COLUMNS, GROUPS = 64, 4  # of the threads of a block: a thread has one column of a product, and `EACH` of its rows
EACH = 4  # rows, written out below
ROWS = GROUPS * EACH  # of a block
THREADS = COLUMNS * GROUPS


# ---- in a kernel ----


@register_jitable
def _layer(out, out_at, a, a_at, theta, w_at, k, n, count, column, group, curved, bent):
    """Put act(a W + b) of `count` rows into `out`; the activation is tanh if `curved`, relu if `bent`, else none."""
    last = count - 1
    first = np.int64(group * EACH)
    at0, at1 = a_at + min(first, last) * k, a_at + min(first + 1, last) * k
    at2, at3 = a_at + min(first + 2, last) * k, a_at + min(first + 3, last) * k
    j = np.int64(column)
    while j < n:
        s0 = theta[w_at + k * n + j]
        s1, s2, s3 = s0, s0, s0
        for i in range(k):
            w = theta[w_at + i * n + j]
            s0 += a[at0 + i] * w
            s1 += a[at1 + i] * w
            s2 += a[at2 + i] * w
            s3 += a[at3 + i] * w
        if first < count:
            out[out_at + first * n + j] = _activated(s0, curved, bent)
        if first + 1 < count:
            out[out_at + (first + 1) * n + j] = _activated(s1, curved, bent)
        if first + 2 < count:
            out[out_at + (first + 2) * n + j] = _activated(s2, curved, bent)
        if first + 3 < count:
            out[out_at + (first + 3) * n + j] = _activated(s3, curved, bent)
        j += COLUMNS


@register_jitable
def _activated(z, curved, bent):
    if curved:
        return type(z)(math.tanh(z))
    return type(z)(0) if bent and z <= 0 else z


@register_jitable
def _add_rows(out, out_at, a, a_at, g, g_at, k, n, count, column, group):
    """Put aᵀ g of `count` rows into `out`, and after it the sums of g, which are the gradient of the biases."""
    last = k - 1
    j = np.int64(column)
    while j < n:
        i = np.int64(group * EACH)
        while i < k:
            i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
            s0 = type(g[g_at])(0)
            s1, s2, s3 = s0, s0, s0
            for r in range(count):
                c, at = g[g_at + r * n + j], a_at + r * k
                s0 += a[at + i] * c
                s1 += a[at + i1] * c
                s2 += a[at + i2] * c
                s3 += a[at + i3] * c
            out[out_at + i * n + j] = s0
            if i + 1 < k:
                out[out_at + (i + 1) * n + j] = s1
            if i + 2 < k:
                out[out_at + (i + 2) * n + j] = s2
            if i + 3 < k:
                out[out_at + (i + 3) * n + j] = s3
            i += GROUPS * EACH
        if group == 0:
            total = type(g[g_at])(0)
            for r in range(count):
                total += g[g_at + r * n + j]
            out[out_at + k * n + j] = total
        j += COLUMNS


@register_jitable
def _layer_back(out, out_at, h, g, g_at, theta, w_at, k, n, count, column, group, curved, bent):
    """Put (g Wᵀ) ∘ act' of `count` rows into `out`; h has the values of that layer where `out` has its cotangents."""
    last = count - 1
    first = np.int64(group * EACH)
    at0, at1 = g_at + min(first, last) * n, g_at + min(first + 1, last) * n
    at2, at3 = g_at + min(first + 2, last) * n, g_at + min(first + 3, last) * n
    i = np.int64(column)
    while i < k:
        s0 = type(g[g_at])(0)
        s1, s2, s3 = s0, s0, s0
        row = w_at + i * n
        for j in range(n):
            w = theta[row + j]
            s0 += g[at0 + j] * w
            s1 += g[at1 + j] * w
            s2 += g[at2 + j] * w
            s3 += g[at3 + j] * w
        at = out_at + first * k + i
        if first < count:
            out[at] = _bent_back(s0, h, at, curved, bent)
        if first + 1 < count:
            out[at + k] = _bent_back(s1, h, at + k, curved, bent)
        if first + 2 < count:
            out[at + 2 * k] = _bent_back(s2, h, at + 2 * k, curved, bent)
        if first + 3 < count:
            out[at + 3 * k] = _bent_back(s3, h, at + 3 * k, curved, bent)
        i += COLUMNS


@register_jitable
def _bent_back(s, h, at, curved, bent):
    if curved:
        return s * (type(s)(1) - h[at] * h[at])
    return s if h[at] > 0 or not bent else type(s)(0)


# ---- kernels ----


def _dense_forward(y, hidden, theta, x, sizes, layers, rows, parameters, values, x_step, blocks, is_tanh):
    """Apply the net of each member to its rows; `hidden` gets h₁ … h_{L−1}, `values` numbers a row."""
    member, block = np.int64(cuda.blockIdx.x) // blocks, np.int64(cuda.blockIdx.x) % blocks
    column, group = np.int64(cuda.threadIdx.x) % COLUMNS, np.int64(cuda.threadIdx.x) // COLUMNS
    first = block * ROWS
    count = min(np.int64(ROWS), rows - first)
    a, a_at = x, member * x_step + first * sizes[0]
    w_at, h_at = member * parameters, member * rows * values
    for layer in range(layers):
        k, n = sizes[layer], sizes[layer + 1]
        inner = layer < layers - 1
        if inner:
            out, out_at = hidden, h_at + first * n
        else:
            out, out_at = y, (member * rows + first) * n
        _layer(out, out_at, a, a_at, theta, w_at, k, n, count, column, group, inner and is_tanh != 0, inner)
        cuda.syncthreads()
        a, a_at = out, out_at
        w_at += (k + 1) * n
        h_at += rows * n


def _dense_backward(
    parts, x_bar, bars, cotangent, hidden, theta, x, sizes, layers, rows, parameters, values, x_step, blocks, is_tanh,
    with_x,
):  # fmt: skip
    """Carry cotangents of y back: `bars` gets those of the hidden layers, `parts` those of θ from each block."""
    member, block = np.int64(cuda.blockIdx.x) // blocks, np.int64(cuda.blockIdx.x) % blocks
    column, group = np.int64(cuda.threadIdx.x) % COLUMNS, np.int64(cuda.threadIdx.x) // COLUMNS
    first = block * ROWS
    count = min(np.int64(ROWS), rows - first)
    g, g_at = cotangent, (member * rows + first) * sizes[layers]
    w_at, h_at = (member + 1) * parameters, (member + 1) * rows * values
    p_at = np.int64(cuda.blockIdx.x) * parameters + parameters
    for back in range(layers):
        layer = layers - 1 - back
        k, n = sizes[layer], sizes[layer + 1]
        w_at -= (k + 1) * n
        p_at -= (k + 1) * n
        if layer > 0:
            h_at -= rows * k
            a, a_at = hidden, h_at + first * k
        else:
            a, a_at = x, member * x_step + first * k
        _add_rows(parts, p_at, a, a_at, g, g_at, k, n, count, column, group)
        if layer > 0:
            _layer_back(bars, a_at, a, g, g_at, theta, w_at, k, n, count, column, group, is_tanh != 0, True)
            cuda.syncthreads()
            g, g_at = bars, a_at
        elif with_x != 0:
            at = (member * rows + first) * k
            _layer_back(x_bar, at, x_bar, g, g_at, theta, w_at, k, n, count, column, group, False, False)


def _dense_total(theta_bar, parts, parameters, blocks, length):
    """Add up the parts of each member's blocks, in their order."""
    i = np.int64(cuda.blockIdx.x) * THREADS + np.int64(cuda.threadIdx.x)
    if i < length:
        at = i // parameters * blocks * parameters + i % parameters
        total = parts[at]
        for block in range(1, blocks):
            total += parts[at + block * parameters]
        theta_bar[i] = total


# ---- launches ----


def _launch(kernel: Any, blocks: int, *arguments: Any) -> None:
    launching.launch(kernel, blocks, THREADS, *[np.int64(x) if type(x) is int else x.ravel() for x in arguments])


_widths: dict[tuple, Array] = {}  # of nets, on each device


def _on_device(sizes: tuple[int, ...], like: Array) -> Array:
    """Return the widths as an array on the device of `like`, where they are copied once."""
    device = device_of(like)
    key = sizes, getattr(device, "id", device)
    if key not in _widths:
        _widths[key] = namespace_of(like).asarray(np.asarray(sizes, np.int64), device=device)
    return _widths[key]


def _problem(theta: Array, x: Array, sizes: tuple[int, ...]) -> tuple[int, tuple, tuple]:
    """Return the number of members, what both kernels take after the arrays, and the axis of the members, if any."""
    members, rows = math.prod(theta.shape[:-1]), x.shape[-2]
    x_step = rows * sizes[0] if x.ndim > 2 else 0
    counts = len(sizes) - 1, rows, theta.shape[-1], sum(sizes[1:-1]), x_step, -(-rows // ROWS)
    return members, (_on_device(sizes, theta), *counts), theta.shape[:-1]


def dense_forward(theta: Array, x: Array, sizes: tuple[int, ...], activation: str) -> tuple[Array, Array]:
    """Return y and h₁ … h_{L−1} of nets of θ (m,) or (members, m), for x (rows, n₀) or (members, rows, n₀)."""
    xp = namespace_of(theta)
    theta, x = xp.ascontiguousarray(theta), xp.ascontiguousarray(x)
    members, problem, head = _problem(theta, x, sizes)
    rows = x.shape[-2]
    y, hidden = (
        kernels.empty((*head, rows, sizes[-1]), theta),
        kernels.empty((members * rows * sum(sizes[1:-1]),), theta),
    )
    if y.size:
        _launch(_dense_forward, members * problem[-1], y, hidden, theta, x, *problem, int(activation == "tanh"))
    return y, hidden


def dense_vjp(
    theta: Array,
    x: Array,
    hidden: Array,
    sizes: tuple[int, ...],
    activation: str,
    cotangent: Array,
    with_x: bool = True,
) -> tuple[Array, Array | None]:
    """Return the cotangents of θ and of x (None without `with_x`) for that of the output of `dense_forward`."""
    xp = namespace_of(theta)
    theta, x, cotangent = xp.ascontiguousarray(theta), xp.ascontiguousarray(x), xp.ascontiguousarray(cotangent)
    members, problem, head = _problem(theta, x, sizes)
    blocks, m = problem[-1], theta.shape[-1]
    if not cotangent.size:
        return xp.zeros_like(theta), xp.zeros_like(x) if with_x else None
    parts, bars = kernels.empty((members * blocks * m,), theta), kernels.empty((hidden.size,), theta)
    x_bar = kernels.empty((*head, *x.shape[-2:]), theta) if with_x else bars
    arrays = parts, x_bar, bars, cotangent, hidden, theta, x
    _launch(_dense_backward, members * blocks, *arrays, *problem, int(activation == "tanh"), int(with_x))
    if with_x and x_bar.ndim > x.ndim:  # shared by the members
        x_bar = xp.sum(x_bar, axis=0)
    return total_of_blocks(parts, blocks, theta), x_bar if with_x else None


def total_of_blocks(parts: Array, blocks: int, like: Array) -> Array:
    """Return the sums of each member's gradients of θ, one from each of its blocks, in the shape of `like`."""
    if blocks > 1:
        parts, of_blocks = kernels.empty((like.size,), like), parts
        _launch(_dense_total, -(-like.size // THREADS), parts, of_blocks, like.shape[-1], blocks, like.size)
    return parts.reshape(like.shape)


def _forward(theta: Array, x: Array, sizes: tuple[int, ...], activation: str, skip: bool) -> tuple[Array, tuple]:
    y, hidden = dense_forward(theta, x, sizes, activation)
    return y, (theta, x, hidden, sizes, activation)


def _vjp(residuals: tuple, indices: Sequence[int], cotangent: Array) -> tuple[Array, Array | None]:
    theta, x, hidden, sizes, activation = residuals
    return dense_vjp(theta, x, hidden, sizes, activation, cotangent.astype(theta.dtype, copy=False), 1 in indices)


BODY = Body(_forward, _vjp)
