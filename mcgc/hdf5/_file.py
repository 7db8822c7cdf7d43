"""HDF5 files and their attributes."""

import errno
import hashlib
import math
import mmap
import os
import stat
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import h5py
import numpy as np

from mcgc.errors import DatasetError, McgcError
from mcgc.hdf5._heaps import check_heaps

MAX_ATTRIBUTE = 2**16
LOCKED = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)  # what a system says of a lock that another process holds

# what HDF5 and h5py raise for damaged files
_DAMAGED = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError)

T = TypeVar("T")


def read(path: str | os.PathLike, kind: str, wanted: str, contents: Callable[[h5py.File, str], T]) -> tuple[T, str]:
    """Read an HDF5 file.

    Parameters
    ----------
    path : str or path
        The file.
    kind : str
        What errors call it: their sentences begin with this and the path.
    wanted : str
        What to do about a file that is not HDF5. It ends the sentence of that error.
    contents : function (file, name) → contents
        Reads from the open file. `name` is how its errors begin.

    Returns
    -------
    contents : Any
        What `contents` returned.
    sha256 : str
        The SHA-256 of the bytes of the file.

    Raises
    ------
    DatasetError
        If the file is missing, not a regular file, not HDF5, open for writing in another process, or damaged.

    Examples
    --------
    >>> import h5py
    >>> from mcgc import hdf5
    >>> with h5py.File("mine.h5", "w") as file:
    ...     file["x"] = [1.0, 2.0]
    >>> hdf5.read("mine.h5", "dataset", "give one", lambda file, name: hdf5.array(file["x"], float))[0]
    array([1., 2.])
    """
    name = f"{kind} {os.fspath(path)!r}"
    check_file(path, name)
    try:
        with open(path, "rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            if not h5py.is_hdf5(path):
                raise DatasetError(f"{name} is not an HDF5 file: {wanted}")
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as image:
                check_heaps(image)
        with h5py.File(path, "r") as file:
            return contents(file, name), sha256
    except McgcError:
        raise
    except _DAMAGED as error:
        raise DatasetError(f"{name} {_failure(error)}") from None


def _failure(error: Exception) -> str:
    """Return why a file cannot be read, and what to do: the file need not be what is wrong."""
    said, number = str(error), getattr(error, "errno", None)
    if "already open for write" in said:
        return "is open for writing, or its writer died: wait until it is closed, or else run h5clear -s on it"
    if "unable to lock file" in said:
        if number in LOCKED:
            return "is open for writing in another process: wait until that has closed it"
        return f"cannot be locked where it is ({os.strerror(number or 0)}): copy it to another disk"
    if number:
        return f"cannot be read ({os.strerror(number)}): see that it is there and can be read, and try again"
    return f"cannot be read, so it is damaged or cut short ({line(error)}): copy it again"


def check_file(path: str | os.PathLike, name: str) -> None:
    """Raise an error unless a path is that of a regular file that may be read.

    Parameters
    ----------
    path : str or path
        The path.
    name : str
        How the sentence of the error begins.

    Raises
    ------
    DatasetError
        If it is not.

    Examples
    --------
    >>> from mcgc import hdf5
    >>> hdf5.check_file("none.h5", "dataset 'none.h5'")
    Traceback (most recent call last):
        ...
    mcgc.errors.DatasetError: dataset 'none.h5' does not exist: check the path
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise DatasetError(f"{name} does not exist: check the path") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{name} cannot be reached ({line(error)}): check the path") from None
    if stat.S_ISDIR(mode):
        raise DatasetError(f"{name} is a directory: give the path of a file in it")
    if not stat.S_ISREG(mode):  # opening a FIFO would wait for ever
        raise DatasetError(f"{name} is not a regular file: copy the data to one and give that")
    if not os.access(path, os.R_OK):
        raise DatasetError(f"{name} may not be read by this user: change its permissions")


def line(error: BaseException) -> str:
    """Return the first line of what an error says.

    Parameters
    ----------
    error : exception
        The error.

    Returns
    -------
    str
        The line, or the name of the error's type if it says nothing.

    Examples
    --------
    >>> from mcgc.hdf5 import line
    >>> line(ValueError("no float")), line(ValueError())
    ('no float', 'ValueError')
    """
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def attribute(file: h5py.File, name: str, key: str) -> Any:
    """Return an attribute that is a number or a string.

    Strings may be of fixed or variable length, padded by zeros or blanks. An array of one element is that element.

    Parameters
    ----------
    file : h5py.File
        The open file.
    name : str
        How the sentence of an error begins.
    key : str
        The name of the attribute.

    Returns
    -------
    int, float, bool or str
        The value.

    Raises
    ------
    DatasetError
        If there is no such attribute, it is neither, or it is too long.

    Examples
    --------
    >>> import h5py
    >>> from mcgc import hdf5
    >>> with h5py.File("mine.h5", "w") as file:
    ...     file.attrs["problem"] = "lorenz"
    ...     hdf5.attribute(file, "mine.h5", "problem")
    'lorenz'
    """
    if key not in file.attrs:
        raise DatasetError(f"{name} has no attribute {key!r}: give a file made for that")
    found = file.attrs.get_id(key)
    plain = found.dtype.kind in "biufS" or h5py.check_string_dtype(found.dtype) is not None
    if found.shape is None or math.prod(found.shape) != 1 or not plain or found.get_storage_size() > MAX_ATTRIBUTE:
        raise DatasetError(
            f"{name} has the {key} {found.dtype} {found.shape}, no number or string: give a file made for that"
        )
    value = np.asarray(file.attrs[key]).item()
    value = value.decode(errors="replace") if isinstance(value, bytes) else value
    return value.rstrip("\0 ") if isinstance(value, str) else value


def check_attributes(file: h5py.File, name: str, expected: Mapping[str, Any]) -> None:
    """Raise an error if an attribute that a file has is not as expected.

    Parameters
    ----------
    file : h5py.File
        The open file.
    name : str
        How the sentence of the error begins.
    expected : mapping of str to value
        The values by the names of the attributes. The file may lack any of them.

    Raises
    ------
    DatasetError
        If a value differs.

    Examples
    --------
    >>> import h5py
    >>> from mcgc import hdf5
    >>> with h5py.File("mine.h5", "w") as file:
    ...     file.attrs["problem"] = "lorenz"
    ...     hdf5.check_attributes(file, "mine.h5", {"problem": "lorenz", "seed": 0})
    """
    for key, value in expected.items():
        found = attribute(file, name, key) if key in file.attrs else value
        if found != value:
            raise DatasetError(f"{name} has the {key} {found!r}, not {value!r}: give a file made for that")
