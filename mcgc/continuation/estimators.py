"""Estimators of the smoothed objective and of its gradients, from draws of the noise.

All are unbiased, and each is a row of `ESTIMATORS`: a formula for ∂g/∂φ, the signs of the noise at the points of a
draw, and whether it takes a baseline. Multiplied by λ, as here, none divides by λ: nothing blows up as λ → 0.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mcgc._integers import whole
from mcgc.arrays import Array, as_floats, namespace_of
from mcgc.autodiff import ops
from mcgc.autodiff.transforms import value_and_grad
from mcgc.errors import InputError, unknown
from mcgc.kernels import noise_dot, perturb
from mcgc.random import Key, Keys, fold_in

GRADIENTS = ("engine", "given", "score")


class Sample(NamedTuple):
    """One draw of the noise: f and, where there are gradients, ∇f at each of its points θ ± √λ ε.

    With it the baseline b, √λ, m, ‖ε‖², and the key that makes ε again. With members each has them in front.
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
    """A way to estimate ∂g/∂φ: its formula, the points of a draw as signs of √λ ε, and if it takes a baseline."""

    formula: Callable[[Sample], Array]
    signs: tuple[int, ...] = (1,)
    baseline: bool = False


ESTIMATORS: Mapping[str, Estimator] = {
    "score": Estimator(_score),
    "pathwise": Estimator(_pathwise),
    "score-baseline": Estimator(_score, baseline=True),
    "antithetic-score": Estimator(_score, signs=(1, -1), baseline=True),
    "antithetic": Estimator(_pathwise, signs=(1, -1)),
}


class Estimate(NamedTuple):
    """Unbiased estimates: `smoothed` of g, `grad_theta` of ∂g/∂θ, `grad_log_lam` of ∂g/∂φ; and the objective's aux."""

    smoothed: Array
    grad_theta: Array
    grad_log_lam: Array
    aux: list


def estimate(
    objective: Callable,
    estimator: str | Estimator = "score",
    num_samples: int = 1,
    has_aux: bool = False,
    gradient: str = "engine",
    batched: bool = False,
) -> Callable[..., Estimate]:
    """Return a function (θ, φ, batch, key, baseline=0) → `Estimate` of the smoothed objective and its gradients.

    Averages over N = `num_samples` draws, the j-th with noise ε = normal(fold_in(key, j), (m,)) and the point
    ϑ = θ + √λ ε, or the points ϑ± = θ ± √λ ε for the antithetic ones, which cost two evaluations a draw:

    - g: f(ϑ), or (f(ϑ⁺) + f(ϑ⁻))/2; ∂g/∂θ: the same mean of ∇f;
    - ∂g/∂φ by "score": (‖ε‖² − m)/2 · f(ϑ) (eq. 8, times λ); by "score-baseline": (‖ε‖² − m)/2 · (f(ϑ) − b);
      by "antithetic-score": (‖ε‖² − m)/4 · (f(ϑ⁺) + f(ϑ⁻) − 2b);
    - ∂g/∂φ by "pathwise": ½ √λ ε·∇f(ϑ); by "antithetic": ¼ √λ ε·(∇f(ϑ⁺) − ∇f(ϑ⁻)), which tends to ½ λ εᵀHε.

    b is the mean of f over the other draws, or for N = 1 the `baseline`: any number that does not depend on ε.

    `objective(theta, batch)` returns a scalar f, or (f, aux) with `has_aux`; `aux` of the result lists those of all
    evaluations. `gradient` says where ∇f comes from: "engine" differentiates f; "given" takes it from an objective
    that returns (f, ∇f), or ((f, aux), ∇f); "score" does without, for the estimators of that name and λ > 0: ∂g/∂θ is
    ε (f(ϑ) − b)/√λ, or ε (f(ϑ⁺) − f(ϑ⁻))/(2√λ). With `batched` all points of a step go to the objective at once: it
    maps points (n, m) to values (n,), and gives gradients (n, m) where it gives them. θ has shape (m,), φ is
    0-dimensional of the same dtype and device, or a Python number, and so are the results.

    The members of an ensemble are a leading axis of all: θ (members, m), φ (members,), a tuple of their keys, and an
    objective that gives f of each, (members,), from its own row of θ alone, so that ∇ Σ f is the gradient of each.

    Raises `InputError` if a name is unknown, the estimator needs the gradients that "score" does without,
    `num_samples` is not a positive integer, or a batched objective is to have aux.
    """
    if not isinstance(estimator, Estimator | str) or (isinstance(estimator, str) and estimator not in ESTIMATORS):
        raise InputError(unknown("estimator", estimator, ESTIMATORS))
    num_samples = whole(num_samples, "num_samples")
    row = ESTIMATORS[estimator] if isinstance(estimator, str) else estimator
    if gradient == "score" and row.formula is not _score:
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
                for sign in row.signs:
                    perturbed, sqnorm = perturb(theta, sign * root, sample_key)
                    yield perturbed
                sqnorms.append(sqnorm)

        losses, gradients, extras = zip(*evaluate(points(), batch), strict=True)
        each = len(row.signs)
        samples = [
            Sample(losses[i : i + each], gradients[i : i + each], 0.0, root, theta.shape[-1], sqnorm, sample_key)
            for i, sqnorm, sample_key in zip(range(0, len(losses), each), sqnorms, keys, strict=True)
        ]
        if row.baseline:
            samples = _with_baselines(samples, baseline)
        smoothed = _mean([_even(sample.losses) for sample in samples])
        along = _score_theta if gradient == "score" else lambda sample, theta: _even(sample.gradients)
        grad_theta = _mean([along(sample, theta) for sample in samples])
        return Estimate(smoothed, grad_theta, _mean([row.formula(sample) for sample in samples]), list(extras))

    return at


def evaluator(
    objective: Callable, gradient: str, has_aux: bool, batched: bool = False
) -> Callable[[Iterable[Array], Any], list[tuple]]:
    """Return a function (points, batch) → [(f, ∇f or None, aux or None), ...], with options as in `estimate`.

    Raises `InputError` if `gradient` is not one of `GRADIENTS`, or a batched objective is to have aux.
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

    def evaluate(points: Iterable[Array], batch: Any) -> list[tuple]:
        if batched:
            every = list(points)
            values, slopes = at(namespace_of(every[0]).stack(every), batch)
            return [(values[i], None if slopes is None else slopes[i, ...], None) for i in range(values.shape[0])]
        found = [at(point, batch) for point in points]
        return [(value[0], slope, value[1]) if has_aux else (value, slope, None) for value, slope in found]

    return evaluate


def _of_each(objective: Callable, has_aux: bool) -> Callable:
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


def _with_baselines(samples: list[Sample], baseline: Array | float) -> list[Sample]:
    """Give each draw the mean of f over the others, or `baseline` where it is alone."""
    if len(samples) == 1:
        return [samples[0]._replace(baseline=baseline)]
    losses = [_even(sample.losses) for sample in samples]
    total, others = sum(losses[1:], start=losses[0]), len(losses) - 1
    return [s._replace(baseline=(total - loss) / others) for s, loss in zip(samples, losses, strict=True)]


def _mean(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else sum(parts[1:], start=parts[0]) / len(parts)
