"""Tables in files: read as pandas reads them, written and read again, and refused in one sentence."""

import hashlib
import io

import h5py
import numpy as np
import pandas as pd
import pytest
from mcgc_datasets import read_table, write_table
from reactor import csv_of, reactor

from mcgc.errors import DatasetError
from mcgc.tables import as_table


def written(tmp_path, text, name="mine.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_csv_has_the_numbers_and_texts_that_pandas_reads(tmp_path):
    text = csv_of(reactor(seed=1))
    frame, table = pd.read_csv(io.StringIO(text)), read_table(written(tmp_path, text))
    assert [*table.columns] == [*frame.columns]
    for name in ("time", "feed", "A", "B"):
        # the reader of pandas 2 may be off in the last bits
        np.testing.assert_allclose(table.numbers(name), frame[name].to_numpy(), rtol=1e-14)
    assert table.labels("run") == frame["run"].tolist()
    assert table.sha256 == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_of_a_csv_is_found_and_quotes_and_a_mark_of_bytes_are_taken(tmp_path, separator):
    text = f'\ufefft{separator}"a name"\r\n1{separator}"x{separator}y"\r\n2{separator}NA\r\n\r\n'
    table = read_table(written(tmp_path, text))
    frame = pd.read_csv(io.StringIO(text.removeprefix("\ufeff")), sep=separator)
    assert table.labels("a name") == [value if isinstance(value, str) else None for value in frame["a name"]]
    np.testing.assert_array_equal(table.numbers("t"), frame["t"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("t,y\n1,2\n3\n", "has 1 cells in line 3, but 2 names of columns"),
        ("t,t\n1,2\n", "names two columns 't'"),
        ("t,\n1,2\n", "has a column without a name"),
        ("t,y\n", "has no rows"),
        ("", "has no rows"),
        (b"t,y\n1,\xff\n", "is not UTF-8 text in line 2"),
        (b"t\0y\n1\n", "is not text"),
        ('t,y\n1,"2\n', "is no CSV in line"),
    ],
)
def test_a_csv_that_is_none_is_refused_with_the_line(tmp_path, text, sentence):
    with pytest.raises(DatasetError, match=sentence) as caught:
        read_table(written(tmp_path, text))
    assert "mine.csv" in str(caught.value)


def test_a_wrong_value_is_named_by_its_line_and_column(tmp_path):
    table = read_table(written(tmp_path, "t,y\n0,1\n1,oops\n"))
    with pytest.raises(DatasetError, match=r"line 3 of '.*mine\.csv', column 'y' holds 'oops'"):
        table.numbers("y")
    infinite = read_table(written(tmp_path, "t,y\n0,inf\n"))
    with pytest.raises(DatasetError, match=r"line 2 of '.*', column 'y' is infinite"):
        infinite.numbers("y")


def test_npz_hdf5_and_parquet_hold_the_columns_that_were_written(tmp_path):
    columns = {"t": np.arange(3.0), "n": np.array([1, 2, 3])}
    np.savez(tmp_path / "mine.npz", **columns)
    with h5py.File(tmp_path / "mine.hdf5", "w") as file:
        file.update(columns)
    pd.DataFrame(columns).to_parquet(tmp_path / "mine.parquet")
    for name in ("mine.npz", "mine.hdf5", "mine.parquet"):
        table = read_table(tmp_path / name)
        assert {*table.columns} == {*columns}
        for column, values in columns.items():
            np.testing.assert_array_equal(table.numbers(column), values)


@pytest.mark.parametrize(
    ("name", "content"), [("mine.npz", b"PK"), ("mine.parquet", b"PAR1"), ("mine.h5", b"h"), ("mine.xls", b"")]
)
def test_a_file_of_another_kind_is_one_sentence(tmp_path, name, content):
    with pytest.raises(DatasetError, match=name):
        read_table(written(tmp_path, content, name))
    with pytest.raises(DatasetError, match="does not exist"):
        read_table(tmp_path / "none.csv")


def test_no_pickled_object_of_an_archive_is_loaded(tmp_path):
    np.savez(tmp_path / "mine.npz", t=np.asarray([{}], dtype=object))
    with pytest.raises(DatasetError, match="is no archive of arrays"):
        read_table(tmp_path / "mine.npz")


def test_a_written_table_has_its_columns_units_and_the_hash_of_its_source(tmp_path):
    source = read_table(written(tmp_path, "t,who,y\n0,a,1\n1,,2\n2,b,\n"))
    write_table(tmp_path / "mine.h5", source, units={"t": "s"})
    found = read_table(tmp_path / "mine.h5")
    assert found.labels("who") == ["a", None, "b"]
    np.testing.assert_array_equal(found.numbers("y"), [1, 2, np.nan])
    assert found.units == {"t": "s"}
    with h5py.File(tmp_path / "mine.h5") as file:
        assert file.attrs["source_sha256"] == source.sha256
        assert file.attrs["source"] == source.source
    before = (tmp_path / "mine.h5").read_bytes()
    write_table(tmp_path / "mine.h5", source, units={"t": "s"})
    assert (tmp_path / "mine.h5").read_bytes() == before
    with pytest.raises(DatasetError, match="unknown column with a unit 'x'"):
        write_table(tmp_path / "other.h5", as_table({"t": [1.0]}), units={"x": "s"})
    assert not (tmp_path / "other.h5").exists()
