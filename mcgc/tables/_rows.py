"""Examples from a table: a row is an example, with features and a target."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mcgc.errors import DatasetError, InputError
from mcgc.tables._dates import instants_of
from mcgc.tables._table import Table, as_table, chosen

MOST_CATEGORIES = 100  # of a feature; one with more is a name or a note
MOST_CLASSES = 1000


class RowsColumns(NamedTuple):
    """Which columns of a table are what, and what text in them means.

    Parameters
    ----------
    targets : tuple of str
        The columns of targets: several for a regression, one for a classification.
    features : tuple of str
        The columns of features.
    categories : mapping of str to tuple of str
        The categories of each feature that is text, in order. It becomes one number for each: 1 where it is that
        category, else 0.
    classes : tuple of str
        The classes of a classification, in order. Empty for a regression.
    group, time : str or None
        The columns by which a table may be divided.
    """

    targets: tuple[str, ...]
    features: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None

    @property
    def encoded(self) -> tuple[str, ...]:
        """The names of the numbers that the features become, such as "colour=red"."""
        return tuple(
            entry
            for name in self.features
            for entry in ([f"{name}={each}" for each in self.categories[name]] if name in self.categories else [name])
        )


class RowsTable(NamedTuple):
    """Examples of a table.

    Parameters
    ----------
    columns : RowsColumns
        What the columns are.
    features : array of shape (rows, numbers)
        The features as numbers (`RowsColumns.encoded`).
    targets : array of shape (rows, targets)
        The targets, NaN where they are missing; the number of the class for a classification.
    groups : array of shape (rows,), or None
        The number of the group of each row.
    times : array of shape (rows,), or None
        The time of each row.
    source, sha256 : str
        Those of the table.
    units : dict
        Those of the table, of the columns that are used.
    """

    columns: RowsColumns
    features: np.ndarray
    targets: np.ndarray
    groups: np.ndarray | None
    times: np.ndarray | None
    source: str
    sha256: str
    units: dict[str, str]

    @property
    def missing(self) -> dict[str, int]:
        """How many values of each target are missing."""
        return dict(zip(self.columns.targets, np.isnan(self.targets).sum(axis=0).tolist(), strict=True))


def rows_columns(
    data: Any,
    target: str | Sequence[str],
    features: str | Sequence[str] | None = None,
    classify: bool = False,
    group: str | None = None,
    time: str | None = None,
) -> RowsColumns:
    """Return which columns are what, where a caller named some of them, and the categories of text.

    Parameters
    ----------
    data : Any
        What `as_table` takes.
    target : str or sequence of str
        The columns of targets.
    features : str or sequence of str, optional
        The columns of features. By default all others.
    classify : bool
        Whether the target is a class.
    group, time : str, optional
        Columns by which the table may be divided. They are no features unless they are named as such.

    Returns
    -------
    RowsColumns
        The names and categories.

    Raises
    ------
    InputError
        If a name is not that of a column or is named as two things, or a column has too many categories.

    Examples
    --------
    >>> from mcgc.tables import rows_columns
    >>> rows_columns({"colour": ["red", "blue"], "size": [1, 2], "price": [3.0, 5.0]}, "price").encoded
    ('colour=blue', 'colour=red', 'size')
    """
    table = as_table(data)
    targets = chosen(table, target, "target")
    for name, what in ((group, "column of groups"), (time, "column of times")):
        if name is not None:
            table.column(name, what)
    if features is None:
        named = tuple(name for name in table.columns if name not in {*targets, group, time})
        if not named:
            raise InputError("the table has no column left for the features: give one with more columns")
    else:
        named = chosen(table, features, "feature")
    both = [name for name in named if name in targets]
    if both:
        raise InputError(f"column {both[0]!r} is named as a target and as a feature: choose one")
    categories = {name: _categories(table, name) for name in named if table.is_text(name)}
    classes: tuple[str, ...] = ()
    if classify:
        if len(targets) > 1:
            raise InputError(f"a classification has one target, got {', '.join(targets)}: name one")
        classes = _classes(table, targets[0])
    return RowsColumns(targets, named, categories, classes, group, time)


def _categories(table: Table, name: str) -> tuple[str, ...]:
    found = tuple(sorted({label for label in table.labels(name) if label is not None}))
    if len(found) > MOST_CATEGORIES:
        raise InputError(
            f"column {name!r} is text with {len(found)} different values, more than {MOST_CATEGORIES}: leave it out of "
            "the features, or make it numbers"
        )
    return found


def _classes(table: Table, name: str) -> tuple[str, ...]:
    if not table.is_text(name):
        values = table.numbers(name)
        there = np.unique(values[~np.isnan(values)])
        if (there != np.round(there)).any():
            raise InputError(f"target {name!r} has fractions, so it is no class: choose the task regression")
    labels = {label for label in table.labels(name) if label is not None}
    if not 2 <= len(labels) <= MOST_CLASSES:
        raise InputError(f"target {name!r} has {len(labels)} classes, not 2 to {MOST_CLASSES}: choose another target")
    numeric = all(label.lstrip("-").isdecimal() for label in labels)
    return tuple(sorted(labels, key=int) if numeric else sorted(labels))


def rows_of(data: Any, columns: RowsColumns) -> RowsTable:
    """Return the examples of a table.

    Parameters
    ----------
    data : Any
        What `as_table` takes.
    columns : RowsColumns
        What the columns are. Targets that the table lacks are missing.

    Returns
    -------
    RowsTable
        The examples, in the order of the table.

    Raises
    ------
    DatasetError
        If a feature is missing or no number, or a category or class is unknown. The sentence names the row.

    Examples
    --------
    >>> from mcgc.tables import rows_columns, rows_of
    >>> table = {"colour": ["red", "blue"], "size": [1, 2], "price": [3.0, None]}
    >>> found = rows_of(table, rows_columns(table, "price"))
    >>> found.features.tolist(), found.missing
    ([[0.0, 1.0, 1.0], [1.0, 0.0, 2.0]], {'price': 1})
    """
    table = as_table(data)
    parts = []
    for name in columns.features:
        if name in columns.categories:
            parts.append(_one_hot(table, name, columns.categories[name]))
        else:
            values = table.numbers(name, "column for a feature")
            _require_there(table, np.isnan(values), name)
            parts.append(values[:, None])
    targets = [_target(table, name, columns.classes) for name in columns.targets]
    groups = times = None
    if columns.group in table.columns:
        labels = table.labels(str(columns.group))
        known = {label: number for number, label in enumerate(dict.fromkeys(labels))}
        groups = np.asarray([known[label] for label in labels])
    if columns.time in table.columns:
        instants = instants_of(table, str(columns.time))
        times = table.numbers(str(columns.time)) if instants is None else instants[0].astype(np.float64)
        times = times if instants is None else np.where(np.isnat(instants[0]), np.nan, times)
        _require_there(table, np.isnan(times), str(columns.time))
    used = {*columns.features, *columns.targets}
    units = {name: unit for name, unit in table.units.items() if name in used}
    arrays = np.concatenate(parts, axis=1), np.stack(targets, axis=1)
    return RowsTable(columns, *arrays, groups, times, table.source, table.sha256, units)


def _require_there(table: Table, missing: np.ndarray, name: str) -> None:
    if missing.any():
        row = int(missing.argmax())
        raise DatasetError(
            f"{table.location(row, name)} is empty: a feature is there in each row, so fill it in, remove the row, or "
            "leave the feature out"
        )


def _one_hot(table: Table, name: str, categories: tuple[str, ...]) -> np.ndarray:
    codes = _codes(table, name, categories, "category")
    _require_there(table, codes < 0, name)
    return (codes[:, None] == np.arange(len(categories))).astype(np.float64)


def _target(table: Table, name: str, classes: tuple[str, ...]) -> np.ndarray:
    if name not in table.columns:
        return np.full(table.num_rows, np.nan)
    if not classes:
        return table.numbers(name)
    codes = _codes(table, name, classes, "class")
    return np.where(codes < 0, np.nan, codes)


def _codes(table: Table, name: str, known: tuple[str, ...], what: str) -> np.ndarray:
    """Return the number of the category of each row, -1 where it is missing."""
    number = {label: i for i, label in enumerate(known)} | {None: -1}
    labels = table.labels(name)
    for row, label in enumerate(labels):
        if label not in number:
            raise DatasetError(
                f"{table.location(row, name)} has the {what} {label!r}, which the run was not trained on: it knows "
                f"{', '.join(known[:20])}{', …' if len(known) > 20 else ''}"
            )
    return np.asarray([number[label] for label in labels])
