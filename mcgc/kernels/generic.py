"""The meaning of each kernel, in plain array-API code: the oracle of the tests, and the body for any array library."""

from typing import Any

from mcgc.arrays import Array, Device, device_of, namespace_of
from mcgc.random import Keys, normal


def _noise(like: Array, key: Keys) -> Array:
    return normal(key, like.shape[-1:], like.dtype, Device("", namespace_of(like), device_of(like)))


def perturb(theta: Array, scale: Any, key: Keys) -> tuple[Array, Array]:
    """Return ϑ = θ + s ε and ‖ε‖² for ε = normal(key), θ of shape (m,) and s = `scale`, which is √λ.

    For θ (members, m), `key` is a tuple of their keys, and s and ‖ε‖² have shape (members,).
    """
    eps = _noise(theta, key)
    moved = theta + (scale[:, None] if theta.ndim > 1 else scale) * eps
    return moved, namespace_of(eps).sum(eps * eps, axis=-1)


def noise_dot(gradient: Array, key: Keys) -> Array:
    """Return ε·∇f for the ε of `perturb` with the same key, made again rather than kept, for ∇f of shape (m,).

    For ∇f (members, m) with the tuple of their keys it has shape (members,).
    """
    return namespace_of(gradient).sum(_noise(gradient, key) * gradient, axis=-1)


def adam(
    theta: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    count: int,
    learning_rate: float,
    decay_mean: float,
    decay_square: float,
    epsilon: float,
) -> tuple[Array, Array, Array]:
    """Return θ, μ and ν after update number `count` ≥ 1 of Adam with bias correction (Kingma and Ba 2015).

    Arrays have the shape and dtype of θ, whatever it is; the formula is that of `mcgc.optim.adam`.
    """
    mean = decay_mean * mean + (1 - decay_mean) * gradient
    square = decay_square * square + (1 - decay_square) * (gradient * gradient)
    corrected = square / (1 - decay_square**count)
    step = learning_rate / (1 - decay_mean**count)
    return theta - step * mean / (namespace_of(theta).sqrt(corrected) + epsilon), mean, square


def adam_constants(
    count: int, learning_rate: float, decay_mean: float, decay_square: float, epsilon: float
) -> tuple[float, ...]:
    """Return the numbers that a compiled body of `adam` takes: β₁, 1 − β₁, β₂, 1 − β₂, η / (1 − β₁ᵗ), 1 − β₂ᵗ, ε.

    The meaning does without them, so that comparing a body with it checks these numbers too.
    """
    return (
        decay_mean,
        1 - decay_mean,
        decay_square,
        1 - decay_square,
        learning_rate / (1 - decay_mean**count),
        1 - decay_square**count,
        epsilon,
    )
