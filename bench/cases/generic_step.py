"""The gradient of a mean squared error with respect to the four parameters of a field written by hand.

Lotka–Volterra, u' = a u − b u v, v' = −c v + d u v, 4 series of 50 times in [0, 20].
"""

from typing import Any

import numpy as np

from bench import fields
from bench.comparison import Plan, Row, compare
from bench.fields import ATOL, RTOL, TARGET, TOLERANCES, Problem
from bench.timing import Side

TIMES = np.linspace(0, 20, 50)
PARAMETERS = np.asarray([0.7, 1.2, 1.4, 1.3])
STARTS = np.asarray([[1.0, 1.0], [0.8, 1.2], [1.5, 0.6], [0.5, 0.9]])
TARGETS = {"diffrax": 12.0}


def field(xp: Any, y: Any, p: Any) -> Any:
    """Return the rates of prey and predators."""
    u, v = y[..., 0], y[..., 1]
    return xp.stack([u * (p[0] - p[1] * v), v * (p[3] * u - p[2])], axis=-1)


PROBLEM = Problem(field, STARTS, PARAMETERS, TIMES)


def ours() -> Side:
    """Differentiate with mcgc, the field compiled."""
    return fields.by_mcgc(PROBLEM)


def eager() -> Side:
    """Differentiate with mcgc, the field as it is."""
    return fields.by_mcgc(PROBLEM, compiled=False)


def by_diffrax() -> Side:
    """Differentiate with diffrax."""
    return fields.by_diffrax(PROBLEM)


def by_torchdiffeq() -> Side:
    """Differentiate with torchdiffeq, the batch as one state, back-propagated through the solver."""
    import torch
    from torchdiffeq import odeint

    times, y0 = torch.tensor(TIMES, dtype=torch.float32), torch.tensor(STARTS, dtype=torch.float32)
    p, evaluations = torch.tensor(PARAMETERS, dtype=torch.float32, requires_grad=True), 0

    def field(t: Any, y: Any) -> Any:
        nonlocal evaluations
        evaluations += 1
        a, b, c, d = p
        u, v = y.unbind(-1)
        return torch.stack([u * (a - b * v), v * (d * u - c)], -1)

    def evaluate() -> tuple:
        loss = (odeint(field, y0, times, rtol=RTOL, atol=ATOL, method="dopri5") - TARGET).square().mean()
        return loss.item(), torch.autograd.grad(loss, p)[0].numpy()

    loss, gradient = evaluate()
    return Side(evaluate, 1, {"loss": loss, "gradient": gradient, "evaluations": evaluations})


SIDES = {"mcgc": ours, "mcgc, eager": eager, "diffrax": by_diffrax, "torchdiffeq": by_torchdiffeq}


def rows(plan: Plan) -> list[Row]:
    """Time value and gradient."""
    return compare(plan, "generic-step", __name__, list(SIDES), TOLERANCES, TARGETS)
