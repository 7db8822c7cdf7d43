"""Files of tables: CSV, NPZ, HDF5 and Parquet."""

import csv
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mcgc import files, hdf5
from mcgc.errors import DatasetError
from mcgc.tables import Table, as_table

FORMAT, VERSION = "mcgc-table", 1
ENDINGS = (".csv", ".tsv", ".txt", ".npz", ".h5", ".hdf5", ".parquet")
_SEPARATORS = ",;\t|"


def read_table(path: str | os.PathLike) -> Table:
    r"""Read a table from a file, by the ending of its name.

    Parameters
    ----------
    path
        A CSV file with a line of names (.csv, .tsv, .txt; the separator is a comma, a semicolon, a tab or a bar), an
        archive of NumPy with an array a column (.npz), an HDF5 file with a dataset a column, or one that `write_table`
        wrote (.h5, .hdf5), or a Parquet file, which needs pyarrow (.parquet).

    Returns
    -------
    Table
        The table, with the path and the SHA-256 of the file.

    Raises
    ------
    DatasetError
        If the file cannot be read, or holds no table.

    Examples
    --------
    >>> from pathlib import Path
    >>> from mcgc_datasets import read_table
    >>> _ = Path("mine.csv").write_text("t,y\n0,1.5\n1,\n")
    >>> read_table("mine.csv").numbers("y")
    array([1.5, nan])
    """
    name, ending = os.fspath(path), Path(path).suffix.lower()
    what = f"table {name!r}"
    if ending not in ENDINGS:
        raise DatasetError(f"{what} ends in none of {', '.join(ENDINGS)}: give a table of such a format")
    hdf5.check_file(path, what)
    if ending in (".h5", ".hdf5"):
        (columns, units), sha256 = hdf5.read(path, "table", "give one", _of_hdf5)
        return _named(columns, name, sha256, ("row", 0), units)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DatasetError(f"{what} cannot be read ({error.strerror}): see that it can be") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if ending == ".npz":
        return _named(_of_npz(content, what), name, sha256)
    if ending == ".parquet":
        return _named(_of_parquet(content, what), name, sha256)
    return _named(_of_csv(content, what), name, sha256, ("line", 2))


def _named(
    columns: Any, source: str, sha256: str, row: tuple[str, int] = ("row", 0), units: dict[str, str] | None = None
) -> Table:
    try:
        return as_table(columns)._replace(source=source, sha256=sha256, row=row, units=units or {})
    except DatasetError as error:
        raise DatasetError(f"table {source!r}: {error}") from None


def _of_csv(content: bytes, what: str) -> dict[str, np.ndarray]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DatasetError(f"{what} is not UTF-8 text in line {line}: save it as CSV in UTF-8") from None
    if "\0" in text:
        raise DatasetError(f"{what} is not text: save it as CSV in UTF-8")
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=first.count), strict=True)
    try:
        head = [name.strip() for name in next(reader, [])]
        rows = [row if len(row) == len(head) else _short(row, head, reader.line_num, what) for row in reader]
    except csv.Error as error:
        raise DatasetError(f"{what} is no CSV in line {reader.line_num} ({error}): mend the line") from None
    while rows and not any(rows[-1]):
        rows.pop()  # empty lines at the end
    if len({*head}) < len(head) or "" in head:
        twice = next((name for name in head if head.count(name) > 1), "")
        wrong = f"names two columns {twice!r}" if twice else "has a column without a name"
        raise DatasetError(f"{what}: its first line {wrong}: give each column a name of its own")
    if not rows:
        raise DatasetError(f"{what} has no rows: give one with data")
    return {name: _parsed(values) for name, values in zip(head, zip(*rows, strict=True), strict=True)}


def _short(row: list[str], head: list[str], line: int, what: str) -> list[str]:
    """Return an empty line as one of empty cells. Raises `DatasetError` for any other line of another length."""
    if any(row):
        raise DatasetError(
            f"{what} has {len(row)} cells in line {line}, but {len(head)} names of columns: mend the line"
        )
    return [""] * len(head)


def _parsed(values: tuple[str, ...]) -> np.ndarray:
    """Return a column as float64 where each cell is a number, else as text."""
    try:
        return np.asarray(values, np.float64)  # which takes the nan and inf of Python, and blanks around
    except ValueError:
        return np.asarray(values, object)


def _of_npz(content: bytes, what: str) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise DatasetError(f"{what} is no archive of arrays ({hdf5.line(error)}): give one of numpy.savez") from None


def _of_parquet(content: bytes, what: str) -> Any:
    try:
        from pyarrow import ArrowException, BufferReader, parquet
    except ImportError:
        raise DatasetError(f"{what} needs pyarrow: install mcgc[tables], or save it as CSV") from None
    try:
        return parquet.read_table(BufferReader(content))
    except (ArrowException, OSError) as error:
        raise DatasetError(f"{what} is no Parquet file ({hdf5.line(error)}): copy it again") from None


def _of_hdf5(file: h5py.File, name: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    if file.attrs.get("format") in (FORMAT, FORMAT.encode()):
        hdf5.check_attributes(file, name, {"format": FORMAT, "version": VERSION})
        described = json.loads(hdf5.attribute(file, name, "columns"))
        keys = [f"columns/{i}" for i in range(len(described))]
        arrays = hdf5.datasets(file, name, keys, "float64", "give a smaller table")
        columns = {}
        for entry, dataset in zip(described, arrays.values(), strict=True):
            values = hdf5.array(dataset, "float64")
            texts = entry["categories"]
            columns[entry["name"]] = values if texts is None else _texts(values, texts)
        return columns, {entry["name"]: entry["unit"] for entry in described if entry["unit"]}
    keys = [key for key in file if isinstance(file.get(key, getlink=True), h5py.HardLink)]
    keys = [key for key in keys if isinstance(file[key], h5py.Dataset)]
    if not keys:
        raise DatasetError(f"{name} has no dataset at its root: give one dataset a column")
    arrays = hdf5.datasets(file, name, keys, "float64", "give a smaller table")
    return {
        key: np.reshape(hdf5.array(it, it.dtype), hdf5.vector(it.shape) or it.shape) for key, it in arrays.items()
    }, {}


def _texts(codes: np.ndarray, texts: list[str]) -> np.ndarray:
    return np.asarray([None if code < 0 else texts[int(code)] for code in codes], object)


def write_table(path: str | os.PathLike, data: Any, units: dict[str, str] | None = None) -> None:
    """Write a table to an HDF5 file, with the names and units of its columns and the hash of its source.

    Parameters
    ----------
    path
        File, which is replaced.
    data
        What `mcgc.tables.as_table` takes.
    units
        Units of columns, which replace those of the table.

    Raises
    ------
    DatasetError
        If a unit is of no column, or `data` is no table.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> from mcgc_datasets import read_table, write_table
    >>> write_table("mine.h5", {"t": [0, 1], "who": ["a", "b"]}, units={"t": "s"})
    >>> table = read_table("mine.h5")
    >>> table.labels("who"), dict(table.units)
    (['a', 'b'], {'t': 's'})
    """
    files.write(path, table_bytes(as_table(data), units))


def table_bytes(table: Table, units: dict[str, str] | None = None) -> bytes:
    """Return the bytes of a file of a table. Equal arguments give equal bytes."""
    for name in units or {}:
        table.column(name, "column with a unit")
    known = {**table.units, **(units or {})}
    described: list[dict[str, Any]] = []
    arrays = []
    for name in table.columns:
        categories = None
        if table.is_text(name):
            labels = table.labels(name)
            categories = sorted({label for label in labels if label is not None})
            numbers = {label: number for number, label in enumerate(categories)}
            values = np.asarray([-1 if label is None else numbers[label] for label in labels], np.float64)
        else:
            values = table.numbers(name)
        described.append({"name": name, "unit": known.get(name, ""), "categories": categories})
        arrays.append(values)
    image = io.BytesIO()  # HDF5's own images have a wrong checksum before its version 2
    with h5py.File(image, "w", libver=("v110", "v110")) as file:
        file.attrs.update(format=FORMAT, version=VERSION, source=table.source, source_sha256=table.sha256)
        file.attrs["columns"] = json.dumps(described)
        for i, values in enumerate(arrays):
            file.create_dataset(f"columns/{i}", data=values)
    return image.getvalue()
