"""What other tools write is read, and a file that cannot be read is not called damaged if it is not.

Heaps of strings: real ones are read, and hostile ones are refused in time linear in the size of the file.
"""

import errno
import os
import struct
import subprocess
import sys

import h5py
import numpy as np
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


def attribute(path, value, **how):
    with h5py.File(path, "w") as file:
        file.attrs.create("key", value, **how)
    return hdf5.read(path, "file", "give one", lambda file, name: hdf5.attribute(file, name, "key"))[0]


@pytest.mark.parametrize(
    "value",
    [
        "lorenz",
        np.bytes_("lorenz"),
        np.array(b"lorenz", "S20"),
        np.array(b"lorenz   "),
        np.array([b"lorenz"]),
        np.array([[b"lorenz "]]),
        np.array(["lorenz"], object),
    ],
)
def test_a_string_of_any_tool_is_read(tmp_path, value):
    assert attribute(tmp_path / "a.h5", value) == "lorenz"


@pytest.mark.parametrize("padding", [h5py.h5t.STR_NULLTERM, h5py.h5t.STR_NULLPAD, h5py.h5t.STR_SPACEPAD])
def test_a_string_padded_in_any_way_is_read(tmp_path, padding):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(10)
        kind.set_strpad(padding)
        made = h5py.h5a.create(file.id, b"key", kind, h5py.h5s.create(h5py.h5s.SCALAR))
        fill = b" " if padding == h5py.h5t.STR_SPACEPAD else b"\0"
        made.write(np.array(b"lorenz".ljust(10, fill), "S10"), mtype=kind)
    read = lambda file, name: hdf5.attribute(file, name, "key")
    assert hdf5.read(tmp_path / "a.h5", "file", "give one", read)[0] == "lorenz"


@pytest.mark.parametrize("value", [3, 3.0, np.array([3]), np.array([[3.0]], ">f8"), np.array([3], "u1")])
def test_a_number_of_any_tool_is_read(tmp_path, value):
    assert attribute(tmp_path / "a.h5", value) == 3


@pytest.mark.parametrize("value", [[1, 2], np.zeros((1, 0)), h5py.Empty("f8"), np.array([(1, 2)], "i4,i4")])
def test_what_is_neither_a_number_nor_a_string_is_refused(tmp_path, value):
    with pytest.raises(DatasetError, match="no number or string"):
        attribute(tmp_path / "a.h5", value)


def test_bytes_that_are_no_text_are_shown_and_not_called_damage(tmp_path):
    assert attribute(tmp_path / "a.h5", np.bytes_(b"caf\xe9")) == "caf\N{REPLACEMENT CHARACTER}"


@pytest.fixture
def words(tmp_path):
    """Give the path of a good file."""
    with h5py.File(tmp_path / "words.h5", "w") as file:
        file.create_dataset("words", data=["a"], dtype=h5py.string_dtype())
    return tmp_path / "words.h5"


def test_a_file_that_another_process_writes_is_not_called_damaged(words):
    script = "import h5py, sys; file = h5py.File(sys.argv[1], 'a'); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script, words], **pipes) as writer:
        writer.stdout.readline()
        with pytest.raises(DatasetError, match="is open for writing in another process: wait until"):
            read(words)
        writer.stdin.close()
        writer.wait(timeout=60)
    assert read(words) == ["a"]


def test_a_file_that_its_writer_left_open_is_not_called_damaged(words):
    script = "import h5py, os, sys; file = h5py.File(sys.argv[1], 'w', libver='latest'); file.flush(); os._exit(0)"
    subprocess.run([sys.executable, "-c", script, words], check=True, timeout=60)
    with pytest.raises(DatasetError, match=r"is open for writing, or its writer died: .* h5clear -s"):
        read(words)


@pytest.mark.parametrize(
    ("number", "said", "sentence"),
    [
        (errno.ENOLCK, "(unable to lock file, errno = 37)", "cannot be locked where it is .*: copy it to another disk"),
        (errno.EIO, "(file read failed: errno = 5)", f"cannot be read .{os.strerror(errno.EIO)}.: see that it is"),
        (errno.EMFILE, "(unable to open file: errno = 24)", "cannot be read .Too many open files.: see that"),
    ],
)
def test_what_the_system_refuses_is_not_called_damage(words, monkeypatch, number, said, sentence):
    def refuse(*args, **options):
        raise OSError(number, said)

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(DatasetError, match=sentence):
        read(words)


def test_an_array_without_elements_keeps_its_shape(tmp_path):
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["x"] = np.zeros((3, 0))
        found = hdf5.array(file["x"], "float32")
    assert (found.shape, found.dtype) == ((3, 0), np.float32)
