"""The HDF5 format of MNIST, the images of handwritten digits of the problem `mnist`.

A file has the uint8 datasets `train/images` (N, 28, 28) and `train/labels` (N,). Labels are from 0 to 9. A group `test`
may hold `images` and `labels` too. Everything else in the file is ignored. LeCun, Cortes and Burges 1998.
"""

import os
from typing import Any, NamedTuple

import h5py
import numpy as np

from mcgc import hdf5
from mcgc.errors import DatasetError
from mcgc_datasets.idx import MnistArrays, read_directory

FORMAT, VERSION = "mcgc-images", 1
SHAPE, CLASSES = (28, 28), 10

_NO_TEST = np.empty((0, *SHAPE), np.uint8), np.empty(0, np.uint8)


class MnistData(NamedTuple):
    """The arrays of an MNIST file, and the file that they came from.

    Parameters
    ----------
    images, labels
        Training set: uint8 arrays of shape (N, 28, 28) and (N,). The background is 0.
    test_images, test_labels
        Test set of the file, empty if it has none. The training does not use it.
    source
        Path of the file, or "built in memory".
    sha256
        SHA-256 of the bytes of the file.
    """

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    source: str
    sha256: str

    @property
    def num_examples(self) -> int:
        """The number N of training images."""
        return len(self.images)


def mnist_bytes(images: np.ndarray, labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray) -> bytes:
    """Return the bytes of a dataset file. Equal arrays give equal bytes.

    Parameters
    ----------
    images, labels, test_images, test_labels
        Arrays as in `MnistData`. The test set may be empty.

    Returns
    -------
    bytes
        The contents of an HDF5 file.

    Raises
    ------
    DatasetError
        If an array does not have the dtype, shape or values of the format.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc import files
    >>> from mcgc_datasets import mnist_bytes, read_mnist
    >>> images, labels = np.zeros((2, 28, 28), np.uint8), np.asarray([3, 5], np.uint8)
    >>> files.write("digits.h5", mnist_bytes(images, labels, images, labels))
    >>> read_mnist("digits.h5").labels
    array([3, 5], dtype=uint8)
    """
    for part, pair in (("train", (images, labels)), ("test", (test_images, test_labels))):
        if part == "train" or len(pair[0]) or len(pair[1]):
            _check_shapes("the dataset of mnist", part, *pair)
            _check_labels("the dataset of mnist", part, pair[1])
    with h5py.File("image", "w", driver="core", backing_store=False) as file:
        file.attrs.update(format=FORMAT, version=VERSION, problem="mnist")
        for part, pair in (("train", (images, labels)), ("test", (test_images, test_labels))):
            for key, array in zip(("images", "labels"), pair, strict=True):
                if len(array):
                    file.create_dataset(f"{part}/{key}", data=array, compression="gzip", compression_opts=1)
        file.flush()
        return file.id.get_file_image()


def read_mnist(path: str | os.PathLike) -> MnistData:
    """Read and check a dataset file of MNIST.

    Parameters
    ----------
    path
        HDF5 file.

    Returns
    -------
    MnistData

    Raises
    ------
    DatasetError
        If the file cannot be read (see `mcgc.hdf5.read`), or its arrays do not have the format.
    """

    def contents(file: h5py.File, name: str) -> MnistArrays:
        hdf5.check_attributes(file, name, {"format": FORMAT, "version": VERSION, "problem": "mnist"})
        parts = ["train"] if file.get("test", getlink=True) is None else ["train", "test"]
        keys = [f"{part}/{key}" for part in parts for key in ("images", "labels")]
        found = hdf5.datasets(file, name, keys, "uint8", "give fewer images")
        for part in parts:
            _check_shapes(name, part, found[f"{part}/images"], found[f"{part}/labels"])
        images, labels, *test = (hdf5.array(dataset, "uint8") for dataset in found.values())
        test_images, test_labels = test or _NO_TEST
        labels, test_labels = labels.reshape(-1), test_labels.reshape(-1)
        _check_labels(name, "train", labels)
        _check_labels(name, "test", test_labels)
        return images, labels, test_images, test_labels

    arrays, sha256 = hdf5.read(path, "dataset file", "give one with train/images and train/labels", contents)
    return MnistData(*arrays, os.fspath(path), sha256)


def read_published(path: str | os.PathLike) -> MnistArrays:
    """Return the arrays of an HDF5 file, or of a directory with the four idx files.

    Raises `DatasetError` if they cannot be used.
    """
    if not os.path.isdir(path):
        return read_mnist(path)[:4]
    arrays, name = read_directory(path), f"the dataset in {os.fspath(path)!r}"
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        _check_shapes(name, part, images, labels)
        _check_labels(name, part, labels)
    return arrays


def _check_shapes(name: str, part: str, images: Any, labels: Any) -> None:
    count, least = hdf5.rows(images.shape, SHAPE), 2 if part == "train" else 1
    wanted = {
        "images": (images.dtype, images.shape, (count, *SHAPE), "(N, 28, 28)"),
        "labels": (labels.dtype, hdf5.vector(labels.shape), (count,), "(N,)"),
    }
    for key, (dtype, shape, right, symbols) in wanted.items():
        if dtype != np.uint8:
            raise DatasetError(f"{name}: '{part}/{key}' has the dtype {dtype}, not uint8: store it as that")
        hdf5.check_shape(name, "mnist", f"{part}/{key}", shape, right, symbols)
    if count < least:
        raise DatasetError(f"{name} holds {count} images in '{part}': give at least {least}")


def _check_labels(name: str, part: str, labels: np.ndarray) -> None:
    wrong = labels >= CLASSES
    if wrong.any():
        index = int(np.argmax(wrong))
        raise DatasetError(
            f"{name}: '{part}/labels' is {labels[index]} at index {index}: give labels from 0 to {CLASSES - 1}"
        )
