"""Pytrees: nested dicts, lists, tuples and NamedTuples whose leaves are arrays or numbers.

`None` is a tree without leaves. The leaves of a dict come in the order of its sorted keys.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Structure(NamedTuple):
    """The shape of a pytree without its leaves: a container's type, its keys, and its children's structures."""

    kind: type | None  # None for a leaf
    keys: tuple
    children: tuple


LEAF = Structure(None, (), ())


def flatten(tree: Any) -> tuple[list, Structure]:
    """Return the leaves of `tree` in order, and the structure that `unflatten` rebuilds it from."""
    leaves: list = []
    return leaves, _take_apart(tree, leaves)


def _take_apart(tree: Any, leaves: list) -> Structure:
    kind = type(tree)
    if tree is None:
        return Structure(kind, (), ())
    if kind is dict:
        keys = tuple(sorted(tree))
        return Structure(kind, keys, tuple(_take_apart(tree[key], leaves) for key in keys))
    if kind is list or isinstance(tree, tuple):
        return Structure(kind, (), tuple(_take_apart(child, leaves) for child in tree))
    leaves.append(tree)
    return LEAF


def leaf_names(tree: Any) -> list[str]:
    """Return where each leaf of `tree` is, in the order of `flatten`, as "theta" or "optimizer/mean" or "moments/0"."""
    if isinstance(tree, dict):
        parts: Any = [(str(key), tree[key]) for key in sorted(tree)]
    elif isinstance(tree, list | tuple):
        parts = zip(getattr(tree, "_fields", map(str, range(len(tree)))), tree, strict=True)
    else:
        return [] if tree is None else [""]
    return [f"{name}/{inner}".rstrip("/") for name, part in parts for inner in leaf_names(part)]


def unflatten(structure: Structure, leaves: list) -> Any:
    """Rebuild the pytree of `structure` around `leaves`."""
    return _put_together(structure, iter(leaves))


def _put_together(structure: Structure, leaves: Iterator) -> Any:
    kind, keys, children = structure
    if kind is None:
        return next(leaves)
    if kind is type(None):
        return None
    built = [_put_together(child, leaves) for child in children]
    if kind is dict:
        return dict(zip(keys, built, strict=True))
    return kind(*built) if hasattr(kind, "_fields") else kind(built)


def tree_map(function: Callable, tree: Any) -> Any:
    """Apply `function` to every leaf of `tree`."""
    leaves, structure = flatten(tree)
    return unflatten(structure, [function(leaf) for leaf in leaves])
