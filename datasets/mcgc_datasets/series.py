"""The HDF5 format of problems of time series: one file, read with bounded memory and checked throughout.

Datasets `times` (T,), strictly increasing, `parameters` (S, P) and `series` (S, T, D), of any real dtype;
root attributes `format`, `version`, `problem`, and the provenance. Whatever else a file holds is ignored, and
a file without attributes is taken as it is.
"""

import hashlib
import math
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from mcgc.errors import DatasetError

FORMAT, VERSION = "mcgc-series", 1
MAX_BYTES = 2**30  # of all three datasets together, as float64: what reading a file may take of memory

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # times, parameters, series


class SeriesData(NamedTuple):
    """Series, float64: `times` (T,), `parameters` (S, P), `series` (S, T, D), and the file they came from."""

    times: np.ndarray
    parameters: np.ndarray
    series: np.ndarray
    source: str
    sha256: str


def series_image(
    problem: str, times: np.ndarray, parameters: np.ndarray, series: np.ndarray, **provenance: Any
) -> bytes:
    """Return the bytes of a dataset file, equal for equal arguments; `provenance` becomes attributes."""
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
    """Write a dataset file of `problem`, replacing what is at `path`. Raises `OSError` if it cannot."""
    Path(path).write_bytes(series_image(problem, times, parameters, series, **provenance))


def read_series(path: str | os.PathLike, problem: str, num_states: int, num_parameters: int) -> SeriesData:
    """Read and check the dataset file at `path`, where D must be `num_states` and P `num_parameters`.

    Raises `DatasetError`, one sentence with the file, what is wrong and what to do, if the file is missing,
    not a regular file, not HDF5, damaged, of another format or problem, larger than `MAX_BYTES` when read, or
    keeps its data elsewhere (external or virtual), or if its arrays are not as the format says: rank, shape,
    real dtype, at least two series and two times, finite, times increasing.
    """
    name = f"dataset file {os.fspath(path)!r}"
    _check_file(path, name)
    try:
        with open(path, "rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        if not h5py.is_hdf5(path):
            raise DatasetError(f"{name} is not an HDF5 file: give one of the format {FORMAT}")
        with h5py.File(path, "r") as file:
            _check_attributes(file, name, problem)
            arrays = _read_arrays(file, name, problem, num_states, num_parameters)
    except DatasetError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:  # what HDF5 raises for damaged files
        raise DatasetError(
            f"{name} cannot be read, so it is damaged or cut short ({_line(error)}): copy it again"
        ) from None
    _check_values(name, *arrays)
    return SeriesData(*arrays, os.fspath(path), sha256)


def _check_file(path: str | os.PathLike, name: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise DatasetError(f"{name} does not exist: check the path") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{name} cannot be reached ({_line(error)}): check the path") from None
    if stat.S_ISDIR(mode):
        raise DatasetError(f"{name} is a directory: give the path of a file in it")
    if not stat.S_ISREG(mode):  # opening a FIFO would wait for ever
        raise DatasetError(f"{name} is not a regular file: copy the data to one and give that")
    if not os.access(path, os.R_OK):
        raise DatasetError(f"{name} may not be read by this user: change its permissions")


def _line(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def _check_attributes(file: h5py.File, name: str, problem: str) -> None:
    expected: dict[str, Any] = {"format": FORMAT, "version": VERSION, "problem": problem}
    for attribute, value in expected.items():
        found = file.attrs.get(attribute, value)
        if isinstance(found, np.ndarray) or found != value:
            raise DatasetError(f"{name} has the {attribute} {found!r}, not {value!r}: give a file made for that")


def _read_arrays(file: h5py.File, name: str, problem: str, num_states: int, num_parameters: int) -> Arrays:
    found = {key: _dataset(file, name, key) for key in ("times", "parameters", "series")}
    needed = sum(_bytes_to_read(dataset) for dataset in found.values())
    if needed > MAX_BYTES:
        raise DatasetError(
            f"{name} would take {needed} bytes to read, more than {MAX_BYTES}: give fewer or shorter series"
        )
    shapes = {key: dataset.shape for key, dataset in found.items()}
    num_series, num_times = (shape[0] if shape else 0 for shape in (shapes["parameters"], shapes["times"]))
    wanted = {
        "times": ((num_times,), "(T,)"),
        "parameters": ((num_series, num_parameters), f"(S, {num_parameters})"),
        "series": ((num_series, num_times, num_states), f"(S, T, {num_states})"),
    }
    for key, (shape, symbols) in wanted.items():
        if shapes[key] != shape:
            raise DatasetError(
                f"{name}: {key!r} has the shape {shapes[key]}, but {problem} needs {symbols} = {shape}: lay it out so"
            )
    if num_series < 2 or num_times < 2:
        raise DatasetError(
            f"{name} holds {num_series} series of {num_times} times: give at least 2 of at least 2 times"
        )
    arrays = []
    for dataset in found.values():
        array = np.empty(dataset.shape)
        dataset.read_direct(array)
        arrays.append(array)
    times, parameters, series = arrays
    return times, parameters, series


def _dataset(file: h5py.File, name: str, key: str) -> h5py.Dataset:
    link = file.get(key, getlink=True)
    if link is None:
        raise DatasetError(f"{name} has no dataset {key!r}: add it")
    if not isinstance(link, h5py.HardLink):
        raise DatasetError(f"{name}: {key!r} is a link, and links are not followed: store the numbers in this file")
    dataset = file[key]
    if not isinstance(dataset, h5py.Dataset):
        raise DatasetError(
            f"{name}: {key!r} is a {type(dataset).__name__.lower()}, not a dataset: store an array there"
        )
    if dataset.is_virtual or dataset.external:
        raise DatasetError(f"{name}: {key!r} keeps its numbers in other files: store them in this file")
    if dataset.dtype.kind not in "fiu":
        raise DatasetError(f"{name}: {key!r} has the dtype {dataset.dtype}, not a real number: store it as float64")
    return dataset


def _bytes_to_read(dataset: h5py.Dataset) -> int:
    """Return a bound of the memory that reading takes: HDF5 unpacks whole chunks, however small the array."""
    counts = math.prod(dataset.shape or ()), math.prod(dataset.chunks or ())
    return max(8, dataset.dtype.itemsize) * max(counts)


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
