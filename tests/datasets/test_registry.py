"""Datasets by name: the cache, and what happens without one."""

import numpy as np
import pytest
from mcgc_datasets import load, lorenz, read_series, registry, write_series

from mcgc.errors import DatasetError


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Give the path where the cache keeps the Lorenz data, in a home of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mcgc" / "datasets" / "lorenz.h5"


def count_builds(monkeypatch):
    calls = []
    entry = registry._ENTRIES["lorenz"]
    build = lambda: calls.append(1) or lorenz.build()
    monkeypatch.setitem(registry._ENTRIES, "lorenz", entry._replace(build=build))
    return calls


def test_first_load_builds_and_the_second_reads_the_same(cached, monkeypatch):
    builds = count_builds(monkeypatch)
    first, second = load("lorenz"), load("lorenz")
    assert len(builds) == 1
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.source == str(cached)
    assert [file.name for file in cached.parent.iterdir()] == ["lorenz.h5"]


@pytest.mark.parametrize("keep", [0, 5, 3000])
def test_a_damaged_cached_file_is_built_again(cached, keep):
    whole = load("lorenz")
    cached.write_bytes(cached.read_bytes()[:keep])
    assert load("lorenz").sha256 == whole.sha256
    assert read_series(cached, "lorenz", 3, 2).sha256 == whole.sha256


def test_without_a_writable_cache_the_data_are_built_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "writable"))
    kept = load("lorenz")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    data = load("lorenz")
    assert data.source == "built in memory"
    assert data.sha256 == kept.sha256


def test_a_failed_write_to_the_cache_leaves_no_temporary_file(cached):
    cached.mkdir(parents=True)  # a directory cannot be replaced by a file
    assert load("lorenz").source == "built in memory"
    assert list(cached.parent.iterdir()) == [cached]


def test_a_given_path_is_read_and_the_cache_left_alone(cached, tmp_path):
    path = tmp_path / "mine.h5"
    write_series(path, "lorenz", np.arange(2.0), np.ones((3, 2)), np.ones((3, 2, 3)))
    assert load("lorenz", path).series.shape == (3, 2, 3)
    assert not cached.exists()


def test_an_unknown_problem_is_an_error_that_lists_the_known_ones():
    with pytest.raises(DatasetError, match=r"'nothing': choose one of .*lorenz"):
        load("nothing")
