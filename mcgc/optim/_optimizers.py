"""Gradient-based optimisers: pairs of pure functions, alike for the parameters θ and for φ = log λ.

In the formulas g = ∇f, n is the number of this update, from 1 on, and a the `learning_rate`: a constant, or a
function of the number n − 1 of updates before this one, such as those of `mcgc.optim.schedules`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mcgc import kernels
from mcgc.arrays import Array, as_floats, as_number, check_alike, namespace_of
from mcgc.autodiff import ops
from mcgc.errors import InputError
from mcgc.optim.schedules import Rate, function_of


class Optimizer(NamedTuple):
    """An update rule: `init(theta) -> state` and `update(gradient, state, theta) -> (theta, state)`, both pure.

    Arrays keep the shape and dtype of θ. A state is a NamedTuple of such arrays and plain numbers, of which `steps`
    is the number of updates so far, a Python integer: rates are evaluated from it without a transfer to the host.

    θ and its gradient may be sequences of numbers, or of integers (`mcgc.arrays.as_floats`). `update` raises
    `InputError` if shape or dtype of the gradient, or of an array of the state, is not that of θ: nothing is broadcast,
    and float32 is not mixed with float64.
    """

    init: Callable[[Array], Any]
    update: Callable[[Array, Any, Array], tuple[Array, Any]]


def _checked(init: Callable, update: Callable) -> Optimizer:
    """Return the optimiser of these functions, which are given θ and its gradient as arrays."""

    def checked(gradient: Array, state: Any, theta: Array) -> tuple[Array, Any]:
        theta = as_floats(theta, "theta")
        return update(as_floats(gradient, "the gradient", theta), state, theta)

    return Optimizer(lambda theta: init(as_floats(theta, "theta")), checked)


class SgdState(NamedTuple):
    """The number of updates so far."""

    steps: int


def sgd(learning_rate: Rate) -> Optimizer:
    """Gradient descent: θ ← θ − a g.

    Raises `InputError` if the rate is not a positive number.
    """
    rate = function_of(learning_rate)

    def update(gradient: Array, state: SgdState, theta: Array) -> tuple[Array, SgdState]:
        check_alike("theta", theta, gradient=gradient)
        return theta - rate(state.steps) * gradient, SgdState(state.steps + 1)

    return _checked(lambda theta: SgdState(0), update)


class MomentumState(NamedTuple):
    """The number of updates so far, and the decayed sum of the gradients."""

    steps: int
    velocity: Array


def momentum(learning_rate: Rate, decay: float = 0.9) -> Optimizer:
    """The heavy ball (Polyak 1964): v ← b v + g, θ ← θ − a v, for `decay` b.

    Raises `InputError` if the rate is not a positive number, or b not in [0, 1).
    """
    return _ball(learning_rate, decay, lambda gradient, velocity, decay: velocity)


def nesterov(learning_rate: Rate, decay: float = 0.9) -> Optimizer:
    """The accelerated gradient (Nesterov 1983): v ← b v + g, θ ← θ − a (g + b v), for `decay` b.

    For a constant rate this is x ← θ − a g, θ ← x + b (x − x₋), with x₋ the x before, at first θ.

    Raises `InputError` if the rate is not a positive number, or b not in [0, 1).
    """
    return _ball(learning_rate, decay, lambda gradient, velocity, decay: gradient + decay * velocity)


def _ball(learning_rate: Rate, decay: float, direction: Callable[[Array, Array, float], Array]) -> Optimizer:
    rate, decay = function_of(learning_rate), _decay(decay)

    def init(theta: Array) -> MomentumState:
        return MomentumState(0, ops.zeros_like(theta))

    def update(gradient: Array, state: MomentumState, theta: Array) -> tuple[Array, MomentumState]:
        check_alike("theta", theta, gradient=gradient, velocity=state.velocity)
        velocity = decay * state.velocity + gradient
        theta = theta - rate(state.steps) * direction(gradient, velocity, decay)
        return theta, MomentumState(state.steps + 1, velocity)

    return _checked(init, update)


class RmspropState(NamedTuple):
    """The number of updates so far, and the decayed mean of the gradient's square."""

    steps: int
    square: Array


def rmsprop(learning_rate: Rate, decay: float = 0.9, epsilon: float = 1e-8) -> Optimizer:
    """RMSProp (Tieleman and Hinton 2012): ν ← b ν + (1 − b) g², θ ← θ − a g / (√ν + ε), for `decay` b, `epsilon` ε.

    Raises `InputError` if the rate or ε is not a positive number, or b not in [0, 1).
    """
    rate, decay, epsilon = function_of(learning_rate), _decay(decay), _positive("epsilon", epsilon)

    def init(theta: Array) -> RmspropState:
        return RmspropState(0, ops.zeros_like(theta))

    def update(gradient: Array, state: RmspropState, theta: Array) -> tuple[Array, RmspropState]:
        check_alike("theta", theta, gradient=gradient, square=state.square)
        square = decay * state.square + (1 - decay) * (gradient * gradient)
        theta = theta - rate(state.steps) * gradient / (namespace_of(square).sqrt(square) + epsilon)
        return theta, RmspropState(state.steps + 1, square)

    return _checked(init, update)


class AdamState(NamedTuple):
    """The number of updates so far, and the decayed means of the gradient and of its square."""

    steps: int
    mean: Array
    square: Array


def adam(learning_rate: Rate, decays: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> Optimizer:
    """Adam (Kingma and Ba 2015, algorithm 1), with bias correction.

    μ ← b₁ μ + (1 − b₁) g, ν ← b₂ ν + (1 − b₂) g², θ ← θ − a (μ / (1 − b₁ⁿ)) / (√(ν / (1 − b₂ⁿ)) + ε), for `decays`
    (b₁, b₂) and `epsilon` ε.

    Raises `InputError` if the rate or ε is not a positive number, or a decay not in [0, 1).
    """
    rate, epsilon = function_of(learning_rate), _positive("epsilon", epsilon)
    if not isinstance(decays, tuple | list) or len(decays) != 2:
        raise InputError(f"the decays of Adam are two numbers, got {decays!r}")
    decay_mean, decay_square = map(_decay, decays)

    def init(theta: Array) -> AdamState:
        return AdamState(0, ops.zeros_like(theta), ops.zeros_like(theta))

    def update(gradient: Array, state: AdamState, theta: Array) -> tuple[Array, AdamState]:
        count = state.steps + 1
        theta, mean, square = kernels.adam(
            theta, gradient, state.mean, state.square, count, rate(state.steps), decay_mean, decay_square, epsilon
        )
        return theta, AdamState(count, mean, square)

    return _checked(init, update)


def adamw(
    learning_rate: Rate,
    weight_decay: float = 1e-2,
    decays: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2): θ ← θ − a w θ, for `weight_decay` w, then Adam's step.

    The decay a w moves with the learning rate, so w is the paper's λ in units of its α.

    Raises `InputError` as `adam` does, or if w is not a positive number.
    """
    rate, weight_decay = function_of(learning_rate), _positive("weight_decay", weight_decay)
    return decay_weights(lambda n: weight_decay * rate(n), adam(rate, decays, epsilon))


OPTIMIZERS: Mapping[str, Callable[[Rate], Optimizer]] = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}


def decay_weights(factor: Rate, optimizer: Optimizer) -> Optimizer:
    """Return `optimizer` with decoupled weight decay: θ ← (1 − d) θ before each of its steps, for `factor` d.

    The gradient is still that at the old θ, and moments see nothing of the decay (Loshchilov and Hutter 2019).

    Raises `InputError` if a constant d is not a positive number.
    """
    factor_at = function_of(factor)

    def update(gradient: Array, state: Any, theta: Array) -> tuple[Array, Any]:
        return optimizer.update(gradient, state, theta - factor_at(state.steps) * theta)

    return _checked(optimizer.init, update)


def clip_by_global_norm(max_norm: float, optimizer: Optimizer) -> Optimizer:
    """Return `optimizer` fed with g ← g c / max(‖g‖, c), for `max_norm` c (Pascanu et al. 2013).

    The norm is Euclidean, over the last axis: leading axes are members, each with a norm of its own.

    Raises `InputError` if c is not a positive number.
    """
    max_norm = _positive("max_norm", max_norm)

    def update(gradient: Array, state: Any, theta: Array) -> tuple[Array, Any]:
        if gradient.size == 0:
            return optimizer.update(gradient, state, theta)
        xp, axis = namespace_of(gradient), -1 if gradient.ndim else None
        # in units of the largest element, for the square of a gradient that needs clipping may overflow
        unit = xp.maximum(xp.max(xp.abs(gradient), axis=axis, keepdims=True), max_norm)
        bound, scaled = max_norm / unit, gradient / unit
        norm = xp.sqrt(xp.sum(scaled * scaled, axis=axis, keepdims=True))
        return optimizer.update(gradient * (bound / xp.maximum(norm, bound)), state, theta)

    return _checked(optimizer.init, update)


def _decay(value: float) -> float:
    number = as_number(value)
    if not 0 <= number < 1:
        raise InputError(f"a decay of an optimiser is a number in [0, 1), got {value!r}")
    return number


def _positive(name: str, value: float) -> float:
    number = as_number(value)
    if not 0 < number < math.inf:
        raise InputError(f"{name} must be a positive number, got {value!r}")
    return number
