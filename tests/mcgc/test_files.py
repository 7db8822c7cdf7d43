"""Output files are there whole or not at all, and nothing else writes files."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import mcgc_cli
import mcgc_datasets
import pytest

import mcgc
from mcgc import files
from mcgc.errors import OutputError

NEW = b"new content"


def names(directory):
    return sorted(os.listdir(directory))


def refuse_links(*args):
    raise PermissionError(1, "no hard links here")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_new_file_holds_what_is_written_on_any_file_system(tmp_path, monkeypatch, links, overwrite):
    monkeypatch.setattr(os, "link", os.link if links else refuse_links)
    files.write(tmp_path / "a", NEW, overwrite)
    assert (tmp_path / "a").read_bytes() == NEW
    assert names(tmp_path) == ["a"]


def test_a_file_that_is_there_is_replaced_only_where_that_is_asked_for(tmp_path):
    (tmp_path / "a").write_text("precious")
    with pytest.raises(OutputError, match=r"exists: choose another name, or replace it with --force"):
        files.write(tmp_path / "a", NEW, overwrite=False)
    assert (tmp_path / "a").read_text() == "precious"
    files.write(tmp_path / "a", NEW)
    assert (tmp_path / "a").read_bytes() == NEW
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_made_during_the_write_is_kept(tmp_path, monkeypatch, links):
    path, fsync = tmp_path / "a", os.fsync

    def meddle(handle):
        path.write_text("precious")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", meddle)
    monkeypatch.setattr(os, "link", os.link if links else refuse_links)
    with pytest.raises(OutputError, match="exists: choose another name"):
        files.write(path, NEW, overwrite=False)
    assert path.read_text() == "precious"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("old", [b"old", None])
@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OSError(28, "No space left on device"), r"cannot be written \(No space left on device\): make room there"),
        (OSError(5, "Input/output error"), r"cannot be written \(Input/output error\): choose a directory"),
        (KeyboardInterrupt(), "^$"),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, failure, said, old):
    if old is not None:
        (tmp_path / "a").write_bytes(old)

    def fail(handle):
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((OutputError, KeyboardInterrupt), match=said):
        files.write(tmp_path / "a", NEW)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [old] * (old is not None)


def test_permissions_are_those_of_any_new_file_and_are_kept_when_overwriting(tmp_path):
    (tmp_path / "plain").touch()
    files.write(tmp_path / "a", NEW)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "a").chmod(0o600)
    files.write(tmp_path / "a", NEW)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_a_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "real" / "there")
    files.write(tmp_path / "a", NEW)
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "real" / "there").read_bytes() == NEW


@pytest.mark.parametrize(
    ("name", "overwrite", "reason"),
    [
        ("no/such/run.h5", False, "No such file or directory"),
        ("file/run.h5", True, "Not a directory"),
        ("x" * 300, False, "name too long"),
        (".", False, "is a directory"),
        ("fifo", True, "not a regular file"),
        ("file", False, "exists"),
    ],
)
@pytest.mark.parametrize("function", [files.check_writable, lambda path, over: files.write(path, NEW, over)])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    tmp_path, monkeypatch, function, name, overwrite, reason
):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=reason) as caught:
        function(name, overwrite)
    assert str(caught.value).startswith(f"output {name!r} ")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["fifo", "file"]


def test_a_directory_without_permission_is_refused(tmp_path, monkeypatch):
    def refuse(**how):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)  # the superuser may write anywhere
    with pytest.raises(OutputError, match="Permission denied"):
        files.check_writable(tmp_path / "a")


def test_checking_a_good_place_leaves_nothing_behind(tmp_path):
    files.check_writable(tmp_path / "a")
    assert names(tmp_path) == []


@pytest.mark.parametrize("letter", ["x", "ü", "漢", "𝛌"])
def test_the_longest_name_that_a_file_may_have_will_do_in_any_script(tmp_path, letter):
    name = letter * (255 // len(letter.encode()))
    files.write(tmp_path / name, NEW)
    assert names(tmp_path) == [name]
    (tmp_path / name).unlink()
    Path(files.beside(tmp_path / name, ".lock")).touch()
    assert len(names(tmp_path)) == 1


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path):
    left = [tmp_path / f".{name}.partial" for name in ("a[1].0123abcd", "a[1].89ef4567", "b.0123abcd", "a1.0123abcd")]
    for path in left:
        path.touch()
        if path != left[1]:
            os.utime(path, (0, 0))
    files.write(tmp_path / "a[1]", NEW)
    assert names(tmp_path) == sorted(["a[1]", *(path.name for path in left[1:])])


def test_several_processes_write_one_file_and_every_reader_sees_one_of_them_whole(tmp_path):
    script = "import sys; from mcgc import files\nfor _ in range(40): files.write('a', sys.argv[1].encode() * 10**6)"
    writers = [subprocess.Popen([sys.executable, "-c", script, letter], cwd=tmp_path) for letter in "xyz"]
    while any(writer.poll() is None for writer in writers):
        if (tmp_path / "a").exists():
            content = (tmp_path / "a").read_bytes()
            assert content == content[:1] * 10**6
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert names(tmp_path) == ["a"]


def test_nothing_else_writes_a_file():
    writing = re.compile(r"os\.(replace|rename)\(|tempfile|write_(text|bytes)\(|open\([^)]*[\"'][wxa]b?\+?[\"']")
    packages = [Path(package.__file__).parent for package in (mcgc, mcgc_cli, mcgc_datasets)]
    sources = {path: path.read_text(encoding="utf-8") for package in packages for path in package.rglob("*.py")}
    code = {path: re.sub(r"^ *(>>>|\.\.\.) .*$", "", text, flags=re.M) for path, text in sources.items()}
    appends = {"_tensorboard.py", "fit.py"}  # event files, which TensorBoard reads while they grow, and a log
    apart = {"_go.py"}  # a directory for the time of a sweep
    assert {path.name for path, text in code.items() if writing.search(text)} == {"files.py", *appends, *apart}
