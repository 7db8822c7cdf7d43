"""The format of series: what is read, and the error for everything else."""

import hashlib
import os

import h5py
import numpy as np
import pytest
from mcgc_datasets import read_series, write_series
from mcgc_datasets.series import SIZES, series_bytes

from mcgc.arrays import to_device
from mcgc.errors import DatasetError, OutputError
from mcgc.train import problems

TIMES = np.array([0.0, 0.5, 2.0, 3.0])
PARAMETERS = np.arange(10.0).reshape(5, 2)
SERIES = np.linspace(-1.0, 1.0, 60).reshape(5, 4, 3)


@pytest.fixture
def path(tmp_path):
    """Give the path of a good file, for tests to spoil."""
    write_series(tmp_path / "data.h5", "lorenz", TIMES, PARAMETERS, SERIES, tolerance=1e-12)
    return tmp_path / "data.h5"


def replace(path, name, **how):
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        if how:
            file.create_dataset(name, **how)


def refusal(path):
    """Return the sentence that reading `path` raises, after checking that it is one, and names the file."""
    with pytest.raises(DatasetError) as caught:
        read_series(path, "lorenz", 3, 2)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert ": " in sentence, "no way out is named"
    return sentence


def test_what_is_written_is_read_back(path):
    data = read_series(path, "lorenz", 3, 2)
    for array, expected in zip(data[:3], (TIMES, PARAMETERS, SERIES), strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == np.float64
    assert data.source == str(path)
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_equal_data_give_equal_files(path, tmp_path):
    write_series(tmp_path / "again.h5", "lorenz", TIMES, PARAMETERS, SERIES, tolerance=1e-12)
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i1", "u2", ">i8"])
def test_every_real_dtype_is_read_as_float64(path, dtype):
    whole = np.arange(60).reshape(5, 4, 3)
    replace(path, "series", data=whole.astype(dtype), chunks=(2, 2, 2), compression="gzip")
    np.testing.assert_array_equal(read_series(path, "lorenz", 3, 2).series, whole)


def test_extra_content_is_ignored_and_attributes_may_be_missing(tmp_path):
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file.update({"times": TIMES, "parameters": PARAMETERS, "series": SERIES, "note": "x", "group/more": 1})
    assert read_series(tmp_path / "bare.h5", "lorenz", 3, 2).series.shape == (5, 4, 3)


def test_a_missing_file_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.h5")


def test_a_directory_is_refused(tmp_path):
    assert "is a directory" in refusal(tmp_path)


def test_a_fifo_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo.h5")
    assert "not a regular file" in refusal(tmp_path / "fifo.h5")


def test_a_path_through_a_file_is_refused(path):
    assert "cannot be reached" in refusal(path / "data.h5")


def test_a_null_character_in_the_path_is_refused():
    with pytest.raises(DatasetError, match="cannot be reached"):
        read_series("a\0b", "lorenz", 3, 2)


@pytest.mark.parametrize("content", [b"", b"not hdf5", b"\x89PNG" * 1000])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "junk.h5").write_bytes(content)
    assert "not an HDF5 file" in refusal(tmp_path / "junk.h5")


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_refused(path, fraction):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    assert "damaged or cut short" in refusal(path)


def test_a_damaged_chunk_is_refused(path):
    replace(path, "series", data=SERIES, chunks=(5, 4, 3), compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        start = file["series"].id.get_chunk_info(0).byte_offset
    with open(path, "r+b") as file:
        file.seek(start + 20)
        file.write(b"\xff\x00\xff")
    assert "damaged or cut short" in refusal(path)


@pytest.mark.parametrize("name", ["times", "parameters", "series"])
def test_a_missing_dataset_is_refused(path, name):
    replace(path, name)
    assert f"no dataset '{name}'" in refusal(path)


def test_a_group_in_place_of_a_dataset_is_refused(path):
    replace(path, "times")
    with h5py.File(path, "a") as file:
        file.create_group("times")
    assert "'times' is a group" in refusal(path)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("times", (4, 2)),
        ("times", (2, 2)),
        ("times", ()),
        ("parameters", (5, 3)),
        ("parameters", (10,)),
        ("parameters", ()),
        ("series", (5, 4, 2)),
        ("series", (5, 4)),
        ("series", (4, 5, 3)),
        ("series", (6, 4, 3)),
    ],
)
def test_a_wrong_shape_is_refused_with_the_one_needed(path, name, shape):
    replace(path, name, data=np.ones(shape))
    sentence = refusal(path)
    assert "has the shape" in sentence
    assert "lorenz needs" in sentence


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (1, 4, 1)])
def test_times_in_a_row_or_a_column_are_read(path, shape):
    replace(path, "times", data=TIMES.reshape(shape))
    np.testing.assert_array_equal(read_series(path, "lorenz", 3, 2).times, TIMES)


@pytest.mark.parametrize("names", [["series"], ["parameters", "series"]])
def test_axes_in_reverse_order_are_named_as_the_reason(path, names):
    arrays = {"parameters": PARAMETERS, "series": SERIES}
    for name in names:
        replace(path, name, data=arrays[name].T)
    assert f"'{names[0]}' has the shape" in (sentence := refusal(path))
    assert "reverse order, as MATLAB, Julia and Fortran write them, so reverse them" in sentence


@pytest.mark.parametrize("name", ["times", "parameters", "series"])
def test_a_filter_that_is_not_installed_is_named(path, name):
    array = {"times": TIMES, "parameters": PARAMETERS, "series": SERIES}[name]
    replace(path, name)
    with h5py.File(path, "a") as file:
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk(array.shape)
        created.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # Zstandard, which HDF5 itself has not
        space = h5py.h5s.create_simple(array.shape)
        dataset = h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F64LE, space, created)
        dataset.write_direct_chunk((0,) * array.ndim, array.tobytes())
    assert f"'{name}' is packed by the filter 32015, which is not installed here" in refusal(path)


@pytest.mark.parametrize("dtype", [h5py.ref_dtype, h5py.string_dtype()])
def test_references_and_strings_are_refused(path, dtype):
    replace(path, "series", shape=(5, 4, 3), dtype=dtype)
    assert "'series' has the dtype object, not a real number" in refusal(path)


def test_an_empty_dataspace_is_refused(path):
    replace(path, "series", data=h5py.Empty("f8"))
    assert "'series' has the shape None" in refusal(path)


@pytest.mark.parametrize(("series", "times"), [(1, 4), (5, 1), (0, 4), (5, 0)])
def test_fewer_than_two_series_or_times_are_refused(tmp_path, series, times):
    path = tmp_path / "few.h5"
    arrays = np.arange(times), np.ones((series, 2)), np.ones((series, times, 3))
    path.write_bytes(series_bytes("lorenz", *arrays))
    assert "at least 2" in refusal(path)
    path.unlink()
    with pytest.raises(DatasetError, match="at least 2"):
        write_series(path, "lorenz", *arrays)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("keep", ["nothing", "a file"])
@pytest.mark.parametrize(
    ("key", "array", "words"),
    [
        ("times", np.array([0.0, np.nan, 2.0, 3.0]), "'times' is nan at index (1,)"),
        ("times", TIMES[::-1], "'times' does not increase at index 1"),
        ("parameters", PARAMETERS[:4], "'series' has the shape (5, 4, 3), but lorenz needs (S, T, 3) = (4, 4, 3)"),
        ("parameters", np.ones((5, 1)), "'parameters' has the shape (5, 1)"),
        ("series", np.where(SERIES == 1, np.inf, SERIES), "'series' is inf at index (4, 3, 2)"),
        ("series", SERIES[..., :2], "'series' has the shape (5, 4, 2)"),
        ("series", SERIES.T, "its axes are in reverse order"),
        ("series", SERIES.astype(complex), "'series' has the dtype complex128"),
        ("series", None, "'series' has the dtype object"),
        ("series", [[1.0], [1.0, 2.0]], "'series' is not an array"),
        ("note", {"a": 1}, "the provenance is not a number or a string"),
    ],
)
def test_data_that_could_not_be_read_are_not_written_and_the_old_file_stays(tmp_path, key, array, words, keep):
    path = tmp_path / "data.h5"
    if keep == "a file":
        path.write_text("precious")
    with pytest.raises(DatasetError) as caught:
        write_series(path, "lorenz", **{"times": TIMES, "parameters": PARAMETERS, "series": SERIES, key: array})
    assert words in str(caught.value)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["precious"] * (keep == "a file")


def test_a_file_is_replaced_and_a_missing_directory_refused(path, tmp_path):
    write_series(path, "lorenz", TIMES[None, :], PARAMETERS.tolist(), SERIES * 2)
    np.testing.assert_array_equal(read_series(path, "lorenz", 3, 2).series, SERIES * 2)
    with pytest.raises(OutputError, match="cannot be written"):
        write_series(path / "below.h5", "lorenz", TIMES, PARAMETERS, SERIES)
    assert os.listdir(tmp_path) == ["data.h5"]


def test_arrays_of_a_device_are_written(tmp_path, strict):
    arrays = [to_device(array, strict) for array in (TIMES, PARAMETERS, SERIES)]
    write_series(tmp_path / "data.h5", "lorenz", *arrays)
    np.testing.assert_array_equal(read_series(tmp_path / "data.h5", "lorenz", 3, 2).series, SERIES)


def test_a_problem_of_one_s_own_may_have_any_sizes(tmp_path):
    write_series(tmp_path / "data.h5", "mine", TIMES, PARAMETERS[:, :1], SERIES[..., :1])
    assert read_series(tmp_path / "data.h5", "mine", 1, 1).series.shape == (5, 4, 1)


def test_the_sizes_are_those_of_the_problems():
    found = {name: problems.get(name) for name in problems.names()}
    ours = {name: (it.sizes[-1], it.sizes[0] - it.sizes[-1]) for name, it in found.items() if "solver" in it.options}
    assert ours == SIZES


@pytest.mark.parametrize("dtype", ["c16", "S4", "?", [("a", "f8")]])
def test_a_dtype_that_is_no_real_number_is_refused(path, dtype):
    replace(path, "series", data=np.zeros((5, 4, 3), dtype=dtype))
    assert "'series' has the dtype" in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "index"), [("times", (2,)), ("parameters", (3, 1)), ("series", (4, 0, 2))])
def test_a_number_that_is_not_finite_is_refused_with_its_first_index(path, name, index, value):
    array = {"times": TIMES, "parameters": PARAMETERS, "series": SERIES}[name].copy()
    array[index] = array.flat[-1] = value
    replace(path, name, data=array)
    assert f"'{name}' is {value} at index {index}" in refusal(path)


@pytest.mark.parametrize("times", [[0, 1, 1, 2], [0, 2, 1, 3]])
def test_times_that_do_not_increase_are_refused_with_the_first_index(path, times):
    replace(path, "times", data=np.array(times, float))
    assert "'times' does not increase at index 2" in refusal(path)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("format", "mcgc-run"), ("format", [1, 2]), ("version", 2), ("problem", "lotka-volterra")],
)
def test_a_file_of_another_format_version_or_problem_is_refused(path, attribute, value):
    with h5py.File(path, "a") as file:
        file.attrs[attribute] = value
    assert f"has the {attribute}" in refusal(path)


@pytest.mark.parametrize(
    "how",
    [
        {"shape": (10**5, 10**4, 3), "dtype": "f8", "chunks": (1, 100, 3)},
        {"shape": (5, 4, 3), "dtype": "f8", "maxshape": (None,) * 3, "chunks": (600, 600, 600)},
    ],
    ids=["array", "chunk"],
)
def test_a_huge_declared_size_is_refused_before_reading(path, how):
    replace(path, "series", **how)
    assert path.stat().st_size < 1e5
    assert "bytes to read" in refusal(path)


def spoil_with(kind, file, elsewhere):
    if kind == "external link":
        file["series"] = h5py.ExternalLink(elsewhere, "series")
    elif kind == "soft link":
        file["other"] = h5py.ExternalLink(elsewhere, "/")
        file["series"] = h5py.SoftLink("/other/series")
    elif kind == "virtual":
        layout = h5py.VirtualLayout((5, 4, 3), "f8")
        layout[...] = h5py.VirtualSource(elsewhere, "series", (5, 4, 3))
        file.create_virtual_dataset("series", layout)
    else:
        raw = elsewhere.with_suffix(".raw")
        raw.write_bytes(SERIES.tobytes())
        file.create_dataset("series", (5, 4, 3), "f8", external=[(raw, 0, 480)])


@pytest.mark.parametrize("kind", ["external link", "soft link", "virtual", "external storage"])
def test_data_in_other_files_are_not_read(path, tmp_path, kind):
    write_series(tmp_path / "elsewhere.h5", "lorenz", TIMES, PARAMETERS, SERIES)
    replace(path, "series")
    with h5py.File(path, "a") as file:
        spoil_with(kind, file, tmp_path / "elsewhere.h5")
    assert "in this file" in refusal(path)
