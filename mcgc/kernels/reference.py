"""The meaning of each kernel, in plain array-API code: the oracle of the tests, and the body for any array library."""

import math
from collections.abc import Sequence
from typing import Any

from mcgc.arrays import Array, Device, as_number, check_alike, device_of, is_float, namespace_of
from mcgc.errors import InputError
from mcgc.random import Key, Keys, normal


def _noise(like: Array, key: Keys) -> Array:
    return normal(key, like.shape[-1:], like.dtype, Device("", namespace_of(like), device_of(like)))


def perturb(theta: Array, scale: Any, key: Keys) -> tuple[Array, Array]:
    """Return ϑ = θ + s ε and ‖ε‖² for ε = normal(key), θ of shape (m,) and s = `scale`, which is √λ.

    For θ (members, m), `key` is a tuple of their keys, s has shape (members,) or is a Python number, and ‖ε‖² has shape
    (members,).

    Raises `InputError`, as every body does, if the arguments do not fit each other or θ is not float32 or float64.
    """
    check_noise(theta, key, scale)
    eps = _noise(theta, key)
    moved = theta + (scale[:, None] if getattr(scale, "ndim", 0) else scale) * eps
    return moved, namespace_of(eps).sum(eps * eps, axis=-1)


def noise_dot(gradient: Array, key: Keys) -> Array:
    """Return ε·∇f for the ε of `perturb` with the same key, made again rather than kept, for ∇f of shape (m,).

    For ∇f (members, m) with the tuple of their keys it has shape (members,). Errors are those of `perturb`.
    """
    check_noise(gradient, key)
    return namespace_of(gradient).sum(_noise(gradient, key) * gradient, axis=-1)


def check_noise(array: Array, key: Key | Sequence[Key], scale: Any = 1.0) -> None:
    """Raise `InputError` unless noise of `key` fits `array`, and `scale` has one number for each of `key`."""
    members = () if isinstance(key, Key) else (len(key),) if isinstance(key, tuple | list) else None
    if members in (None, (0,)) or array.ndim != 1 + len(members) or array.shape[:-1] != members:
        keys = "one Key" if members == () else f"{members[0]} keys" if members else f"the key {key!r}"
        raise InputError(
            f"noise for an array of shape {tuple(array.shape)} was asked of {keys}: "
            "give a vector and one Key, or an array of shape (members, m) and a tuple of one Key for each member"
        )
    if not is_float(array):
        raise InputError(f"noise is float32 or float64, but the array is {array.dtype}: convert it")
    if not hasattr(scale, "shape") and math.isnan(as_number(scale)):
        raise InputError(f"the scale of noise is a number, got {scale!r}")
    if getattr(scale, "shape", members) != members:
        rows = f"a scale for each of the {members[0]} keys" if members else "one number as scale for one Key"
        raise InputError(f"perturb takes {rows}, got an array of shape {scale.shape}")


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

    Raises `InputError`, as every body does, if an array is not like θ.
    """
    check_alike("theta", theta, gradient=gradient, mean=mean, square=square)
    mean = decay_mean * mean + (1 - decay_mean) * gradient
    square = decay_square * square + (1 - decay_square) * (gradient * gradient)
    corrected = square / (1 - decay_square**count)
    step = learning_rate / (1 - decay_mean**count)
    return theta - step * mean / (namespace_of(corrected).sqrt(corrected) + epsilon), mean, square


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
