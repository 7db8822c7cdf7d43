"""Whole solutions of dense nets, and losses, on a device: there the numbers are those of the host."""

import numpy as np
import pytest

from mcgc import losses, nets
from mcgc.arrays import to_device, to_host
from mcgc.autodiff import value_and_grad, vjp
from mcgc.ode import DenseField, solve, solve_members
from mcgc.random import Key, normal, split

SIZES = (5, *(50,) * 4, 3)
TOLERANCE = {"float32": 2e-4, "float64": 1e-9}


def assert_close(ours, theirs, dtype):
    for x, right in zip(ours, theirs, strict=True):
        found = to_host(x)
        assert (found.shape, found.dtype) == (right.shape, right.dtype)
        np.testing.assert_allclose(found, right, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * abs(right).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize(("members", "batch"), [(None, 1), (None, 200), (3, 4)])
def test_a_solution_its_steps_and_its_cotangents_are_those_of_the_host(away, members, batch, activation, dtype):
    batch = batch if away.name.startswith("cuda") else min(batch, 4)  # elsewhere it is solved step by step
    field, run = DenseField(SIZES, activation), solve if members is None else solve_members
    thetas = [nets.init(key, SIZES, dtype) for key in split(Key(0), members or 1)]
    theta = np.stack(thetas) if members else thetas[0]
    y0, inputs = (normal(Key(i), (batch, n), dtype) for i, n in enumerate((3, 2)))
    ts = np.tile(np.linspace(0, 1, 5), (batch, 1))
    how = {"rtol": 1e-2, "atol": 1e-2, "max_step": 0.1}  # steps of one size in either dtype, but for the first ones
    found = []
    for carry in (lambda array: array, lambda array: to_device(array, away)):
        states = lambda theta, y0, carry=carry: (lambda solution: (solution.ys, solution.stats))(
            run(field, y0, carry(ts), (theta, carry(inputs)), **how)
        )
        ys, pullback, stats = vjp(states, carry(theta), carry(y0), has_aux=True)
        bar = np.cos(np.arange(ys.size, dtype=dtype)).reshape(ys.shape)
        found.append([ys, *pullback(carry(bar))])
        np.testing.assert_array_less(0, to_host(stats.accepted))
    assert_close(found[1], found[0], dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.cross_entropy_of_softmax])
@pytest.mark.parametrize("rows", [1, 250, 1000])
def test_a_cross_entropy_and_its_gradient_are_those_of_the_host(away, rows, loss, dtype):
    logits, labels = 3 * normal(Key(0), (rows, 10), dtype), (np.arange(rows) % 10).astype(np.uint8)
    found = value_and_grad(lambda z: loss(z, to_device(labels, away)))(to_device(logits, away))
    assert_close(found, value_and_grad(lambda z: loss(z, labels))(logits), dtype)
