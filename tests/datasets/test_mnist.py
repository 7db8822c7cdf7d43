"""The format of MNIST: what is read, and the error for everything else."""

import hashlib
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from mcgc_datasets import mnist_bytes, read_mnist

from mcgc.errors import DatasetError

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (7, 28, 28), np.uint8), RNG.integers(0, 10, 7, np.uint8)
ARRAYS = (IMAGES, LABELS, IMAGES[:3], LABELS[:3])
NAMES = ("train/images", "train/labels", "test/images", "test/labels")
GENUINE = Path(__file__).parents[3] / "shared" / "data" / "mnist.h5"


@pytest.fixture
def path(tmp_path):
    """Give the path of a good file, for tests to spoil."""
    (tmp_path / "data.h5").write_bytes(mnist_bytes(*ARRAYS))
    return tmp_path / "data.h5"


def replace(path, name, **how):
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        if how:
            file.create_dataset(name, **how)


def refusal(path):
    """Return the sentence that reading `path` raises, after checking that it is one, and names the file."""
    with pytest.raises(DatasetError) as caught:
        read_mnist(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert ": " in sentence, "no way out is named"
    return sentence


def test_what_is_written_is_read_back(path):
    data = read_mnist(path)
    for array, expected in zip(data[:4], ARRAYS, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == np.uint8
    assert data.source == str(path)
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert data.num_examples == 7
    assert mnist_bytes(*data[:4]) == path.read_bytes()


def test_a_bare_file_without_test_set_and_attributes_is_read(tmp_path):
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file.update({"train/images": IMAGES, "train/labels": LABELS, "note": "x"})
    data = read_mnist(tmp_path / "bare.h5")
    np.testing.assert_array_equal(data.images, IMAGES)
    assert data.test_images.shape == (0, 28, 28)
    assert data.test_labels.shape == (0,)
    (tmp_path / "again.h5").write_bytes(mnist_bytes(*data[:4]))
    assert read_mnist(tmp_path / "again.h5").test_images.shape == (0, 28, 28)


@pytest.mark.parametrize("shape", [(7, 1), (1, 7)])
def test_labels_in_a_row_or_a_column_are_read(path, shape):
    replace(path, "train/labels", data=LABELS.reshape(shape))
    np.testing.assert_array_equal(read_mnist(path).labels, LABELS)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ((IMAGES, LABELS[:6], *ARRAYS[2:]), "'train/labels' has the shape (6,)"),
        ((IMAGES, LABELS + np.uint8(10), *ARRAYS[2:]), "'train/labels' is "),
        ((IMAGES / 255, LABELS, *ARRAYS[2:]), "'train/images' has the dtype float64, not uint8"),
        ((IMAGES, LABELS, IMAGES[:0], LABELS[:1]), "'test/labels' has the shape (1,)"),
    ],
)
def test_arrays_that_do_not_fit_are_not_written(arrays, words):
    with pytest.raises(DatasetError) as caught:
        mnist_bytes(*arrays)
    assert words in str(caught.value)


def test_a_missing_file_or_one_that_is_not_hdf5_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.h5")
    (tmp_path / "junk.h5").write_bytes(b"\x00\x00\x08\x03")
    assert "not an HDF5 file" in refusal(tmp_path / "junk.h5")
    os.mkfifo(tmp_path / "fifo.h5")
    assert "not a regular file" in refusal(tmp_path / "fifo.h5")


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(path, fraction):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    assert "damaged or cut short" in refusal(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_dataset_is_refused(path, name):
    replace(path, name)
    assert f"no dataset '{name}'" in refusal(path)


@pytest.mark.parametrize("kind", ["array", "nothing"])
def test_something_else_in_place_of_the_group_is_refused(path, kind):
    replace(path, "train", **({"data": IMAGES} if kind == "array" else {}))
    assert "no dataset 'train/images'" in refusal(path)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("train/images", IMAGES[:6], "'train/labels' has the shape (7,), but mnist needs (N,) = (6,)"),
        ("train/images", IMAGES[:, :27], "'train/images' has the shape (7, 27, 28)"),
        ("train/images", IMAGES.reshape(7, 784), "'train/images' has the shape (7, 784)"),
        ("train/images", np.uint8(3), "'train/images' has the shape ()"),
        ("train/labels", np.stack([LABELS] * 2), "'train/labels' has the shape (2, 7)"),
        ("train/images", IMAGES.T, "reverse order, as MATLAB, Julia and Fortran write them, so reverse them"),
        ("train/images", IMAGES.astype("f4"), "'train/images' has the dtype float32, not uint8"),
        ("train/labels", LABELS.astype("i8"), "'train/labels' has the dtype int64, not uint8"),
        ("train/labels", np.zeros(7, "S1"), "'train/labels' has the dtype |S1"),
        ("train/labels", np.array([0, 9, 10, 11, 0, 0, 0], "u1"), "'train/labels' is 10 at index 2"),
        ("test/images", IMAGES, "'test/labels' has the shape (3,)"),
        ("test/labels", np.array([0, 0, 255], "u1"), "'test/labels' is 255 at index 2"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(path, name, array, words):
    replace(path, name, data=array)
    assert words in refusal(path)


def test_an_empty_dataspace_is_refused(path):
    replace(path, "train/images", data=h5py.Empty("u1"))
    assert "'train/images' has the shape None" in refusal(path)


@pytest.mark.parametrize(("part", "count"), [("train", 0), ("train", 1), ("test", 0)])
def test_too_few_images_are_refused(path, part, count):
    replace(path, f"{part}/images", data=IMAGES[:count])
    replace(path, f"{part}/labels", data=LABELS[:count])
    assert f"holds {count} images in '{part}': give at least" in refusal(path)


@pytest.mark.parametrize(("attribute", "value"), [("format", "mcgc-run"), ("version", 2), ("problem", "lorenz")])
def test_a_file_of_another_format_version_or_problem_is_refused(path, attribute, value):
    with h5py.File(path, "a") as file:
        file.attrs[attribute] = value
    assert f"has the {attribute}" in refusal(path)


@pytest.mark.parametrize(
    "how", [{"shape": (2**31, 28, 28)}, {"shape": (7, 28, 28), "maxshape": (None,) * 3, "chunks": (2000, 1000, 1000)}]
)
def test_a_huge_declared_size_is_refused_before_reading(path, how):
    replace(path, "train/images", dtype="u1", **{"chunks": (1, 28, 28), **how})
    assert path.stat().st_size < 1e5
    assert "bytes to read" in refusal(path)


@pytest.mark.parametrize("place", ["train", "train/images", "test"])
@pytest.mark.parametrize("kind", [h5py.ExternalLink, h5py.SoftLink])
def test_links_are_not_followed(path, tmp_path, place, kind):
    (tmp_path / "elsewhere.h5").write_bytes(mnist_bytes(*ARRAYS))
    with h5py.File(path, "a") as file:
        file.copy(place, "kept")
        del file[place]
        file[place] = kind("elsewhere.h5", place) if kind is h5py.ExternalLink else kind("/kept")
    assert f"'{place}' is a link" in refusal(path)


def test_virtual_datasets_are_not_followed(path, tmp_path):
    replace(path, "train/images")
    layout = h5py.VirtualLayout((7, 28, 28), "u1")
    layout[...] = h5py.VirtualSource(tmp_path / "elsewhere.h5", "train/images", (7, 28, 28))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("train/images", layout)
    assert "in other files" in refusal(path)


PUBLISHED = (  # SHA-256 of the four files, unpacked
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)


@pytest.mark.skipif(not GENUINE.exists(), reason="the whole of MNIST is not beside this checkout")
def test_the_whole_of_mnist_is_read_as_published():
    arrays = read_mnist(GENUINE)[:4]
    assert [array.shape for array in arrays] == [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)]
    for array, digest in zip(arrays, PUBLISHED, strict=True):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        assert hashlib.sha256(header + array.tobytes()).hexdigest() == digest
