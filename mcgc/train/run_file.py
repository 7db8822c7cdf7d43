"""Run files: a run's settings, epochs and parameters as HDF5; the one door of the library to the disk.

Root attributes `format`, `version`, `device`, `finished`, and as JSON `settings`, `versions`, `dataset`, `changes`,
`scaling` and `model`; the group `epochs` with one array a field of the records, (epochs,) or (epochs, members); the
groups `states/last` and `states/previous`, the complete states after the last epoch and the one before it, one array a
leaf; `theta` (members, m) and `log_lam` (members,), which are those of the best epoch (`states/last/best`); and
`results`, JSON as bytes, what the problem's `assess` found at the end. Numbers and structure carry checksums.

Where members on a cluster are further than others, `epochs` are those that all have done, `states/last` has the last
state of each, and `states/previous` the one before the last epoch of those that are finished. The group `ahead` then
has `done` (members,), the epochs of each, and the fields of the records beyond, member after member.
"""

import contextlib
import io
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from types import MappingProxyType
from typing import Any, NamedTuple

import h5py
import numpy as np

from mcgc import __version__, files, hdf5
from mcgc.errors import DatasetError, InputError

FORMAT, VERSION, READ = "mcgc-run", 7, (2, 3, 4, 5, 6, 7)
_JSON = {"settings": dict, "versions": dict, "dataset": dict, "changes": list, "scaling": dict, "model": dict}
_SINCE = {"scaling": 4, "model": 5}  # the version that an attribute came with
_STATES = ("last", "previous")
_MANY, _DEEP = 1000, 10  # more arrays, or groups in groups, than a run has

_RECORDED = (
    "numpy",
    "numba",
    "llvmlite",
    "scipy",
    "h5py",
    "array-api-compat",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "numba-cuda",
)


class RunFile(NamedTuple):
    """What a run file holds.

    Parameters
    ----------
    settings : mapping
        The settings of the run (`mcgc.train.Settings`), as JSON values.
    versions : mapping of str to str
        The versions of Python, mcgc, and the packages that the numbers depend on.
    dataset : mapping of str to str
        The `source` of the data, and their `sha256`.
    device : str
        The name of the device.
    finished : bool
        Whether the last epoch is done.
    epochs : mapping of str to array
        Each field of the records (`mcgc.train.Record`), (epochs,) or (epochs, members), NaN where there is no number.
    states : sequence of mappings
        The state after the last epoch and, from the second on, after the one before it: by the name of each leaf of
        `mcgc.train.Member`, an array with members along its first axis.
    changes : sequence of str
        What was changed when the run went on.
    scaling : mapping of str to sequence of float
        The fields of `mcgc.train.problems.Scaling`. Empty where nothing is standardised.
    model : mapping
        The `model` of the problem. Under `replaced` it has the names of what was given in place of what the settings
        name. Empty in files older than version 5.
    results : mapping
        What the problem's `assess` found when the run was done: scores, baselines, calibration. Empty before, for
        problems without one, and in files older than version 6.
    ahead : mapping of str to array
        Where members are further than others: `done` (members,), the epochs of each, and each field of
        `mcgc.train.MemberRecord` for the epochs beyond `epoch`, member after member. Otherwise empty.
    """

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    dataset: Mapping[str, str]
    device: str
    finished: bool
    epochs: Mapping[str, np.ndarray]
    states: Sequence[Mapping[str, np.ndarray]]
    changes: Sequence[str] = ()
    scaling: Mapping[str, Sequence[float]] = MappingProxyType({})
    model: Mapping[str, Any] = MappingProxyType({})
    results: Mapping[str, Any] = MappingProxyType({})
    ahead: Mapping[str, np.ndarray] = MappingProxyType({})

    @property
    def epoch(self) -> int:
        """The number of epochs that all members have done."""
        return len(self.epochs["epoch"])

    @property
    def theta(self) -> np.ndarray:
        """The parameters after the best epoch of each member, (members, m)."""
        return _best(self.states[0], "theta")

    @property
    def log_lam(self) -> np.ndarray:
        """Log λ after the best epoch of each member, (members,): −∞ without continuation."""
        return _best(self.states[0], "log_lam")


def _best(state: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return an array of the best state, or of the last one in a file that has no best."""
    return state.get(f"best/{name}", state[f"state/{name}"])


def columns(records: Sequence[Any]) -> dict[str, np.ndarray]:
    """Return an array for each field of records.

    Parameters
    ----------
    records : sequence of NamedTuples
        One record or more, whose fields are numbers or tuples of numbers.

    Returns
    -------
    dict of str to array
        By the name of each field, an array of shape (records,) or (records, members). None becomes NaN; False and True
        become 0 and 1, uint8.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> from mcgc.train.run_file import columns
    >>> class Loss(NamedTuple):
    ...     epoch: int
    ...     loss: tuple[float | None, ...]
    >>> columns([Loss(1, (0.5, None)), Loss(2, (0.25, 0.5))])["loss"]
    array([[0.5 ,  nan],
           [0.25, 0.5 ]])
    """
    fields = zip(records[0]._fields, zip(*records, strict=True), strict=True)
    arrays = {field: np.asarray(values) for field, values in fields}
    kinds = {"O": float, "b": np.uint8}
    return {field: array.astype(kinds.get(array.dtype.kind, array.dtype)) for field, array in arrays.items()}


def versions() -> dict[str, str]:
    """Return the versions of Python, of mcgc, and of the installed packages that its numbers depend on.

    Returns
    -------
    dict of str to str
        The version of each, by its name.

    Examples
    --------
    >>> from mcgc.train.run_file import versions
    >>> [*versions()][:3]
    ['python', 'mcgc', 'numpy']
    """
    found = {"python": platform.python_version(), "mcgc": __version__}
    for name in _RECORDED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def save(path: str | os.PathLike, run: RunFile, overwrite: bool = False) -> None:
    """Write a run file, which is there whole or not at all, even after a power cut.

    Parameters
    ----------
    path : str or path
        The file.
    run : RunFile
        What it holds.
    overwrite : bool
        Whether to replace a file that is there.

    Raises
    ------
    OutputError
        If the file cannot be written, or if it is there and `overwrite` is False.

    Examples
    --------
    >>> from mcgc_datasets import load
    >>> from mcgc import train
    >>> recipe = train.problems.get("lotka-volterra").recipe._replace(epochs=1)
    >>> with train.Run.create("mine.h5", train.bind(recipe, load("lotka-volterra"))) as run:
    ...     records = list(run.epochs())
    >>> found = train.run_file.load("mine.h5")
    >>> train.run_file.save("copy.h5", found._replace(changes=["copied by hand"]))
    >>> train.run_file.load("copy.h5").changes
    ['copied by hand']
    """
    files.write(path, _image(run), overwrite)


def load(path: str | os.PathLike, begun: bool = False) -> RunFile:
    """Read a run file, in memory of about the size of the file.

    Parameters
    ----------
    path : str or path
        The file.
    begun : bool
        Whether a run is taken in which no epoch is done by all members.

    Returns
    -------
    RunFile
        What it holds.

    Raises
    ------
    InputError
        If the file is not there, not a run file, of another version, damaged, or no epoch is done by all members.

    Examples
    --------
    >>> from mcgc_datasets import load
    >>> from mcgc import train
    >>> recipe = train.problems.get("lotka-volterra").recipe._replace(epochs=2)
    >>> with train.Run.create("mine.h5", train.bind(recipe, load("lotka-volterra"))) as run:
    ...     records = list(run.epochs())
    >>> found = train.run_file.load("mine.h5")
    >>> found.epoch, found.finished, found.theta.shape
    (2, True, (1, 8002))
    """
    try:
        found = hdf5.read(path, "run file", "give one that 'mcgc fit' wrote", _contents)[0]
    except DatasetError as error:
        raise InputError(str(error)) from None
    if not (found.epoch or begun):
        raise InputError(f"run file {os.fspath(path)!r} has no epoch yet that all members have done: wait for it")
    return found


def _contents(file: h5py.File, name: str) -> RunFile:
    attribute = partial(hdf5.attribute, file, name)
    version = attribute("version")
    if attribute("format") != FORMAT or version not in READ:
        other = f"{attribute('format')!r}, version {version}"
        raise DatasetError(f"{name} is of the format {other}, not {FORMAT!r}, version {VERSION}: give one of that")
    values = {key: json.loads(attribute(key)) for key in _JSON if version >= _SINCE.get(key, 0)}
    for key, value in values.items():
        if type(value) is not _JSON[key]:
            raise DatasetError(
                f"{name}: the attribute {key!r} is not a JSON {_JSON[key].__name__}: copy the file again"
            )
    remedy = "give one that 'mcgc fit' wrote, which holds all of its numbers"
    arrays = hdf5.datasets(file, name, list(_below(file, name)), "u1", remedy, file.id.get_filesize())
    epochs, ahead, *states = (
        {key.removeprefix(part): hdf5.array(it, it.dtype) for key, it in arrays.items() if key.startswith(part)}
        for part in ("epochs/", "ahead/", *(f"states/{which}/" for which in _STATES))
    )
    if "epoch" not in epochs or epochs["epoch"].ndim != 1 or not {"state/theta", "state/log_lam"} <= states[0].keys():
        raise DatasetError(f"{name} lacks the epochs or the states: give one that 'mcgc fit' wrote")
    _complete(version, epochs, states)
    if version >= 6:
        values["results"] = _results(file, name, remedy)
    finished, device = bool(attribute("finished")), str(attribute("device"))
    found: dict[str, Any] = {
        "device": device,
        "finished": finished,
        "epochs": epochs,
        "states": [state for state in states if state],
        "ahead": ahead,
    }
    return RunFile(**values, **found)


def _results(file: h5py.File, name: str, remedy: str) -> dict[str, Any]:
    """Return what the dataset `results` holds as JSON."""
    (dataset,) = hdf5.datasets(file, name, ["results"], "u1", remedy, file.id.get_filesize()).values()
    found = json.loads(hdf5.array(dataset, "u1").tobytes().decode())
    if type(found) is not dict:
        raise DatasetError(f"{name}: 'results' is not a JSON dict: copy the file again")
    return found


def _complete(version: int, epochs: dict[str, np.ndarray], states: Sequence[dict[str, np.ndarray]]) -> None:
    """Add what files of an older version lack, as the run that they hold had it."""
    if version == 2 and "restored" in epochs:  # no step was ever left out
        epochs["skipped"] = np.zeros(epochs["restored"].shape, np.int64)
    if "grad_log_lam_alone" in epochs:  # `grad_log_lam` had the term of beta
        epochs["grad_log_lam_total"] = epochs["grad_log_lam"]
        epochs["grad_log_lam"] = epochs.pop("grad_log_lam_alone")
    if version < 4 and "train_loss" in epochs:  # no windows, no validation set, and no schedule of the learning rate
        epochs["horizon"] = np.zeros(epochs["epoch"].shape, np.int64)
        epochs["validation_loss"] = np.full(epochs["train_loss"].shape, np.nan)
        for state in states:
            if "restores" in state:
                state["restored_at"] = np.zeros_like(state["restores"])


def _below(file: h5py.File, name: str) -> Iterator[str]:
    """Yield the paths of all that is in `epochs`, `states` and `ahead` and no group; links are left to be refused."""
    found, seen = ["epochs", "states", *(["ahead"] if "ahead" in file else [])], 0
    while found:
        path = found.pop()
        if isinstance(file.get(path, getlink=True), h5py.HardLink) and isinstance(file[path], h5py.Group):
            seen += len(file[path])
            if seen > _MANY or path.count("/") > _DEEP:  # which groups that hold themselves come to
                raise DatasetError(f"{name} holds more arrays than a run has: give one that 'mcgc fit' wrote")
            found += [f"{path}/{key}" for key in file[path]]
        else:
            yield path


def _image(run: RunFile) -> bytes:
    """Return the bytes of the file, made in memory so that the disk sees one plain write."""
    image = io.BytesIO()  # HDF5's own images have a wrong checksum before its version 2
    with h5py.File(image, "w", libver=("v110", "v110")) as file:
        file.attrs.update(version=VERSION, finished=run.finished)
        texts = {"format": FORMAT, "device": run.device}
        texts |= {key: json.dumps(getattr(run, key), default=dict) for key in _JSON}
        for key, text in texts.items():
            encoded = text.encode()
            file.attrs.create(key, encoded, dtype=h5py.string_dtype("utf-8", len(encoded)))
        parts = {"epochs": run.epochs, "ahead": run.ahead} | {
            f"states/{which}": state for which, state in zip(_STATES, run.states, strict=False)
        }
        for part, arrays in parts.items():
            for key, array in arrays.items():
                kept = {"chunks": array.shape, "fletcher32": True} if array.size else {}
                file.create_dataset(f"{part}/{key}", data=array, **kept)
        encoded = json.dumps(run.results, default=dict).encode()
        file.create_dataset("results", data=np.frombuffer(encoded, "u1"), chunks=(len(encoded),), fletcher32=True)
        for key in ("theta", "log_lam"):
            file[key] = file[f"states/last/best/{key}"]
    return image.getvalue()
