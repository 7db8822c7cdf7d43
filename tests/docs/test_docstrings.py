"""The examples in docstrings run, and print what they show."""

import doctest
import importlib

import pytest

import mcgc

MODULES = ["mcgc", "mcgc.ops", *(f"mcgc.{name}" for names in mcgc.MODULES.values() for name in names), "mcgc_datasets"]


def examples(name):
    """Return the examples of a module, and of what it takes from private files, each with its names."""
    module = importlib.import_module({"mcgc.ops": "mcgc.autodiff.ops"}.get(name, name))
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = finder.find(module, name, globs={})
    for public in getattr(module, "__all__", ()):
        value = getattr(module, public)
        if getattr(value, "__module__", module.__name__) != module.__name__ and not isinstance(value, type(module)):
            found += finder.find(value, f"{name}.{public}", globs={}, module=False)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, tmp_path, monkeypatch):
    for test in examples(name):
        (tmp_path / test.name).mkdir()
        monkeypatch.chdir(tmp_path / test.name)  # an example may write a file
        report = []
        doctest.DocTestRunner(verbose=False).run(test, out=report.append)
        assert not report, "".join(report)


def test_examples_are_found_where_they_are_written():
    assert "mcgc.nets.init" in [test.name for test in examples("mcgc.nets")]
