"""Pytrees: nested dicts, lists, tuples, NamedTuples and dataclasses whose leaves are arrays or numbers.

`None` is a tree without leaves. The leaves of a dict come in the order of its sorted keys. `unflatten` gives a dict the
order of keys of the original. A dict of a subclass, such as an OrderedDict, stays one. A dataclass is rebuilt from its
fields, and its `__init__` does not run.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from dataclasses import field as field_of
from typing import Any


@dataclass(slots=True, unsafe_hash=True)  # never mutated; a frozen one takes longer to make
class Structure:
    """The shape of a pytree without its leaves, hashable: a container's type, its keys, its children's structures."""

    kind: type | None  # None for a leaf
    keys: tuple = ()
    children: tuple["Structure", ...] = ()
    order: tuple = field_of(default=(), compare=False)  # the keys of a dict as they came


LEAF = Structure(None)
EMPTY = Structure(type(None))

_leaf_types: set[type] = set()  # types that are no containers; finding that out is slow


def flatten(tree: Any) -> tuple[list, Structure]:
    """Return the leaves of a pytree, and its structure.

    Parameters
    ----------
    tree : pytree
        The pytree.

    Returns
    -------
    leaves : list
        The leaves in order.
    structure : Structure
        What `unflatten` rebuilds the pytree from.

    Examples
    --------
    >>> from mcgc.autodiff import flatten
    >>> flatten({"b": [2.0, 3.0], "a": 1.0})[0]
    [1.0, 2.0, 3.0]
    """
    if type(tree) in _leaf_types:
        return [tree], LEAF
    leaves: list = []
    return leaves, _take_apart(tree, leaves)


def _take_apart(tree: Any, leaves: list) -> Structure:
    kind = type(tree)
    if kind in _leaf_types:
        leaves.append(tree)
        return LEAF
    if tree is None:
        return EMPTY
    if isinstance(tree, dict):
        keys = _sorted(tree)
        return Structure(kind, keys, tuple([_take_apart(tree[key], leaves) for key in keys]), tuple(tree))
    if isinstance(tree, list | tuple):
        return Structure(kind, (), tuple([_take_apart(child, leaves) for child in tree]))
    if is_dataclass(kind):
        keys = tuple([field.name for field in fields(kind)])
        return Structure(kind, keys, tuple([_take_apart(getattr(tree, key), leaves) for key in keys]))
    _leaf_types.add(kind)
    leaves.append(tree)
    return LEAF


def _sorted(tree: dict) -> tuple:
    """Return the keys of `tree` in order; those of types that do not compare, by type and then as they are written."""
    try:
        return tuple(sorted(tree))
    except TypeError:
        return tuple(sorted(tree, key=lambda key: (type(key).__name__, repr(key))))


def leaf_names(tree: Any) -> list[str]:
    """Return where each leaf of `tree` is, in the order of `flatten`, as "theta" or "optimizer/mean" or "moments/0"."""
    if isinstance(tree, dict):
        parts: Any = [(str(key), tree[key]) for key in _sorted(tree)]
    elif isinstance(tree, list | tuple):
        parts = zip(getattr(tree, "_fields", map(str, range(len(tree)))), tree, strict=True)
    elif is_dataclass(tree) and not isinstance(tree, type):
        parts = [(field.name, getattr(tree, field.name)) for field in fields(tree)]
    else:
        return [] if tree is None else [""]
    return [f"{name}/{inner}".rstrip("/") for name, part in parts for inner in leaf_names(part)]


def unflatten(structure: Structure, leaves: list) -> Any:
    """Return the pytree of a structure with other leaves.

    Parameters
    ----------
    structure : Structure
        What `flatten` returned.
    leaves : list
        As many leaves.

    Returns
    -------
    pytree
        The pytree.

    Examples
    --------
    >>> from mcgc.autodiff import flatten, unflatten
    >>> leaves, structure = flatten({"b": [2.0, 3.0], "a": 1.0})
    >>> unflatten(structure, [10 * leaf for leaf in leaves])
    {'b': [20.0, 30.0], 'a': 10.0}
    """
    return leaves[0] if structure is LEAF else _put_together(structure, iter(leaves))


def _put_together(structure: Structure, leaves: Iterator) -> Any:
    kind = structure.kind
    if kind is None:
        return next(leaves)
    if kind is type(None):
        return None
    built = [_put_together(child, leaves) for child in structure.children]
    if kind is tuple or kind is list:
        return kind(built)
    if issubclass(kind, dict):
        found = dict(zip(structure.keys, built, strict=True))
        made: Any = kind(None) if issubclass(kind, defaultdict) else kind()
        made.update((key, found[key]) for key in structure.order)
        return made
    if issubclass(kind, list | tuple):
        return kind(*built) if hasattr(kind, "_fields") else kind(built)
    made = object.__new__(kind)
    for key, value in zip(structure.keys, built, strict=True):
        object.__setattr__(made, key, value)  # a frozen one refuses its own
    return made


def tree_map(function: Callable[..., Any], tree: Any) -> Any:
    """Return the pytree with a function applied to each leaf.

    Parameters
    ----------
    function : function (leaf) → leaf
        The function.
    tree : pytree
        The pytree.

    Returns
    -------
    pytree
        A pytree of the same structure.

    Examples
    --------
    >>> from mcgc.autodiff import tree_map
    >>> tree_map(lambda leaf: 10 * leaf, (1.0, [2.0, None]))
    (10.0, [20.0, None])
    """
    leaves, structure = flatten(tree)
    return unflatten(structure, [function(leaf) for leaf in leaves])
