"""The compiled bodies of the noise and Adam kernels against their meaning."""

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from numba import njit
from scipy import stats

from mcgc import kernels
from mcgc.arrays import to_device, to_host
from mcgc.kernels import Kernel, _dispatch, cpu, platform, reference
from mcgc.random import TILE, Key, bits, normal

SIZES = [0, 1, 2, 63, 64, 65, 255, 256, 257, 1000, 100_003]
ULPS = {"float32": 4, "float64": 4}  # at most this many units in the last place between two bodies
NEAR_ZERO = {"float32": 5e-7, "float64": 1e-15}  # or this far apart


def assert_close(ours, theirs, dtype):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.dtype == theirs.dtype == dtype
    apart = np.abs(ours.astype(float) - theirs.astype(float))
    allowed = np.maximum(ULPS[dtype] * np.spacing(np.abs(theirs)), NEAR_ZERO[dtype])
    assert np.all(apart <= allowed), (apart / allowed).max()


def parameters(n, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=n).astype(dtype)


def test_numpy_arrays_get_the_compiled_bodies_and_others_the_meaning(strict):
    for name in ("perturb", "noise_dot", "adam"):
        kernel, body = getattr(kernels, name), getattr(cpu, name)
        assert kernel.meaning is getattr(reference, name)
        for array in (np.zeros(3, np.float32), np.float64(1)):
            assert kernel.body(array, array) is body
        for array in (to_device([1.0], strict), np.zeros(3, np.int64)):
            assert kernel.body(array, array) is None


def test_cupy_arrays_of_floats_get_the_cuda_bodies_where_numba_cuda_is_installed(monkeypatch):
    arrays = {name: SimpleNamespace(dtype=np.dtype(name)) for name in ("float32", "float64", "int64")}
    monkeypatch.setattr(_dispatch, "is_cupy", lambda array: array in arrays.values())
    for installed, expected in ((True, "cuda"), (False, None)):
        monkeypatch.setattr(_dispatch, "_has_numba_cuda", lambda installed=installed: installed)
        assert platform(arrays["float32"]) == platform(arrays["float64"]) == expected
        assert platform(arrays["int64"]) is None


def test_a_kernel_runs_its_meaning_where_its_body_does_not_fit():
    kernel = Kernel(lambda x, n: (x, n), lambda x, n: n > 0, cpu="mcgc.kernels.reference:noise_dot")
    assert kernel.body(np.zeros(1), 1) is reference.noise_dot
    assert kernel.body(np.zeros(1), 0) is None
    assert kernel(np.float64(2), 0) == (2, 0)


def test_compiled_words_are_the_same_integers():
    for key in (Key(0), Key(2**64 - 1), Key(0x0123_4567_89AB_CDEF)):
        expected = bits(key, 5 * TILE).reshape(5, 4, 64)
        for tile in range(5):
            noise, words = np.empty((4, 64), np.float32), np.empty((4, 64), np.uint32)
            cpu._fill(noise, words, tile, *cpu._key_words(key))
            np.testing.assert_array_equal(words, expected[tile])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_noise_is_the_meaning_s_to_a_few_ulps(dtype):
    theta = np.zeros(400_000, dtype)
    noise, _ = cpu.perturb(theta, 1.0, Key(3))
    assert_close(noise, normal(Key(3), theta.shape, dtype), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_normal_transform_holds_at_the_ends_of_its_range(dtype):
    edges = [0, 1, 2, 2**30 - 1, 2**30, 2**31 - 1, 2**31, 3 * 2**30, 2**32 - 129, 2**32 - 2, 2**32 - 1]
    transform = njit(lambda b, c, like: cpu._pair(b, c, like))
    for b in edges:
        for c in edges:
            z = transform(np.uint32(b), np.uint32(c), np.zeros(1, dtype)[0])
            u = (float(np.dtype(dtype).type(b)) + 0.5) * 2.0**-32
            radius, angle = (
                math.sqrt(-2 * math.log(min(u, 1.0))),
                2 * math.pi * ((c >> 30) + (c % 2**30 - 2**29 + 0.5) / 2**30) / 4,
            )
            expected = radius * math.cos(angle), radius * math.sin(angle)
            assert z == pytest.approx(expected, rel=1e-6, abs=5e-7)


def test_compiled_noise_is_normal():
    z = cpu.perturb(np.zeros(200_000, np.float32), 1.0, Key(5))[0].astype(float)
    for power, (mean, variance) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}.items():
        assert abs((z**power).mean() - mean) / math.sqrt(variance / z.size) < 4
    assert stats.kstest(z, "norm").pvalue > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_perturb_and_noise_dot_agree_with_their_meaning_at_every_size(n, dtype):
    theta, scale = parameters(n, dtype), np.dtype(dtype).type(0.3)
    ours, theirs = (body.perturb(theta, scale, Key(n)) for body in (cpu, reference))
    assert_close(ours[0], theirs[0], dtype)
    tolerance = {"float32": 2e-6, "float64": 1e-13}[dtype]
    np.testing.assert_allclose(ours[1], theirs[1], rtol=tolerance)
    eps = normal(Key(n), (n,), dtype).astype(float)
    assert cpu.noise_dot(theta, Key(n)) == pytest.approx(eps @ theta.astype(float), abs=tolerance * (1 + n) ** 0.5)
    assert type(ours[1]) is type(cpu.noise_dot(theta, Key(n))) is np.dtype(dtype).type


def test_the_squared_norm_of_many_float32_numbers_is_exact_to_rounding():
    n = 3_000_000
    noise, sqnorm = cpu.perturb(np.zeros(n, np.float32), 1.0, Key(6))
    assert sqnorm == pytest.approx(np.sum(noise.astype(float) ** 2), rel=3e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (257,), (3, 5)])
def test_adam_agrees_with_its_meaning_and_its_formula(shape, dtype):
    theta, gradient, mean = (np.asarray(parameters(shape, dtype, seed)) for seed in range(3))
    square = mean * mean
    options = (7, 0.01, 0.9, 0.999, 1e-8)
    ours, theirs = (body.adam(theta, gradient, mean, square, *options) for body in (cpu, reference))
    t, g, m, v = (x.astype(float) for x in (theta, gradient, mean, square))
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    formula = t - 0.01 * (m / (1 - 0.9**7)) / (np.sqrt(v / (1 - 0.999**7)) + 1e-8), m, v
    for a, b, c in zip(ours, theirs, formula, strict=True):
        assert_close(a, b, dtype)
        np.testing.assert_allclose(a, c, rtol={"float32": 2e-5, "float64": 1e-13}[dtype], atol=1e-7)


def test_calls_repeat_their_bits_and_mutate_nothing():
    theta, gradient, mean = (parameters(1000, np.float32, seed) for seed in range(3))
    square = mean * mean
    for array in (theta, gradient, mean, square):
        array.flags.writeable = False
    for call in (
        lambda: cpu.perturb(theta, np.float32(0.1), Key(1)),
        lambda: (cpu.noise_dot(gradient, Key(1)),),
        lambda: cpu.adam(theta, gradient, mean, square, 1, 0.1, 0.9, 0.999, 1e-8),
    ):
        for a, b in zip(call(), call(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_arrays_that_are_not_contiguous_are_read_as_they_are():
    theta = parameters(2000, np.float32)[::2]
    np.testing.assert_array_equal(
        cpu.perturb(theta, 0.5, Key(1))[0], cpu.perturb(np.ascontiguousarray(theta), 0.5, Key(1))[0]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_meaning_runs_on_a_device_without_implicit_transfers(away, dtype):
    theta = to_device(parameters(300, dtype), away)
    perturbed, sqnorm = reference.perturb(theta, to_device(0.5, away, dtype), Key(2))
    expected = reference.perturb(parameters(300, dtype), np.dtype(dtype).type(0.5), Key(2))
    assert_close(to_host(perturbed), expected[0], dtype)
    np.testing.assert_allclose(to_host(sqnorm), expected[1], rtol=1e-6)
    new = reference.adam(theta, theta, theta * 0, theta * 0, 1, 0.1, 0.9, 0.999, 1e-8)
    assert all(x.dtype == theta.dtype for x in new)


def test_no_warning_escapes_from_extreme_gradients():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theta = np.ones(3, np.float32)
        huge = np.full(3, 1e30, np.float32)
        new, _, square = cpu.adam(theta, huge, 0 * theta, 0 * theta, 1, 0.1, 0.9, 0.999, 1e-8)
        assert np.isinf(square).all()
        np.testing.assert_array_equal(new, theta)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_members_have_noise_of_their_own_keys_in_one_call(device, dtype):
    keys, theta = (Key(1), Key(2), Key(3)), parameters((3, 300), dtype)
    there, scale = to_device(theta, device), to_device([0.1, 0.2, 0.3], device, dtype)
    moved, sqnorm = kernels.perturb(there, scale, keys)
    dots = kernels.noise_dot(there, keys)
    assert (moved.shape, sqnorm.shape, dots.shape) == ((3, 300), (3,), (3,))
    for i, key in enumerate(keys):
        alone, of_alone = kernels.perturb(there[i, ...], scale[i], key)
        np.testing.assert_array_equal(to_host(moved)[i], to_host(alone))
        np.testing.assert_array_equal(to_host(sqnorm)[i], to_host(of_alone))
        np.testing.assert_array_equal(to_host(dots)[i], to_host(kernels.noise_dot(there[i, ...], key)))


def test_members_of_adam_may_have_rates_of_their_own(strict):
    theta, rates = to_device(parameters((3, 5), "float64"), strict), to_device([[0.1], [0.2], [0.3]], strict)
    new = reference.adam(theta, theta, theta * 0, theta * 0, 1, rates, 0.9, 0.999, 1e-8)[0]
    for i, rate in enumerate((0.1, 0.2, 0.3)):
        row = theta[i, ...]
        alone = reference.adam(row, row, row * 0, row * 0, 1, rate, 0.9, 0.999, 1e-8)[0]
        np.testing.assert_allclose(to_host(new)[i], to_host(alone), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adam_takes_subnormal_numbers_for_zeros_and_nothing_else_does(dtype):
    limits, kind = np.finfo(dtype), np.dtype(dtype).type
    gradient = np.geomspace(limits.smallest_subnormal, 1, 1000, dtype=dtype)
    options = (3, 0.01, 0.9, 0.999, 1e-8)
    ours, theirs = (body.adam(0 * gradient, gradient, gradient, gradient, *options) for body in (cpu, reference))
    for a, b, unit in zip(ours, theirs, (1e8, 1, 1), strict=True):
        np.testing.assert_allclose(a, b, rtol=16 * limits.eps, atol=3 * unit * limits.smallest_normal)
        assert not ((a != 0) & (abs(a) < limits.smallest_normal)).any()
    assert kind(limits.smallest_normal) / kind(2) > 0
