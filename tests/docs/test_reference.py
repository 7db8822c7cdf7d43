"""The reference covers every public name of every public module, and each has a docstring."""

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

import mcgc

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))  # as the configuration of the site has it
pages = importlib.import_module("pages")
PAGES = pages.pages()
MODULES = ["mcgc", *(f"mcgc.{name}" for names in mcgc.MODULES.values() for name in names), "mcgc_datasets"]


def public(module):
    """Return the public functions and classes of a module: what __all__ lists, or else what is defined in it."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return {name: value for name in listed if not inspect.ismodule(value := getattr(module, name))}
    found = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return {name: value for name, value in found.items() if getattr(value, "__module__", None) == module.__name__}


@pytest.mark.parametrize("name", [*MODULES, "mcgc.kernels.reference"])
def test_every_public_name_has_a_docstring_and_an_entry_in_the_reference(name):
    names = public(importlib.import_module(name))
    assert names
    page = PAGES[name.removesuffix(".reference")]
    callables = {n: inspect.getdoc(value) for n, value in names.items() if callable(value)}
    entries = re.findall(rf"^\.\. auto(?:function|class|exception):: {re.escape(name)}\.(\w+)$", page, re.M)
    assert sorted(entries) == sorted(callables)
    rows = re.findall(r"^   (\w+)$", page.split(f".. currentmodule:: {name}\n")[1].split(f":: {name}.")[0], re.M)
    assert {*callables} <= {*rows}
    constants = {*re.findall(r"^\.\. py:data:: (\w+)$", page, re.M)}
    assert {n for n in names if n.isupper() and len(n) > 1} - {*callables} <= constants
    plain = {n for n, doc in callables.items() if not doc or doc.startswith(f"{n}(")}  # what NamedTuple gives itself
    assert not plain


def test_the_reference_has_the_modules_of_the_list_and_no_others():
    assert {*PAGES} == {*MODULES, "index"}
    listed = re.findall(r":doc:`(\S+) <(\S+)>`", PAGES["index"])
    assert sorted(name for name, _ in listed) == sorted([*MODULES, "mcgc.ops"])
    assert {target for _, target in listed} == {*MODULES, "ops"}


def test_the_readme_lists_the_same_modules():
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- ([A-Z][a-z ]+): (`.+?`)\.$", readme, re.M | re.S)
    assert {group: tuple(re.findall(r"`([\w.]+)`", names)) for group, names in listed} == mcgc.MODULES


def test_no_constant_is_described_by_a_path_or_an_address():
    assert [
        name for name, page in PAGES.items() if re.search(r"0x[0-9a-f]{6}|site-packages|<module|<function", page)
    ] == []


def test_every_operation_is_on_the_page_of_operations_and_has_a_docstring():
    names = {name for name, value in vars(mcgc.ops).items() if callable(value) and not name.startswith("_")}
    page = (DOCS / "reference/ops.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"`(\w+)", " ".join(re.findall(r"^\| (.*?) \|", page, re.M))))
    assert rows == names
    assert all(inspect.getdoc(getattr(mcgc.ops, name)) for name in names)
