"""Measure how noisy each estimator of ∂g/∂φ is: `python -m bench.studies.variances > docs/variances.md`.

The table gives the variance of one estimate over the square of the exact derivative, on functions whose smoothed form
is known.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mcgc import grad, ops
from mcgc.continuation import ESTIMATORS, estimate
from mcgc.continuation.smoothing import bump, cosine, power, quadratic
from mcgc.random import Key, fold_in

SIZE = 10
THETA = np.linspace(-0.8, 1.0, SIZE)
LAMS = (1.0, 1e-2, 1e-4)
SAMPLES = (1, 4)
DRAWS = 1000


class Form(NamedTuple):
    """A function with its exact g(θ, λ); f itself is g at λ = 0."""

    formula: str
    smoothed: Callable


MATRIX, CENTRE = np.diag(np.linspace(0.5, 2.0, SIZE)), 0.1 * np.ones(SIZE)
FORMS = (
    Form("quadratic ½ θᵀAθ + bᵀθ", lambda theta, lam: quadratic(MATRIX, CENTRE, theta, lam)),
    Form("bump exp(−‖θ − c‖²/2)", lambda theta, lam: bump(CENTRE, theta, lam)),
    Form("cosine Σ cos 2θ", lambda theta, lam: ops.sum(cosine(theta, lam, 2.0))),
    Form("quartic Σ θ⁴ − θ³", lambda theta, lam: ops.sum(power(theta, lam, 4) - power(theta, lam, 3))),
)


def relative_variance(form: Form, estimator: str, lam: float, num_samples: int, draws: int = DRAWS) -> float:
    """Return the variance of the estimate of ∂g/∂φ, over `draws` keys, divided by the square of ∂g/∂φ.

    For one sample the baseline is the exact g, which is what a long running mean comes to.
    """
    at = estimate(lambda theta, batch: form.smoothed(theta, 0.0), estimator, num_samples)
    exact, log_lam = lam * float(grad(form.smoothed, argnums=1)(THETA, np.asarray(lam))), np.asarray(math.log(lam))
    baseline = form.smoothed(THETA, lam)
    found = [at(THETA, log_lam, None, fold_in(Key(0), i), baseline).grad_log_lam for i in range(draws)]
    return float(np.var(found, ddof=1)) / exact**2


def table(draws: int = DRAWS) -> str:
    """Return the whole table as Markdown."""
    names = list(ESTIMATORS)
    lines = [
        "# The noise of the estimators",
        "",
        f"Variance of one estimate of ∂g/∂φ divided by (∂g/∂φ)², over {draws} draws in m = {SIZE} dimensions. N is the",
        "number of samples, each of which costs the antithetic estimators two evaluations. The baseline is the mean of",
        "the other samples, and for N = 1 the exact g.",
        "Made by `python -m bench.studies.variances > docs/variances.md`.",
        "",
        f"| function | λ | N | {' | '.join(names)} |",
        f"|---|---|---|{'---|' * len(names)}",
    ]
    for form in FORMS:
        for lam in LAMS:
            for number in SAMPLES:
                cells = (f"{relative_variance(form, name, lam, number, draws):.2g}" for name in names)
                lines.append(f"| {form.formula} | {lam:g} | {number} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
