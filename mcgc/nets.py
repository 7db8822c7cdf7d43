"""Dense nets over one flat parameter vector θ: its layout, its initial values, and the net as a function of it.

A net of `sizes` (n₀, n₁, …, n_L) computes h₀ = x, hₗ = a(hₗ₋₁ Wₗ + bₗ) for l < L, and y = h_{L−1} W_L + b_L. θ holds,
layer after layer, Wₗ of shape (nₗ₋₁, nₗ) in row-major order and then bₗ of shape (nₗ,).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from mcgc.arrays import HOST, Array, Device, is_host
from mcgc.autodiff import ops
from mcgc.autodiff.transforms import Body, fused
from mcgc.errors import InputError
from mcgc.random import Key, fold_in, uniform

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {"relu": ops.relu, "tanh": ops.tanh}

FEW_ROWS = 32  # up to here the fused kernel is used: the cost of a call decides, not arithmetic


def num_parameters(sizes: Sequence[int]) -> int:
    """Return m, the length of θ: the sum over layers of nₗ₋₁ nₗ + nₗ.

    Raises `InputError` if there are fewer than two sizes or one is not a positive integer.
    """
    return _count(tuple(sizes))


@lru_cache
def _count(sizes: tuple[int, ...]) -> int:
    if len(sizes) < 2 or any(not isinstance(n, int) or n < 1 for n in sizes):
        raise InputError(f"a net needs at least two layer sizes, all positive integers, got {sizes}")
    return sum(n_in * n_out + n_out for n_in, n_out in _layers(sizes))


def init(key: Key, sizes: Sequence[int], dtype: Any = "float32", device: Device = HOST) -> Array:
    """Return initial parameters θ, shape (m,): Xavier-uniform weights and zero biases.

    Wₗ ~ U(−r, r) with r = √(6 / (nₗ₋₁ + nₗ)) (Glorot and Bengio 2010). Raises `InputError` for impossible sizes.
    """
    num_parameters(sizes)
    parts = []
    for index, (n_in, n_out) in enumerate(_layers(sizes)):
        radius = math.sqrt(6 / (n_in + n_out))
        weights = (2 * uniform(fold_in(key, index), (n_in * n_out,), dtype, device) - 1) * radius
        parts += [weights, device.namespace.zeros(n_out, dtype=weights.dtype, device=device.handle)]
    return ops.concat(parts)


def unpack(theta: Array, sizes: Sequence[int]) -> list[tuple[Array, Array]]:
    """Return the weights and biases (Wₗ, bₗ) of every layer, as views of θ.

    θ has shape (..., m). For shape (m,) the biases have shape (nₗ,); with leading axes, which are members with
    parameters of their own, the weights are stacks and the biases have shape (..., 1, nₗ) to broadcast over rows.

    Raises `InputError` if θ does not have the length that `sizes` needs.
    """
    m = num_parameters(sizes)
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
    return list(pairwise(sizes))


def _definition(theta: Array, x: Array, sizes: tuple[int, ...], activation: str) -> Array:
    *hidden, (weights, biases) = unpack(theta, sizes)
    for w, b in hidden:
        x = ACTIVATIONS[activation](x @ w + b)
    return x @ weights + biases


def _select(theta: Array, x: Array, sizes: tuple[int, ...], activation: str) -> Body | None:
    few = x.ndim == 2 and x.shape[0] <= FEW_ROWS and x.shape[1] == sizes[0]
    fits = is_host(theta) and is_host(x) and theta.ndim == 1 and theta.dtype == x.dtype
    return _BODY if few and fits and theta.shape[0] == num_parameters(sizes) else None


def _forward(theta: Array, x: Array, sizes: tuple[int, ...], activation: str) -> tuple[Array, tuple]:
    from mcgc.kernels import cpu_dense

    y, hidden = cpu_dense.dense_forward(theta, x, sizes, activation)
    return y, (theta, x, hidden, sizes, activation)


def _pull(residuals: tuple, cotangent: Array) -> tuple[Array, Array]:
    from mcgc.kernels import cpu_dense

    theta, x, hidden, sizes, activation = residuals
    return cpu_dense.dense_vjp(theta, x, hidden, sizes, activation, cotangent)


_BODY = Body(_forward, _pull)
_fused = fused(_definition, _select)


def apply(theta: Array, x: Array, sizes: Sequence[int], activation: str = "relu") -> Array:
    """Return the net's output y, shape (..., rows, n_L), for parameters θ, shape (..., m), and x, (..., rows, n₀).

    `activation` is the function a between layers, "relu" or "tanh"; there is none at the output. Differentiable in
    θ and x. Raises `InputError` if shapes or the name of the activation do not fit.
    """
    if activation not in ACTIVATIONS:
        raise InputError(f"unknown activation {activation!r}: choose one of {', '.join(ACTIVATIONS)}")
    if x.shape[-1:] != (sizes[0],):
        raise InputError(f"a net of sizes {tuple(sizes)} takes rows of {sizes[0]} numbers, but x has shape {x.shape}")
    return _fused(theta, x, sizes=tuple(sizes), activation=activation)
