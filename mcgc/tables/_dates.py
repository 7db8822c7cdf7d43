"""Dates as times: the instants of a column, and their distance from the first one in a unit that suits them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import numpy as np

from mcgc.errors import DatasetError, InputError
from mcgc.tables._table import Table, is_missing

UNITS: Mapping[str, float] = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86400.0}
EXAMPLES = "such as 2024-01-31 or 2024-01-31T12:30"


class Dates(NamedTuple):
    """How dates are numbers: in a unit since an origin.

    Parameters
    ----------
    origin : str
        The first date of the table, as ISO 8601 has it.
    unit : {"seconds", "minutes", "hours", "days"}
        The unit.
    utc : bool
        Whether the dates have a time zone. They are then given in UTC.
    """

    origin: str
    unit: str
    utc: bool = False

    def __str__(self) -> str:
        return f"{self.unit} since {self.origin.replace('T', ' ')}{' UTC' if self.utc else ''}"

    def numbers(self, instants: np.ndarray) -> np.ndarray:
        """Return instants (datetime64) as numbers, NaN where there is none."""
        seconds = (instants - np.datetime64(self.origin, "us")) / np.timedelta64(1, "s")
        return np.asarray(seconds / UNITS[self.unit], np.float64)

    def instants(self, numbers: np.ndarray) -> np.ndarray:
        """Return numbers as datetime64, to the microsecond."""
        microseconds = np.round(np.asarray(numbers, np.float64) * (UNITS[self.unit] * 1e6)).astype("timedelta64[us]")
        return np.datetime64(self.origin, "us") + microseconds

    def number(self, value: Any, what: str) -> float:
        """Return a number, or a date as one. Raises `InputError`, which says `what`, for something else."""
        if isinstance(value, int | float | np.number) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                pass
        found = _instant(value)
        if found is None:
            raise InputError(f"{what} must be a number of {self}, or a date {EXAMPLES}, got {value!r}")
        return float(self.numbers(np.asarray(found[0], "datetime64[us]")))


def dates_of(instants: np.ndarray, groups: np.ndarray, utc: bool) -> Dates:
    """Return the largest unit that is no longer than the middle step between times of a group, from the first on."""
    order = np.lexsort((instants, groups))
    steps, same = np.diff(instants[order]) / np.timedelta64(1, "s"), np.diff(groups[order]) == 0
    steps = steps[same & (steps > 0)]
    middle = float(np.median(steps)) if len(steps) else UNITS["days"]
    unit = next((name for name, seconds in reversed([*UNITS.items()]) if seconds <= middle), "seconds")
    return Dates(np.datetime_as_string(instants.min(), unit="auto"), unit, utc)


def instants_of(table: Table, name: str) -> tuple[np.ndarray, bool] | None:
    """Return a column as datetime64, NaT where a value is missing, and whether it has time zones; None for numbers.

    Raises `DatasetError` for a column with dates and something else. The sentence has the row.
    """
    values = table.column(name, "column of times")
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]"), False
    if values.dtype.kind in "biuf" or not table.is_text(name):
        return None
    found, zoned = np.full(len(values), np.datetime64("NaT"), "datetime64[us]"), np.zeros(len(values), bool)
    for row, value in enumerate(values):
        if is_missing(value):
            continue
        instant = _instant(value)
        if instant is None:
            raise DatasetError(
                f"{table.location(row, name)} holds {str(value)!r}, which is no date {EXAMPLES}: write all times of "
                "the column as dates of this form, or all as numbers"
            )
        found[row], zoned[row] = instant
    there = ~np.isnat(found)
    if zoned[there].any() and not zoned[there].all():
        row = int(np.flatnonzero(there & (zoned != zoned[there][0]))[0])
        raise DatasetError(
            f"{table.location(row, name)} holds {str(values[row])!r}, and some dates of the column have a time zone "
            "and others have none: give all of them one, or none"
        )
    return found, bool(zoned.any())


def _instant(value: Any) -> tuple[Any, bool] | None:
    """Return a date without its zone, in UTC if it has one, and whether it has one; None for what is no date."""
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[us]"), False
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        return None
    if value.tzinfo is None:
        return np.datetime64(value.replace(tzinfo=None), "us"), False
    return np.datetime64(value.astimezone(UTC).replace(tzinfo=None), "us"), True


def as_text(instants: np.ndarray, utc: bool = False) -> list[str]:
    """Return instants as ISO 8601 has them: days alone where all are whole days, else to the second or finer."""
    whole = lambda unit: bool((instants == instants.astype(f"datetime64[{unit}]")).all())
    unit: Any = "D" if whole("D") and not utc else "s" if whole("s") else "us"
    return [f"{text}{'Z' if utc else ''}" for text in np.datetime_as_string(instants, unit=unit).tolist()]
