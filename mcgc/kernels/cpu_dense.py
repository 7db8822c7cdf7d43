"""Dense nets for few rows on the CPU: all layers, and their vjp, in one compiled call each.

A general matrix product is built for many rows. With four rows and layers of fifty its preparations cost more
than its arithmetic, so here every product runs in loops that keep a tile of results in registers.
Vectors are written out rather than left for the compiler to find. The order of every sum is then fixed here:
a row has the same bits alone and in any batch, and one machine gives the same bits every time. Machines with
and without a fused multiply-add differ in the last bits.
"""

# mypy: disable-error-code="call-arg, var-annotated"
# (an intrinsic is called without its first parameter, the typing context)

from functools import cache

import numpy as np
from numba import njit

from mcgc.errors import InputError
from mcgc.kernels.lanes import LANES, add_product, fill, fold, load, spread, store, store_lane


def dense_forward(
    theta: np.ndarray, x: np.ndarray, sizes: tuple[int, ...], activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a dense net to a few rows.

    h₀ = x,  z_l = h_{l−1} W_l + b_l,  h_l = act(z_l) for l < L,  y = z_L.

    theta: every layer in order, W_l row-major then b_l, in one float32 or float64 vector. x: (rows, n₀), of
    the same dtype. sizes: (n₀, …, n_L). activation: "relu" or "tanh".
    Returns y (rows, n_L) and, for `dense_vjp`, h_1 … h_{L−1}, z_L, each row-major, in one vector.
    Raises `InputError` if theta or x does not have the size that `sizes` asks for.
    """
    return _forward(np.ascontiguousarray(theta), np.ascontiguousarray(x), _as_array(sizes), activation == "tanh")


def dense_vjp(
    theta: np.ndarray,
    x: np.ndarray,
    hidden: np.ndarray,
    sizes: tuple[int, ...],
    activation: str,
    cotangent: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Pull `cotangent` (rows, n_L) back through the net of `dense_forward`, whose `hidden` is given.

    g_L = cotangent,  g_{l−1} = (g_l W_lᵀ) ∘ act'(z_{l−1}),  W̄_l = h_{l−1}ᵀ g_l,  b̄_l = Σ_rows g_l,
    with act' taken from h: [h > 0] for relu (0 at 0), 1 − h² for tanh.

    Returns theta_bar, of the shape of theta, and x_bar, of the shape of x.
    Raises `InputError` if an argument does not have the size that `sizes` asks for.
    """
    return _vjp(
        np.ascontiguousarray(theta),
        np.ascontiguousarray(x),
        hidden,
        _as_array(sizes),
        activation == "tanh",
        np.ascontiguousarray(cotangent),
    )


@cache
def _as_array(sizes: tuple[int, ...]) -> np.ndarray:
    return np.asarray(sizes, dtype=np.int64)  # one type for every net, so that none is compiled anew


@njit(cache=True)
def _affine(c, c_at, bias, bias_at, a, a_at, b, b_at, m, n, k):
    """Write c = a b + bias, tile by tile of 4 rows by 2 vectors; n ≥ LANES.

    c (m, n), a (m, k) and b (k, n) are row-major from their `_at`. A tile that would pass the last row or
    column is moved back: what it overlaps is written twice, with the same bits.
    """
    for i in range(0, m, 4):
        i1, i2, i3 = min(i + 1, m - 1), min(i + 2, m - 1), min(i + 3, m - 1)
        a0, a1, a2, a3 = a_at + i * k, a_at + i1 * k, a_at + i2 * k, a_at + i3 * k
        c0, c1, c2, c3 = c_at + i * n, c_at + i1 * n, c_at + i2 * n, c_at + i3 * n
        for j in range(0, n, 2 * LANES):
            left, right = min(j, n - LANES), min(j + LANES, n - LANES)
            l0 = l1 = l2 = l3 = load(bias, bias_at + left)
            r0 = r1 = r2 = r3 = load(bias, bias_at + right)
            for p in range(k):
                bl, br = load(b, b_at + p * n + left), load(b, b_at + p * n + right)
                s0, s1, s2, s3 = spread(a, a0 + p), spread(a, a1 + p), spread(a, a2 + p), spread(a, a3 + p)
                l0, r0 = add_product(l0, s0, bl), add_product(r0, s0, br)
                l1, r1 = add_product(l1, s1, bl), add_product(r1, s1, br)
                l2, r2 = add_product(l2, s2, bl), add_product(r2, s2, br)
                l3, r3 = add_product(l3, s3, bl), add_product(r3, s3, br)
            store(c, c0 + left, l0)
            store(c, c0 + right, r0)
            store(c, c1 + left, l1)
            store(c, c1 + right, r1)
            store(c, c2 + left, l2)
            store(c, c2 + right, r2)
            store(c, c3 + left, l3)
            store(c, c3 + right, r3)


@njit(cache=True)
def _affine_bar(c, c_at, a, g, m, n, rows):
    """Write c = (aᵀ g; Σ_rows g), the gradient of a layer's weights and under them of its biases; n ≥ LANES.

    c (m + 1, n), a (rows, m) and g (rows, n) are row-major, c from `c_at`. Four rows of g at a time stay in
    registers on their way down a column of c; the first four write it, the others add to it.
    """
    for j in range(0, n, 2 * LANES):
        left, right = min(j, n - LANES), min(j + LANES, n - LANES)
        for p in range(0, rows, 4):
            p1, p2, p3 = min(p + 1, rows - 1), min(p + 2, rows - 1), min(p + 3, rows - 1)
            l0, r0 = load(g, p * n + left), load(g, p * n + right)
            l1 = l2 = l3 = r1 = r2 = r3 = fill(g, 0)
            if p + 1 < rows:
                l1, r1 = load(g, p1 * n + left), load(g, p1 * n + right)
            if p + 2 < rows:
                l2, r2 = load(g, p2 * n + left), load(g, p2 * n + right)
            if p + 3 < rows:
                l3, r3 = load(g, p3 * n + left), load(g, p3 * n + right)
            for i in range(m + 1):
                at = c_at + i * n
                sl = sr = fill(g, 0)
                if p > 0:  # both before either is written, for they may overlap
                    sl, sr = load(c, at + left), load(c, at + right)
                if i < m:
                    s0, s1 = spread(a, p * m + i), spread(a, p1 * m + i)
                    s2, s3 = spread(a, p2 * m + i), spread(a, p3 * m + i)
                else:
                    s0 = s1 = s2 = s3 = fill(g, 1)
                sl, sr = add_product(sl, s0, l0), add_product(sr, s0, r0)
                sl, sr = add_product(sl, s1, l1), add_product(sr, s1, r1)
                sl, sr = add_product(sl, s2, l2), add_product(sr, s2, r2)
                sl, sr = add_product(sl, s3, l3), add_product(sr, s3, r3)
                store(c, at + left, sl)
                store(c, at + right, sr)


@njit(cache=True)
def _times_transposed(c, a, tails, b, b_at, m, n, k):
    """Write c = a bᵀ, tile by tile of 4 rows by 2 columns; k ≥ LANES.

    c (m, n), a (m, k) and b (n, k) are row-major, b from `b_at`. The last vector of a row of b may
    overlap the one before: `tails` (m, LANES) is the matching end of a's rows, with 0 where it overlaps.
    """
    whole = (k - 1) // LANES * LANES
    for i in range(0, m, 4):
        i1, i2, i3 = min(i + 1, m - 1), min(i + 2, m - 1), min(i + 3, m - 1)
        for j in range(0, n, 2):
            j1 = min(j + 1, n - 1)
            b0, b1 = b_at + j * k, b_at + j1 * k
            bl, br = load(b, b0 + k - LANES), load(b, b1 + k - LANES)
            v = load(tails, i * LANES)
            zero = fill(a, 0)
            l0, r0 = add_product(zero, v, bl), add_product(zero, v, br)
            v = load(tails, i1 * LANES)
            l1, r1 = add_product(zero, v, bl), add_product(zero, v, br)
            v = load(tails, i2 * LANES)
            l2, r2 = add_product(zero, v, bl), add_product(zero, v, br)
            v = load(tails, i3 * LANES)
            l3, r3 = add_product(zero, v, bl), add_product(zero, v, br)
            for p in range(0, whole, LANES):
                bl, br = load(b, b0 + p), load(b, b1 + p)
                v = load(a, i * k + p)
                l0, r0 = add_product(l0, v, bl), add_product(r0, v, br)
                v = load(a, i1 * k + p)
                l1, r1 = add_product(l1, v, bl), add_product(r1, v, br)
                v = load(a, i2 * k + p)
                l2, r2 = add_product(l2, v, bl), add_product(r2, v, br)
                v = load(a, i3 * k + p)
                l3, r3 = add_product(l3, v, bl), add_product(r3, v, br)
            sums = fold(l0, l1, l2, l3, r0, r1, r2, r3)
            store_lane(c, i * n + j, sums, 0)
            store_lane(c, i1 * n + j, sums, 1)
            store_lane(c, i2 * n + j, sums, 2)
            store_lane(c, i3 * n + j, sums, 3)
            store_lane(c, i * n + j1, sums, 4)
            store_lane(c, i1 * n + j1, sums, 5)
            store_lane(c, i2 * n + j1, sums, 6)
            store_lane(c, i3 * n + j1, sums, 7)


@njit(cache=True)
def _copy_columns(source, source_at, source_width, target, target_at, target_width, rows):
    """Copy the columns that `source` and `target`, row-major with these widths, have in common."""
    for i in range(rows):
        for j in range(min(source_width, target_width)):
            target[target_at + i * target_width + j] = source[source_at + i * source_width + j]


@njit(cache=True)
def _lengths(sizes):
    """Return how many parameters a net has, and how many values its layers give a row."""
    parameters = values = 0
    for layer in range(1, sizes.size):
        parameters += (sizes[layer - 1] + 1) * sizes[layer]
        values += sizes[layer]
    return parameters, values


@njit(cache=True)
def _forward(theta, x, sizes, is_tanh):
    rows, last = x.shape[0], sizes.size - 2
    parameters, values = _lengths(sizes)
    if theta.size != parameters or x.shape[1] != sizes[0]:
        raise InputError("theta or x does not fit the sizes of the dense net: give them its lengths")
    zero = theta.dtype.type(0)
    hidden = np.empty(rows * values, theta.dtype)
    a, a_at, w_at, c_at = x.reshape(-1), 0, 0, 0
    for layer in range(last + 1):
        k, n = sizes[layer], sizes[layer + 1]
        c, at, w, b_at, width = hidden, c_at, theta, w_at, n
        if n < LANES:  # narrower than a vector: widened with zeros here, cut back below
            w, b_at, width = np.zeros((k + 1) * LANES, theta.dtype), 0, LANES
            c, at = np.empty(rows * LANES, theta.dtype), 0
            _copy_columns(theta, w_at, n, w, 0, LANES, k + 1)
        _affine(c, at, w, b_at + k * width, a, a_at, w, b_at, rows, width, k)
        if n < LANES:
            _copy_columns(c, 0, LANES, hidden, c_at, n, rows)
        if layer < last:
            h = hidden[c_at : c_at + rows * n]
            if is_tanh:
                for q in range(h.size):
                    h[q] = np.tanh(h[q])
            else:
                for q in range(h.size):
                    h[q] = zero if h[q] < zero else h[q]  # so a NaN stays one
            a, a_at, c_at = hidden, c_at, c_at + rows * n
        w_at += (k + 1) * n
    return hidden[c_at:].copy().reshape(rows, sizes[-1]), hidden


@njit(cache=True)
def _vjp(theta, x, hidden, sizes, is_tanh, cotangent):
    rows, last = x.shape[0], sizes.size - 2
    parameters, values = _lengths(sizes)
    if (
        theta.size != parameters
        or x.shape[1] != sizes[0]
        or hidden.size != rows * values
        or cotangent.shape[0] != rows
        or cotangent.shape[1] != sizes[-1]
    ):
        raise InputError("an argument of dense_vjp does not fit the net: give what dense_forward took and returned")
    zero, one = theta.dtype.type(0), theta.dtype.type(1)
    theta_bar, x_bar = np.empty(parameters, theta.dtype), np.empty(rows * sizes[0], theta.dtype)
    if rows == 0:
        theta_bar[:] = zero
    tails = np.empty(rows * LANES, theta.dtype)
    g, w_at, h_at = cotangent.reshape(-1), parameters, rows * (values - sizes[-1])
    for layer in range(last, -1, -1):
        k, n = sizes[layer], sizes[layer + 1]
        w_at -= (k + 1) * n
        h_at -= rows * k
        if layer > 0:
            h, g_before = hidden[h_at : h_at + rows * k], np.empty(rows * k, theta.dtype)
        else:
            h, g_before = x.reshape(-1), x_bar
        w, bar, at, width = theta, theta_bar, w_at, n
        if n < LANES:
            w, at, width = np.zeros((k + 1) * LANES, theta.dtype), 0, LANES
            bar = np.empty((k + 1) * LANES, theta.dtype)
            _copy_columns(theta, w_at, n, w, 0, LANES, k)
            narrow, g = g, np.zeros(rows * LANES, theta.dtype)
            _copy_columns(narrow, 0, n, g, 0, LANES, rows)
        _affine_bar(bar, at, h, g, k, width, rows)
        if n < LANES and rows > 0:
            _copy_columns(bar, 0, LANES, theta_bar, w_at, n, k + 1)
        overlap = -width % LANES
        for i in range(rows):
            for lane in range(LANES):
                tails[i * LANES + lane] = zero if lane < overlap else g[(i + 1) * width - LANES + lane]
        _times_transposed(g_before, g, tails, w, at, rows, k, width)
        if layer > 0:
            if is_tanh:
                for q in range(h.size):
                    g_before[q] *= one - h[q] * h[q]
            else:
                for q in range(h.size):
                    g_before[q] = g_before[q] if h[q] > zero else zero
        g = g_before
    return theta_bar, x_bar.reshape(rows, sizes[0])
