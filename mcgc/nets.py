"""Dense nets over one flat parameter vector θ: its layout, its initial values, and the net as a function of it.

A net of `sizes` (n₀, n₁, …, n_L) computes h₀ = x, hₗ = a(hₗ₋₁ Wₗ + bₗ) for l < L, and y = h_{L−1} W_L + b_L. θ holds,
layer after layer, Wₗ of shape (nₗ₋₁, nₗ) in row-major order and then bₗ of shape (nₗ,). With skip connections,
hₗ = hₗ₋₁ + a(hₗ₋₁ Wₗ + bₗ) for each l < L with nₗ = nₗ₋₁ (He et al. 2016).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from mcgc._integers import whole
from mcgc.arrays import HOST, Array, Device, as_floats, is_host
from mcgc.autodiff import ops
from mcgc.autodiff.transforms import Body, fused
from mcgc.errors import InputError, unknown
from mcgc.kernels import kernels_for, reference
from mcgc.random import Key, fold_in, normal, uniform

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "relu": ops.relu,
    "tanh": ops.tanh,
    "silu": ops.silu,
    "gelu": ops.gelu,
    "softplus": ops.softplus,
    "sigmoid": ops.sigmoid,
}

COMPILED = ("relu", "tanh")  # the activations that the fused kernel knows

# the variance of a weight, by how many numbers go into its layer and how many come out
VARIANCES: Mapping[str, Callable[[int, int], float]] = {
    "xavier": lambda n_in, n_out: 2 / (n_in + n_out),
    "he": lambda n_in, n_out: 2 / n_in,
    "lecun": lambda n_in, n_out: 1 / n_in,
}

SCHEMES = tuple(f"{name}-{law}" for name in VARIANCES for law in ("uniform", "normal"))


def num_parameters(sizes: Sequence[int]) -> int:
    """Return m, the length of θ: the sum over layers of nₗ₋₁ nₗ + nₗ.

    Raises `InputError` if there are fewer than two sizes or one is not a positive integer.
    """
    return _count(_sizes(sizes))


def _sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    try:
        given = tuple(sizes)
    except TypeError:
        raise InputError(f"a net needs a sequence of layer sizes, got {sizes!r}") from None
    try:
        return _whole(given)
    except TypeError:  # arrays of no dimension have no hash
        return _whole(tuple(whole(n, "the size of a layer") for n in given))


@lru_cache
def _count(sizes: tuple[int, ...]) -> int:
    return sum(n_in * n_out + n_out for n_in, n_out in _layers(sizes))


@lru_cache
def _whole(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if len(sizes) < 2:
        raise InputError(f"a net needs at least two layer sizes, got {sizes}")
    return tuple(whole(n, "the size of a layer") for n in sizes)


def init(
    key: Key,
    sizes: Sequence[int],
    dtype: Any = "float32",
    device: Device = HOST,
    scheme: str = "xavier-uniform",
) -> Array:
    """Return initial parameters θ, shape (m,): random weights and zero biases.

    The weights Wₗ have mean 0 and the variance v that `scheme` names: "xavier-…" 2 / (nₗ₋₁ + nₗ) (Glorot and Bengio
    2010), "he-…" 2 / nₗ₋₁ (He et al. 2015), "lecun-…" 1 / nₗ₋₁ (LeCun et al. 1998). They are drawn from
    U(−√(3v), √(3v)) for "…-uniform", from N(0, v) for "…-normal".

    Raises `InputError` for impossible sizes, an unknown scheme or dtype, or a key that is none.
    """
    num_parameters(sizes)
    if not isinstance(key, Key):
        raise InputError(f"initial parameters are drawn from one key, such as Key(0), got {key!r}")
    if scheme not in SCHEMES:
        raise InputError(unknown("scheme of initial weights", scheme, SCHEMES))
    name, law = scheme.split("-")
    parts = []
    for index, (n_in, n_out) in enumerate(_layers(sizes)):
        variance, drawn = VARIANCES[name](n_in, n_out), (fold_in(key, index), (n_in * n_out,), dtype, device)
        if law == "uniform":
            weights = (2 * uniform(*drawn) - 1) * math.sqrt(3 * variance)
        else:
            weights = normal(*drawn) * math.sqrt(variance)
        parts += [weights, device.namespace.zeros(n_out, dtype=weights.dtype, device=device.handle)]
    return ops.concat(parts)


def unpack(theta: Array, sizes: Sequence[int]) -> list[tuple[Array, Array]]:
    """Return the weights and biases (Wₗ, bₗ) of every layer, as views of θ.

    θ has shape (..., m). For shape (m,) the biases have shape (nₗ,); with leading axes, which are members with
    parameters of their own, the weights are stacks and the biases have shape (..., 1, nₗ) to broadcast over rows.

    Raises `InputError` if θ does not have the length that `sizes` needs, or is not one of `mcgc.arrays.as_floats`.
    """
    m, theta = num_parameters(sizes), as_floats(theta, "theta")
    if theta.shape[-1:] != (m,):
        raise InputError(f"a net of sizes {tuple(sizes)} has {m} parameters, but theta has shape {theta.shape}")
    members = theta.shape[:-1]
    layers = _layers(sizes)
    parts = ops.split(theta, [n for n_in, n_out in layers for n in (n_in * n_out, n_out)], axis=-1)
    return [
        (
            ops.reshape(weights, (*members, n_in, n_out)),
            ops.reshape(biases, (*members, 1, n_out)) if members else biases,
        )
        for (n_in, n_out), weights, biases in zip(layers, parts[::2], parts[1::2], strict=True)
    ]


def _layers(sizes: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(_sizes(sizes)))


def _definition(theta: Array, x: Array, sizes: tuple[int, ...], activation: str, skip: bool) -> Array:
    *hidden, (weights, biases) = unpack(theta, sizes)
    for w, b in hidden:
        h = ACTIVATIONS[activation](_product(x, w) + b)
        x = x + h if skip and w.shape[-2] == w.shape[-1] else h
    return _product(x, weights) + biases


def _product(x: Array, weights: Array) -> Array:
    """Return x W, so that stacks have the same leading axes on both sides.

    cuBLAS multiplies such stacks in one strided call. Where an axis is broadcast, CuPy (14, `matmul`) makes arrays of
    pointers first, so rows that all members share are multiplied by all their weights as one matrix. It copies a
    stack that is not contiguous, as weights are within θ and transposes are in the derivative, one launch each; the
    matrices of a single net it hands over as they lie, transposed by a flag.
    """
    return ops.einsum("ri,...io->...ro", x, weights) if x.ndim == 2 < weights.ndim else x @ weights


def _select(theta: Array, x: Array, sizes: tuple[int, ...], activation: str, skip: bool) -> Body | None:
    if skip or activation not in COMPILED:
        return None
    fits = is_host(theta) and is_host(x) and theta.dtype == x.dtype and (theta.ndim, x.ndim) == (1, 2)
    shaped = fits and x.shape[1] == sizes[0] and theta.shape[0] == num_parameters(sizes)
    return _BODY if shaped and kernels_for(theta) is not reference else None


def _forward(theta: Array, x: Array, sizes: tuple[int, ...], activation: str, skip: bool) -> tuple[Array, tuple]:
    from mcgc.kernels import cpu_dense

    y, hidden = cpu_dense.dense_forward(theta, x, sizes, activation)
    return y, (theta, x, hidden, sizes, activation)


def _pull(residuals: tuple, places: Sequence[int], cotangent: Array) -> tuple[Array, Array | None]:
    from mcgc.kernels import cpu_dense

    theta, x, hidden, sizes, activation = residuals
    return cpu_dense.dense_vjp(theta, x, hidden, sizes, activation, cotangent, 1 in places)


_BODY = Body(_forward, _pull)
_fused = fused(_definition, _select)


def apply(theta: Array, x: Array, sizes: Sequence[int], activation: str = "relu", skip: bool = False) -> Array:
    """Return the net's output y, shape (..., rows, n_L), for parameters θ, shape (..., m), and x, (..., rows, n₀).

    Leading axes are members: each θ is applied to its own x, or to the one x there is. An x of shape (n₀,) is one
    row. `activation` is the function a between layers, one of `ACTIVATIONS`; there is none at the output. With
    `skip`, hidden layers that keep the width add their input to their output. Differentiable in θ and x.

    Each of θ and x may be a sequence of numbers, or of integers, and then takes the dtype of the other
    (`mcgc.arrays.as_floats`).

    Raises `InputError` if shapes or the name of the activation do not fit, or θ or x is of another dtype.
    """
    sizes = _sizes(sizes)
    theta = as_floats(theta, "theta", x)
    x = as_floats(x, "x", theta)
    if activation not in ACTIVATIONS:
        raise InputError(unknown("activation", activation, ACTIVATIONS))
    if x.shape[-1:] != (sizes[0],):
        raise InputError(f"a net of sizes {sizes} takes rows of {sizes[0]} numbers, but x has shape {x.shape}")
    if any(a != b and 1 not in (a, b) for a, b in zip(theta.shape[-2::-1], x.shape[-3::-1], strict=False)):
        raise InputError(f"theta of shape {theta.shape} and x of shape {x.shape} do not have the same members")
    if x.ndim == 1:
        return ops.squeeze(apply(theta, ops.expand_dims(x, axis=0), sizes, activation, skip), axis=-2)
    return _fused(theta, x, sizes=sizes, activation=activation, skip=skip)
