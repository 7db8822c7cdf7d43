"""Imports run one way, and the picture of the architecture is that of the code."""

import importlib
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
architecture = importlib.import_module("architecture")
picture = importlib.import_module("architecture_picture")
imports = importlib.import_module("imports")


@pytest.fixture
def changed(monkeypatch):
    """Give a function that adds a line to the source of a module, as the drawing reads it."""
    imports.imports.cache_clear()
    yield lambda module, line: monkeypatch.setattr(
        imports,
        "_tree",
        lambda name, read=imports._tree.__wrapped__: _with(read(name), line) if name == module else read(name),
    )
    monkeypatch.undo()
    imports.imports.cache_clear()


def _with(tree, line):
    tree.body += imports.ast.parse(line).body
    return tree


def test_every_import_goes_to_a_lower_row_and_no_circle_is_without_a_name():
    assert architecture.problems() == []


def test_the_committed_picture_and_table_are_those_of_the_imports():
    assert architecture.PICTURE.read_text(encoding="utf-8") == picture.svg(), "run python docs/architecture.py"
    assert architecture.PAGE.read_text(encoding="utf-8") == architecture.page(), "run python docs/architecture.py"


def test_every_arrow_that_is_drawn_goes_down():
    placed = picture.boxes()
    assert len(architecture.drawn()) > 12
    assert all(placed[source].bottom < placed[target].top for source, target in architecture.drawn())


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("from mcgc.train import Settings", "mcgc.kernels.cpu imports mcgc.train.settings, which is not below it"),
        ("def f():\n    from mcgc import nets", "mcgc.kernels.cpu imports mcgc.nets, which is not below it"),
        (
            "if TYPE_CHECKING:\n    import mcgc.ode._solve",
            "mcgc.kernels.cpu imports mcgc.ode._solve, which is not below it",
        ),
        ("import mcgc", "mcgc.kernels.cpu imports mcgc itself, which imports it"),
    ],
)
def test_an_import_against_the_order_is_found(changed, line, sentence):
    changed("mcgc.kernels.cpu", line)
    assert sentence in architecture.problems()


def test_a_circle_inside_a_room_is_found(changed):
    changed("mcgc.ode._tableaux", "from mcgc.ode import solve")
    (sentence,) = architecture.problems()
    assert "ode._solve and " in sentence
    assert sentence.endswith("ode._tableaux import each other")


def test_a_module_that_is_in_no_room_is_found(monkeypatch):
    monkeypatch.setattr(architecture, "modules", lambda: {"mcgc.attic": Path()})
    assert architecture.problems() == ["mcgc.attic is in no room: add it to LAYERS"]


def test_a_name_that_a_package_hands_on_is_an_import_of_the_file_that_defines_it():
    found = {(one.source, one.target): one.inside for one in imports.imports()}
    assert not found["mcgc.train._series", "mcgc.ode._solve"]
    assert found["mcgc.devices", "mcgc.kernels.cuda"]
    assert ("mcgc.train._series", "mcgc.ode") not in found
