"""Derivatives are arrays of their own: changing one in place changes no other, no argument and no cotangent."""

from itertools import combinations

import numpy as np
import pytest

from mcgc.arrays import to_device, to_host
from mcgc.autodiff import checkpoint, flatten, fused, grad, hessian, hvp, jacobian, ops, primitive, value_and_grad, vjp
from mcgc.kernels import Body

X, Y = np.array([[0.5, -1.0, 2.0], [1.5, 0.2, 0.3]]), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

stretched = primitive("stretched", ops.sum, lambda out, x: lambda g: np.broadcast_to(g, x.shape))
padded = primitive("padded", lambda x: x * 1, lambda out, x: lambda g: np.concatenate([g, g])[: x.shape[0]])
itself = primitive("itself", lambda x: x * 1, lambda out, x: lambda g: g[...])
shared = fused(lambda x, y: x + y, lambda x, y: Body(lambda x, y: (x + y, None), lambda kept, places, g: (g, g)))

FUNCTIONS = {
    "a sum of two": lambda x, y: x + y,
    "an identity": lambda x, y: (x, y),
    "the same output twice": lambda x, y: (x, x, y),
    "positive": lambda x, y: +x + y,
    "reshaped": lambda x, y: ops.reshape(x, (-1,)) + ops.reshape(y, (-1,)),
    "transposed": lambda x, y: x.T + y.T,
    "flipped": lambda x, y: ops.flip(x) + ops.flip(y),
    "joined": lambda x, y: ops.concat([x, y]),
    "stacked": lambda x, y: ops.stack([x, y]),
    "split": lambda x, y: ops.split(ops.concat([x, y]), (1, 3)),
    "repeated": lambda x, y: ops.broadcast_to(x, (4, 2, 3)) + y,
    "summed": lambda x, y: ops.sum(x + y),
    "averaged": lambda x, y: ops.mean(x, axis=0) + ops.mean(y, axis=0),
    "an element": lambda x, y: x[0] + y[1],
    "cast": lambda x, y: ops.astype(x, np.float64) + y,
    "chosen": lambda x, y: ops.where(x > 0, x, y),
    "unused": lambda x, y: x * 2,
    "nothing used": lambda x, y: np.ones(2),
    "fused": shared,
    "checkpointed": checkpoint(lambda x, y: x + y),
    "a read-only view of a rule": lambda x, y: stretched(x) + stretched(y),
    "a part of an array of a rule": lambda x, y: padded(x) + padded(y),
    "a view of the cotangent of a rule": lambda x, y: itself(x) + itself(y),
}


def alone(found, others=()):
    """Check that each array of `found` can be written to, owns all it holds, and shares it with none of the others."""
    for array in found:
        assert array.flags.writeable
        assert array.base is None or array.base.size == array.size
    for left, right in (*combinations(found, 2), *((left, right) for left in found for right in others)):
        assert not np.shares_memory(left, right)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_the_results_of_a_pullback_share_memory_with_nothing(function):
    out, pullback = vjp(function, X, Y)
    cotangent = ops.zeros_like(out) + 1 if not isinstance(out, tuple) else tuple(np.ones_like(part) for part in out)
    first, second = pullback(cotangent), pullback(cotangent)
    alone([*first, *second], [X, Y, *flatten(out)[0], *flatten(cotangent)[0]])


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_gradients_share_memory_with_nothing(function):
    scalar = lambda x, y: sum((ops.sum(part) for part in flatten(function(x, y))[0]), 0.0)
    value, gradients = value_and_grad(scalar, (0, 1))(X, Y)
    alone(gradients, [X, Y, value])


def test_changing_one_gradient_in_place_leaves_the_other(device):
    x = to_device([1.0, 2.0], device, "float64")
    dx, dy = grad(lambda x, y: ops.sum(x + y), (0, 1))(x, x)
    dx *= 7
    np.testing.assert_array_equal(to_host(dy), [1.0, 1.0])
    out, pullback = vjp(lambda x, y: x + y, x, x)
    cotangent = ops.ones_like(out)
    dx, dy = pullback(cotangent)
    dx *= 7
    np.testing.assert_array_equal(to_host(dy), [1.0, 1.0])
    np.testing.assert_array_equal(to_host(cotangent), [1.0, 1.0])


def test_numbers_have_gradients_of_their_own():
    dx, dy = grad(lambda x, y: x + y, (0, 1))(1.0, 2.0)
    dx[...] = 5.0
    assert dy == 1.0


def test_products_with_hessians_and_jacobians_share_memory_with_nothing():
    x, v = X[0].copy(), Y[0].copy()
    alone([hvp(lambda x: 0.5 * x @ x, x, v)], [x, v])
    alone([jacobian(lambda x: x)(x), jacobian(ops.sum)(x), hessian(lambda x: x @ x)(x)], [x])
    alone(jacobian(lambda x, y: x + y, (0, 1))(x, v), [x, v])


def test_outer_gradients_of_inner_ones_share_memory_with_nothing():
    f = lambda x, y: ops.sum(sum(grad(lambda x, y: ops.sum(x * x / 2 + y * y / 2), (0, 1))(x, y)))
    alone(grad(f, (0, 1))(X, Y), [X, Y])


def test_a_gradient_of_whole_memory_is_not_copied():
    made = []
    fresh = primitive("fresh", lambda x: x * 1, lambda out, x: lambda g: made.append(g.T * 2.0) or made[0].T)
    _, pullback = vjp(fresh, X)
    (found,) = pullback(Y)
    assert np.shares_memory(found, made[0])
