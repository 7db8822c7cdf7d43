"""The LLVM code of the CUDA kernels, as numba-cuda hands it to libnvvm, run on the host: `test_cuda.py` runs this.

The simulator runs Python, whose integers are not the compiler's; this is the compiler's code.
"""

from functools import partial

import numpy as np
import pytest
from blocks import Far, Host

from mcgc import nets
from mcgc.kernels import cpu_dense, reference
from mcgc.kernels import cuda as kernels
from mcgc.kernels import cuda_dense as dense
from mcgc.random import Key, normal, split

HOST = Host()


@pytest.fixture
def launch(monkeypatch):
    """Give a stand-in for `_launch` that runs a kernel on the host."""
    HOST.for_processor(monkeypatch)

    def run(size, kernel, blocks, *arguments):
        HOST.launch(kernel, blocks, size, *(np.int64(x) if type(x) is int else x for x in arguments))

    for module in (kernels, dense):
        monkeypatch.setattr(module, "_launch", partial(run, module.THREADS))
    return partial(run, kernels.THREADS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_kernels_give_the_numbers_of_their_meaning(launch, monkeypatch, dtype):
    monkeypatch.setattr(kernels, "BLOCKS", 3)
    rng, ulp = np.random.default_rng(0), np.finfo(dtype).eps
    for m in (0, 1, 5, 257, 5000):
        theta, keys = rng.normal(size=(2, m)).astype(dtype), split(Key(m))
        scales = np.asarray([0.3, 2.0], dtype)
        perturbed, sqnorms = kernels.perturb(theta, scales, keys)
        dots = kernels.noise_dot(theta, keys)
        for i, key in enumerate(keys):
            ours, meaning = (perturbed[i], sqnorms[i], dots[i]), reference.perturb(theta[i], scales[i], key)
            np.testing.assert_allclose(ours[0], meaning[0], rtol=4 * ulp, atol=8 * ulp)
            np.testing.assert_allclose(ours[1], meaning[1], rtol=16 * ulp)
            eps = normal(key, (m,), dtype)
            terms = np.sum(np.abs(eps * theta[i]))
            np.testing.assert_allclose(ours[2], reference.noise_dot(theta[i], key), atol=16 * ulp * max(terms, 1))
        arrays = (*rng.normal(size=(3, m)).astype(dtype), rng.random(m).astype(dtype))
        new = (body.adam(*arrays, 7, 0.01, 0.9, 0.999, 1e-8) for body in (kernels, reference))
        for ours, meaning in zip(*new, strict=True):
            np.testing.assert_allclose(ours, meaning, rtol=4 * ulp, atol=4 * ulp)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_members_that_come_after_terabytes_of_others_are_found(launch, monkeypatch, dtype):
    members, m, skipped = 3, 100, 2**33
    theta = np.random.default_rng(0).normal(size=(members, m)).astype(dtype)
    scales, keys = np.ones(members, dtype), split(Key(0), members)

    def results():
        return *kernels.perturb(theta, scales, keys), kernels.noise_dot(theta, keys)

    def far(kernel, blocks, *arguments):
        *arrays, m, first, each, words = arguments
        far = (Far(x, skipped * (x.size // members)) for x in arrays)
        launch(kernel, blocks, *far, m, first + skipped, each, words)

    near = results()
    monkeypatch.setattr(kernels, "_launch", far)
    for a, b in zip(near, results(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_compiled_nets_give_the_numbers_of_the_cpu_twice_the_same_bits_with_threads_in_any_order(
    launch, activation, dtype
):
    sizes, rows = (5, 70, 3, 4), 19
    rng, m = np.random.default_rng(0), nets.num_parameters(sizes)
    theta, x, bar = (rng.normal(size=shape).astype(dtype) for shape in ((m,), (rows, 5), (rows, 4)))
    ours, again = (outputs(dense, theta, x, sizes, activation, bar) for _ in range(2))
    for first, second, right in zip(ours, again, outputs(cpu_dense, theta, x, sizes, activation, bar), strict=True):
        np.testing.assert_array_equal(first, second)
        unit = 64 * np.finfo(dtype).eps
        np.testing.assert_allclose(first, right, rtol=unit, atol=unit * abs(right).max())


def outputs(body, theta, x, sizes, activation, bar):
    y, hidden = body.dense_forward(theta, x, sizes, activation)
    return y, *body.dense_vjp(theta, x, hidden, sizes, activation, bar)
