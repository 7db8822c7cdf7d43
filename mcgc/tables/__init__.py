"""Tables of one's own: named columns, and the time series or examples that are in them."""

from mcgc.tables._dates import Dates
from mcgc.tables._rows import RowsColumns, RowsTable, rows_columns, rows_of
from mcgc.tables._series import (
    INTERPOLATIONS,
    SeriesColumns,
    SeriesTable,
    interpolate,
    series_columns,
    series_of,
)
from mcgc.tables._table import MISSING, Table, as_table, chosen

__all__ = [
    "INTERPOLATIONS",
    "MISSING",
    "Dates",
    "RowsColumns",
    "RowsTable",
    "SeriesColumns",
    "SeriesTable",
    "Table",
    "as_table",
    "chosen",
    "interpolate",
    "rows_columns",
    "rows_of",
    "series_columns",
    "series_of",
]
