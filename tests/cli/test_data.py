"""`mcgc data`: datasets are made, imported, described and checked, and mistakes are answered."""

import json
import os

import h5py
import numpy as np
import pytest
from mcgc_datasets import mnist_bytes, read_mnist, registry, write_series
from mcgc_datasets.series import series_bytes

from mcgc.errors import DatasetError

IMAGES, LABELS = np.arange(4 * 784, dtype=np.uint8).reshape(4, 28, 28), np.arange(4, dtype=np.uint8)
SERIES = np.arange(3.0), np.ones((4, 2)), np.ones((4, 3, 3))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give the cache of datasets, in a home of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "mcgc" / "datasets"


@pytest.fixture
def quick(monkeypatch):
    """Make the data of lorenz be four series, without an integration."""
    monkeypatch.setitem(registry._ENTRIES, "lorenz", registry._ENTRIES["lorenz"]._replace(build=lambda: SERIES))


def digits(path):
    path.write_bytes(mnist_bytes(IMAGES, LABELS, IMAGES[:2], LABELS[:2]))


def test_make_writes_to_the_cache_and_describes_it(mcgc, quick, cache):
    result = mcgc("data", "make", "lorenz")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = dict(line.split(None, 1) for line in result.stdout.splitlines())
    assert lines["problem"] == "lorenz"
    assert lines["file"] == str(cache / "lorenz.h5")
    assert lines["series"] == "4 × 3 × 3 float64"
    assert registry.load("lorenz").sha256 == lines["sha256"]


def test_make_writes_to_the_file_that_is_named(mcgc, quick, cache, tmp_path):
    result = mcgc("data", "make", "lorenz", "-o", "new.h5", "--json")
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout) == {
        "problem": "lorenz",
        "file": "new.h5",
        "sha256": registry.load("lorenz", "new.h5").sha256,
        "arrays": {
            "times": {"shape": [3], "dtype": "float64"},
            "parameters": {"shape": [4, 2], "dtype": "float64"},
            "series": {"shape": [4, 3, 3], "dtype": "float64"},
        },
    }
    assert not cache.exists()


def test_a_file_that_exists_is_replaced_only_by_force(mcgc, quick, tmp_path):
    (tmp_path / "have.h5").write_text("precious")
    result = mcgc("data", "make", "lorenz", "-o", "have.h5")
    assert result.exit_code == 2
    assert "exists: choose another name, or replace it with --force" in result.stderr
    assert (tmp_path / "have.h5").read_text() == "precious"
    assert mcgc("data", "make", "lorenz", "-o", "have.h5", "--force").exit_code == 0
    assert registry.load("lorenz", "have.h5").num_examples == 4


def test_a_cache_that_cannot_be_written_is_one_sentence(mcgc, quick, tmp_path):
    (tmp_path / "home").touch()
    result = mcgc("data", "make", "lorenz")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot be written" in result.stderr
    assert "--output" in result.stderr


def test_mnist_is_imported_from_an_hdf5_file(mcgc, cache, tmp_path):
    digits(tmp_path / "mine.h5")
    result = mcgc("data", "import", "mnist", "--from", "mine.h5")
    assert result.exit_code == 0
    assert "images       4 × 28 × 28 uint8" in result.stdout.splitlines()
    np.testing.assert_array_equal(read_mnist(cache / "mnist.h5").labels, LABELS)


def test_mnist_is_imported_from_a_directory(mcgc, cache, tmp_path):
    for name, array in {
        "train-images-idx3": IMAGES,
        "train-labels-idx1": LABELS,
        "t10k-images-idx3": IMAGES[:1],
        "t10k-labels-idx1": LABELS[:1],
    }.items():
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        (tmp_path / f"{name}-ubyte").write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())
    assert mcgc("data", "import", "mnist", "--from", ".", "-o", "new.h5").exit_code == 0
    np.testing.assert_array_equal(read_mnist("new.h5").images, IMAGES)
    assert not cache.exists()


def test_info_describes_a_file(mcgc, tmp_path):
    digits(tmp_path / "mine.h5")
    found = json.loads(mcgc("data", "info", "mine.h5", "--json").stdout)
    assert found["problem"] == "mnist"
    assert found["arrays"]["test_labels"] == {"shape": [2], "dtype": "uint8"}


def test_info_of_a_file_without_attributes_needs_the_problem(mcgc, tmp_path):
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file.update(dict(zip(("times", "parameters", "series"), SERIES, strict=True)))
    result = mcgc("data", "info", "bare.h5")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "name it with --problem" in result.stderr
    assert mcgc("data", "info", "bare.h5", "--problem", "lorenz").exit_code == 0


def test_validate_passes_a_good_file(mcgc, tmp_path):
    write_series("good.h5", "lorenz", *SERIES)
    result = mcgc("data", "validate", "good.h5")
    assert (result.exit_code, result.stdout) == (0, "lorenz can be trained on good.h5\n")
    result = mcgc("data", "validate", "good.h5", "--problem", "lorenz", "--json")
    assert json.loads(result.stdout) == {"file": "good.h5", "problem": "lorenz", "valid": True, "reason": None}


@pytest.mark.parametrize("arguments", [["junk.h5"], ["short.h5"], ["good.h5", "--problem", "mnist"]])
def test_validate_fails_a_bad_file_with_status_1_and_the_reason(mcgc, tmp_path, arguments):
    (tmp_path / "junk.h5").write_text("not hdf5")
    write_series("good.h5", "lorenz", *SERIES)
    (tmp_path / "short.h5").write_bytes(series_bytes("lorenz", *(array[:1] for array in SERIES)))
    plain, structured = (mcgc("data", "validate", *arguments, *more) for more in ([], ["--json"]))
    assert plain.exit_code == structured.exit_code == 1
    assert plain.stdout == ""
    assert plain.stderr == structured.stderr
    assert plain.stderr.count("\n") == 1
    found = json.loads(structured.stdout)
    assert not found["valid"]
    assert plain.stderr == f"mcgc: {found['reason']}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("make nothing", "unknown problem 'nothing': choose one of mnist, lotka-volterra, lorenz"),
        ("make lorenz -o no/such/new.h5", "No such file or directory"),
        ("import mnist", "Missing option '--from'"),
        ("import mnist --from missing", "does not exist"),
        ("import mnist --from .", "train-images-idx3-ubyte.gz' does not exist"),
        ("import lorenz --from .", "mcgc data make lorenz"),
        ("info missing.h5", "does not exist"),
        ("info .", "is a directory"),
        ("validate missing.h5", "does not exist"),
        ("validate .", "is a directory"),
        ("validate junk.h5 --problem nothing", "unknown problem 'nothing'"),
        ("nothing", "No such command 'nothing'"),
    ],
)
def test_a_mistake_gets_one_sentence_and_status_2(mcgc, quick, tmp_path, arguments, words):
    (tmp_path / "junk.h5").write_text("not hdf5")
    result = mcgc("data", *arguments.split())
    assert result.exit_code == 2
    assert result.stderr.startswith("mcgc: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert os.listdir() == ["junk.h5"]


def test_a_download_that_fails_is_one_sentence_and_no_file(mcgc, monkeypatch):
    def fail():
        raise DatasetError("no mirror: go elsewhere")

    monkeypatch.setitem(registry._ENTRIES, "mnist", registry._ENTRIES["mnist"]._replace(build=fail))
    result = mcgc("data", "make", "mnist", "-o", "new.h5")
    assert (result.exit_code, result.stderr) == (2, "mcgc: no mirror: go elsewhere\n")
    assert os.listdir() == []
