"""Signatures as in the source: `theta: Array`, where the evaluated annotation would be `Any`."""

import ast
import inspect
import textwrap
from typing import Any

from pages import documented

from mcgc.autodiff import Primitive

ENTRIES = documented()


def written(value: Any) -> tuple[str, str | None] | None:
    """Return the parameters and the result of a function or class as in its source, or None if there is no source."""
    if isinstance(value, Primitive):
        count = len(value.rules)
        return (f"({', '.join('xy'[:count])}, /)" if count <= 2 else "(*args, **options)"), "Array"
    if inspect.ismodule(value):
        return None
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    except (OSError, TypeError, SyntaxError):
        return None
    tree = _Qualified(vars(inspect.getmodule(value))).visit(tree)
    if isinstance(tree, ast.ClassDef):
        return _of_class(value, tree)
    if isinstance(tree, ast.FunctionDef) and tree.name == value.__name__:
        return f"({ast.unparse(_public(tree.args))})", ast.unparse(tree.returns) if tree.returns else None
    return None


class _Qualified(ast.NodeTransformer):
    """Replaces the name of a public class by the name of its entry, because two modules may have a class `State`."""

    def __init__(self, names: dict[str, Any]):
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.names.get(node.id)
        return ast.parse(ENTRIES[value], mode="eval").body if inspect.isclass(value) and value in ENTRIES else node


def _of_class(value: type, tree: ast.ClassDef) -> tuple[str, None] | None:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            node.args.args.pop(0)
            return f"({ast.unparse(_public(node.args))})", None
    if hasattr(value, "_fields"):
        return f"({', '.join(ast.unparse(node) for node in tree.body if isinstance(node, ast.AnnAssign))})", None
    return None


def _public(arguments: ast.arguments) -> ast.arguments:
    """Leave out `self` and `cls`."""
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args.pop(0)
    return arguments
