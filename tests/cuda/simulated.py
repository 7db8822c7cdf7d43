"""The CUDA kernels in Numba's simulator, on NumPy arrays: `test_cuda.py` runs this with NUMBA_ENABLE_CUDASIM=1."""

import math

import numpy as np
import pytest
from numba import config, cuda

from mcgc.errors import InputError
from mcgc.kernels import cuda as kernels
from mcgc.kernels import reference
from mcgc.random import TILE, Key, bits, normal, philox, split, words

# what a thread that adds or multiplies in 32 bits means to do
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in scalar:RuntimeWarning")

SIZES = [0, 1, 2, 3, 5, 63, 65, 257, 1000]
ULPS, NEAR_ZERO = 4, {"float32": 5e-7, "float64": 1e-15}  # between two bodies, as those of the CPU are held to
SUMS = 16  # ulps of the largest number that sums may differ by, as mcgc.checks.kernels has it
GUARD = 17.0
SETTINGS = (7, 0.01, 0.9, 0.999, 1e-8)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Make blocks that divide no size, and fewer than it takes to go over the arrays once."""
    assert config.ENABLE_CUDASIM
    monkeypatch.setattr(kernels, "THREADS", 8)
    monkeypatch.setattr(kernels, "BLOCKS", 3)
    monkeypatch.setattr(kernels, "MEMBERS", 2)
    launch = lambda kernel, blocks, *arguments: cuda.jit(kernel)[blocks, kernels.THREADS](*arguments)
    monkeypatch.setattr(kernels, "_launch", launch)


@pytest.fixture(autouse=True)
def guards(monkeypatch):
    """Allocate between guards, and see that they are as they were."""
    owned = []

    def guarded(shape, like):
        whole = np.full(math.prod(shape) + 2 * 64, GUARD, like.dtype)
        owned.append(whole)
        return whole[64:-64].reshape(shape)

    monkeypatch.setattr(kernels, "empty", guarded)
    yield owned
    assert owned
    for whole in owned:
        assert (whole[:64] == GUARD).all()
        assert (whole[-64:] == GUARD).all()


def between_guards(array):
    """Return a copy of the array with other numbers before and after it, which a sum or a move would show."""
    whole = np.full(array.size + 2 * 64, np.nan, array.dtype)
    whole[64:-64] = array.ravel()
    return whole[64:-64].reshape(array.shape)


def parameters(shape, dtype, seed=0):
    return between_guards(np.random.default_rng(seed).normal(size=shape).astype(dtype))


def assert_close(ours, theirs, dtype):
    assert (ours.shape, ours.dtype, theirs.dtype) == (theirs.shape, dtype, dtype)
    apart = np.abs(ours.astype(float) - theirs.astype(float))
    assert np.all(apart <= np.maximum(ULPS * np.spacing(np.abs(theirs)), NEAR_ZERO[dtype]))


def assert_sum(ours, theirs, terms):
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    unit = np.finfo(theirs.dtype).eps * max(float(np.sum(np.abs(terms))), 1.0)
    assert abs(float(ours) - float(theirs)) <= SUMS * unit


@cuda.jit
def _write_words(out, first, key):
    block = first + cuda.threadIdx.x
    for i, word in enumerate(kernels._words(block, key)):
        out[i, cuda.threadIdx.x] = word


@pytest.mark.parametrize("key", [Key(0), Key(2**64 - 1), Key(0x0123_4567_89AB_CDEF)], ids=str)
def test_words_are_the_same_integers(key, guards):
    guards.append(np.full(128, GUARD))  # of which this makes none
    found = np.zeros((4, 64), np.uint32)
    for tile in (0, 3):
        _write_words[1, 64](found, np.int64(tile * 64), np.uint64(key.bits))
        np.testing.assert_array_equal(found, bits(key, 4 * TILE).reshape(4, 4, 64)[tile])


def test_words_past_32_bits_of_the_counter_are_those_of_philox(guards):
    guards.append(np.full(128, GUARD))
    found, first = np.zeros((4, 1), np.uint32), 2**32 + 5
    _write_words[1, 1](found, np.int64(first), np.uint64(77))
    assert tuple(found[:, 0]) == philox((5, 1, 0, 0), words(Key(77)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_perturb_and_noise_dot_agree_with_their_meaning_at_every_size(n, dtype):
    theta, scale, key = parameters(n, dtype), np.asarray(0.3, dtype), Key(n)
    ours, theirs = (body.perturb(theta, scale, key) for body in (kernels, reference))
    eps = normal(key, (n,), dtype)
    assert_close(ours[0], theirs[0], dtype)
    assert_sum(ours[1], theirs[1], eps * eps)
    assert_sum(kernels.noise_dot(theta, key), reference.noise_dot(theta, key), eps * theta)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m", [0, 1, 65, 300])
def test_a_member_has_the_bits_that_it_has_alone(m, dtype):
    keys, scales = [*split(Key(m), 4), Key(m)], np.asarray([0.0, 0.1, 2.0, 0.3, -1.0], dtype)  # 5 in launches of 2
    theta = parameters((5, m), dtype, seed=m)
    perturbed, sqnorms = kernels.perturb(theta, scales, keys)
    dots = kernels.noise_dot(theta, tuple(keys))
    assert (perturbed.shape, sqnorms.shape, dots.shape) == ((5, m), (5,), (5,))
    for i, key in enumerate(keys):
        alone = kernels.perturb(theta[i], scales[i], key)
        np.testing.assert_array_equal(perturbed[i], alone[0])
        np.testing.assert_array_equal(sqnorms[i], alone[1])
        np.testing.assert_array_equal(dots[i], kernels.noise_dot(theta[i], key))
        meaning = reference.perturb(theta[i], scales[i], key)
        assert_close(perturbed[i], meaning[0], dtype)
        assert_sum(sqnorms[i], meaning[1], meaning[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2,), (3,), (5,), (257,), (3, 5)], ids=str)
def test_adam_agrees_with_its_meaning(shape, dtype):
    theta, gradient, mean = (parameters(shape, dtype, seed) for seed in range(3))
    arrays = (theta, gradient, mean, between_guards(mean * mean))
    for ours, theirs in zip(kernels.adam(*arrays, *SETTINGS), reference.adam(*arrays, *SETTINGS), strict=True):
        assert_close(ours, np.asarray(theirs), dtype)


def test_calls_repeat_their_bits_and_mutate_nothing():
    arrays = [parameters(300, np.float32, seed) for seed in range(3)]
    arrays.append(between_guards(arrays[2] ** 2))
    before = [array.copy() for array in arrays]
    for call in (
        lambda: kernels.perturb(arrays[0], 0.1, Key(1)),
        lambda: (kernels.noise_dot(arrays[1], Key(1)),),
        lambda: kernels.adam(*arrays, *SETTINGS),
    ):
        for a, b in zip(call(), call(), strict=True):
            np.testing.assert_array_equal(a, b)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_arrays_that_are_not_contiguous_are_read_as_they_are():
    wide = parameters((4, 70), np.float32)
    for array, key in ((wide[0, ::2], Key(1)), (wide[:, ::3].T, split(Key(1), 24))):
        ours, theirs = (kernels.perturb(x, 0.5, key)[0] for x in (array, np.ascontiguousarray(array)))
        np.testing.assert_array_equal(ours, theirs)


def test_a_number_and_an_array_give_the_same_scale():
    theta = parameters(70, np.float32)
    for a, b in zip(kernels.perturb(theta, 0.3, Key(1)), kernels.perturb(theta, np.float64(0.3), Key(1)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "spoil",
    [lambda x: x[:-1], lambda x: x[:1], lambda x: x[None], lambda x: x.astype(np.float64), lambda x: x.astype(int)],
)
def test_arrays_that_do_not_fit_are_refused_and_never_read(spoil, guards):
    guards.append(np.full(128, GUARD))
    arrays = [parameters(300, np.float32, seed) for seed in range(4)]
    for place in range(4):
        spoiled = [spoil(x) if i == place else x for i, x in enumerate(arrays)]
        with pytest.raises(InputError, match="give one like theta"):
            kernels.adam(*spoiled, *SETTINGS)


@pytest.mark.parametrize(
    ("shape", "dtype", "key"),
    [((3, 5), "float32", Key(0)), ((3, 5), "float32", split(Key(0))), ((5,), "float32", 7), ((5,), "int64", Key(0))],
)
def test_noise_that_does_not_fit_is_one_sentence(shape, dtype, key, guards):
    guards.append(np.full(128, GUARD))
    for call in (lambda x: kernels.perturb(x, 1.0, key), lambda x: kernels.noise_dot(x, key)):
        with pytest.raises(InputError, match="noise"):
            call(np.zeros(shape, dtype))


def test_a_scale_for_every_key_is_asked_for(guards):
    guards.append(np.full(128, GUARD))
    with pytest.raises(InputError, match="a scale for each of the 2 keys"):
        kernels.perturb(parameters((2, 3), np.float32), np.float32(1), split(Key(0)))
