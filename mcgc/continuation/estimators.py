"""Estimators of the smoothed objective g(θ, λ) and of its gradients, from draws of the noise.

All are unbiased. Each is a row of `ESTIMATORS`: a formula for ∂g/∂φ, the signs of the noise at the points of a draw,
and whether it takes a baseline. ∂g/∂φ is λ ∂g/∂λ, so no formula divides by λ, and nothing blows up as λ → 0.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from mcgc._integers import whole
from mcgc._jit import Jitted
from mcgc._shapes import Array, Float
from mcgc.arrays import as_floats, namespace_of, to_host
from mcgc.autodiff import ops
from mcgc.autodiff.transforms import value_and_grad
from mcgc.errors import InputError, unknown
from mcgc.kernels import noise_dot, perturb
from mcgc.random import Key, Keys, fold_in

GRADIENTS = ("engine", "given", "score")


class Objective(Protocol):
    """The function f(θ, batch) that is minimised: returns a scalar, or what `estimate` says for its options."""

    def __call__(self, theta: Array, batch: Any, /) -> Any: ...


class Sample(NamedTuple):
    """One draw of the noise, as the formula of an `Estimator` is given it. Members are a leading axis of all arrays.

    Parameters
    ----------
    losses : sequence of arrays of shape ()
        f at each point θ ± √λ ε.
    gradients : sequence of arrays of shape (m,)
        ∇f at each point, where there are gradients.
    baseline : array of shape () or float
        The baseline b.
    root : array of shape ()
        √λ.
    size : int
        m, the number of parameters.
    sqnorm : array of shape ()
        ‖ε‖².
    key : Key
        The key from which ε is drawn again.
    """

    losses: Sequence[Array]
    gradients: Sequence[Array]
    baseline: Array | float
    root: Array
    size: int
    sqnorm: Array
    key: Keys


def _even(values: Sequence[Array]) -> Array:
    return values[0] if len(values) == 1 else (values[0] + values[1]) / 2


def _odd(values: Sequence[Array]) -> Array:
    return values[0] if len(values) == 1 else (values[0] - values[1]) / 2


def _score(sample: Sample) -> Array:
    return (sample.sqnorm - sample.size) / 2 * (_even(sample.losses) - sample.baseline)


def _pathwise(sample: Sample) -> Array:
    slope = _odd(sample.gradients)
    return sample.root / 2 * noise_dot(slope, sample.key)


class Estimator(NamedTuple):
    """A way to estimate ∂g/∂φ.

    Parameters
    ----------
    formula : function (Sample) → array of shape ()
        The estimate from one draw.
    signs : tuple of 1 and -1
        The signs of √λ ε at the points of a draw.
    baseline : bool
        Whether the formula takes a baseline.
    mixed : bool
        Whether estimates from gradients, ∇f and the formula, are mixed with those from values, by their variances.
    """

    formula: Callable[[Sample], Array]
    signs: tuple[int, ...] = (1,)
    baseline: bool = False
    mixed: bool = False


ESTIMATORS: Mapping[str, Estimator] = {
    "score": Estimator(_score),
    "pathwise": Estimator(_pathwise),
    "score-baseline": Estimator(_score, baseline=True),
    "antithetic-score": Estimator(_score, signs=(1, -1), baseline=True),
    "antithetic": Estimator(_pathwise, signs=(1, -1)),
}
MIXTURES: Mapping[str, Estimator] = {"mixture": Estimator(_pathwise, baseline=True, mixed=True)}
FEWEST = 4  # draws of a mixture: each half needs a variance


class Estimate(NamedTuple):
    """Unbiased estimates of the smoothed objective and its gradients. Members are a leading axis of all arrays.

    Parameters
    ----------
    smoothed : array of shape ()
        The estimate of g.
    grad_theta : array of shape (m,)
        The estimate of ∂g/∂θ.
    grad_log_lam : array of shape ()
        The estimate of ∂g/∂φ.
    aux : list
        The aux of each evaluation of the objective, None where it has none.
    """

    smoothed: Float[Array, "*members"]
    grad_theta: Float[Array, "*members m"]
    grad_log_lam: Float[Array, "*members"]
    aux: list


def estimate(
    objective: Objective,
    estimator: str | Estimator = "score",
    num_samples: int = 1,
    has_aux: bool = False,
    gradient: str = "engine",
    batched: bool = False,
    skip_nonfinite: bool = False,
) -> Callable[..., Estimate]:
    """Return a function that estimates the smoothed objective and its gradients at (θ, φ).

    The function averages over N = `num_samples` draws. Draw j has the noise ε = normal(fold_in(key, j), (m,)) and the
    point ϑ = θ + √λ ε. Antithetic estimators have two points, ϑ± = θ ± √λ ε, and cost two evaluations a draw.

    ==================  ========================================  ==========================
    name                ∂g/∂φ                                     g and ∂g/∂θ
    ==================  ========================================  ==========================
    "score"             (‖ε‖² − m)/2 · f(ϑ), eq. 8 times λ        f(ϑ), ∇f(ϑ)
    "score-baseline"    (‖ε‖² − m)/2 · (f(ϑ) − b)                 f(ϑ), ∇f(ϑ)
    "pathwise"          ½ √λ ε·∇f(ϑ)                              f(ϑ), ∇f(ϑ)
    "antithetic-score"  (‖ε‖² − m)/4 · (f(ϑ⁺) + f(ϑ⁻) − 2b)       means over ϑ⁺ and ϑ⁻
    "antithetic"        ¼ √λ ε·(∇f(ϑ⁺) − ∇f(ϑ⁻)) → ½ λ εᵀHε       means over ϑ⁺ and ϑ⁻
    ==================  ========================================  ==========================

    "mixture" weighs "pathwise" and "score-baseline" by the inverse of their variances [2]_, for ∂g/∂θ (the sum over its
    elements) and for ∂g/∂φ each. Where f is chaotic, gradients at single points explode, and the values take over. The
    variances of each half of the draws weigh the other half, so that the estimate stays unbiased.

    The baseline b is the mean of f over the other draws. For N = 1 it is the argument `baseline`: any number that does
    not depend on ε.

    Parameters
    ----------
    objective : Objective
        objective(theta, batch) → a scalar f, or (f, aux) with `has_aux`. One of `mcgc.jit` without aux computes all
        points of a step in one compiled call.
    estimator : str or Estimator
        A name of the table, or an estimator of your own.
    num_samples : int
        The number N of draws.
    has_aux : bool
        Whether the objective returns aux too.
    gradient : {"engine", "given", "score"}
        Where ∇f comes from. "engine" differentiates f. "given" takes it from an objective that returns (f, ∇f), or
        ((f, aux), ∇f). "score" does without gradients, for the estimators with "score" in their name and λ > 0: ∂g/∂θ
        is then ε (f(ϑ) − b)/√λ, or ε (f(ϑ⁺) − f(ϑ⁻))/(2√λ).
    batched : bool
        Whether the objective gets all points of a step at once. It maps points (n, m) to values (n,), and gives
        gradients (n, m) where it gives them.
    skip_nonfinite : bool
        Whether the averages leave out draws with a value or a gradient that is not finite. Where all are left out, the
        gradients are zero and g is the baseline. This reads from the device in each step. Not for members.

    Returns
    -------
    function (theta, log_lam, batch, key, baseline=0) → Estimate
        θ has shape (m,). φ is an array of shape () of the same dtype and device, or a Python number. The members of an
        ensemble are a leading axis: θ (members, m), φ (members,), a tuple of their keys, and an objective that gives f
        of each, (members,), from its own row of θ alone, so that ∇ Σ f is the gradient of each.

    Raises
    ------
    InputError
        If a name is unknown, the estimator needs the gradients that "score" does without, `num_samples` is not a
        positive integer, or a batched objective is to have aux.

    References
    ----------
    .. [1] Ilersich and Nair (2024), Deep learning with Gaussian continuation, eq. 3, 7 and 8.
    .. [2] Parmas et al. (2018), PIPPS: flexible model-based policy search robust to the curse of chaos.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import Key, ops
    >>> from mcgc.continuation import estimate
    >>> at = estimate(lambda theta, batch: ops.sum(theta**2) / 2, "antithetic", num_samples=2000)
    >>> found = at(np.ones(10), np.log(0.1), None, Key(0))
    >>> round(float(found.grad_log_lam), 1)  # λ m / 2 = 0.5, but for noise
    0.5
    """
    named = {**ESTIMATORS, **MIXTURES}
    if not isinstance(estimator, Estimator | str) or (isinstance(estimator, str) and estimator not in named):
        raise InputError(unknown("estimator", estimator, named))
    num_samples = whole(num_samples, "num_samples")
    chosen = named[estimator] if isinstance(estimator, str) else estimator
    if chosen.mixed and num_samples < FEWEST:
        raise InputError(f"the estimator {estimator!r} needs {FEWEST} draws or more: num_samples is {num_samples}")
    if gradient == "score" and chosen.formula is not _score:
        able = ", ".join(name for name, other in ESTIMATORS.items() if other.formula is _score)
        raise InputError(f"the estimator {estimator!r} needs gradients of the objective: without them choose {able}")
    evaluate = evaluator(objective, gradient, has_aux, batched)

    def at(theta: Array, log_lam: Array, batch: Any, key: Keys, baseline: Array | float = 0.0) -> Estimate:
        theta = as_floats(theta, "theta")
        log_lam = as_floats(log_lam, "log_lam", theta)
        members = () if isinstance(key, Key) else (len(key),) if isinstance(key, tuple | list) else None
        if theta.ndim == 0 or theta.shape[:-1] != members:
            raise InputError(f"theta of shape {theta.shape} needs a key, or with members a tuple of one for each")
        root = namespace_of(log_lam).exp(log_lam / 2)
        keys, sqnorms = [fold_in(key, j) for j in range(num_samples)], []

        def points() -> Iterable[Array]:
            for sample_key in keys:
                for sign in chosen.signs:
                    perturbed, sqnorm = perturb(theta, sign * root, sample_key)
                    yield perturbed
                sqnorms.append(sqnorm)

        losses, gradients, extras = zip(*evaluate(points(), batch), strict=True)
        each = len(chosen.signs)
        samples = [
            Sample(losses[i : i + each], gradients[i : i + each], 0.0, root, theta.shape[-1], sqnorm, sample_key)
            for i, sqnorm, sample_key in zip(range(0, len(losses), each), sqnorms, keys, strict=True)
        ]
        if skip_nonfinite:
            finite = _are_finite(losses, gradients)
            samples = [sample for i, sample in enumerate(samples) if all(finite[i * each : (i + 1) * each])]
            if not samples:
                zero = log_lam * 0
                return Estimate(zero + baseline, theta * 0, zero, list(extras))
        if chosen.baseline:
            samples = _with_baselines(samples, baseline)
        smoothed = _mean([_even(sample.losses) for sample in samples])
        if chosen.mixed:
            return Estimate(smoothed, *_mixture(samples, chosen, theta), list(extras))
        theta_gradient = _score_theta if gradient == "score" else lambda sample, theta: _even(sample.gradients)
        grad_theta = _mean([theta_gradient(sample, theta) for sample in samples])
        return Estimate(smoothed, grad_theta, _mean([chosen.formula(sample) for sample in samples]), list(extras))

    return at


def evaluator(
    objective: Objective, gradient: str, has_aux: bool, batched: bool = False
) -> Callable[[Iterable[Array], Any], list[tuple]]:
    """Return a function that evaluates the objective and its gradient at points.

    Parameters
    ----------
    objective : Objective
        The objective, as for `estimate`.
    gradient : {"engine", "given", "score"}
        Where ∇f comes from, as for `estimate`.
    has_aux : bool
        Whether the objective returns aux too.
    batched : bool
        Whether the objective gets all points at once.

    Returns
    -------
    function (points, batch) → list of tuples
        It takes an iterable of points, and returns (f, ∇f or None, aux or None) for each.

    Raises
    ------
    InputError
        If `gradient` is not one of `GRADIENTS`, or a batched objective is to have aux.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import ops
    >>> from mcgc.continuation.estimators import evaluator
    >>> evaluate = evaluator(lambda theta, batch: ops.sum(theta**2) / 2, "engine", has_aux=False)
    >>> evaluate([np.asarray([1.0, -2.0])], None)
    [(np.float64(2.5), array([ 1., -2.]), None)]
    """
    if gradient not in GRADIENTS:
        raise InputError(unknown("source of gradients", gradient, GRADIENTS))
    if batched and has_aux:
        raise InputError("a batched objective returns values alone: do without aux, or without batched")
    if gradient == "score":
        at = lambda theta, batch: (objective(theta, batch), None)
    elif gradient == "given":
        at = objective
    else:
        of_one, of_each = value_and_grad(objective, has_aux=has_aux), _of_each(objective, has_aux)
        at = lambda theta, batch: (of_each if theta.ndim > 1 else of_one)(theta, batch)
    jitted = objective if isinstance(objective, Jitted) and gradient != "given" and not (batched or has_aux) else None
    at_each = _of_rows(jitted, gradient) if jitted else at

    def evaluate(points: Iterable[Array], batch: Any) -> list[tuple]:
        every: Any = list(points) if batched or jitted else points
        if batched or (jitted and every[0].ndim == 1):  # members of a jitted objective are one argument
            values, slopes = at_each(namespace_of(every[0]).stack(every), batch)
            return [(values[i], None if slopes is None else slopes[i, ...], None) for i in range(values.shape[0])]
        found = [at(point, batch) for point in every]
        return [(value[0], slope, value[1]) if has_aux else (value, slope, None) for value, slope in found]

    return evaluate


def _of_rows(objective: Jitted, gradient: str) -> Callable[[Array, Any], tuple[Any, Any]]:
    """Return a jitted objective as one of all points (n, m), which also gives its gradients unless there are none."""
    rows = objective.rows()
    return rows.value_and_grad if gradient == "engine" else lambda points, batch: (rows(points, batch), None)


def _of_each(objective: Objective, has_aux: bool) -> Callable[[Array, Any], tuple[Any, Array]]:
    """Return a function to values (n,), with aux if there is one, and gradients (n, m) of points or members (n, m).

    One pass backwards gives all, since no value depends on another's point.
    """

    def total(points: Array, batch: Any) -> tuple[Array, Any]:
        found = objective(points, batch)
        return ops.sum(found[0] if has_aux else found), found

    def at(points: Array, batch: Any) -> tuple[Any, Array]:
        (_, found), slopes = value_and_grad(total, has_aux=True)(points, batch)
        return found, slopes

    return at


def _score_theta(sample: Sample, theta: Array) -> Array:
    """Return the estimate of ∂g/∂θ from values alone; between antithetic points the baseline cancels."""
    xp = namespace_of(theta)
    eps, _ = perturb(xp.zeros_like(theta), xp.ones_like(sample.root), sample.key)
    values = sample.losses if len(sample.losses) > 1 else [sample.losses[0] - sample.baseline]
    return eps * (_odd(values) / sample.root)[..., None]


def _mixture(samples: list[Sample], chosen: Estimator, theta: Array) -> tuple[Array, Array]:
    """Return ∂g/∂θ and ∂g/∂φ from gradients and from values, weighted by the inverse of their variances.

    The weights of the draws with even numbers come from those with odd numbers, and the other way round.
    """
    xp = namespace_of(theta)
    thetas = [_even(s.gradients) for s in samples], [_score_theta(s, theta) for s in samples]
    lams = [chosen.formula(s)[..., None] for s in samples], [_score(s)[..., None] for s in samples]
    found = []
    for slopes, scores in (thetas, lams):
        halves = []
        for own, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
            weight = _share(slopes[other], scores[other])[..., None]
            slope, score = (xp.stack(part[own]) for part in (slopes, scores))
            halves.append(xp.where(weight > 0, weight * slope, 0.0) + (1 - weight) * score)  # 0 · ∞ is to be 0
        found.append(xp.mean(xp.concat(halves), axis=0))
    return found[0], found[1][..., 0]


def _share(slopes: list[Array], scores: list[Array]) -> Array:
    """Return the weight of estimates from gradients beside those from values."""
    xp = namespace_of(slopes[0])
    of_slopes, of_scores = (xp.sum(xp.var(xp.stack(part), axis=0), axis=-1) for part in (slopes, scores))
    total = of_slopes + of_scores
    known = xp.isfinite(total) & (total > 0)
    return xp.where(known, of_scores / xp.where(known, total, xp.ones_like(total)), xp.zeros_like(total))


def _with_baselines(samples: list[Sample], baseline: Array | float) -> list[Sample]:
    """Give each draw the mean of f over the others, or `baseline` where it is alone."""
    if len(samples) == 1:
        return [samples[0]._replace(baseline=baseline)]
    losses = [_even(sample.losses) for sample in samples]
    total, others = sum(losses[1:], start=losses[0]), len(losses) - 1
    return [s._replace(baseline=(total - loss) / others) for s, loss in zip(samples, losses, strict=True)]


def _are_finite(losses: Sequence[Array], gradients: Sequence[Array]) -> list[bool]:
    """Tell of each point whether its value and its gradient are finite, by one read from the device."""
    xp = namespace_of(losses[0])
    finite = xp.isfinite(xp.stack(list(losses)))
    if gradients[0] is not None:
        finite = finite & xp.all(xp.isfinite(xp.stack(list(gradients))), axis=-1)
    return to_host(finite).tolist()


def _mean(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else sum(parts[1:], start=parts[0]) / len(parts)
