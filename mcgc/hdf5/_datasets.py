"""Datasets of HDF5 files: whether they can be read, their numbers and their shapes."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import h5py
import numpy as np

from mcgc.errors import DatasetError
from mcgc.hdf5._file import line

MAX_BYTES = 2**30  # what reading a file may take of memory


def datasets(
    file: h5py.File, name: str, keys: Sequence[str], dtype: str, remedy: str, most: int = MAX_BYTES
) -> dict[str, h5py.Dataset]:
    """Return datasets of real numbers that can be read within a bound of memory.

    Parameters
    ----------
    file : h5py.File
        The open file.
    name : str
        How the sentence of an error begins.
    keys : sequence of str
        The paths of the datasets in the file.
    dtype : str
        The dtype that they will be read as.
    remedy : str
        What to do if they are too large. It ends the sentence of that error.
    most : int
        The bound in bytes, 1 GiB by default.

    Returns
    -------
    dict of str to h5py.Dataset
        The datasets.

    Raises
    ------
    DatasetError
        If one is missing, not of real numbers, reached through a link or kept in another file, or if together they are
        too large.

    Examples
    --------
    >>> import h5py
    >>> from mcgc import hdf5
    >>> with h5py.File("mine.h5", "w") as file:
    ...     file["x"] = [1.0, 2.0]
    ...     print(*hdf5.datasets(file, "mine.h5", ["x"], "float64", "give a smaller one"))
    x
    """
    found = {key: _dataset(file, name, key) for key in keys}
    needed = sum(_bytes_to_read(dataset, np.dtype(dtype).itemsize) for dataset in found.values())
    if needed > most:
        raise DatasetError(f"{name} would take {needed} bytes to read, more than {most}: {remedy}")
    return found


def array(dataset: h5py.Dataset, dtype: Any) -> np.ndarray:
    """Return the numbers of a dataset.

    Parameters
    ----------
    dataset : h5py.Dataset
        The dataset.
    dtype : dtype or str
        The dtype to read them as.

    Returns
    -------
    NumPy array
        The numbers, in the shape of the dataset.

    Examples
    --------
    >>> import h5py
    >>> from mcgc import hdf5
    >>> with h5py.File("mine.h5", "w") as file:
    ...     file["x"] = [1.0, 2.0]
    ...     hdf5.array(file["x"], "float32")
    array([1., 2.], dtype=float32)
    """
    numbers = np.empty(dataset.shape, dtype)
    if numbers.size:  # else some versions of h5py divide by zero
        dataset.read_direct(numbers)
    return numbers


def vector(shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return the shape of a vector for the shape of a row or a column.

    Parameters
    ----------
    shape : tuple of int, or None
        The shape.

    Returns
    -------
    tuple of int, or None
        (n,) for the shape of n numbers such as (1, n) or (n, 1). Other shapes are returned as they are.

    Examples
    --------
    >>> from mcgc.hdf5 import vector
    >>> vector((1, 3)), vector((3, 1)), vector((2, 3))
    ((3,), (3,), (2, 3))
    """
    return (math.prod(shape),) if shape and max(shape) == math.prod(shape) else shape


def rows(shape: tuple[int, ...] | None, rest: tuple[int, ...]) -> int:
    """Return N of an array that is meant to have the shape (N, *rest), also if its axes are in reverse order.

    Parameters
    ----------
    shape : tuple of int, or None
        The shape that it has.
    rest : tuple of int
        The shape of a row.

    Returns
    -------
    int
        N, or 0 for a dataset without a shape.

    Examples
    --------
    >>> from mcgc.hdf5 import rows
    >>> rows((60, 28, 20), (28, 20)), rows((20, 28, 60), (28, 20))
    (60, 60)
    """
    if not shape:
        return 0
    return shape[-1] if shape[:-1] == rest[::-1] and shape[1:] != rest else shape[0]


def check_shape(name: str, problem: str, key: str, shape: Any, wanted: tuple[int, ...], symbols: str) -> None:
    """Raise an error, with what to do, if a dataset does not have the shape that is wanted.

    Parameters
    ----------
    name : str
        How the sentence of the error begins.
    problem : str
        What needs the shape.
    key : str
        The path of the dataset.
    shape : tuple of int, or None
        The shape that it has.
    wanted : tuple of int
        The shape that is wanted.
    symbols : str
        The wanted shape in symbols, such as "(T,)".

    Raises
    ------
    DatasetError
        If the shapes differ.

    Examples
    --------
    >>> from mcgc.hdf5 import check_shape
    >>> check_shape("mine.h5", "lorenz", "times", (5,), (5,), "(T,)")
    """
    if shape == wanted:
        return
    remedy = "lay it out so"
    if shape and shape[::-1] == wanted:
        remedy = "its axes are in reverse order, as MATLAB, Julia and Fortran write them, so reverse them"
    raise DatasetError(f"{name}: {key!r} has the shape {shape}, but {problem} needs {symbols} = {wanted}: {remedy}")


def _dataset(file: h5py.File, name: str, key: str) -> h5py.Dataset:
    for path in accumulate(key.split("/"), "{}/{}".format):
        link = file.get(path, getlink=True)
        if link is None:
            raise DatasetError(f"{name} has no dataset {key!r}: add it")
        if not isinstance(link, h5py.HardLink):
            raise DatasetError(
                f"{name}: {path!r} is a link, and links are not followed: store the numbers in this file"
            )
    dataset = file[key]
    if not isinstance(dataset, h5py.Dataset):
        raise DatasetError(
            f"{name}: {key!r} is a {type(dataset).__name__.lower()}, not a dataset: store an array there"
        )
    if dataset.is_virtual or dataset.external:
        raise DatasetError(f"{name}: {key!r} keeps its numbers in other files: store them in this file")
    try:
        dtype = dataset.dtype
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{name}: {key!r} is not of real numbers ({line(error)}): store them as float64") from None
    if dtype.kind not in "fiu":
        raise DatasetError(f"{name}: {key!r} has the dtype {dtype}, not a real number: store it as one")
    created = dataset.id.get_create_plist()
    for number, _, _, told in (created.get_filter(i) for i in range(created.get_nfilters())):
        if not h5py.h5z.filter_avail(number):
            packed = f"is packed by the filter {told.decode(errors='replace') or number}, which is not installed here"
            raise DatasetError(f"{name}: {key!r} {packed}: pack it anew, for example with h5repack -f GZIP=4")
    return dataset


def _bytes_to_read(dataset: h5py.Dataset, itemsize: int) -> int:
    """Return a bound of the memory that reading takes: HDF5 unpacks whole chunks, however small the array."""
    counts = math.prod(dataset.shape or ()), math.prod(dataset.chunks or ())
    return max(itemsize, dataset.dtype.itemsize) * max(counts)
