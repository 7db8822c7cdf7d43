"""`import mcgc` gives all public modules, each when it is first used, and no name that there is not."""

import importlib
import inspect
import subprocess
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import mcgc

HERE = Path(mcgc.__file__).parent
PACKAGES = {path.parent.name for path in HERE.glob("[!_]*/__init__.py")}
MODULES = sorted({path.stem for path in HERE.glob("[!_]*.py")} | PACKAGES)
WHOLE = {"autodiff", "kernels"}  # packages that have one page
PARTS = {f"{name}.{path.stem}" for name in PACKAGES - WHOLE for path in (HERE / name).glob("[!_]*.py")}
EMPTY = {"checks", "paper"}  # packages that have nothing but modules
SCRIPT = """
import sys, mcgc
before = set(sys.modules)
{}
"""


def script(code):
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(code)], capture_output=True, text=True, timeout=120)
    return done.stdout.split(), done.stderr


def test_every_module_is_given_on_its_first_use():
    found, error = script(f"print(*[getattr(mcgc, name).__name__ for name in {MODULES}])")
    assert found == [f"mcgc.{name}" for name in MODULES], error


def test_a_first_use_imports_and_a_mere_import_does_not():
    found, error = script(
        "print('mcgc.ode._solve' in before, 'numba' in before, mcgc.train.fit.__name__, 'mcgc.train._task' in before)"
    )
    assert found == ["False", "False", "fit", "False"], error


def test_dir_lists_modules_before_their_import():
    found, error = script("print(*dir(mcgc)); assert 'mcgc.train._task' not in sys.modules")
    assert {*MODULES, *mcgc.__all__, "__version__"} <= {*found}, error
    assert error == ""


def test_the_list_of_modules_has_every_public_module_once():
    listed = sorted(name for names in mcgc.MODULES.values() for name in names)
    assert listed == sorted({*MODULES} - EMPTY | PARTS)


def test_a_package_of_modules_has_nothing_else():
    for name in EMPTY:
        package = getattr(mcgc, name)
        assert all(inspect.ismodule(getattr(package, each)) for each in package.__all__)


def test_type_checkers_are_given_the_same_modules():
    source = (HERE / "__init__.py").read_text(encoding="utf-8")
    assert [name for name in MODULES if f"        {name} as {name},\n" not in source] == []
    assert source.count(" as ") == len(MODULES)


@pytest.mark.parametrize(("wrong", "right"), [("optm", "optim"), ("minimise", "minimize"), ("Ode", "ode")])
def test_a_wrong_name_is_answered_with_the_right_one(wrong, right):
    with pytest.raises(AttributeError, match=f"mcgc has no '{wrong}'; did you mean .*'{right}'"):
        getattr(mcgc, wrong)


def test_a_name_like_none_is_an_attribute_error_alone():
    with pytest.raises(AttributeError, match=r"^mcgc has no 'zzzzzz'$"):
        getattr(mcgc, "zzz" * 2)
    with pytest.raises(ImportError, match="cannot import name 'zzzzzz'"):
        from mcgc import zzzzzz  # noqa: F401
    assert not hasattr(mcgc, "__wrapped__")


def bare(annotation):
    """Tell whether an annotation has a function of which it says nothing."""
    parts = annotation if isinstance(annotation, list) else typing.get_args(annotation)
    return annotation in (Callable, "Callable") or any(bare(part) for part in parts)


def annotations(value):
    """Return the annotations of the parameters and the result of a function or a class, if it has a signature."""
    try:
        signature = inspect.signature(value)
    except ValueError:  # such as errors, which are made in C
        return []
    return [signature.return_annotation, *(parameter.annotation for parameter in signature.parameters.values())]


@pytest.mark.parametrize("name", ["mcgc", *(f"mcgc.{name}" for names in mcgc.MODULES.values() for name in names)])
def test_the_signature_of_a_public_function_says_what_it_makes_of_functions(name):
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [key for key in vars(module) if not key.startswith("_")])
    values = {key: getattr(module, key) for key in names if callable(getattr(module, key))}
    assert [key for key, value in values.items() if any(map(bare, annotations(value)))] == []


def test_a_bare_function_in_an_annotation_is_found():
    assert bare(Callable)
    assert bare(Sequence[Callable] | None)
    assert bare(Callable[[Callable], int])
    assert not bare(Callable[..., int])
