"""Run files: a run's settings, epochs and parameters as HDF5; the one door of the library to the disk.

Root attributes `format`, `version`, `device`, `finished`, and `settings`, `versions`, `dataset` as JSON; the
group `epochs` with one array a field of the records, (epochs,) or (epochs, members); `theta` (members, m) and
`log_lam` (members,).
"""

import contextlib
import json
import os
import platform
import secrets
import stat
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import h5py
import numpy as np

from mcgc import __version__
from mcgc.errors import InputError, OutputError

FORMAT, VERSION = "mcgc-run", 1
_JSON = ("settings", "versions", "dataset")

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


class Run(NamedTuple):
    """What a run file holds.

    `settings`, `versions` and `dataset` are plain JSON values; `epochs` maps each field of the records to its
    array, (epochs,) or (epochs, members), NaN where there is no number; `theta` (members, m) and `log_lam`
    (members,) are those of the last epoch. `finished` is False if the run was stopped before its last epoch.
    """

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    dataset: Mapping[str, str]
    device: str
    finished: bool
    epochs: Mapping[str, np.ndarray]
    theta: np.ndarray
    log_lam: np.ndarray


def columns(records: Sequence[Any]) -> dict[str, np.ndarray]:
    """Turn `records`, one at least, into an array a field: NamedTuples of numbers or tuples; None is NaN."""
    fields = zip(records[0]._fields, zip(*records, strict=True), strict=True)
    arrays = {field: np.asarray(values) for field, values in fields}
    return {field: array.astype(float) if array.dtype == object else array for field, array in arrays.items()}


def versions() -> dict[str, str]:
    """Return the versions of Python, of mcgc, and of the installed packages that its numbers depend on."""
    found = {"python": platform.python_version(), "mcgc": __version__}
    for name in _RECORDED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def check_writable(path: str | os.PathLike, overwrite: bool = False) -> None:
    """Raise `OutputError` if `save` could not write to `path`; nothing is left there or beside it."""
    path = os.path.realpath(path)
    mode = None
    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(path)):
            pass
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(path).st_mode
    except OSError as error:
        raise _refusal(path, error) from None
    if mode is None:
        return
    if stat.S_ISDIR(mode):
        raise OutputError(f"output {path!r} is a directory: give the name of a file in it")
    if not stat.S_ISREG(mode):
        raise OutputError(f"output {path!r} is not a regular file, and is not replaced: choose another name")
    if not overwrite:
        raise OutputError(f"output {path!r} exists: choose another name, or replace it with --force")


def save(path: str | os.PathLike, run: Run, overwrite: bool = False) -> None:
    """Write `run` to `path` so that the file is there whole or not at all, even after a power cut.

    Raises `OutputError` if it cannot be written, or if `path` exists and `overwrite` is False.
    """
    check_writable(path, overwrite)
    path = os.path.realpath(path)
    image = _image(run)
    temporary = os.path.join(os.path.dirname(path), f".mcgc-{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())
        _publish(temporary, path, overwrite)
    except OSError as error:
        raise _refusal(path, error) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def load(path: str | os.PathLike) -> Run:
    """Read the run file at `path`.

    Raises `InputError` if it is not there, not a run file, of a later version, or damaged.
    """
    name = f"run file {os.fspath(path)!r}"
    if not os.path.isfile(path):
        raise InputError(f"{name} does not exist or is not a regular file: check the path")
    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("format"), file.attrs.get("version")
            if found != (FORMAT, VERSION):
                raise InputError(
                    f"{name} is of {found}, not {(FORMAT, VERSION)}: give one that this version of mcgc wrote"
                )
            settings, versions, dataset = (json.loads(file.attrs[key]) for key in _JSON)
            return Run(
                settings,
                versions,
                dataset,
                device=file.attrs["device"],
                finished=bool(file.attrs["finished"]),
                epochs={field: dataset[()] for field, dataset in file["epochs"].items()},
                theta=file["theta"][()],
                log_lam=file["log_lam"][()],
            )
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, MemoryError) as error:
        raise InputError(f"{name} is not HDF5, or damaged ({str(error).splitlines()[0]}): copy it again") from None


def _image(run: Run) -> bytes:
    """Return the bytes of the file, made in memory so that the disk sees one plain write."""
    with h5py.File("image", "w", driver="core", backing_store=False) as file:
        file.attrs.update(format=FORMAT, version=VERSION, device=run.device, finished=run.finished)
        for key in _JSON:
            file.attrs[key] = json.dumps(getattr(run, key))
        for field, array in run.epochs.items():
            file[f"epochs/{field}"] = array
        file["theta"], file["log_lam"] = run.theta, run.log_lam
        file.flush()
        return file.id.get_file_image()


def _publish(temporary: str, path: str, overwrite: bool) -> None:
    """Give the finished file its name, and see that the name is on the disk."""
    if overwrite:
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    else:
        try:
            os.link(temporary, path)  # which, unlike a rename, never replaces a file made in the meantime
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            check_writable(path)
            os.replace(temporary, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _refusal(path: str, error: OSError) -> OutputError:
    return OutputError(f"output {path!r} cannot be written ({error.strerror}): choose a place that exists and may be")
