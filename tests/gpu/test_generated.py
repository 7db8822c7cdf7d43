"""Programs of `mcgc.jit` on a device: there the numbers are those of the host."""

import numpy as np
import pytest
from everything import everything

import mcgc
from mcgc import ops
from mcgc.arrays import to_device, to_host
from mcgc.ode import solve

TOLERANCE = {"float32": 1e-4, "float64": 1e-11}


def assert_close(ours, theirs, dtype):
    for x, right in zip(ours, theirs, strict=True):
        found = to_host(x)
        assert (found.shape, found.dtype) == (right.shape, right.dtype)
        unit = TOLERANCE[dtype] * max(1.0, abs(right).max())
        np.testing.assert_allclose(found, right, rtol=TOLERANCE[dtype], atol=unit)


def leaves(tree):
    return mcgc.autodiff.flatten(tree)[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 300])
def test_every_operation_on_rows_and_its_pullback_are_those_of_the_host(away, dtype, count):
    count = count if away.name.startswith("cuda") else min(count, 5)  # elsewhere the function runs row after row
    x, p = np.linspace(-1.9, 1.8, count)[:, None].astype(dtype), np.array([0.3, -0.2, 0.7], dtype)
    rows = mcgc.jit(everything).rows(0)
    y, pullback = mcgc.vjp(rows, x, p)
    there = [to_device(array, away) for array in (x, p)]
    y_there, pullback_there = mcgc.vjp(rows, *there)
    assert_close([y_there, *pullback_there(to_device(np.cos(y), away))], [y, *pullback(np.cos(y))], dtype)


def pendulum(t, y, p):
    x, v = y[..., 0], y[..., 1]
    return ops.stack([v, -ops.sin(x) - p["drag"] * v + p["drive"][..., 0] * ops.cos(0.6 * t[..., 0])], axis=-1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("solver", "how"), [("dopri5", {}), ("rk4", {"step_size": 0.1})])
@pytest.mark.parametrize("batch", [1, 1000])
def test_solutions_of_a_field_and_their_cotangents_are_those_of_the_host(away, dtype, solver, how, batch):
    batch = batch if away.name.startswith("cuda") else min(batch, 5)
    field = mcgc.jit(pendulum)
    y0 = np.stack([np.linspace(-1, 2, batch), np.linspace(0.5, 0, batch)], axis=-1).astype(dtype)
    params = {"drag": np.asarray(0.1, dtype), "drive": np.linspace(0, 1, batch)[:, None].astype(dtype)}
    ts = np.linspace(0, 3, 6)
    found = []
    for carry in (lambda x: to_device(x, away), lambda x: x):
        states = lambda y0, params, carry=carry: solve(field, y0, carry(ts), params, solver=solver, **how).ys
        ys, pullback = mcgc.vjp(states, carry(y0), {name: carry(x) for name, x in params.items()})
        cotangent = np.cos(np.arange(ys.size, dtype=dtype)).reshape(ys.shape)
        found.append([ys, *leaves(pullback(carry(cotangent)))])
    assert_close(*found, dtype)


def test_a_solution_repeats_its_bits(away):
    field, y0 = mcgc.jit(lambda t, y, p: -p * y), to_device(np.linspace(1, 2, 7)[:, None], away)
    call = lambda p: ops.sum(solve(field, y0, to_device(np.array([0.0, 1.0]), away), p).ys)
    first, *others = (mcgc.value_and_grad(call)(to_device(np.array([0.7]), away)) for _ in range(4))
    for other in others:
        for ours, theirs in zip(first, other, strict=True):
            np.testing.assert_array_equal(to_host(ours), to_host(theirs))
