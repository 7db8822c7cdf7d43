"""Namespaces and devices of arrays.

Everything else in the library is written against the Python array API standard. Data crosses between host and
device only through `to_host` and `to_device`, so a transfer is always a line that can be read.
"""

from mcgc._shapes import Array as Array
from mcgc.arrays._floats import DTYPES, as_floats, as_number, check_alike, is_float, quietly, scalar
from mcgc.arrays._libraries import (
    HOST,
    Device,
    device_of,
    is_array,
    is_cupy,
    is_dtype,
    is_host,
    namespace_of,
    operand,
    to_device,
    to_host,
)
from mcgc.arrays._memory import memory_of, owned, scatter_add

__all__ = [
    "DTYPES",
    "HOST",
    "Device",
    "as_floats",
    "as_number",
    "check_alike",
    "device_of",
    "is_array",
    "is_cupy",
    "is_dtype",
    "is_float",
    "is_host",
    "memory_of",
    "namespace_of",
    "operand",
    "owned",
    "quietly",
    "scalar",
    "scatter_add",
    "to_device",
    "to_host",
]
