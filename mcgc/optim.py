"""Gradient-based optimisers: pairs of pure functions, alike for the parameters θ and for φ = log λ."""

from collections.abc import Callable
from typing import Any, NamedTuple

from mcgc.arrays import Array
from mcgc.autodiff import ops
from mcgc.errors import InputError
from mcgc.kernels import kernels_for


class Optimizer(NamedTuple):
    """An update rule: `init(theta) -> state` and `update(gradient, state, theta) -> (theta, state)`, both pure.

    Arrays keep the shape and dtype of θ; a state is a pytree of such arrays and plain numbers.
    """

    init: Callable[[Array], Any]
    update: Callable[[Array, Any, Array], tuple[Array, Any]]


def sgd(learning_rate: float) -> Optimizer:
    """Gradient descent: θ ← θ − a ∇f, with a the `learning_rate`.

    Raises `InputError` if the rate is not a positive number.
    """
    _check_rate(learning_rate)
    return Optimizer(lambda theta: (), lambda gradient, state, theta: (theta - learning_rate * gradient, state))


class AdamState(NamedTuple):
    """The number of updates so far, and the decayed means of the gradient and of its square."""

    steps: int
    mean: Array
    square: Array


def adam(learning_rate: float, decays: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> Optimizer:
    """Adam (Kingma and Ba 2015, algorithm 1), with bias correction.

    With g = ∇f and n the number of this update: μ ← b₁ μ + (1 − b₁) g, ν ← b₂ ν + (1 − b₂) g²,
    θ ← θ − a (μ / (1 − b₁ⁿ)) / (√(ν / (1 − b₂ⁿ)) + ε), for `learning_rate` a, `decays` (b₁, b₂) and `epsilon` ε.

    Raises `InputError` if the rate or ε is not positive, or a decay not in [0, 1).
    """
    _check_rate(learning_rate)
    if not all(0 <= decay < 1 for decay in decays) or not epsilon > 0:
        raise InputError(f"adam needs decays in [0, 1) and a positive epsilon, got {decays} and {epsilon}")

    def init(theta: Array) -> AdamState:
        return AdamState(0, ops.zeros_like(theta), ops.zeros_like(theta))

    def update(gradient: Array, state: AdamState, theta: Array) -> tuple[Array, AdamState]:
        count = state.steps + 1
        theta, mean, square = kernels_for(theta).adam(
            theta, gradient, state.mean, state.square, count, learning_rate, *decays, epsilon
        )
        return theta, AdamState(count, mean, square)

    return Optimizer(init, update)


def _check_rate(learning_rate: float) -> None:
    if not 0 < learning_rate < float("inf"):
        raise InputError(f"a learning rate is a positive number, got {learning_rate}")
