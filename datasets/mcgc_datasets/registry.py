"""The datasets by the name of their problem: found in the cache of the user, or made."""

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
from mcgc_datasets.mnist import MnistData, gather, mnist_image, read_mnist
from mcgc_datasets.series import SIZES, Arrays, SeriesData, read_series, series_image

if TYPE_CHECKING:
    from mcgc.train import Problem

Data = SeriesData | MnistData


class Entry(NamedTuple):
    """A dataset: how its file is read, how its arrays are made or gathered, and what they and the file are called.

    `image(*arrays)` are the bytes of its file, `kind(*arrays, source, sha256)` is what reading that gives.
    `gather(path)`, for data that are found and not computed, takes them from what is published.
    """

    kind: Callable[..., Data]
    read: Callable[[str | os.PathLike], Data]
    build: Callable[[], tuple]
    image: Callable[..., bytes]
    gather: Callable[[str | os.PathLike], tuple] | None = None


def _series(problem: str, build: Callable[[], Arrays]) -> Entry:
    def image(*arrays: Any) -> bytes:
        return series_image(
            problem, *arrays, numpy=version("numpy"), scipy=version("scipy"), tolerance=integrate.TOLERANCE
        )

    num_states, num_parameters = SIZES[problem]
    read = partial(read_series, problem=problem, num_states=num_states, num_parameters=num_parameters)
    return Entry(SeriesData, read, build, image)


_ENTRIES = {
    "mnist": Entry(MnistData, read_mnist, fetch, mnist_image, gather),
    "lotka-volterra": _series("lotka-volterra", lotka_volterra.build),
    "lorenz": _series("lorenz", lorenz.build),
}

IN_MEMORY = "built in memory"


def load(problem: "str | Problem", path: str | os.PathLike | None = None) -> Any:
    """Return the dataset of `problem`: the file at `path`, or else the one that is made on first use.

    A `Problem` of your own gives its data by its `load`. Without one, a problem of series takes a file of the format of
    `mcgc_datasets.series`, with as many states and parameters as its net.

    Made means integrated, or for mnist downloaded. It is kept as mcgc/datasets/<problem>.h5 in the user's cache
    directory; one that is damaged there is made again, and where that directory cannot be written, `source` is
    "built in memory".

    Raises `DatasetError` if the problem is unknown, the file at `path` cannot be used, or a download fails, and
    `InputError` if a problem of your own has no data.
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
        pass  # not there yet, or damaged: either way it is made
    arrays = entry.build()
    try:
        return _store(entry, arrays, cached(name))
    except OutputError:
        return entry.kind(*arrays, IN_MEMORY, hashlib.sha256(entry.image(*arrays)).hexdigest())


def _comes_with_mcgc(problem: "Problem") -> bool:
    from mcgc.train import problems

    return problem.name in problems.names() and problems.get(problem.name) is problem


def _load_own(problem: "Problem", path: str | os.PathLike | None) -> Any:
    """Return the data of a problem that is none of those here."""
    if problem.load is not None:
        return problem.load(None if path is None else os.fspath(path))
    if problem.intervals is None or path is None:
        raise InputError(f"the problem {problem.name!r} has no data of its own: give a file with --dataset")
    states = problem.sizes[-1]
    return read_series(path, problem.name, num_states=states, num_parameters=problem.sizes[0] - states)


def cached(problem: str) -> Path:
    """Return where the dataset of `problem` is kept."""
    return Path(platformdirs.user_cache_dir("mcgc", appauthor=False), "datasets", f"{problem}.h5")


def make(problem: str, path: str | os.PathLike | None = None) -> Data:
    """Integrate or download the dataset of `problem` anew, and write it to `path`, or else to the cache.

    Raises `DatasetError` if the problem is unknown or a download fails, `OutputError` if the file cannot be written.
    """
    entry = _entry(problem)
    return _store(entry, entry.build(), cached(problem) if path is None else path)


def take(problem: str, source: str | os.PathLike, path: str | os.PathLike | None = None) -> Data:
    """Check what is published as the data of `problem` at `source`, and write it to `path`, or else to the cache.

    For mnist that is a directory with its four idx files, or an HDF5 file.

    Raises `DatasetError` if the problem is unknown or its data are computed, or if those at `source` cannot be used;
    `OutputError` if the file cannot be written.
    """
    entry = _entry(problem)
    if entry.gather is None:
        raise DatasetError(
            f"the data of {problem} are computed, not published: make them with 'mcgc data make {problem}', or give "
            "a file of your own with --dataset"
        )
    return _store(entry, entry.gather(source), cached(problem) if path is None else path)


def problem_of(path: str | os.PathLike) -> str:
    """Return the problem that the dataset file at `path` says it is for; one with a group `train` is for mnist.

    Raises `DatasetError` if the file cannot be read, or does not say.
    """

    def contents(file: h5py.File, name: str) -> str:
        if "problem" in file.attrs:
            found = hdf5.attribute(file, name, "problem")
            if found in _ENTRIES:
                return found
            raise DatasetError(f"{name} is for {found!r}, which is no problem here: name it with --problem")
        if file.get("train", getlink=True) is not None:
            return "mnist"
        raise DatasetError(f"{name} does not say which problem it is for: name it with --problem")

    return hdf5.read(path, "dataset file", "give a dataset", contents)[0]


def _entry(problem: str) -> Entry:
    if problem not in _ENTRIES:
        raise DatasetError(unknown("problem", problem, _ENTRIES))
    return _ENTRIES[problem]


def _store(entry: Entry, arrays: tuple, path: str | os.PathLike) -> Data:
    image = entry.image(*arrays)
    with suppress(OSError):  # what is wrong with the directory, `write` says
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    files.write(path, image)
    return entry.kind(*arrays, os.fspath(path), hashlib.sha256(image).hexdigest())
