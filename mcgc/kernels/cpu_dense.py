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
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, models, register_model

from mcgc.errors import InputError

LANES = 8  # numbers in a vector: a 256-bit register of float32, two of float64


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
    return _forward(
        np.ascontiguousarray(theta), np.ascontiguousarray(x), _as_array(sizes), activation == "tanh"
    )


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


class _Lanes(types.Type):
    """`LANES` numbers in registers."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: _Lanes) -> None:
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.dtype).get_value_type(), LANES))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


@intrinsic
def _load(typing, array, offset):
    """Read LANES neighbours from `offset` on."""
    lanes = _Lanes(array.dtype)

    def generate(context, builder, signature, args):
        vector = context.get_value_type(lanes)
        pointer = builder.bitcast(_pointer(context, builder, array, *args), vector.as_pointer())
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return lanes(array, types.intp), generate


@intrinsic
def _store(typing, array, offset, lanes):
    """Write LANES neighbours from `offset` on."""

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, array, *args[:2])
        pointer = builder.bitcast(pointer, args[2].type.as_pointer())
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


def _in_every_lane(builder: Any, number: Any) -> Any:
    vector = ir.VectorType(number.type, LANES)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(
        first, first, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    )


@intrinsic
def _spread(typing, array, offset):
    """Read one number into every lane."""

    def generate(context, builder, signature, args):
        return _in_every_lane(builder, builder.load(_pointer(context, builder, array, *args)))

    return _Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def _fill(typing, like, number):
    """Put one number into every lane."""
    lanes = _Lanes(like.dtype)

    def generate(context, builder, signature, args):
        return _in_every_lane(builder, context.cast(builder, args[1], number, like.dtype))

    return lanes(like, number), generate


@intrinsic
def _add_product(typing, total, a, b):
    """Return total + a b, rounded once where the machine can."""

    def generate(context, builder, signature, args):
        total, a, b = args
        return builder.fadd(total, builder.fmul(a, b, flags=("contract",)), flags=("contract",))

    return total(total, a, b), generate


@intrinsic
def _sums(typing, a, b, c, d, e, f, g, h):
    """Return the sums of eight vectors, (Σa, …, Σh), in three rounds that fold two vectors into one."""
    rounds = (
        ((0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
        ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
        ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
    )

    def generate(context, builder, signature, args):
        indices = ir.VectorType(ir.IntType(32), LANES)
        for halves in rounds:
            low, high = (ir.Constant(indices, list(half)) for half in halves)
            args = [
                builder.fadd(builder.shuffle_vector(p, q, low), builder.shuffle_vector(p, q, high))
                for p, q in zip(args[::2], args[1::2], strict=True)
            ]
        return args[0]

    return a(a, b, c, d, e, f, g, h), generate


@intrinsic
def _store_lane(typing, array, offset, lanes, lane):
    """Write lane number `lane` to `offset`."""

    def generate(context, builder, signature, args):
        builder.store(builder.extract_element(args[2], args[3]), _pointer(context, builder, array, *args[:2]))
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes, types.intp), generate


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
            l0 = l1 = l2 = l3 = _load(bias, bias_at + left)
            r0 = r1 = r2 = r3 = _load(bias, bias_at + right)
            for p in range(k):
                bl, br = _load(b, b_at + p * n + left), _load(b, b_at + p * n + right)
                s0, s1, s2, s3 = (
                    _spread(a, a0 + p),
                    _spread(a, a1 + p),
                    _spread(a, a2 + p),
                    _spread(a, a3 + p),
                )
                l0, r0 = _add_product(l0, s0, bl), _add_product(r0, s0, br)
                l1, r1 = _add_product(l1, s1, bl), _add_product(r1, s1, br)
                l2, r2 = _add_product(l2, s2, bl), _add_product(r2, s2, br)
                l3, r3 = _add_product(l3, s3, bl), _add_product(r3, s3, br)
            _store(c, c0 + left, l0)
            _store(c, c0 + right, r0)
            _store(c, c1 + left, l1)
            _store(c, c1 + right, r1)
            _store(c, c2 + left, l2)
            _store(c, c2 + right, r2)
            _store(c, c3 + left, l3)
            _store(c, c3 + right, r3)


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
            l0, r0 = _load(g, p * n + left), _load(g, p * n + right)
            l1 = l2 = l3 = r1 = r2 = r3 = _fill(g, 0)
            if p + 1 < rows:
                l1, r1 = _load(g, p1 * n + left), _load(g, p1 * n + right)
            if p + 2 < rows:
                l2, r2 = _load(g, p2 * n + left), _load(g, p2 * n + right)
            if p + 3 < rows:
                l3, r3 = _load(g, p3 * n + left), _load(g, p3 * n + right)
            for i in range(m + 1):
                at = c_at + i * n
                sl = sr = _fill(g, 0)
                if p > 0:  # both before either is written, for they may overlap
                    sl, sr = _load(c, at + left), _load(c, at + right)
                if i < m:
                    s0, s1, s2, s3 = (
                        _spread(a, p * m + i),
                        _spread(a, p1 * m + i),
                        _spread(a, p2 * m + i),
                        _spread(a, p3 * m + i),
                    )
                else:
                    s0 = s1 = s2 = s3 = _fill(g, 1)
                sl, sr = _add_product(sl, s0, l0), _add_product(sr, s0, r0)
                sl, sr = _add_product(sl, s1, l1), _add_product(sr, s1, r1)
                sl, sr = _add_product(sl, s2, l2), _add_product(sr, s2, r2)
                sl, sr = _add_product(sl, s3, l3), _add_product(sr, s3, r3)
                _store(c, at + left, sl)
                _store(c, at + right, sr)


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
            bl, br = _load(b, b0 + k - LANES), _load(b, b1 + k - LANES)
            v = _load(tails, i * LANES)
            zero = _fill(a, 0)
            l0, r0 = _add_product(zero, v, bl), _add_product(zero, v, br)
            v = _load(tails, i1 * LANES)
            l1, r1 = _add_product(zero, v, bl), _add_product(zero, v, br)
            v = _load(tails, i2 * LANES)
            l2, r2 = _add_product(zero, v, bl), _add_product(zero, v, br)
            v = _load(tails, i3 * LANES)
            l3, r3 = _add_product(zero, v, bl), _add_product(zero, v, br)
            for p in range(0, whole, LANES):
                bl, br = _load(b, b0 + p), _load(b, b1 + p)
                v = _load(a, i * k + p)
                l0, r0 = _add_product(l0, v, bl), _add_product(r0, v, br)
                v = _load(a, i1 * k + p)
                l1, r1 = _add_product(l1, v, bl), _add_product(r1, v, br)
                v = _load(a, i2 * k + p)
                l2, r2 = _add_product(l2, v, bl), _add_product(r2, v, br)
                v = _load(a, i3 * k + p)
                l3, r3 = _add_product(l3, v, bl), _add_product(r3, v, br)
            sums = _sums(l0, l1, l2, l3, r0, r1, r2, r3)
            _store_lane(c, i * n + j, sums, 0)
            _store_lane(c, i1 * n + j, sums, 1)
            _store_lane(c, i2 * n + j, sums, 2)
            _store_lane(c, i3 * n + j, sums, 3)
            _store_lane(c, i * n + j1, sums, 4)
            _store_lane(c, i1 * n + j1, sums, 5)
            _store_lane(c, i2 * n + j1, sums, 6)
            _store_lane(c, i3 * n + j1, sums, 7)


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
        raise InputError(
            "an argument of dense_vjp does not fit the net: give what dense_forward took and returned"
        )
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
            w, bar, at, width = (
                np.zeros((k + 1) * LANES, theta.dtype),
                np.empty((k + 1) * LANES, theta.dtype),
                0,
                LANES,
            )
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
