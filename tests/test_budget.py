"""The code has at most these sizes."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
LARGE: dict[str, int] = {}  # these may only shrink


def lines(path):
    return len((ROOT / path).read_text(encoding="utf-8").splitlines())


def test_the_engine_and_the_transforms_have_500_lines_together():
    assert lines("mcgc/autodiff/engine.py") + lines("mcgc/autodiff/transforms.py") <= 500


def test_no_file_of_the_code_has_more_than_400_lines_but_those_that_are_listed():
    found = [path for part in ("mcgc", "cli", "datasets") for path in (ROOT / part).rglob("*.py")]
    names = [path.relative_to(ROOT).as_posix() for path in found]
    assert len(names) > 80
    assert {name: lines(name) for name in names if lines(name) > LARGE.get(name, 400)} == {}
    assert {name for name in LARGE if lines(name) <= 400} == set()
