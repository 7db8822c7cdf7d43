"""The heaps in which HDF5 files hold strings of variable length: whether they can be read to their end."""

import mmap
import struct

_LONG = struct.Struct("<Q")


def check_heaps(image: mmap.mmap) -> None:
    """Raise `ValueError` if a heap of strings in `image` is damaged so that HDF5 would never get to its end.

    The time is linear in the size of `image`: heaps that do not overlap hold an object in 16 bytes at most.

    A heap is "GCOL", version 1, at 8 its size, and from 16 on objects: an index, at 8 their size, and from 16 on as
    many bytes, padded to a multiple of 8. The size of object 0, free space, includes its own 16.
    """
    start, objects = image.find(b"GCOL\1"), 0
    while start >= 0:
        (size,) = _LONG.unpack(image[start + 8 : start + 16].ljust(8, b"\xff"))
        offset, end = start + 16, start + size
        while size >= 4096 and offset + 16 <= end <= len(image):
            (length,) = _LONG.unpack(image[offset + 8 : offset + 16])
            step = length if image[offset : offset + 2] == bytes(2) else 16 + (length + 7) // 8 * 8
            if not 0 < step <= end - offset:
                raise ValueError("a heap of strings is damaged")
            offset, objects = offset + step, objects + 1
            if objects > len(image) // 16:
                raise ValueError("heaps of strings overlap")
        start = image.find(b"GCOL\1", start + 1)
