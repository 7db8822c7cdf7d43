"""Decoupled weight decay, around any optimiser."""

from functools import partial
from typing import Any

from mcgc.arrays import Array, namespace_of
from mcgc.errors import InputError
from mcgc.optim._optimizer import Optimizer, checked
from mcgc.optim.schedules import Rate, function_of


def decay_weights(factor: Rate, optimizer: Optimizer, undecayed: int = 0) -> Optimizer:
    """Return `optimizer` with decoupled weight decay: θ ← (1 − d) θ before each of its steps.

    The gradient is still that at the old θ, and the optimiser's moments see nothing of the decay.

    Parameters
    ----------
    factor : float or function of the number of updates so far
        The number d. A function is given the `steps` of the optimiser's state.
    optimizer : Optimizer
        The optimiser of the step.
    undecayed : int
        How many of the first numbers of θ stay without decay, 0 by default.

    Returns
    -------
    Optimizer
        The optimiser.

    Raises
    ------
    InputError
        If a constant d is not a positive number, or d is a function and the state has no `steps`.

    References
    ----------
    Loshchilov and Hutter 2019, algorithms 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import decay_weights, momentum
    >>> decayed, theta = decay_weights(0.01, momentum(0.1)), np.asarray([1.0, -2.0])
    >>> decayed.update(0 * theta, decayed.init(theta), theta)[0]
    array([-0.01,  0.02])
    """
    factor_at = function_of(factor)

    def decay(state: Any, theta: Array) -> Array:
        if callable(factor) and not hasattr(state, "steps"):
            raise InputError("a factor that changes needs an optimiser whose state has `steps`: give a constant factor")
        lost = factor_at(state.steps if callable(factor) else 0) * theta
        if undecayed == 0:
            return lost
        xp = namespace_of(theta)
        return xp.concat([xp.zeros_like(theta[..., :undecayed]), lost[..., undecayed:]], axis=-1)

    def update(gradient: Array, state: Any, theta: Array) -> tuple[Array, Any]:
        lost = decay(state, theta)
        updates, state = optimizer.update(gradient, state, theta - lost)
        return updates - lost, state

    def fused(gradient: Array, state: Any, theta: Array, donate: bool = False) -> tuple[Array, Any]:
        return optimizer.step(gradient, state, theta - decay(state, theta), donate)

    return checked(optimizer.init, update, fused, partial(fused, donate=True))
