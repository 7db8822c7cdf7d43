"""The reference covers every public name of every public module, and each has a docstring."""

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

import mcgc

ROOT = Path(__file__).parents[2]
REFERENCE = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs/reference").glob("*.md")}
MODULES = {
    "mcgc.kernels": "kernels",
    "mcgc_datasets": "datasets",
    "mcgc": "mcgc",
    **{
        f"mcgc.{name}": name
        for name in (
            *("autodiff", "nets", "losses", "optim", "rates", "ode", "fields", "continuation", "estimators"),
            *("schedules", "smoothing", "surfaces", "minimizer", "problems", "ensembles", "comparison", "studies"),
            *("settings", "training", "members", "runs"),
            *(
                "resume",
                "workers",
                "together",
                "memory",
                "acceptance",
                "hdf5",
                "reference",
                "arrays",
                "devices",
                "random",
            ),
            *("errors", "whole"),
        )
    },
}


def public(module):
    """Return the public functions and classes of a module: what __all__ lists, or else what is defined in it."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return {name: value for name in listed if not inspect.ismodule(value := getattr(module, name))}
    found = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return {name: value for name, value in found.items() if getattr(value, "__module__", None) == module.__name__}


def covered(page):
    """Return the modules that a page shows whole, and of others the names that it lists."""
    entries = re.findall(r"^::: ([\w.]+)\n((?: .*\n?)*)", page, re.M)
    return {name: set(re.findall(r"^ +- (\w+)$", options, re.M)) or None for name, options in entries}


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring_and_a_place_in_the_reference(name):
    module = importlib.import_module(name)
    names = public(module)
    assert names
    shown = covered(REFERENCE[MODULES[name]])
    assert name in shown
    hidden = {n for n in names if f"{name}.{n}" in sys.modules}  # by a submodule, as the reader of sources sees it
    assert {f"{name}.{n}.{n}" for n in hidden} <= set(shown)
    assert shown[name] == set(names) - hidden or (shown[name] is None and not hasattr(module, "__all__"))
    documented = {n: inspect.getdoc(value) for n, value in names.items() if callable(value)}
    plain = {n for n, doc in documented.items() if not doc or doc.startswith(f"{n}(")}  # what NamedTuple gives itself
    assert not plain


def test_no_module_is_left_out():
    here = {f"mcgc.{path.stem}" for path in (ROOT / "mcgc").glob("[!_]*.py")}
    packages = {f"mcgc.{path.parent.name}" for path in (ROOT / "mcgc").glob("*/__init__.py")}
    assert here | packages <= set(MODULES)


def test_the_site_hides_nothing_but_private_names():
    assert 'filters: ["!^_"]' in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_every_operation_is_on_the_page_of_operations_and_has_a_docstring():
    names = {name for name, value in vars(mcgc.ops).items() if callable(value) and not name.startswith("_")}
    rows = set(re.findall(r"`(\w+)", " ".join(re.findall(r"^\| (.*?) \|", REFERENCE["ops"], re.M))))
    assert rows == names
    assert all(inspect.getdoc(getattr(mcgc.ops, name)) for name in names)
