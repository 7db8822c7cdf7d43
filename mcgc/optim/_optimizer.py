"""What an optimiser is, and how optimisers compose: `Optimizer`, `chain`, `stateless`, `from_step`, `apply_updates`."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from mcgc.arrays import Array, as_floats, check_alike
from mcgc.autodiff import ops


class Init(Protocol):
    """Makes the state of an optimiser for parameters θ."""

    def __call__(self, theta: Array, /) -> Any: ...


class Update(Protocol):
    """Maps gradient, state and θ to updates (or to the new θ, for a step) and the new state."""

    def __call__(self, gradient: Array, state: Any, theta: Array, /) -> tuple[Array, Any]: ...


class Optimizer(NamedTuple):
    """An update rule: pure functions of arrays, in the convention of optax.

    `update` returns what is added to θ. `step` adds it. A rule that computes the new θ in one pass gives that pass as
    `fused`, and `step` then calls it. Rules that only change a gradient, such as `clip_by_global_norm`, have the same
    form, and `chain` composes them.

    Parameters
    ----------
    init : Init
        init(theta) → state. A state is a pytree of arrays and numbers. States of the library are NamedTuples that
        count the updates in `steps`, a Python integer: rates are evaluated from it without a transfer to the host.
    update : Update
        update(gradient, state, theta) → (updates, state). Gradient and updates have the shape and dtype of θ.
    fused : Update, optional
        fused(gradient, state, theta) → (new theta, state): θ + updates up to rounding.
    donated : Update, optional
        As `fused`, to the bit, for arrays of `state` and `theta` that nothing else will read: it may overwrite them.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import Optimizer, SgdState
    >>> half = Optimizer(lambda theta: SgdState(0), lambda g, state, theta: (-g / 2, SgdState(state.steps + 1)))
    >>> theta = np.asarray([1.0, -2.0])
    >>> theta, state = half.step(theta, half.init(theta), theta)
    >>> theta
    array([ 0.5, -1. ])
    """

    init: Init
    update: Update
    fused: Update | None = None
    donated: Update | None = None

    def step(self, gradient: Array, state: Any, theta: Array, donate: bool = False) -> tuple[Array, Any]:
        """Return θ + updates and the new state. Errors are those of `update`.

        Parameters
        ----------
        gradient, state, theta
            As for `update`.
        donate : bool
            Whether the caller gives `state` and `theta` away. Their arrays may then be overwritten, and must not be
            used any more: the results may be the same arrays. The numbers are the same, to the bit, and come sooner
            where the arrays are large. The gradient is never changed. A rule without `donated` returns new arrays, as
            `adam` does for arrays on a GPU, for those that cannot be written or are not contiguous, and for those that
            share memory.

        Returns
        -------
        theta, state
            The new ones.

        Examples
        --------
        >>> import numpy as np
        >>> from mcgc.optim import adam
        >>> rule, theta = adam(0.1), np.asarray([1.0, -2.0])
        >>> state = rule.init(theta)
        >>> for _ in range(3):  # theta and state are of no use but for the next step
        ...     theta, state = rule.step(2 * theta, state, theta, donate=True)
        >>> theta.round(3)
        array([ 0.702, -1.701])
        """
        if donate and self.donated is not None:
            return self.donated(gradient, state, theta)
        if self.fused is not None:
            return self.fused(gradient, state, theta)
        updates, state = self.update(gradient, state, theta)
        return apply_updates(theta, updates), state


def apply_updates(theta: Array, updates: Array) -> Array:
    """Return θ + updates.

    Parameters
    ----------
    theta : array
        The parameters θ.
    updates : array
        The updates, of the shape and dtype of θ.

    Returns
    -------
    array
        The new θ.

    Raises
    ------
    InputError
        If `updates` do not have the shape and dtype of θ: nothing is broadcast or cast.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import apply_updates
    >>> apply_updates(np.asarray([1.0, -2.0]), np.asarray([-0.5, 0.5]))
    array([ 0.5, -1.5])
    """
    theta = as_floats(theta, "theta")
    check_alike("theta", theta, updates=updates)
    return theta + updates


def no_state(theta: Array) -> tuple[()]:
    """Return the state of a rule that has none."""
    return ()


def stateless(update: Callable[[Array, Array], Array]) -> Optimizer:
    """Return a rule without a state.

    Parameters
    ----------
    update : function (gradient, theta) → updates
        The updates. All have the shape and dtype of θ.

    Returns
    -------
    Optimizer
        The rule.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import chain, sgd, stateless
    >>> sign_descent = chain(stateless(lambda gradient, theta: np.sign(gradient)), sgd(0.1))
    >>> theta = np.asarray([3.0, -2.0])
    >>> sign_descent.update(theta, sign_descent.init(theta), theta)[0]
    array([-0.1,  0.1])
    """
    return Optimizer(no_state, _on_floats(lambda gradient, state, theta: (update(gradient, theta), state)))


def from_step(init: Init, step: Update) -> Optimizer:
    """Return the rule of a step that gives the new θ itself: its updates are the new θ less the old one.

    It is for rules that set θ, such as a schedule. An element that does not change has the update 0, also where it is
    infinite.

    Parameters
    ----------
    init : Init
        init(theta) → state.
    step : Update
        step(gradient, state, theta) → (new theta, state).

    Returns
    -------
    Optimizer
        The rule.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import from_step
    >>> halved = from_step(lambda theta: (), lambda gradient, state, theta: (theta / 2, state))
    >>> theta = np.asarray([1.0, -2.0])
    >>> halved.update(theta, halved.init(theta), theta)[0]
    array([-0.5,  1. ])
    """

    def update(gradient: Array, state: Any, theta: Array) -> tuple[Array, Any]:
        theta = as_floats(theta, "theta")
        new, state = step(gradient, state, theta)
        same = new == theta
        return ops.where(same, 0.0, new) - ops.where(same, 0.0, theta), state

    return Optimizer(init, update, step)


def chain(*rules: Optimizer) -> Optimizer:
    """Return the rule that applies rules in order: the updates of each are the gradient of the next.

    The step of the last one is the step of the chain, so a fused optimiser at its end stays fused. What is donated to
    the chain is donated to it if no other rule has a state, in which θ could be kept. The state is that of the one rule
    that has a state, else the tuple of the states that there are.

    Parameters
    ----------
    *rules : Optimizer
        The rules. Without any, the updates are the gradient.

    Returns
    -------
    Optimizer
        The rule.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc.optim import adam, chain, clip_by_global_norm
    >>> clipped = chain(clip_by_global_norm(1.0), adam(1e-3))
    >>> theta = np.asarray([3.0, -2.0])
    >>> theta, state = clipped.step(2 * theta, clipped.init(theta), theta)
    >>> theta
    array([ 2.999, -1.999])
    """
    if not rules:
        return stateless(lambda gradient, theta: gradient)
    owners = [rule for rule in rules if rule.init is not no_state]
    single = len(owners) == 1

    def init(theta: Array) -> Any:
        states = tuple(rule.init(theta) for rule in owners)
        return states[0] if single else states

    def through(functions: Sequence[Update]) -> Update:
        def run(gradient: Array, state: Any, theta: Array) -> tuple[Array, Any]:
            states, new = iter((state,) if single else state), []
            for rule, function in zip(rules, functions, strict=True):
                if rule.init is no_state:
                    gradient, _ = function(gradient, (), theta)
                else:
                    gradient, after = function(gradient, next(states), theta)
                    new.append(after)
            return gradient, new[0] if single else tuple(new)

        return run

    *others, last = [rule.update for rule in rules]
    donated = rules[-1].donated if owners == [rules[-1]] else None
    return Optimizer(
        init if owners else no_state,
        through([*others, last]),
        through([*others, rules[-1].step]),
        donated and through([*others, donated]),
    )


def checked(init: Init, update: Update, fused: Update | None = None, donated: Update | None = None) -> Optimizer:
    """Return the optimiser of these functions, which are given θ and its gradient as arrays of floats."""
    return Optimizer(
        lambda theta: init(as_floats(theta, "theta")),
        _on_floats(update),
        fused and _on_floats(fused),
        donated and _on_floats(donated),
    )


def _on_floats(update: Update) -> Update:
    def on_floats(gradient: Array, state: Any, theta: Array) -> tuple[Array, Any]:
        theta = as_floats(theta, "theta")
        return update(as_floats(gradient, "the gradient", theta), state, theta)

    return on_floats
