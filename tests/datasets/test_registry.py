"""Datasets by name: the cache, datasets without a cache, and what is made or imported."""

import stat

import h5py
import numpy as np
import pytest
from mcgc_datasets import (
    import_published,
    load,
    lorenz,
    make,
    mnist_bytes,
    problem_of,
    read_mnist,
    read_series,
    registry,
    write_series,
)

from mcgc.errors import DatasetError, InputError, OutputError
from mcgc.train import problems


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


def test_a_problem_that_comes_with_mcgc_has_the_data_of_its_name(cached, published):
    problem = problems.get("mnist")
    assert load(problem).sha256 == load("mnist").sha256
    own = problem._replace(load=lambda path: "of its own")
    assert load(own) == "of its own"
    with pytest.raises(InputError, match="the problem 'mnist' has no data of its own"):
        load(problem._replace(summary="another"))


def test_an_unknown_problem_is_an_error_that_lists_the_known_ones():
    with pytest.raises(DatasetError, match=r"'nothing': choose one of .*lorenz"):
        load("nothing")


def digits(count=3):
    images = np.arange(count * 784, dtype=np.uint8).reshape(count, 28, 28)
    return images, np.arange(count, dtype=np.uint8), images[:1], np.zeros(1, np.uint8)


@pytest.fixture
def published(monkeypatch):
    """Make the download of MNIST give three images; return a list with one entry a download."""
    downloads = []
    entry = registry._ENTRIES["mnist"]._replace(build=lambda: downloads.append(1) or digits())
    monkeypatch.setitem(registry._ENTRIES, "mnist", entry)
    return downloads


def test_mnist_is_downloaded_once_and_then_read_from_the_cache(cached, published):
    first, second = load("mnist"), load("mnist")
    assert len(published) == 1
    assert first.source == second.source == str(cached.with_name("mnist.h5"))
    assert first.sha256 == second.sha256
    np.testing.assert_array_equal(first.images, second.images)
    assert first.num_examples == 3


def test_imported_data_are_loaded_without_a_download(cached, published, tmp_path):
    (tmp_path / "mine.h5").write_bytes(mnist_bytes(*digits(5)))
    taken = import_published("mnist", tmp_path / "mine.h5")
    assert taken.source == str(cached.with_name("mnist.h5"))
    assert load("mnist").num_examples == 5
    assert published == []


def test_computed_data_cannot_be_imported(cached, tmp_path):
    with pytest.raises(DatasetError, match="mcgc data make lorenz"):
        import_published("lorenz", tmp_path)


def test_unusable_data_are_not_imported(cached, tmp_path):
    (tmp_path / "mine.h5").write_bytes(b"junk")
    with pytest.raises(DatasetError, match="not an HDF5 file"):
        import_published("mnist", tmp_path / "mine.h5")
    assert not cached.parent.exists()


@pytest.mark.parametrize("problem", ["mnist", "lotka-volterra", "lorenz"])
def test_a_made_file_is_read_and_names_its_problem(cached, published, tmp_path, problem):
    made = make(problem, tmp_path / "made.h5")
    assert problem_of(tmp_path / "made.h5") == problem
    read = load(problem, tmp_path / "made.h5")
    assert read.sha256 == made.sha256
    for ours, theirs in zip(made[:-2], read[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not cached.parent.exists()


def test_making_follows_a_link_and_respects_the_umask(cached, published, tmp_path):
    (tmp_path / "link.h5").symlink_to(tmp_path / "there.h5")
    make("mnist", tmp_path / "link.h5")
    assert (tmp_path / "link.h5").is_symlink()
    assert read_mnist(tmp_path / "there.h5").num_examples == 3
    (tmp_path / "plain").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("there.h5", "plain")]
    assert modes[0] == modes[1]


def test_a_file_in_place_of_a_directory_is_refused(published, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written \(Not a directory\)"):
        make("mnist", tmp_path / "file" / "made.h5")


@pytest.mark.parametrize("problem", [None, "unheard-of", 3])
def test_a_file_that_does_not_name_its_problem_is_refused(tmp_path, problem):
    with h5py.File(tmp_path / "mute.h5", "w") as file:
        if problem is not None:
            file.attrs["problem"] = problem
    with pytest.raises(DatasetError, match="with --problem"):
        problem_of(tmp_path / "mute.h5")
