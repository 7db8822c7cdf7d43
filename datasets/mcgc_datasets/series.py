"""The HDF5 format of problems of time series: one file, read with bounded memory and checked throughout.

Datasets `times` (T,), strictly increasing, `parameters` (S, P) and `series` (S, T, D), of any real dtype;
root attributes `format`, `version`, `problem`, and the provenance. Whatever else a file holds is ignored, and
a file without attributes is taken as it is.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from mcgc import hdf5
from mcgc.errors import DatasetError

FORMAT, VERSION = "mcgc-series", 1

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # times, parameters, series


class SeriesData(NamedTuple):
    """Series, float64: `times` (T,), `parameters` (S, P), `series` (S, T, D), and the file they came from."""

    times: np.ndarray
    parameters: np.ndarray
    series: np.ndarray
    source: str
    sha256: str

    @property
    def num_examples(self) -> int:
        """The number S of series."""
        return len(self.series)


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
    not a regular file, not HDF5, damaged, of another format or problem, larger than `hdf5.MAX_BYTES` when read, or
    keeps its data elsewhere (external or virtual), or if its arrays are not as the format says: rank, shape,
    real dtype, at least two series and two times, finite, times increasing.
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
    times, parameters, series = (hdf5.array(dataset, "float64") for dataset in found.values())
    return times, parameters, series


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
