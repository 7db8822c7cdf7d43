"""Monte Carlo Gaussian continuation: a functional library that trains models that get stuck.

The names here are those of every script: derivatives (`grad` and its kin), the operations that have them (`ops`),
and random keys. The rest is one module a subject: `mcgc.nets`, `mcgc.losses`, `mcgc.optim`, `mcgc.ode`,
`mcgc.continuation`, `mcgc.problems`, `mcgc.training`, `mcgc.runs`, `mcgc.arrays`, `mcgc.errors`.
"""

from mcgc.autodiff import (
    check_grads,
    checkpoint,
    debug_nonfinite,
    fused,
    grad,
    hessian,
    hvp,
    jacobian,
    ops,
    primitive,
    stop_gradient,
    value_and_grad,
    vjp,
)
from mcgc.random import Key, fold_in, split

__version__ = "0.1.0.dev0"

__all__ = [
    "Key",
    "check_grads",
    "checkpoint",
    "debug_nonfinite",
    "fold_in",
    "fused",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "ops",
    "primitive",
    "split",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
