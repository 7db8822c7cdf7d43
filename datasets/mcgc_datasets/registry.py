"""The datasets by the name of their problem. Each is read from the user's cache, or made."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import platformdirs

from mcgc import files, hdf5
from mcgc.errors import DatasetError, InputError, OutputError, unknown
from mcgc_datasets import integrate, lorenz, lotka_volterra
from mcgc_datasets.download import fetch
from mcgc_datasets.mnist import MnistData, mnist_bytes, read_mnist, read_published
from mcgc_datasets.series import SIZES, Arrays, SeriesData, read_series, series_bytes

if TYPE_CHECKING:
    from mcgc.train import Problem

Data = SeriesData | MnistData


class Entry(NamedTuple):
    """The functions of a dataset.

    `kind(*arrays, source, sha256)` makes its record. `read(path)` reads the record from a file. `build()` makes the
    arrays, and `encode(*arrays)` the bytes of a file. `read_published(path)` reads the arrays of published data, and is
    None for computed data.
    """

    kind: Callable[..., Data]
    read: Callable[[str | os.PathLike], Data]
    build: Callable[[], tuple]
    encode: Callable[..., bytes]
    read_published: Callable[[str | os.PathLike], tuple] | None = None


def _series(problem: str, build: Callable[[], Arrays]) -> Entry:
    def encode(*arrays: Any) -> bytes:
        return series_bytes(
            problem, *arrays, numpy=version("numpy"), scipy=version("scipy"), tolerance=integrate.TOLERANCE
        )

    num_states, num_parameters = SIZES[problem]
    read = partial(read_series, problem=problem, num_states=num_states, num_parameters=num_parameters)
    return Entry(SeriesData, read, build, encode)


_ENTRIES = {
    "mnist": Entry(MnistData, read_mnist, fetch, mnist_bytes, read_published),
    "lotka-volterra": _series("lotka-volterra", lotka_volterra.build),
    "lorenz": _series("lorenz", lorenz.build),
}


def load(problem: "str | Problem", path: str | os.PathLike | None = None) -> Any:
    """Return the dataset of a problem, from a file or from the cache.

    Without `path`, the dataset comes from mcgc/datasets/<problem>.h5 in the user's cache directory. If this file is
    missing or damaged, the dataset is made and saved there: series are integrated, and MNIST is downloaded. If the
    directory cannot be written, the `source` of the dataset is "built in memory".

    Parameters
    ----------
    problem
        Name, or a `mcgc.train.Problem`. A problem of your own brings its data with its `load` function. If it has none
        and is a problem of series, `path` is a file with as many states and parameters as its net.
    path
        Dataset file. Default: the cache.

    Returns
    -------
    SeriesData, MnistData, or the result of `problem.load`

    Raises
    ------
    DatasetError
        If the problem is unknown, the file cannot be used, or a download fails.
    InputError
        If a problem of your own has no data.
    """
    name = problem if isinstance(problem, str) else problem.name
    if not isinstance(problem, str) and not _comes_with_mcgc(problem):
        return _load_own(problem, path)
    entry = _entry(name)
    if path is not None:
        return entry.read(path)
    try:
        return entry.read(cached(name))
    except DatasetError:
        pass  # missing or damaged: it is made again
    arrays = entry.build()
    try:
        return _store(entry, arrays, cached(name))
    except OutputError:
        return entry.kind(*arrays, files.IN_MEMORY, hashlib.sha256(entry.encode(*arrays)).hexdigest())


def _comes_with_mcgc(problem: "Problem") -> bool:
    from mcgc.train import problems

    return problem.name in problems.names() and problems.get(problem.name) is problem


def _load_own(problem: "Problem", path: str | os.PathLike | None) -> Any:
    """Return the data of a problem of the user."""
    if problem.load is not None:
        return problem.load(None if path is None else os.fspath(path))
    if problem.intervals is None or path is None:
        raise InputError(f"the problem {problem.name!r} has no data of its own: give a file with --dataset")
    states = problem.sizes[-1]
    return read_series(path, problem.name, num_states=states, num_parameters=problem.sizes[0] - states)


def cached(problem: str) -> Path:
    """Return the path of the dataset of a problem in the user's cache directory.

    Parameters
    ----------
    problem
        Name of the problem.

    Returns
    -------
    Path
        The path. The file need not exist.

    Examples
    --------
    >>> from mcgc_datasets import cached
    >>> cached("lorenz").name
    'lorenz.h5'
    """
    return Path(platformdirs.user_cache_dir("mcgc", appauthor=False), "datasets", f"{problem}.h5")


def make(problem: str, path: str | os.PathLike | None = None) -> Data:
    """Make the dataset of a problem and write it to a file: integrate the series, or download MNIST.

    Parameters
    ----------
    problem
        Name of the problem.
    path
        Dataset file, which is replaced. Default: the cache.

    Returns
    -------
    SeriesData or MnistData

    Raises
    ------
    DatasetError
        If the problem is unknown, or a download fails.
    OutputError
        If the file cannot be written.
    """
    entry = _entry(problem)
    return _store(entry, entry.build(), cached(problem) if path is None else path)


def import_published(problem: str, source: str | os.PathLike, path: str | os.PathLike | None = None) -> Data:
    """Check published data of a problem and write them to a dataset file.

    Parameters
    ----------
    problem
        Name of the problem. Only mnist has published data.
    source
        Directory with the four idx files of MNIST, or an HDF5 file.
    path
        Dataset file, which is replaced. Default: the cache.

    Returns
    -------
    MnistData

    Raises
    ------
    DatasetError
        If the problem is unknown, its data are computed, or those at `source` cannot be used.
    OutputError
        If the file cannot be written.
    """
    entry = _entry(problem)
    if entry.read_published is None:
        raise DatasetError(
            f"the data of {problem} are computed, not published: make them with 'mcgc data make {problem}', or give "
            "your own file with --dataset"
        )
    return _store(entry, entry.read_published(source), cached(problem) if path is None else path)


def problem_of(path: str | os.PathLike) -> str:
    """Return the name of the problem of a dataset file.

    The name is an attribute of the file. Without it, a file with a group `train` is for mnist.

    Parameters
    ----------
    path
        Dataset file.

    Returns
    -------
    str
        The name.

    Raises
    ------
    DatasetError
        If the file cannot be read, or does not name a known problem.

    Examples
    --------
    >>> from mcgc_datasets import make, problem_of
    >>> data = make("lotka-volterra", "mine.h5")
    >>> problem_of("mine.h5")
    'lotka-volterra'
    """

    def contents(file: h5py.File, name: str) -> str:
        if "problem" in file.attrs:
            found = hdf5.attribute(file, name, "problem")
            if found in _ENTRIES:
                return found
            raise DatasetError(f"{name} names the unknown problem {found!r}: name another with --problem")
        if file.get("train", getlink=True) is not None:
            return "mnist"
        raise DatasetError(f"{name} does not name its problem: name it with --problem")

    return hdf5.read(path, "dataset file", "give a dataset", contents)[0]


def _entry(problem: str) -> Entry:
    if problem not in _ENTRIES:
        raise DatasetError(unknown("problem", problem, _ENTRIES))
    return _ENTRIES[problem]


def _store(entry: Entry, arrays: tuple, path: str | os.PathLike) -> Data:
    content = entry.encode(*arrays)
    with suppress(OSError):  # `write` reports a directory that cannot be written
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    files.write(path, content)
    return entry.kind(*arrays, os.fspath(path), hashlib.sha256(content).hexdigest())
