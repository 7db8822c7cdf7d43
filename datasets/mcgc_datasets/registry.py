"""The datasets by the name of their problem: found in the cache of the user, or built."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import platformdirs

from mcgc.errors import DatasetError
from mcgc_datasets import lorenz
from mcgc_datasets.series import Arrays, SeriesData, read_series, series_image


class Entry(NamedTuple):
    """A dataset that can be built: its numbers of states and parameters, and its builder."""

    num_states: int
    num_parameters: int
    build: Callable[[], Arrays]
    tolerance: float


_ENTRIES = {"lorenz": Entry(3, 2, lorenz.build, lorenz.TOLERANCE)}

IN_MEMORY = "built in memory"


def load(problem: str, path: str | os.PathLike | None = None) -> SeriesData:
    """Return the dataset of `problem`: the file at `path`, or else the one that is built on first use.

    A built dataset is kept as mcgc/datasets/<problem>.h5 in the user's cache directory; one that is damaged
    there is built again, and where that directory cannot be written, `source` is "built in memory".

    Raises `DatasetError` if the problem has no dataset of time series, or the file at `path` cannot be used.
    """
    entry = _ENTRIES.get(problem)
    if entry is None:
        raise DatasetError(f"no dataset of time series is known for {problem!r}: choose one of {', '.join(_ENTRIES)}")
    columns = entry.num_states, entry.num_parameters
    if path is not None:
        return read_series(path, problem, *columns)
    cached = Path(platformdirs.user_cache_dir("mcgc", appauthor=False), "datasets", f"{problem}.h5")
    try:
        return read_series(cached, problem, *columns)
    except DatasetError:
        pass  # not there yet, or damaged: either way it is built
    arrays = entry.build()
    image = series_image(problem, *arrays, numpy=version("numpy"), scipy=version("scipy"), tolerance=entry.tolerance)
    source = str(cached)
    try:
        _replace(cached, image)
    except OSError:
        source = IN_MEMORY
    return SeriesData(*arrays, source, hashlib.sha256(image).hexdigest())


def _replace(path: Path, content: bytes) -> None:
    """Write `path` so that another process sees all of `content` or nothing of it, even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
