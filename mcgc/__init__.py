"""Monte Carlo Gaussian continuation: a functional library that trains models that get stuck.

The names here are those of every script: derivatives (`grad` and its kin), the operations that have them (`ops`),
random keys, and `minimize` for a function of one's own. The rest is one module a subject: `mcgc.nets`, `mcgc.losses`,
`mcgc.rates`, `mcgc.optim`, `mcgc.ode`, `mcgc.fields`, `mcgc.continuation`, `mcgc.estimators`, `mcgc.schedules`,
`mcgc.smoothing`, `mcgc.surfaces`, `mcgc.problems`, `mcgc.settings`, `mcgc.training`, `mcgc.studies`, `mcgc.ensembles`,
`mcgc.comparison`, `mcgc.reference`, `mcgc.runs`, `mcgc.arrays`, `mcgc.kernels`, `mcgc.errors`.
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
from mcgc.minimizer import continuation_method, minimize
from mcgc.random import Key, fold_in, split

__version__ = "0.1.0.dev0"

__all__ = [
    "Key",
    "check_grads",
    "checkpoint",
    "continuation_method",
    "debug_nonfinite",
    "fold_in",
    "fused",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "minimize",
    "ops",
    "primitive",
    "split",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
