"""Random numbers: known answers, purity, and distributions by z-scores with fixed seeds."""

import math
import sys

import numpy as np
import pytest
from scipy import stats

from mcgc import random
from mcgc.arrays import HOST, to_host
from mcgc.errors import InputError
from mcgc.random import Key, bits, fold_in, normal, permutation, philox, split, uniform

KNOWN_ANSWERS = [  # Random123 (Salmon et al. 2011): counter, key, output
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
N = 200_000


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers_on_integers_and_arrays(counter, key, output):
    assert philox(counter, key) == output
    arrays = philox(*([np.full(3, word, np.uint64) for word in words] for words in (counter, key)))
    np.testing.assert_array_equal(np.stack(arrays, axis=1), [output] * 3)


def test_words_come_in_tiles_of_the_block_numbers():
    key = Key(0x1234_5678_9ABC_DEF0)
    drawn = bits(key, 1000)
    assert drawn.dtype == np.uint32
    for i in (0, 1, 63, 64, 255, 256, 700, 999):
        tile, place = divmod(i, 256)
        lane, block = divmod(place, 64)
        assert drawn[i] == philox((64 * tile + block, 0, 0, 0), (0x9ABC_DEF0, 0x1234_5678))[lane]


@pytest.mark.parametrize("draw", [normal, uniform])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_element_depends_on_its_place_alone(draw, dtype):
    long = draw(Key(1), (1000,), dtype)
    assert long.dtype == dtype
    for n in (0, 1, 2, 63, 64, 255, 256, 257, 999):
        np.testing.assert_array_equal(draw(Key(1), (n,), dtype), long[:n])
    np.testing.assert_array_equal(draw(Key(1), (10, 4, 25), dtype).ravel(), long)
    assert draw(Key(1), (), dtype) == long[0]


def test_every_device_draws_the_same_integers(away):
    np.testing.assert_array_equal(to_host(bits(Key(3), 777, away)), bits(Key(3), 777))
    np.testing.assert_array_equal(to_host(permutation(Key(3), 77, away)), permutation(Key(3), 77))
    np.testing.assert_array_equal(to_host(uniform(Key(3), (777,), "float32", away)), uniform(Key(3), (777,)))
    np.testing.assert_allclose(to_host(normal(Key(3), (777,), "float32", away)), normal(Key(3), (777,)), atol=5e-7)


def test_float32_noise_is_float64_noise_to_rounding():
    single, double = normal(Key(2), (N,)), normal(Key(2), (N,), "float64")
    # where u is close to 1 the radius is small and holds the rounding of the word to float32
    assert np.max(np.abs(single - double)) < 1e-4
    assert np.quantile(np.abs(single - double), 0.999) < 2e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_have_normal_moments_and_distribution(dtype):
    z = normal(Key(4), (N,), dtype).astype(float)
    for power, (mean, variance) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}.items():
        assert abs((z**power).mean() - mean) / math.sqrt(variance / N) < 4
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert stats.kstest(z[:256], "norm").pvalue > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_numbers_have_uniform_moments_and_distribution(dtype):
    u = uniform(Key(5), (N,), dtype).astype(float)
    assert 0 <= u.min() < u.max() < 1
    assert abs(u.mean() - 1 / 2) * math.sqrt(12 * N) < 4
    assert abs(u.var() - 1 / 12) * math.sqrt(180 * N) < 4
    assert stats.kstest(u, "uniform").pvalue > 1e-3


def test_words_of_neighbouring_places_keys_and_streams_are_uncorrelated():
    key = Key(6)
    z = normal(key, (N,), "float64")
    others = [
        normal(fold_in(key, 0), (N,), "float64"),
        normal(fold_in(key, 1), (N,), "float64"),
        normal(fold_in(fold_in(key, 1), 0), (N,), "float64"),
        normal(split(key)[0], (N,), "float64"),
        normal(Key(7), (N,), "float64"),
        *(np.roll(z, lag) for lag in (1, 2, 63, 64, 128, 255, 256)),
        *(np.roll(z**2 - 1, lag) for lag in (64, 128)),
    ]
    for other in others:
        assert abs(np.mean(z * other)) / (z.std() * other.std()) * math.sqrt(N) < 4


@pytest.mark.parametrize("key", [Key(3), split(Key(1), 3)], ids=["one", "several"])
def test_a_permutation_sorts_pairs_of_words_and_leaves_equal_ones_in_order(key, monkeypatch):
    for n in (0, 1, 77, 5000):
        words = bits(key, 2 * n).astype(np.uint64)
        expected = np.argsort(words[..., :n] * 2**32 + words[..., n:], stable=True)
        np.testing.assert_array_equal(permutation(key, n), expected)
    equal = lambda key, n, device: bits(key, n, device) % 2
    monkeypatch.setattr(random, "bits", equal)
    words = equal(key, 1000, HOST)
    expected = np.argsort(2 * words[..., :500] + words[..., 500:], stable=True)
    np.testing.assert_array_equal(permutation(key, 500), expected)


def test_permutations_are_permutations_and_uniform():
    assert sorted(permutation(Key(8), 1000).tolist()) == list(range(1000))
    counts: dict = {}
    for i in range(3000):
        order = tuple(permutation(fold_in(Key(9), i), 4).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_derived_keys_differ_from_each_other_and_repeat():
    key = Key(10)
    derived = [key, *(fold_in(key, i) for i in range(100)), *split(key, 100), fold_in(Key(11), 0)]
    assert len(set(derived)) == len(derived)
    assert fold_in(key, 5) == fold_in(Key(10), 5)
    assert split(key, 2) == split(key, 3)[:2]


def test_keys_and_words_are_those_of_the_definition_where_the_compiled_generator_is_there(monkeypatch):
    from mcgc.kernels import cpu_philox

    def drawn():
        keys = [Key(0), Key(2**64 - 1), Key(0x0123456789ABCDEF)]
        lengths = 0, 1, 255, 256, 257, 3000
        derived = [(fold_in(key, data), split(key, 3)) for key in keys for data in (0, 7, 2**64 - 1)]
        return derived, [bits(key, n).tolist() for key in keys for n in lengths]

    compiled = drawn()
    assert bits(Key(0), 3).dtype == np.uint32
    monkeypatch.delitem(sys.modules, cpu_philox.__name__)
    assert drawn() == compiled


@pytest.mark.parametrize("bad", [-1, 2**64, 1.5, True, "1"])
def test_seeds_and_data_that_are_no_64_bit_integers_are_one_sentence(bad):
    with pytest.raises(InputError, match="must be a whole number from 0"):
        normal(Key(bad), (2,))
    with pytest.raises(InputError, match="must be a whole number from 0"):
        fold_in(Key(0), bad)


def test_a_dtype_that_is_not_floating_is_one_sentence():
    with pytest.raises(InputError, match="float32 or float64"):
        normal(Key(0), (2,), "int32")


def test_a_tuple_of_keys_draws_for_each_member_what_its_key_draws_alone(device):
    keys = (Key(12), fold_in(Key(12), 1), Key(2**64 - 1))
    for n in (0, 1, 300):
        for draw in (
            lambda key, n=n: bits(key, n, device),
            lambda key, n=n: normal(key, (n,), "float32", device),
            lambda key, n=n: normal(key, (n, 2), "float64", device),
            lambda key, n=n: permutation(key, n, device),
        ):
            np.testing.assert_array_equal(to_host(draw(keys)), np.stack([to_host(draw(key)) for key in keys]))
    assert fold_in(keys, 5) == tuple(fold_in(key, 5) for key in keys)


@pytest.mark.parametrize("key", [0, None, "a", 1.5])
def test_what_is_no_key_is_one_sentence(key):
    for draw in (
        lambda: fold_in(key, 1),
        lambda: fold_in((Key(0), key), 1),
        lambda: split(key),
        lambda: bits(key, 3),
        lambda: normal(key, (3,)),
        lambda: uniform(key, (3,)),
        lambda: permutation(key, 3),
    ):
        with pytest.raises(InputError, match=r"a key is made by Key\(seed\)"):
            draw()
