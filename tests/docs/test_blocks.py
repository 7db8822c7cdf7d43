"""Every block of code in the documentation runs. The blocks of a page share names and files."""

import io
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "```" in path.read_text(encoding="utf-8"))
PROJECT = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {*PROJECT["optional-dependencies"]}
LANGUAGES = {"python", "sh", "text", "toml"}  # of which text is for formulas and for what a command prints


def blocks(page):
    """Return the language and the code of each block, and the line where it begins."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [(match[1], match[2], text.count("\n", 0, match.start()) + 1) for match in found]


def execute(code, names, place):
    """Run a block, and let an error tell the line of the page that it came from."""
    with redirect_stdout(io.StringIO()):
        exec(compile("\n" * place[1] + code, str(place[0]), "exec"), names)


def call(line, where):
    """Run a line of a shell block: an `mcgc` command. A `pip install` is only looked at."""
    command = shlex.split(line, comments=True)
    if command[:2] == ["pip", "install"]:
        extras = re.fullmatch(r"(?:\.|mcgc)(?:\[([\w,]+)\])?", command[2])
        assert extras, f"{line} does not install mcgc"
        assert set((extras[1] or "test").split(",")) <= EXTRAS, line
        return
    assert command[0] == "mcgc", f"{line} is not a command that is run here"
    done = subprocess.run(
        [sys.executable, "-m", "mcgc_cli", *command[1:]], cwd=where, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"


def store(code, where):
    """Write a block of TOML to the file that its first line names."""
    name = re.fullmatch(r"# ([\w-]+\.toml)", code.splitlines()[0])
    assert name, f"{code.splitlines()[0]!r} does not name a file"
    (where / name[1]).write_text(code, encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = {"__name__": "page"}
    for language, code, line in blocks(page):
        assert language in LANGUAGES, f"{page.name}:{line} is in {language!r}"
        if language == "python":
            execute(code, names, (page, line))
        elif language == "sh":
            for command in code.splitlines():
                call(command, tmp_path)
        elif language == "toml":
            store(code, tmp_path)


def test_the_program_that_the_page_on_jit_shows_is_the_one_that_it_prints():
    found = blocks(DOCS / "jit.md")
    (place,) = [i for i, (language, _, _) in enumerate(found) if language == "text"]
    names, printed = {"__name__": "page"}, io.StringIO()
    for _, code, _ in found[: place - 1]:
        exec(code, names)
    with redirect_stdout(printed):
        exec(found[place - 1][1], names)
    assert printed.getvalue().rstrip() == found[place][1].rstrip()


def test_every_page_is_in_the_navigation():
    trees = [
        entry
        for path in DOCS.glob("*.md")
        for tree in re.findall(r"^:::\{toctree\}\n(.*?)^:::$", path.read_text(encoding="utf-8"), re.M | re.S)
        for entry in tree.splitlines()
        if entry and not entry.startswith(":")
    ]
    assert len(trees) == len({*trees})
    made = {"auto_examples/index", "reference/index"}
    assert {*trees} - made == {path.stem for path in DOCS.glob("*.md")} - {"index"}


def test_a_block_that_is_wrong_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n```python\nx = 1\nassert x == 2\n```\n", encoding="utf-8")
    ((language, code, line),) = blocks(page)
    assert (language, line) == ("python", 3)
    with pytest.raises(AssertionError) as caught:
        execute(code, {}, (page, line))
    assert caught.traceback[-1].lineno + 1 == 5
