"""Make the pages of the reference from `mcgc.MODULES`, in reStructuredText: one for each public module."""

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import mcgc

GROUPS = {group: [f"mcgc.{name}" for name in names] for group, names in mcgc.MODULES.items()}
GROUPS["Use it"] = ["mcgc", *GROUPS["Use it"], "mcgc_datasets"]
PARTS = {"mcgc.kernels": ["mcgc.kernels.reference"]}  # modules that have no page of their own
OPS = "mcgc.autodiff.ops"  # its page is written by hand, except for its end

DIRECTIVES = {"class": "Classes", "exception": "Errors", "function": "Functions", "data": "Constants"}


def public(module: ModuleType) -> dict[str, Any]:
    """Return the public names of a module: those of `__all__`, or else its definitions and constants."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return {name: getattr(module, name) for name in listed if not inspect.ismodule(getattr(module, name))}
    choices = assigned(module)
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (name in choices or (callable(value) and getattr(value, "__module__", None) == module.__name__))
    }


def assigned(module: ModuleType) -> set[str]:
    """Return the constants of a module, without those that are mere numbers."""
    tree = ast.parse(inspect.getsource(module))
    targets = [t for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) for t in _targets(node)]
    found = {t.id for target in targets for t in ast.walk(target) if isinstance(t, ast.Name) and t.id.isupper()}
    return {name for name in found if _is_choice(getattr(module, name))}


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _is_choice(value: Any) -> bool:
    names = isinstance(value, Mapping | tuple | list) and all(isinstance(name, str) for name in value)
    return names or type(value).__module__.startswith("mcgc.")


def kind(value: Any) -> str:
    """Return the directive that documents `value`."""
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) else "data"


def constant(value: Any) -> str:
    """Return a sentence that describes a constant. Autodoc would show the docstring of its type."""
    if type(value).__module__.startswith("mcgc."):
        return f"A `{type(value).__name__}`."
    what = "A mapping of" if isinstance(value, Mapping) else "The names"
    return f"{what} {', '.join(f'``{name!r}``' for name in value)}."


def entries(name: str, values: Mapping[str, Any]) -> str:
    """Return the tables of the names of a module, followed by an entry for each name."""
    tables, details = [], []
    for directive, title in DIRECTIVES.items():
        these = {n: value for n, value in values.items() if kind(value) == directive}
        if these and directive == "data":
            details.append(f".. rubric:: {title}\n")
        elif these:
            rows = "\n".join(f"   {n}" for n in these)
            tables.append(f".. rubric:: {title}\n\n.. autosummary::\n   :nosignatures:\n\n{rows}\n")
        for n, value in these.items():
            if directive == "data":
                details.append(f".. py:data:: {n}\n\n   {constant(value)}\n")
            else:
                members = "   :members:\n" if directive == "class" else ""
                elsewhere = inspect.isclass(value) and documented().get(value, f"{name}.{n}") != f"{name}.{n}"
                again = "   :no-index:\n" if elsewhere else ""
                details.append(f".. auto{directive}:: {name}.{n}\n{members}{again}")
    return "\n".join([f".. currentmodule:: {name}\n", *tables, *details])


def section(name: str, line: str) -> str:
    """Return the section of one module."""
    values = public(import_module(name))
    return f"{name}\n{line * len(name)}\n\n.. automodule:: {name}\n\n{entries(name, values)}"


@cache
def documented() -> dict[type, str]:
    """Return the name of the entry of each public class: in the module that defines it, or else the shortest name."""
    found: dict[type, str] = {}
    for name in sorted(name for names in GROUPS.values() for name in names):
        for n, value in public(import_module(name)).items():
            if inspect.isclass(value) and (value not in found or value.__module__ == name):
                found[value] = f"{name}.{n}"
    return found


def pages() -> dict[str, str]:
    """Return the text of every page, by its name."""
    made = {
        name: "\n".join([section(name, "="), *(section(part, "-") for part in PARTS.get(name, []))])
        for names in GROUPS.values()
        for name in names
    }
    index = ["Reference\n=========\n\nThe reference has every public name, with a page for each module.\n"]
    for group, names in GROUPS.items():
        rows = [f"   * - :doc:`{name} <{name}>`\n     - {summary(name)}" for name in names]
        if group == "Build with it":
            rows.insert(1, f"   * - :doc:`mcgc.ops <ops>`\n     - {summary(OPS)}")
        table = ".. list-table::\n   :widths: 30 70\n\n" + "\n".join(rows)
        tree = "\n".join(f"   {n}" for n in [*names[:1], *(["ops"] if group == "Build with it" else []), *names[1:]])
        index.append(
            f"{group}\n{'-' * len(group)}\n\n{table}\n\n.. toctree::\n   :hidden:\n   :caption: {group}\n\n{tree}\n"
        )
    return made | {"index": "\n".join(index)}


def summary(name: str) -> str:
    """Return the first paragraph of a module's docstring."""
    return " ".join(str(inspect.getdoc(import_module(name))).split("\n\n")[0].split())
