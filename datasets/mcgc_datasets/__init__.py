"""Datasets of the problems: their HDF5 formats, and the functions that make, read and write them."""

from mcgc_datasets.mnist import MnistData, mnist_bytes, read_mnist
from mcgc_datasets.registry import cached, import_published, load, make, problem_of
from mcgc_datasets.series import SeriesData, read_series, write_series
from mcgc_datasets.tables import read_table, write_table

__all__ = [
    "MnistData",
    "SeriesData",
    "cached",
    "import_published",
    "load",
    "make",
    "mnist_bytes",
    "problem_of",
    "read_mnist",
    "read_series",
    "read_table",
    "write_series",
    "write_table",
]
