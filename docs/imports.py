"""Which file imports which, read from the source, which is not run. `architecture.py` draws it.

A name that a package only hands on counts as an import of the file that defines it: `from mcgc.ode import solve` is an
import of `mcgc.ode._solve`. Imports inside functions and under TYPE_CHECKING count as well.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parents[1]
ROOTS = (HERE, HERE / "datasets", HERE / "cli")
PACKAGES = ("mcgc", "mcgc_datasets", "mcgc_cli")


class Import(NamedTuple):
    """One import: the importing module, the one that defines the name, and whether it waits for a call."""

    source: str
    target: str
    inside: bool


@cache
def modules() -> Mapping[str, Path]:
    """Return the file of each module of the three packages, by its dotted name."""
    found = {}
    for root, package in zip(ROOTS, PACKAGES, strict=True):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> frozenset[Import]:
    """Return every import of one of these modules by another."""
    found = (Import(name, target, inside) for name in modules() for target, inside in _of(name))
    return frozenset(one for one in found if one.source != one.target)


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def _statements(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield the import statements below `node`, and whether each waits for a call of a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, inside
        yield from _statements(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def _of(module: str) -> Iterator[tuple[str, bool]]:
    """Yield the modules that `module` imports, and whether each import waits for a call."""
    tree = _tree(module)
    used: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used.setdefault(node.value.id, set()).add(node.attr)
    for statement, inside in _statements(tree):
        if isinstance(statement, ast.Import):
            pairs = [(alias.name, alias.asname or alias.name) for alias in statement.names]
        else:
            source = statement.module or ""
            pairs = [(_defining(source, alias.name), alias.asname or alias.name) for alias in statement.names]
        for target, name in pairs:
            if target in modules():
                names = {_defining(target, attribute) for attribute in used.get(name, ())} or {target}
                yield from ((one, inside) for one in names)


def _defining(module: str, name: str) -> str:
    """Return the module that `name` is, or that defines it: a package may have it from another."""
    if f"{module}.{name}" in modules():
        return f"{module}.{name}"
    if module in modules() and modules()[module].name == "__init__.py":
        for statement, _ in _statements(_tree(module)):
            for alias in statement.names if isinstance(statement, ast.ImportFrom) else ():
                if (alias.asname or alias.name) == name and statement.module != module:
                    return _defining(statement.module or "", alias.name)
    return module


def circles(graph: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Return the sets of nodes of which each reaches every other."""
    ahead = {node: reached(graph, node) for node in graph}
    return {frozenset(other for other in ahead[node] if node in ahead[other]) for node in graph if node in ahead[node]}


def reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Return the nodes that `start` reaches by one step or more."""
    found: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        node = ahead.pop()
        if node not in found:
            found.add(node)
            ahead += graph.get(node, ())
    return found
