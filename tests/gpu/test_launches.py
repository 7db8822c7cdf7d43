"""Kernels on a device beyond one block, one launch and one array: what they give there, and in which bits."""

import numpy as np
import pytest

from mcgc import kernels, nets
from mcgc.arrays import to_device, to_host
from mcgc.autodiff import vjp
from mcgc.kernels import reference
from mcgc.random import Key, normal, split

SIZES = [1, 3, 255, 257, 111_160, 1_100_003]  # the last is more than all threads of a launch make at once
MOST = 36  # members: more than have their keys in one launch


def parameters(shape, dtype, device):
    theta = normal(Key(0), shape, dtype)
    return theta, to_device(theta, device)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m", SIZES)
def test_a_vector_of_any_size_is_moved_by_the_noise_of_the_host(away, m, dtype):
    theta, there = parameters((m,), dtype, away)
    moved, sqnorm = kernels.perturb(there, 0.5, Key(1))
    expected, norm = reference.perturb(theta, theta.dtype.type(0.5), Key(1))
    unit = np.finfo(dtype).eps
    np.testing.assert_allclose(to_host(moved), expected, rtol=16 * unit, atol=16 * unit)
    np.testing.assert_allclose(to_host(sqnorm), norm, rtol=64 * unit)
    eps = (expected - theta) / theta.dtype.type(0.5)
    bound = 64 * unit * float(np.sum(abs(eps * theta), dtype="float64"))
    assert abs(float(to_host(kernels.noise_dot(there, Key(1)))) - float(reference.noise_dot(theta, Key(1)))) <= bound


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m", [3, 1000])
def test_more_members_than_one_launch_takes_have_the_bits_that_each_has_alone(away, m, dtype):
    _, there = parameters((MOST, m), dtype, away)
    keys, scales = split(Key(2), MOST), to_device(np.linspace(0.1, 2, MOST), away, dtype)
    together = (*kernels.perturb(there, scales, keys), kernels.noise_dot(there, keys))
    for i, key in enumerate(keys):
        alone = (*kernels.perturb(there[i, ...], scales[i], key), kernels.noise_dot(there[i, ...], key))
        for ours, theirs in zip(together, alone, strict=True):
            np.testing.assert_array_equal(to_host(ours[i, ...]), to_host(theirs))


def test_a_launch_repeats_its_bits(away):
    _, there = parameters((111_160,), "float32", away)
    first, *others = ([*kernels.perturb(there, 0.5, Key(3)), kernels.noise_dot(there, Key(3))] for _ in range(5))
    for other in others:
        for ours, theirs in zip(first, other, strict=True):
            np.testing.assert_array_equal(to_host(ours), to_host(theirs))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("members", [None, 3])
@pytest.mark.parametrize("rows", [1, 16, 250])
@pytest.mark.parametrize(("sizes", "activation"), [((784, *(50,) * 3, 10), "relu"), ((5, 200, 7, 3), "tanh")], ids=str)
def test_a_net_and_its_cotangents_are_those_of_the_host_and_repeat_their_bits(
    away, sizes, activation, rows, members, dtype
):
    head = () if members is None else (members,)
    thetas = [nets.init(key, sizes, dtype) for key in split(Key(0), members or 1)]
    theta = np.stack(thetas) if members else thetas[0]
    x, bar = (normal(Key(i), (rows, n), dtype) for i, n in enumerate((sizes[0], sizes[-1])))
    found = []
    for carry in (lambda array: array, *[lambda array: to_device(array, away)] * 2):
        y, pullback = vjp(lambda theta, x: nets.apply(theta, x, sizes, activation), carry(theta), carry(x))
        bars = pullback(carry(np.array(np.broadcast_to(bar, (*head, rows, sizes[-1])))))
        found.append([to_host(array) for array in (y, *bars)])
    unit = 256 * np.finfo(dtype).eps
    for right, ours, again in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, again)
        np.testing.assert_allclose(ours, right, rtol=unit, atol=unit * abs(right).max())
