"""The generic step for many rows of parameters: 256 rows with 4 series each in one call, and a gradient of each row.

Rows are what draws around a point are, and the members of an ensemble.
"""

import numpy as np

from bench import fields
from bench.cases.generic_step import PARAMETERS, PROBLEM
from bench.comparison import Plan, Row, compare
from bench.fields import TOLERANCES, Problem
from bench.timing import Side

ROWS = 256
TARGETS = {"diffrax": 4.0}


def _problem(rows: int) -> Problem:
    """Return the problem with `rows` rows of parameters, up to 20 % larger or smaller."""
    factors = 1 + 0.2 * np.random.default_rng(0).uniform(-1, 1, (rows, len(PARAMETERS)))
    return PROBLEM._replace(p=PARAMETERS * factors)


def ours(rows: int = ROWS) -> Side:
    """Differentiate with mcgc, each trajectory on its own steps."""
    return fields.by_mcgc(_problem(rows))


def by_diffrax(rows: int = ROWS) -> Side:
    """Differentiate with diffrax, mapped over the rows."""
    return fields.by_diffrax(_problem(rows))


SIDES = {"mcgc": ours, "diffrax": by_diffrax}


def rows(plan: Plan) -> list[Row]:
    """Time 256 rows, or a few in a quick run."""
    number = 8 if plan.quick else ROWS
    return compare(plan, "generic-rows", __name__, list(SIDES), TOLERANCES, TARGETS, {"rows": number})
