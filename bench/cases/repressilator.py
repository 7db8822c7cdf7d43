"""The gradient with respect to the 20 parameters of a ring of five genes, a field of 10 states.

Each gene has messengers m and proteins q, and the proteins of the gene before it repress it:
mᵢ' = aᵢ / (1 + qᵢ₋₁²) − dᵢ mᵢ, qᵢ' = bᵢ mᵢ − cᵢ qᵢ (after Elowitz and Leibler 2000, who have three genes). The rates of
decay differ tenfold. 4 series of 50 times in [0, 30].
"""

from typing import Any

import numpy as np

from bench import fields
from bench.comparison import Plan, Row, compare
from bench.fields import TOLERANCES, Problem
from bench.timing import Side

GENES = 5
TARGETS = {"diffrax": 5.0}


def field(xp: Any, y: Any, p: Any) -> Any:
    """Return the rates of the messengers, then of the proteins; p has a, d, b and c of each gene."""
    genes = y.shape[-1] // 2
    m, q = ([y[..., i] for i in range(at, at + genes)] for at in (0, genes))
    a, d, b, c = ([p[i] for i in range(at, at + genes)] for at in range(0, 4 * genes, genes))
    messengers = [a[i] / (1 + q[i - 1] * q[i - 1]) - d[i] * m[i] for i in range(genes)]
    proteins = [b[i] * m[i] - c[i] * q[i] for i in range(genes)]
    return xp.stack([*messengers, *proteins], axis=-1)


def _problem(genes: int) -> Problem:
    rng = np.random.default_rng(0)
    p = np.repeat([12.0, 2.0, 1.0, 0.2], genes) * rng.uniform(0.9, 1.1, 4 * genes)
    return Problem(field, rng.uniform(0, 2, (4, 2 * genes)), p, np.linspace(0, 30, 50))


def ours(genes: int = GENES) -> Side:
    """Differentiate with mcgc."""
    return fields.by_mcgc(_problem(genes))


def by_diffrax(genes: int = GENES) -> Side:
    """Differentiate with diffrax."""
    return fields.by_diffrax(_problem(genes))


SIDES = {"mcgc": ours, "diffrax": by_diffrax}


def rows(plan: Plan) -> list[Row]:
    """Time five genes, or one that represses itself in a quick run."""
    options = {"genes": 1 if plan.quick else GENES}
    return compare(plan, "repressilator", __name__, list(SIDES), TOLERANCES, TARGETS, options)
