"""Rules that change a gradient or updates, to be parts of a `chain`: clipping, weight decay, scaling."""

from collections.abc import Callable
from typing import NamedTuple

from mcgc.arrays import Array, as_number, check_alike, namespace_of
from mcgc.errors import InputError
from mcgc.optim._optimizer import Optimizer, chain, checked, stateless
from mcgc.optim._optimizers import adam, positive
from mcgc.optim.schedules import Rate, function_of


def clip_by_global_norm(max_norm: float) -> Optimizer:
    """Return the rule g ← g c / max(‖g‖, c).

    The norm is Euclidean, over the last axis. Leading axes are members, each with a norm of its own.

    Parameters
    ----------
    max_norm : float
        The positive bound c.

    Returns
    -------
    Optimizer
        The rule.

    Raises
    ------
    InputError
        If c is not a positive number.

    References
    ----------
    Pascanu et al. 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import chain, clip_by_global_norm, sgd
    >>> clipped, gradient = chain(clip_by_global_norm(1.0), sgd(0.1)), np.asarray([30.0, 40.0])
    >>> clipped.update(gradient, clipped.init(gradient), gradient)[0]
    array([-0.06, -0.08])
    """
    max_norm = positive("max_norm", max_norm)

    def update(gradient: Array, theta: Array) -> Array:
        check_alike("theta", theta, gradient=gradient)
        if gradient.size == 0:
            return gradient
        xp, axis = namespace_of(gradient), -1 if gradient.ndim else None
        # in units of the largest element, for the square of a gradient that needs clipping may overflow
        unit = xp.maximum(xp.max(xp.abs(gradient), axis=axis, keepdims=True), max_norm)
        bound, scaled = max_norm / unit, gradient / unit
        norm = xp.sqrt(xp.sum(scaled * scaled, axis=axis, keepdims=True))
        return gradient * (bound / xp.maximum(norm, bound))

    return stateless(update)


def add_decayed_weights(weight_decay: float) -> Optimizer:
    """Return the rule g ← g + w θ.

    Before an optimiser it is the gradient of a penalty ½ w ‖θ‖². Between `scale_by_adam` and `scale_by_learning_rate`
    it is the decoupled decay of AdamW (Loshchilov and Hutter 2019).

    Parameters
    ----------
    weight_decay : float
        The positive number w.

    Returns
    -------
    Optimizer
        The rule.

    Raises
    ------
    InputError
        If w is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import add_decayed_weights, chain, scale_by_adam, scale_by_learning_rate
    >>> adamw = chain(scale_by_adam(), add_decayed_weights(0.1), scale_by_learning_rate(0.01))
    >>> theta = np.asarray([1.0, -2.0])
    >>> adamw.update(theta, adamw.init(theta), theta)[0]
    array([-0.011,  0.012])
    """
    weight_decay = positive("weight_decay", weight_decay)

    def update(gradient: Array, theta: Array) -> Array:
        check_alike("theta", theta, gradient=gradient)
        return gradient + weight_decay * theta

    return stateless(update)


def scale(factor: float) -> Optimizer:
    """Return the rule g ← s g.

    Parameters
    ----------
    factor : float
        The number s.

    Returns
    -------
    Optimizer
        The rule.

    Raises
    ------
    InputError
        If s is not a number.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import scale
    >>> rule, gradient = scale(-0.1), np.asarray([1.0, -2.0])
    >>> rule.update(gradient, rule.init(gradient), gradient)[0]
    array([-0.1,  0.2])
    """
    number = as_number(factor)
    if number != number:
        raise InputError(f"a gradient is scaled by a number, got {factor!r}")
    return stateless(lambda gradient, theta: number * gradient)


class ScheduleState(NamedTuple):
    """The number of updates so far."""

    steps: int


def scale_by_schedule(factor: Callable[[int], float]) -> Optimizer:
    """Return the rule g ← s(n) g.

    Parameters
    ----------
    factor : function of the number n of updates so far
        The factor s, such as a rate of `mcgc.optim.schedules`. It may be negative.

    Returns
    -------
    Optimizer
        The rule.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import adam, chain, scale_by_schedule, schedules
    >>> falling = chain(adam(0.1), scale_by_schedule(schedules.cosine(1.0, steps=100)))
    >>> theta = np.asarray([1.0, -2.0])
    >>> falling.update(theta, falling.init(theta), theta)[0]
    array([-0.1,  0.1])
    """
    factor_at = function_of(factor)

    def update(gradient: Array, state: ScheduleState, theta: Array) -> tuple[Array, ScheduleState]:
        return factor_at(state.steps) * gradient, ScheduleState(state.steps + 1)

    return checked(lambda theta: ScheduleState(0), update)


def scale_by_learning_rate(learning_rate: Rate) -> Optimizer:
    """Return the rule g ← −a g, which makes updates that descend of a direction that ascends.

    Parameters
    ----------
    learning_rate : float or function of the number of updates so far
        The rate a.

    Returns
    -------
    Optimizer
        The rule.

    Raises
    ------
    InputError
        If a constant rate is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import chain, clip_by_global_norm, scale_by_learning_rate
    >>> clipped, gradient = chain(clip_by_global_norm(1.0), scale_by_learning_rate(0.1)), np.asarray([30.0, 40.0])
    >>> clipped.update(gradient, clipped.init(gradient), gradient)[0]
    array([-0.06, -0.08])
    """
    rate = function_of(learning_rate)
    return scale_by_schedule(lambda n: -rate(n)) if callable(learning_rate) else scale(-rate(0))


def scale_by_adam(decays: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> Optimizer:
    """Return the rule that makes of g the direction of Adam, (μ / (1 − b₁ⁿ)) / (√(ν / (1 − b₂ⁿ)) + ε).

    `adam(a)` is `chain(scale_by_adam(), scale_by_learning_rate(a))` up to rounding.

    Parameters
    ----------
    decays : tuple of two floats
        The factors b₁ and b₂ in [0, 1).
    epsilon : float
        The positive number ε.

    Returns
    -------
    Optimizer
        The rule.

    Raises
    ------
    InputError
        If ε is not a positive number, or a factor not in [0, 1).

    References
    ----------
    Kingma and Ba 2015, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import scale_by_adam
    >>> rule, gradient = scale_by_adam(), np.asarray([30.0, -0.4])
    >>> rule.update(gradient, rule.init(gradient), gradient)[0].round(6)
    array([ 1., -1.])
    """
    return chain(adam(1.0, decays, epsilon), scale(-1.0))
