"""Tables: named columns of numbers or text, taken from frames, mappings, records and arrays."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from mcgc.errors import DatasetError, InputError, unknown
from mcgc.files import IN_MEMORY

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "<na>"})  # texts that stand for no value, in lower case


class Table(NamedTuple):
    """A table in memory.

    Parameters
    ----------
    columns : mapping of str to array
        Each column, (rows,), of any dtype: numbers, truth values, text or objects.
    source : str
        Where it came from: a path, or "built in memory".
    sha256 : str
        The SHA-256 of the file, or of the columns where there is none.
    row : tuple of str and int
        What rows are called in sentences, and the number of the first: ("line", 2) for a CSV file, ("row", 0) else.
    units : mapping of str to str
        The units of columns, where they are known.
    """

    columns: Mapping[str, np.ndarray]
    source: str = IN_MEMORY
    sha256: str = ""
    row: tuple[str, int] = ("row", 0)
    units: Mapping[str, str] = MappingProxyType({})

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def location(self, row: int, column: str | None = None) -> str:
        """Return how a sentence names a row, and perhaps a column in it."""
        name, first = self.row
        where = f"{name} {row + first}"
        where = where if self.source == IN_MEMORY else f"{where} of {self.source!r}"
        return where if column is None else f"{where}, column {column!r}"

    def column(self, name: str, what: str = "column") -> np.ndarray:
        """Return a column. Raises `DatasetError`, with the list and a similar name, if there is none."""
        if name not in self.columns:
            raise DatasetError(unknown(what, name, self.columns))
        return self.columns[name]

    def numbers(self, name: str, what: str = "column") -> np.ndarray:
        """Return a column as float64, NaN where a value is missing.

        Raises `DatasetError` for the first value that is no number: the sentence has its row and its column.
        """
        values = self.column(name, what)
        if values.dtype.kind == "M":
            raise DatasetError(f"column {name!r} holds dates: name it as the time, or give numbers")
        if values.dtype.kind in "biuf":
            found = values.astype(np.float64)
        else:
            found = np.fromiter((_number(value) for value in values), np.float64, len(values))
            wrong = np.isinf(found)
            if wrong.any():
                row = int(wrong.argmax())
                raise DatasetError(
                    f"{self.location(row, name)} holds {_shown(values[row])}, which is no finite number: mend it, or "
                    "leave the cell empty"
                )
        if np.isinf(found).any():
            row = int(np.isinf(found).argmax())
            raise DatasetError(f"{self.location(row, name)} is infinite: mend it, or leave it empty")
        return found

    def labels(self, name: str, what: str = "column") -> list[str | None]:
        """Return a column as text, None where a value is missing. Whole numbers are written without a point."""
        return [_label(value) for value in self.column(name, what).tolist()]

    def is_text(self, name: str) -> bool:
        """Tell whether a column has a value that is no number."""
        values = self.column(name)
        return values.dtype.kind not in "biuf" and any(math.isinf(_number(value)) for value in values)


def _number(value: Any) -> float:
    """Return a value as a float: NaN where it is missing, and infinity where it is no number."""
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan if _is_missing(value) else math.inf


def is_missing(value: Any) -> bool:
    """Tell whether a cell is empty, or holds a word that stands for no value."""
    return value is None or math.isnan(_number(value))


def _is_missing(value: Any) -> bool:
    """Tell whether a value stands for none: pandas' NA is neither equal to itself nor unequal, and NaT is unequal."""
    try:
        return bool(value != value)
    except TypeError:
        return True


def _label(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip()
    if not isinstance(value, str) and _is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    return None if text.lower() in MISSING else text


def _shown(value: Any) -> str:
    text = repr(str(value))
    return text if len(text) < 40 else f"{text[:36]}…'"


def as_table(data: Any, columns: Sequence[str] | None = None) -> Table:
    """Return what a caller has as a table.

    Parameters
    ----------
    data : Any
        A `Table`; a DataFrame of pandas, polars or pyarrow; a mapping of names to columns; a structured array; a
        sequence of mappings, one a row; or an array or sequence of rows, whose columns are then named by `columns`.
    columns : sequence of str, optional
        The names of the columns of an array, or of a sequence of rows.

    Returns
    -------
    Table
        The table. Its columns may share memory with `data`.

    Raises
    ------
    DatasetError
        If it is none of these, has no rows, or columns differ in length.

    Examples
    --------
    >>> from mcgc.tables import as_table
    >>> table = as_table({"t": [0, 1], "y": [1.5, None]})
    >>> table.num_rows, table.numbers("y")
    (2, array([1.5, nan]))
    """
    if isinstance(data, Table):
        return data
    found = {str(name): _vector(str(name), values) for name, values in _columns(data, columns)}
    lengths = {name: len(values) for name, values in found.items()}
    if len({*lengths.values()}) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DatasetError(f"the columns of a table have as many values each, got {listed}: make them equal")
    if not lengths or not max(lengths.values()):
        raise DatasetError("the table has no rows: give one with data")
    return Table(found, sha256=_digest(found))


def _columns(data: Any, names: Sequence[str] | None) -> Iterable[tuple[Any, Any]]:
    """Return names and columns of a table of any kind."""
    if hasattr(data, "column_names") and hasattr(data, "column"):  # of pyarrow
        return [(name, _of_pyarrow(data.column(name))) for name in data.column_names]
    if isinstance(data, Mapping):
        return data.items()
    if getattr(getattr(data, "dtype", None), "names", None):
        return [(name, data[name]) for name in data.dtype.names]
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):  # of pandas and polars
        twice = [name for name in data.columns if list(data.columns).count(name) > 1]
        if twice:
            raise DatasetError(f"the frame has several columns {twice[0]!r}: rename them")
        return [(name, data[name]) for name in data.columns]
    rows = data
    if isinstance(rows, Sequence) and len(rows) and all(isinstance(row, Mapping) for row in rows):
        known = dict.fromkeys(name for row in rows for name in row)
        return [(name, [row.get(name) for row in rows]) for name in known]
    if names is None:
        raise DatasetError(
            f"a table is a frame, a mapping of columns, a list of records, or an array with names of its columns, got "
            f"{type(data).__name__}: give one of these"
        )
    try:
        array = np.asarray(data)
    except ValueError:
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != len(names):
        raise DatasetError(
            f"an array with {len(names)} names of columns has the shape (rows, {len(names)}), got "
            f"{tuple(np.shape(array))}: give as many names as columns"
        )
    return zip(names, array.T, strict=True)


def _of_pyarrow(column: Any) -> Any:
    """Return a column of pyarrow; NumPy's arrays would lose the time zone of dates."""
    return column.to_pylist() if getattr(column.type, "tz", None) else column.to_numpy()


def _vector(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty((0, 0))
    if array.dtype.kind == "m":
        raise DatasetError(f"column {name!r} holds durations: give numbers, such as hours")
    if array.dtype.kind == "M":
        array = array.astype("datetime64[us]")
    if array.ndim != 1:
        raise DatasetError(f"column {name!r} has the shape {array.shape}, not (rows,): give one value a row")
    if array.dtype.kind == "c":
        raise DatasetError(f"column {name!r} is complex: give its real numbers")
    if array.dtype.kind == "U" and isinstance(values, Sequence) and any(not isinstance(x, str) for x in values):
        array = np.asarray(list(values), dtype=object)  # numbers among texts stay numbers
    return array


def _digest(columns: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name, values in columns.items():
        found.update(f"{name} {values.dtype.kind} {len(values)} ".encode())
        found.update(values.tobytes() if values.dtype.kind in "biuf" else repr(values.tolist()).encode())
    return found.hexdigest()


def chosen(table: Table, names: str | Sequence[str], what: str) -> tuple[str, ...]:
    """Return names of columns that a caller gave, as a text with commas or a sequence, each of them there and once.

    Parameters
    ----------
    table : Table
        The table.
    names : str or sequence of str
        The names, such as "A,B".
    what : str
        What errors call a name.

    Returns
    -------
    tuple of str
        The names.

    Raises
    ------
    InputError
        If a name is not that of a column, is given twice, or there is none.

    Examples
    --------
    >>> from mcgc.tables import as_table, chosen
    >>> chosen(as_table({"A": [1], "B": [2]}), "A, B", "state")
    ('A', 'B')
    """
    listed = [name.strip() for name in names.split(",")] if isinstance(names, str) else [str(name) for name in names]
    listed = [name for name in listed if name]
    if not listed:
        raise InputError(f"no {what} is named: give the name of a column")
    for name in listed:
        table.column(name, f"column for a {what}")
        if listed.count(name) > 1:
            raise InputError(f"the {what} {name!r} is named twice: name it once")
    return tuple(listed)
