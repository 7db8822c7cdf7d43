"""Optimisers by name: SGD, momentum, RMSProp, Adam and AdamW, for the parameters θ and for φ = log λ.

In the formulas g = ∇f, n is the number of this update, from 1 on, and a the `learning_rate`: a constant, or a
function of the number n − 1 of updates before this one, such as those of `mcgc.optim.schedules`.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from mcgc import kernels
from mcgc.arrays import Array, as_number, check_alike, namespace_of
from mcgc.autodiff import ops
from mcgc.errors import InputError
from mcgc.optim._decay import decay_weights
from mcgc.optim._optimizer import Optimizer, checked
from mcgc.optim.schedules import Rate, function_of


class SgdState(NamedTuple):
    """The number of updates so far."""

    steps: int


def sgd(learning_rate: Rate) -> Optimizer:
    """Return gradient descent: θ ← θ − a g.

    Parameters
    ----------
    learning_rate : float or function of the number of updates so far
        The rate a.

    Returns
    -------
    Optimizer
        The optimiser.

    Raises
    ------
    InputError
        If a constant rate is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import sgd
    >>> descent, theta = sgd(0.1), np.asarray([1.0, -2.0])
    >>> theta, state = descent.step(2 * theta, descent.init(theta), theta)
    >>> theta, state
    (array([ 0.8, -1.6]), SgdState(steps=1))
    """
    rate = function_of(learning_rate)

    def update(gradient: Array, state: SgdState, theta: Array) -> tuple[Array, SgdState]:
        check_alike("theta", theta, gradient=gradient)
        return -rate(state.steps) * gradient, SgdState(state.steps + 1)

    return checked(lambda theta: SgdState(0), update)


class MomentumState(NamedTuple):
    """The number of updates so far, and the decayed sum of the gradients."""

    steps: int
    velocity: Array


def momentum(learning_rate: Rate, decay: float = 0.9) -> Optimizer:
    """Return the heavy ball: v ← b v + g, θ ← θ − a v.

    Parameters
    ----------
    learning_rate : float or function of the number of updates so far
        The rate a.
    decay : float
        The factor b in [0, 1).

    Returns
    -------
    Optimizer
        The optimiser.

    Raises
    ------
    InputError
        If a constant rate is not a positive number, or b not in [0, 1).

    References
    ----------
    Polyak 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import momentum
    >>> rule, theta = momentum(0.1), np.asarray([1.0, -2.0])
    >>> rule.step(2 * theta, rule.init(theta), theta)[0]
    array([ 0.8, -1.6])
    """
    return _ball(learning_rate, decay, lambda gradient, velocity, decay: velocity)


def nesterov(learning_rate: Rate, decay: float = 0.9) -> Optimizer:
    """Return the accelerated gradient: v ← b v + g, θ ← θ − a (g + b v).

    For a constant rate this is x ← θ − a g, θ ← x + b (x − x₋). Here x₋ is the x before, at first θ.

    Parameters
    ----------
    learning_rate : float or function of the number of updates so far
        The rate a.
    decay : float
        The factor b in [0, 1).

    Returns
    -------
    Optimizer
        The optimiser.

    Raises
    ------
    InputError
        If a constant rate is not a positive number, or b not in [0, 1).

    References
    ----------
    Nesterov 1983.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import nesterov
    >>> rule, theta = nesterov(0.1), np.asarray([1.0, -2.0])
    >>> rule.step(2 * theta, rule.init(theta), theta)[0]
    array([ 0.62, -1.24])
    """
    return _ball(learning_rate, decay, lambda gradient, velocity, decay: gradient + decay * velocity)


def _ball(learning_rate: Rate, decay: float, direction: Callable[[Array, Array, float], Array]) -> Optimizer:
    rate, decay = function_of(learning_rate), _decay(decay)

    def init(theta: Array) -> MomentumState:
        return MomentumState(0, ops.zeros_like(theta))

    def update(gradient: Array, state: MomentumState, theta: Array) -> tuple[Array, MomentumState]:
        check_alike("theta", theta, gradient=gradient, velocity=state.velocity)
        velocity = decay * state.velocity + gradient
        updates = -rate(state.steps) * direction(gradient, velocity, decay)
        return updates, MomentumState(state.steps + 1, velocity)

    return checked(init, update)


class RmspropState(NamedTuple):
    """The number of updates so far, and the decayed mean of the gradient's square."""

    steps: int
    square: Array


def rmsprop(learning_rate: Rate, decay: float = 0.9, epsilon: float = 1e-8) -> Optimizer:
    """Return RMSProp: ν ← b ν + (1 − b) g², θ ← θ − a g / (√ν + ε).

    Parameters
    ----------
    learning_rate : float or function of the number of updates so far
        The rate a.
    decay : float
        The factor b in [0, 1).
    epsilon : float
        The positive number ε.

    Returns
    -------
    Optimizer
        The optimiser.

    Raises
    ------
    InputError
        If a constant rate or ε is not a positive number, or b not in [0, 1).

    References
    ----------
    Tieleman and Hinton 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import rmsprop
    >>> rule, theta = rmsprop(0.1), np.asarray([1.0, -2.0])
    >>> rule.step(2 * theta, rule.init(theta), theta)[0].round(3)
    array([ 0.684, -1.684])
    """
    rate, decay, epsilon = function_of(learning_rate), _decay(decay), positive("epsilon", epsilon)

    def init(theta: Array) -> RmspropState:
        return RmspropState(0, ops.zeros_like(theta))

    def update(gradient: Array, state: RmspropState, theta: Array) -> tuple[Array, RmspropState]:
        check_alike("theta", theta, gradient=gradient, square=state.square)
        square = decay * state.square + (1 - decay) * (gradient * gradient)
        updates = -rate(state.steps) * gradient / (namespace_of(square).sqrt(square) + epsilon)
        return updates, RmspropState(state.steps + 1, square)

    return checked(init, update)


class AdamState(NamedTuple):
    """The number of updates so far, and the decayed means of the gradient and of its square."""

    steps: int
    mean: Array
    square: Array


def adam(learning_rate: Rate, decays: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> Optimizer:
    """Return Adam with bias correction.

    μ ← b₁ μ + (1 − b₁) g, ν ← b₂ ν + (1 − b₂) g², θ ← θ − a (μ / (1 − b₁ⁿ)) / (√(ν / (1 − b₂ⁿ)) + ε).

    Its step is fused: one kernel computes θ, μ and ν in one pass. It does so in place where they are donated
    (`Optimizer.step`).

    Parameters
    ----------
    learning_rate : float or function of the number of updates so far
        The rate a.
    decays : tuple of two floats
        The factors b₁ and b₂ in [0, 1).
    epsilon : float
        The positive number ε.

    Returns
    -------
    Optimizer
        The optimiser.

    Raises
    ------
    InputError
        If a constant rate or ε is not a positive number, or a factor not in [0, 1).

    References
    ----------
    Kingma and Ba 2015, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import adam
    >>> rule, theta = adam(0.1), np.asarray([1.0, -2.0])
    >>> rule.step(2 * theta, rule.init(theta), theta)[0]
    array([ 0.9, -1.9])
    """
    rate, epsilon = function_of(learning_rate), positive("epsilon", epsilon)
    if not isinstance(decays, tuple | list) or len(decays) != 2:
        raise InputError(f"the decays of Adam are two numbers, got {decays!r}")
    decay_mean, decay_square = map(_decay, decays)

    def init(theta: Array) -> AdamState:
        return AdamState(0, ops.zeros_like(theta), ops.zeros_like(theta))

    def fused(gradient: Array, state: AdamState, theta: Array, donate: bool = False) -> tuple[Array, AdamState]:
        count, arrays = state.steps + 1, (theta, gradient, state.mean, state.square)
        new = kernels.adam(*arrays, count, rate(state.steps), decay_mean, decay_square, epsilon, donate)
        return new[0], AdamState(count, *new[1:])

    def update(gradient: Array, state: AdamState, theta: Array) -> tuple[Array, AdamState]:
        check_alike("theta", theta, gradient=gradient)
        return fused(gradient, state, ops.zeros_like(gradient))  # θ is only added to, so from 0 it is the update

    return checked(init, update, fused, partial(fused, donate=True))


def adamw(
    learning_rate: Rate,
    weight_decay: float = 1e-2,
    decays: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> Optimizer:
    """Return AdamW: θ ← θ − a w θ, then Adam's step.

    The decay a w follows the learning rate, so w is the paper's λ in units of its α. The chain
    `chain(scale_by_adam(), add_decayed_weights(w), scale_by_learning_rate(a))` is equal to it up to rounding.

    Parameters
    ----------
    learning_rate : float or function of the number of updates so far
        The rate a.
    weight_decay : float
        The positive number w.
    decays : tuple of two floats
        As for `adam`.
    epsilon : float
        As for `adam`.

    Returns
    -------
    Optimizer
        The optimiser.

    Raises
    ------
    InputError
        As `adam` does, or if w is not a positive number.

    References
    ----------
    Loshchilov and Hutter 2019, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import adamw
    >>> rule, theta = adamw(0.1, weight_decay=0.5), np.asarray([1.0, -2.0])
    >>> rule.step(2 * theta, rule.init(theta), theta)[0]
    array([ 0.85, -1.8 ])
    """
    rate, weight_decay = function_of(learning_rate), positive("weight_decay", weight_decay)
    return decay_weights(lambda n: weight_decay * rate(n), adam(rate, decays, epsilon))


OPTIMIZERS: Mapping[str, Callable[[Rate], Optimizer]] = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}


def _decay(value: float) -> float:
    number = as_number(value)
    if not 0 <= number < 1:
        raise InputError(f"a decay of an optimiser is a number in [0, 1), got {value!r}")
    return number


def positive(name: str, value: float) -> float:
    """Return the option `name` as a float. Raises `InputError` if it is not a positive number."""
    number = as_number(value)
    if not 0 < number < math.inf:
        raise InputError(f"{name} must be a positive number, got {value!r}")
    return number
