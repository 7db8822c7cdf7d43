"""The four idx files of MNIST in a directory, compressed or not, complete or damaged."""

import gzip
import os

import numpy as np
import pytest
from mcgc_datasets import idx, mnist

from mcgc.errors import DatasetError

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (7, 28, 28), np.uint8), RNG.integers(0, 10, 7, np.uint8)
ARRAYS = dict(zip(idx.RANKS, (IMAGES, LABELS, IMAGES[:3], LABELS[:3]), strict=True))


def content(array):
    """Return the idx file of an array of bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def directory(tmp_path):
    """Give a directory with two files packed and two not."""
    for name, array in ARRAYS.items():
        packed = "labels" in name
        path = tmp_path / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content(array)) if packed else content(array))
    return tmp_path


def refusal(directory):
    with pytest.raises(DatasetError) as caught:
        mnist.read_published(directory)
    assert "\n" not in str(caught.value)
    assert ": " in str(caught.value), "no way out is named"
    return str(caught.value)


def test_compressed_and_uncompressed_files_give_the_arrays_in_order(directory):
    for array, expected in zip(mnist.read_published(directory), ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == np.uint8


def test_a_missing_file_is_named(directory):
    (directory / "t10k-labels-idx1-ubyte.gz").unlink()
    assert f"{str(directory / 't10k-labels-idx1-ubyte.gz')!r} does not exist" in refusal(directory)


def test_a_fifo_is_refused_at_once(directory):
    (directory / "train-images-idx3-ubyte").unlink()
    os.mkfifo(directory / "train-images-idx3-ubyte")
    assert "not a regular file" in refusal(directory)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda whole: whole[:-1], "cut short"),
        (lambda whole: whole + b"\0", "bytes for an array of shape (7, 28, 28)"),
        (lambda whole: whole[:15], "is not an idx file"),
        (lambda whole: b"", "is not an idx file"),
        (lambda whole: b"\0\0\x0d\x03" + whole[4:], "is not an idx file"),
        (lambda whole: content(LABELS), "is not an idx file of bytes of rank 3"),
        (lambda whole: whole[:4] + b"\xff" * 12, "bytes for an array of shape (4294967295, 4294967295, 4294967295)"),
        (lambda whole: gzip.compress(whole)[:-9], "damaged or cut short"),
        (lambda whole: gzip.compress(whole)[:200] + b"\xff" * 50 + gzip.compress(whole)[250:], "damaged or cut short"),
        (lambda whole: gzip.compress(bytes(idx.MAX_BYTES + 1)), "unpacks to more than"),
        (lambda whole: content(IMAGES[:, :, :14]), "has the shape (7, 28, 14)"),
        (lambda whole: content(IMAGES[:1]), "'train/labels' has the shape (7,)"),
        (lambda whole: content(IMAGES[:0]), "'train/labels' has the shape (7,)"),
    ],
)
def test_damaged_images_are_refused(directory, spoil, words):
    path = directory / "train-images-idx3-ubyte"
    path.write_bytes(spoil(path.read_bytes()))
    assert words in refusal(directory)


def test_labels_out_of_range_are_refused(directory):
    (directory / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content(LABELS[:3] + np.uint8(10))))
    assert "'test/labels' is" in refusal(directory)
