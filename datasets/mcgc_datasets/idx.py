"""The four published idx files of MNIST, compressed by gzip or not."""

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from mcgc import hdf5
from mcgc.errors import DatasetError

RANKS = {  # number of axes of each array: training images and labels, test images and labels
    "train-images-idx3-ubyte": 3,
    "train-labels-idx1-ubyte": 1,
    "t10k-images-idx3-ubyte": 3,
    "t10k-labels-idx1-ubyte": 1,
}
MAX_BYTES = 2**26  # of an uncompressed file; the largest of the four has 47 million

MnistArrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # in the order of `RANKS`


def read_directory(directory: str | os.PathLike) -> MnistArrays:
    """Read the four files in a directory.

    Parameters
    ----------
    directory
        Directory of the files in `RANKS`. Each has the name there, or that name with .gz.

    Returns
    -------
    tuple of four arrays
        Uint8, in the order of `RANKS`.

    Raises
    ------
    DatasetError
        If a file is missing, not a regular file, damaged, or too large.
    """
    return arrays_of(_read(os.path.join(directory, name)) for name in RANKS)


def arrays_of(contents: Iterable[bytes]) -> MnistArrays:
    """Return the arrays of the four files from their uncompressed bytes, or raise `DatasetError` if one is not idx."""
    images, labels, test_images, test_labels = map(_parse, contents, RANKS, RANKS.values())
    return images, labels, test_images, test_labels


def unpack(file: BinaryIO, name: str) -> bytes:
    """Return the bytes of `file`, uncompressed if it is a gzip file.

    Raises `DatasetError` if the file is damaged or has more than `MAX_BYTES`. The sentence begins with `name`.
    """
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    try:
        content = (gzip.GzipFile(fileobj=file) if compressed else file).read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{name} is damaged or cut short ({hdf5.line(error)}): copy it again") from None
    if len(content) > MAX_BYTES:
        raise DatasetError(f"{name} unpacks to more than {MAX_BYTES} bytes: it is not a file of MNIST, get another")
    return content


def _read(path: str) -> bytes:
    path = path if os.path.exists(path) else f"{path}.gz"
    name = f"dataset file {path!r}"
    hdf5.check_file(path, name)
    with open(path, "rb") as file:
        return unpack(file, name)


def _parse(content: bytes, name: str, rank: int) -> np.ndarray:
    """Return the array in an idx file: 0, 0, 8 (for bytes), the rank, the sizes as big-endian words, the bytes."""
    begin = 4 + 4 * rank
    if content[:4] != bytes([0, 0, 8, rank]) or len(content) < begin:
        raise DatasetError(f"{name} is not an idx file of bytes of rank {rank}: get the published one")
    shape = struct.unpack(f">{rank}I", content[4:begin])
    if len(content) != begin + math.prod(shape):
        raise DatasetError(
            f"{name} has {len(content) - begin} bytes for an array of shape {shape}: it is cut short, copy it again"
        )
    return np.frombuffer(content[begin:], np.uint8).reshape(shape)
