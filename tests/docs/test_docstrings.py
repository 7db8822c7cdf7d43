"""The examples in docstrings run, and public functions have tables of their parameters and results."""

import doctest
import importlib
import inspect
import re

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


def functions(name):
    """Return the public functions of a module: those of `__all__` that its package defines, or else its own."""
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", None)
    home, names = (name, vars(module)) if listed is None else (module.__package__, listed)
    values = {key: getattr(module, key) for key in names if not key.startswith("_")}
    found = {key: value for key, value in values.items() if inspect.isfunction(inspect.unwrap(value))}
    return {key: value for key, value in found.items() if f"{value.__module__}.".startswith(f"{home}.")}


def sections(function):
    """Return the sections of a docstring, each by its title."""
    parts = re.split(r"^(\w+)\n-+\n", inspect.getdoc(function) or "", flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def lacking(function):
    """Return what the tables of a docstring lack: parameters by name, or the result."""
    found, signature = sections(function), inspect.signature(function)
    rows = re.findall(r"^(\S.*?)(?: :.*)?$", found.get("Parameters", ""), re.M)
    described = {name.lstrip("*") for row in rows for name in row.split(", ")}
    given = found.keys() & {"Returns", "Yields"} or signature.return_annotation in (None, "None")
    return sorted({*signature.parameters} ^ described) + ([] if given else ["Returns"])


@pytest.mark.parametrize("name", [name for name in MODULES if name != "mcgc.ops"])
def test_the_tables_of_a_docstring_have_all_parameters_and_the_result(name):
    assert {key: lacking(function) for key, function in functions(name).items() if lacking(function)} == {}


def test_the_functions_are_found_also_where_a_package_takes_them_from_its_files():
    assert {"bind", "fit", "predict"} <= functions("mcgc.train").keys()
    assert {"mse", "huber"} <= functions("mcgc.losses").keys()
    assert {"classifier", "get"} <= functions("mcgc.train.problems").keys()
    assert "is_dtype" in functions("mcgc.arrays")  # behind a cache
    assert "is_dtype" not in functions("mcgc.losses")


def plain(x: int, *others: int) -> int:
    """Return x.

    Parameters
    ----------
    x : int
        A number.
    *others : int
        Others.

    Returns
    -------
    int
        The number.
    """
    return x


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        ("", "", []),
        ("Returns\n    -------\n", "", ["Returns"]),
        ("Parameters\n    ----------\n", "", ["others", "x"]),
        ("x : int\n", "y : int\n", ["x", "y"]),
    ],
)
def test_a_table_that_is_dropped_or_has_another_name_is_found(old, new, missing, monkeypatch):
    assert old in plain.__doc__
    monkeypatch.setattr(plain, "__doc__", plain.__doc__.replace(old, new))
    assert lacking(plain) == missing
