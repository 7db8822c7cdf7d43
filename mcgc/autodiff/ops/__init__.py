"""Every operation with its derivative, named as in the Python array API standard: one short row each.

A row is a forward function of plain arrays and, for each argument, a rule that takes the output and the arguments
and returns the map from the output's cotangent to the argument's. Rules use operators and these same operations,
so they can be differentiated again. Functions work alike on plain and on traced arrays, which makes this package
the array namespace of traced arrays: code written against the standard differentiates as it stands.
"""

# ruff: noqa: F401

from math import e, inf, nan, pi

from mcgc.autodiff.ops import linalg, operators
from mcgc.autodiff.ops.activations import erf, gelu, relu, sigmoid, silu, softplus
from mcgc.autodiff.ops.elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    ceil,
    clip,
    cos,
    cosh,
    divide,
    equal,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    hypot,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    positive,
    pow,
    reciprocal,
    remainder,
    round,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
    where,
)
from mcgc.autodiff.ops.indexing import argsort, diagonal, getitem, sort, take, take_along_axis
from mcgc.autodiff.ops.joining import concat, split, stack, unstack
from mcgc.autodiff.ops.linalg import diag, inv, solve, trace
from mcgc.autodiff.ops.products import dot, einsum, matmul, outer, tensordot, vecdot
from mcgc.autodiff.ops.reductions import (
    all,
    any,
    argmax,
    argmin,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    softmax,
    std,
    var,
)
from mcgc.autodiff.ops.shapes import (
    astype,
    broadcast_to,
    cumulative_sum,
    expand_dims,
    flip,
    matrix_transpose,
    moveaxis,
    ones_like,
    permute_dims,
    reshape,
    roll,
    squeeze,
    sum,
    transpose,
    zeros_like,
)

arctan, concatenate, cumsum = atan, concat, cumulative_sum  # names of NumPy that are not the standard's

operators.install()
