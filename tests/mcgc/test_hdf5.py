"""Heaps of strings: real ones are read, and hostile ones are refused in time linear in the size of the file."""

import struct

import h5py
import pytest

from mcgc import hdf5
from mcgc.errors import DatasetError


def read(path):
    return hdf5.read(path, "file", "give one", lambda file, name: file["words"].asstr()[()].tolist())[0]


def test_real_heaps_are_read_however_full_they_are(tmp_path):
    words = ["", "a", "bc" * 9, "d" * 5000] * 500
    with h5py.File(tmp_path / "words.h5", "w") as file:
        file.create_dataset("words", data=words, dtype=h5py.string_dtype())
    assert (tmp_path / "words.h5").read_bytes().count(b"GCOL") > 10
    assert read(tmp_path / "words.h5") == words


def test_heaps_that_overlap_are_refused(tmp_path):
    path, count = tmp_path / "words.h5", 640
    with h5py.File(path, "w") as file:
        file.create_dataset("words", data=["a"], dtype=h5py.string_dtype())
    with path.open("ab") as file:  # each holds all that come after it
        for i in range(count):
            file.write(struct.pack("<8sQQQ", b"GCOL\1", 32 * (count - i) + 16, 1, 16))
        file.write(bytes(16))
    with pytest.raises(DatasetError, match=r"damaged or cut short \(heaps of strings overlap\): copy it again"):
        read(path)
