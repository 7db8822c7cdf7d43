"""Datasets of the problems: their HDF5 format, its reader, and the builders."""

from mcgc_datasets.registry import load
from mcgc_datasets.series import SeriesData, read_series, write_series

__all__ = ["SeriesData", "load", "read_series", "write_series"]
