"""Reverse-mode automatic differentiation over arrays of any library that follows the array API standard."""

from mcgc.autodiff import ops
from mcgc.autodiff.check import GradientMismatch, check_grads
from mcgc.autodiff.engine import Primitive, Traced
from mcgc.autodiff.extend import fused, primitive
from mcgc.autodiff.higher import checkpoint, hessian, hvp, jacobian, stop_gradient
from mcgc.autodiff.nonfinite import NonFiniteError, debug_nonfinite
from mcgc.autodiff.pytree import flatten, tree_map, unflatten
from mcgc.autodiff.transforms import grad, value_and_grad, vjp
from mcgc.kernels import Body

__all__ = [
    "Body",
    "GradientMismatch",
    "NonFiniteError",
    "Primitive",
    "Traced",
    "check_grads",
    "checkpoint",
    "debug_nonfinite",
    "flatten",
    "fused",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "ops",
    "primitive",
    "stop_gradient",
    "tree_map",
    "unflatten",
    "value_and_grad",
    "vjp",
]
