"""Datasets of the problems: their HDF5 formats, the readers, and the builders."""

from mcgc_datasets.mnist import MnistData, mnist_image, read_mnist
from mcgc_datasets.registry import cached, load, make, problem_of, take
from mcgc_datasets.series import SeriesData, read_series, write_series

__all__ = [
    "MnistData",
    "SeriesData",
    "cached",
    "load",
    "make",
    "mnist_image",
    "problem_of",
    "read_mnist",
    "read_series",
    "take",
    "write_series",
]
