"""The HDF5 format of time series. Files are read with bounded memory, and all their values are checked.

A file has the datasets `times` (T,), which increase strictly, `parameters` (S, P) and `series` (S, T, D), of any real
dtype. Its attributes `format`, `version`, `problem` and the provenance are optional. Everything else in the file is
ignored.
"""

import os
from typing import Any, NamedTuple

import h5py
import numpy as np

from mcgc import files, hdf5
from mcgc.arrays import is_array, to_host
from mcgc.errors import DatasetError

FORMAT, VERSION = "mcgc-series", 1
SIZES = {"lotka-volterra": (2, 2), "lorenz": (3, 2)}  # numbers of states D and of parameters P

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # times, parameters, series


class SeriesData(NamedTuple):
    """The arrays of a file of time series, and the file that they came from.

    Parameters
    ----------
    times, parameters, series
        Float64 arrays of shape (T,), (S, P) and (S, T, D).
    source
        Path of the file, or "built in memory".
    sha256
        SHA-256 of the bytes of the file.
    """

    times: np.ndarray
    parameters: np.ndarray
    series: np.ndarray
    source: str
    sha256: str

    @property
    def num_examples(self) -> int:
        """The number S of series."""
        return len(self.series)


def series_bytes(
    problem: str, times: np.ndarray, parameters: np.ndarray, series: np.ndarray, **provenance: Any
) -> bytes:
    """Return the bytes of a dataset file with the attributes `provenance`. Equal arguments give equal bytes."""
    with h5py.File("image", "w", driver="core", backing_store=False) as file:
        file.attrs.update(format=FORMAT, version=VERSION, problem=problem, **provenance)
        for name, array in (("times", times), ("parameters", parameters), ("series", series)):
            file.create_dataset(name, data=np.asarray(array, dtype=np.float64))
        file.flush()
        return file.id.get_file_image()


def write_series(
    path: str | os.PathLike,
    problem: str,
    times: np.ndarray,
    parameters: np.ndarray,
    series: np.ndarray,
    **provenance: Any,
) -> None:
    """Check time series and write them to a dataset file. If this fails, nothing is written.

    Parameters
    ----------
    path
        File, which is replaced.
    problem
        Name of the problem. For `lotka-volterra` and `lorenz` the numbers D and P must match. For a problem of your own
        they are free.
    times
        Strictly increasing real numbers, of shape (T,).
    parameters, series
        Real numbers, of shape (S, P) and (S, T, D). S and T are at least 2.
    provenance
        Numbers and strings, which become attributes of the file.

    Raises
    ------
    DatasetError
        If the arrays do not have the format.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from mcgc_datasets import read_series, write_series
    >>> times = np.linspace(0, 1, 3)
    >>> write_series("decay.h5", "decay", times, [[1.0], [2.0]], np.exp(-np.outer([1, 2], times))[:, :, None])
    >>> read_series("decay.h5", "decay", num_states=1, num_parameters=1).series.shape
    (2, 3, 1)
    """
    name = f"the dataset for {os.fspath(path)!r}"
    given = {"times": times, "parameters": parameters, "series": series}
    arrays = {key: _numbers(name, key, array) for key, array in given.items()}
    shapes = {key: array.shape for key, array in arrays.items()}
    own = tuple(shapes[key][-1] if shapes[key] else 1 for key in ("series", "parameters"))
    _check_shapes(name, problem, shapes, *SIZES.get(problem, own))
    arrays["times"] = arrays["times"].reshape(-1)
    _check_values(name, **arrays)
    try:
        content = series_bytes(problem, **arrays, **provenance)
    except TypeError as error:
        raise DatasetError(
            f"{name}: the provenance is not a number or a string ({hdf5.line(error)}): give numbers and strings"
        ) from None
    files.write(path, content)


def _numbers(name: str, key: str, given: Any) -> np.ndarray:
    """Return `given`, an array of any device or a nested sequence of real numbers, as float64 on the host."""
    try:
        array = to_host(given) if is_array(given) else np.asarray(given)
    except ValueError as error:
        raise DatasetError(f"{name}: {key!r} is not an array ({hdf5.line(error)}): give rows of equal length") from None
    if array.dtype.kind not in "fiu":
        raise DatasetError(f"{name}: {key!r} has the dtype {array.dtype}, not a real number: give numbers")
    return array.astype(np.float64, copy=False)


def read_series(path: str | os.PathLike, problem: str, num_states: int, num_parameters: int) -> SeriesData:
    """Read and check a dataset file of time series.

    Parameters
    ----------
    path
        HDF5 file.
    problem
        Name of the problem.
    num_states, num_parameters
        The numbers D and P that the file must have.

    Returns
    -------
    SeriesData

    Raises
    ------
    DatasetError
        If the file is missing, not a regular file, not HDF5, damaged, of another format or problem, larger than
        `mcgc.hdf5.MAX_BYTES` when read, or stores its data in another file (external or virtual). Also if its arrays do
        not have the shape and a real dtype, have fewer than two series or two times, are not finite, or if the times do
        not increase.
    """

    def contents(file: h5py.File, name: str) -> Arrays:
        hdf5.check_attributes(file, name, {"format": FORMAT, "version": VERSION, "problem": problem})
        arrays = _read_arrays(file, name, problem, num_states, num_parameters)
        _check_values(name, *arrays)
        return arrays

    arrays, sha256 = hdf5.read(path, "dataset file", f"give one of the format {FORMAT}", contents)
    return SeriesData(*arrays, os.fspath(path), sha256)


def _read_arrays(file: h5py.File, name: str, problem: str, num_states: int, num_parameters: int) -> Arrays:
    keys = ("times", "parameters", "series")
    found = hdf5.datasets(file, name, keys, "float64", "give fewer or shorter series")
    shapes = {key: dataset.shape for key, dataset in found.items()}
    _check_shapes(name, problem, shapes, num_states, num_parameters)
    times, parameters, series = (hdf5.array(dataset, "float64") for dataset in found.values())
    return times.reshape(-1), parameters, series


def _check_shapes(name: str, problem: str, shapes: dict, num_states: int, num_parameters: int) -> None:
    times = hdf5.vector(shapes["times"])
    num_times, num_series = hdf5.rows(times, ()), hdf5.rows(shapes["parameters"], (num_parameters,))
    wanted = {
        "times": (times, (num_times,), "(T,)"),
        "parameters": (shapes["parameters"], (num_series, num_parameters), f"(S, {num_parameters})"),
        "series": (shapes["series"], (num_series, num_times, num_states), f"(S, T, {num_states})"),
    }
    for key, (shape, right, symbols) in wanted.items():
        hdf5.check_shape(name, problem, key, shape, right, symbols)
    if num_series < 2 or num_times < 2:
        raise DatasetError(
            f"{name} holds {num_series} series of {num_times} times: give at least 2 of at least 2 times"
        )


def _check_values(name: str, times: np.ndarray, parameters: np.ndarray, series: np.ndarray) -> None:
    for key, array in (("times", times), ("parameters", parameters), ("series", series)):
        finite = np.isfinite(array)
        if not finite.all():
            index = tuple(int(i) for i in np.unravel_index(np.argmin(finite), array.shape))
            raise DatasetError(f"{name}: {key!r} is {array[index]} at index {index}: replace it by a finite number")
    increases = np.diff(times) > 0
    if not increases.all():
        repeat = int(np.argmin(increases)) + 1
        raise DatasetError(f"{name}: 'times' does not increase at index {repeat}: sort the times, without repeats")
