"""The file of a sweep: HDF5, with one array a quantity and a row a trial."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from mcgc import files, hdf5
from mcgc._version import __version__
from mcgc.errors import DatasetError, InputError
from mcgc.sweeps._space import Dimension
from mcgc.sweeps._trial import SCORES, STATUSES, Trial

FORMAT, VERSION = "mcgc-sweep", 1
_REMEDY = "give one that 'mcgc sweep' wrote"
_TEXTS = {"header": dict, "sentences": list}
_COLUMNS = {"number": "i8", "status": "u1", "epochs": "i8", "seconds": "f8"}


def save(path: str | os.PathLike, header: Mapping[str, Any], trials: Sequence[Trial], overwrite: bool = True) -> None:
    """Write the file of a sweep, which is there whole or not at all. Raises `OutputError` if it cannot be written."""
    files.write(path, _image(header, trials), overwrite)


def load(path: str | os.PathLike) -> tuple[dict[str, Any], tuple[Trial, ...]]:
    """Return header and trials of the file of a sweep. Raises `InputError` if it cannot be read."""
    try:
        return hdf5.read(path, "sweep", _REMEDY, _contents)[0]
    except DatasetError as error:
        raise InputError(str(error)) from None


def space_in(header: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Return the searched settings that a header tells of."""
    return tuple(Dimension(**{**one, "choices": tuple(one["choices"])}) for one in header["space"])


def _image(header: Mapping[str, Any], trials: Sequence[Trial]) -> bytes:
    """Return the bytes of the file, made in memory so that the disk sees one plain write."""
    arrays: dict[str, Any] = {
        "number": [trial.number for trial in trials],
        "status": [STATUSES.index(trial.status) for trial in trials],
        "epochs": [trial.epochs for trial in trials],
        "seconds": [trial.seconds for trial in trials],
    }
    columns = {f"trials/{name}": np.asarray(values, _COLUMNS[name]) for name, values in arrays.items()}
    keys = b"".join(bytes.fromhex(trial.key) for trial in trials)
    columns["trials/key"] = np.frombuffer(keys, "u1").reshape(len(trials), -1)
    columns["trials/best_epoch"] = _padded([trial.best_epoch for trial in trials], 0, "i8")
    for name in SCORES:
        columns[f"trials/{name}"] = _padded([getattr(trial, name) for trial in trials], np.nan, "f8")
    for one in space_in(header):
        columns[f"values/{one.name}"] = np.asarray([one.code(trial.values[one.name]) for trial in trials])
    for name, found in (("header", dict(header)), ("sentences", [trial.sentence for trial in trials])):
        columns[name] = np.frombuffer(json.dumps(found).encode(), "u1")
    image = io.BytesIO()  # HDF5's own images have a wrong checksum before its version 2
    with h5py.File(image, "w", libver=("v110", "v110")) as file:
        file.attrs.update(version=VERSION)
        for key, text in (("format", FORMAT), ("created_by", f"mcgc {__version__}")):
            file.attrs.create(key, text.encode(), dtype=h5py.string_dtype("utf-8", len(text)))
        for key, array in columns.items():
            chunks = {"chunks": array.shape, "fletcher32": True} if array.size else {}
            file.create_dataset(key, data=array, **chunks)
    return image.getvalue()


def _padded(rows: Sequence[Sequence[float]], filler: float, dtype: str) -> np.ndarray:
    """Return rows of numbers, one a member, as (trials, members): members that a trial does not have are filled."""
    found = np.full((len(rows), max(map(len, rows), default=0)), filler, dtype)
    for i, row in enumerate(rows):
        found[i, : len(row)] = row
    return found


def _contents(file: h5py.File, name: str) -> tuple[dict[str, Any], tuple[Trial, ...]]:
    found, version = hdf5.attribute(file, name, "format"), hdf5.attribute(file, name, "version")
    if (found, version) != (FORMAT, VERSION):
        raise DatasetError(f"{name} is of the format {found!r}, version {version}, not {FORMAT!r}: {_REMEDY}")
    most = file.id.get_filesize() + 2**20
    texts = {key: _text(array, name, key) for key, array in _arrays(file, name, _TEXTS, most).items()}
    header, sentences = texts["header"], texts["sentences"]
    space = space_in(header)
    keys = [*(f"trials/{key}" for key in (*_COLUMNS, "key", "best_epoch", *SCORES))]
    arrays = _arrays(file, name, [*keys, *(f"values/{one.name}" for one in space)], most)
    if {len(array) for array in arrays.values()} != {len(sentences)}:
        raise DatasetError(f"{name} has columns of different lengths: copy the file again")
    return header, tuple(_trial(arrays, space, i, sentence) for i, sentence in enumerate(sentences))


def _arrays(file: h5py.File, name: str, keys: Any, most: int) -> dict[str, np.ndarray]:
    found = hdf5.datasets(file, name, list(keys), "u1", _REMEDY, most)
    return {key: hdf5.array(one, one.dtype) for key, one in found.items()}


def _text(array: np.ndarray, name: str, key: str) -> Any:
    found = json.loads(array.tobytes().decode())
    if type(found) is not _TEXTS[key]:
        raise DatasetError(f"{name}: {key!r} is not a JSON {_TEXTS[key].__name__}: copy the file again")
    return found


def _trial(arrays: Mapping[str, np.ndarray], space: Sequence[Dimension], i: int, sentence: str) -> Trial:
    of = {key.removeprefix("trials/"): array[i] for key, array in arrays.items() if key.startswith("trials/")}
    members = int((of["best_epoch"] > 0).sum())  # epochs count from 1
    return Trial(
        int(of["number"]),
        of["key"].tobytes().hex(),
        {one.name: one.decoded(float(arrays[f"values/{one.name}"][i])) for one in space},
        STATUSES[int(of["status"])],
        sentence,
        int(of["epochs"]),
        float(of["seconds"]),
        tuple(of["best_epoch"][:members].tolist()),
        **{name: tuple(x for x in of[name][:members].tolist() if x == x) for name in SCORES},
    )
