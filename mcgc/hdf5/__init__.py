"""HDF5 files, read in bounded memory, with one sentence for all that cannot be used.

Files may be anything, and may come from MATLAB, Julia or other tools.
"""

from mcgc.hdf5._datasets import MAX_BYTES as MAX_BYTES
from mcgc.hdf5._datasets import array, check_shape, datasets, rows, vector
from mcgc.hdf5._file import attribute, check_attributes, check_file, line, read

__all__ = [
    "array",
    "attribute",
    "check_attributes",
    "check_file",
    "check_shape",
    "datasets",
    "line",
    "read",
    "rows",
    "vector",
]
