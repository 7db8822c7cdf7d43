"""The meanings of noise and Adam, in array-API code. Tests compare the compiled bodies with them."""

import math
from collections.abc import Sequence
from typing import Any

from mcgc.arrays import Array, Device, as_number, check_alike, device_of, is_float, namespace_of
from mcgc.errors import InputError
from mcgc.random import Key, Keys, normal


def _noise(like: Array, key: Keys) -> Array:
    return normal(key, like.shape[-1:], like.dtype, Device("", namespace_of(like), device_of(like)))


def perturb(theta: Array, scale: Any, key: Keys) -> tuple[Array, Array]:
    """Return ϑ = θ + s ε and ‖ε‖² for the noise ε = normal(key).

    Parameters
    ----------
    theta : array of shape (m,) or (members, m)
        The parameters θ, in float32 or float64.
    scale : float or array of shape () or (members,)
        The factor s, which is √λ.
    key : Key or tuple of Keys
        The key of the noise, or one for each member.

    Returns
    -------
    perturbed : array of the shape of θ
        The perturbed parameters ϑ.
    sqnorm : array of shape () or (members,)
        The squared norm ‖ε‖².

    Raises
    ------
    InputError
        If the arguments do not fit each other, or θ is not float32 or float64. Every body raises it too.
    """
    check_noise(theta, key, scale)
    eps = _noise(theta, key)
    moved = theta + (scale[:, None] if getattr(scale, "ndim", 0) else scale) * eps
    return moved, namespace_of(eps).sum(eps * eps, axis=-1)


def noise_dot(gradient: Array, key: Keys) -> Array:
    """Return ε·∇f for the ε of `perturb` with the same key. The noise is computed again, not stored.

    Parameters
    ----------
    gradient : array of shape (m,) or (members, m)
        The gradient ∇f, in float32 or float64.
    key : Key or tuple of Keys
        The key of the noise, or one for each member.

    Returns
    -------
    array of shape () or (members,)
        The inner products.

    Raises
    ------
    InputError
        As `perturb` does.
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
    donate: bool = False,
) -> tuple[Array, Array, Array]:
    """Return θ, μ and ν after one update of Adam with bias correction [1]_. `mcgc.optim.adam` has the formula.

    Parameters
    ----------
    theta, gradient, mean, square : arrays of one shape and dtype
        The parameters θ, the gradient ∇f, and the decayed means μ of ∇f and ν of (∇f)².
    count : int
        The number of this update, from 1 on.
    learning_rate, decay_mean, decay_square, epsilon : float
        The constants η, β₁, β₂ and ε.
    donate : bool
        Whether `theta`, `mean` and `square` may be overwritten. This body never does it.

    Returns
    -------
    theta, mean, square : arrays like θ
        Their values after the update. With `donate` they may be the arrays that were given.

    Raises
    ------
    InputError
        If an array does not have the shape and dtype of θ. Every body raises it too.

    References
    ----------
    .. [1] Kingma and Ba (2015), Adam: a method for stochastic optimization, algorithm 1.
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
    """Return the constants of a compiled body of `adam`: β₁, 1 − β₁, β₂, 1 − β₂, η / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ), ε.

    The meaning does not use this function, so that the comparison of a body with it checks these numbers too.
    """
    return (
        decay_mean,
        1 - decay_mean,
        decay_square,
        1 - decay_square,
        learning_rate / (1 - decay_mean**count),
        1 / math.sqrt(1 - decay_square**count),
        epsilon,
    )
