"""Sums of products: matmul, and the contractions made of it."""

import math
import operator
import re
from collections.abc import Collection, Sequence
from typing import Any

from mcgc.arrays import Array
from mcgc.autodiff.engine import Primitive
from mcgc.autodiff.ops.indexing import diagonal
from mcgc.autodiff.ops.rows import refuse_complex
from mcgc.autodiff.ops.shapes import (
    astype,
    expand_dims,
    fit,
    matrix_transpose,
    moveaxis,
    normal_axes,
    permute_dims,
    reshape,
    squeeze,
    sum,
)
from mcgc.errors import TraceError

_matmul = Primitive(
    "matmul",
    operator.matmul,
    (
        lambda out, x, y: lambda g: fit(g @ matrix_transpose(y), x),
        lambda out, x, y: lambda g: fit(matrix_transpose(x) @ g, y),
    ),
)


def matmul(x: Array, y: Array, /) -> Array:
    """Multiply matrices, or stacks of them; a vector is a row on the left and a column on the right."""
    row, column = x.ndim == 1, y.ndim == 1
    out = _matmul(expand_dims(x, axis=0) if row else x, expand_dims(y, axis=1) if column else y)
    if column:
        out = squeeze(out, axis=-1)
    return squeeze(out, axis=out.ndim - (1 if column else 2)) if row else out


def vecdot(x: Array, y: Array, /, *, axis: int = -1) -> Array:
    """Return Σ x y along `axis`, in the dtype of x y. Raises `InputError` if `x` is complex."""
    refuse_complex("vecdot", x)
    return _sum_as_they_are(x * y, axis)


def _sum_as_they_are(x: Array, axis: int | Sequence[int]) -> Array:
    """Return Σ x in the dtype of `x`, as products have it: small integers wrap around."""
    out = sum(x, axis=axis)
    return out if out.dtype == x.dtype else astype(out, x.dtype)


def outer(x: Array, y: Array, /) -> Array:
    """Return the matrix xᵢ yⱼ of two vectors. Raises `TraceError` if they are not vectors."""
    if x.ndim != 1 or y.ndim != 1:
        raise TraceError(f"outer multiplies two vectors, got arrays of {x.ndim} and {y.ndim} axes: reshape them")
    return expand_dims(x, axis=1) * expand_dims(y, axis=0)


def dot(x: Array, y: Array, /) -> Array:
    """Return Σ x y over the last axis of `x` and the last but one of `y`, or its only one, as NumPy's `dot` does."""
    return tensordot(x, y, axes=((-1,), (max(-2, -y.ndim),)))


def tensordot(x: Array, y: Array, /, *, axes: int | Sequence[Sequence[int]] = 2) -> Array:
    """Return Σ x y over pairs of axes: `axes` is how many, last of `x` with first of `y`, or the two lists of them."""
    if isinstance(axes, int):
        axes = (range(x.ndim - axes, x.ndim), range(axes))
    summed = dict(zip(normal_axes(axes[1], y.ndim), normal_axes(axes[0], x.ndim), strict=True))
    of_x = list(range(x.ndim))
    of_y = [summed.get(i, x.ndim + i) for i in range(y.ndim)]
    free = [label for label in (*of_x, *of_y) if label not in summed.values()]
    return _contract(x, of_x, y, of_y, free)[0]


def einsum(subscripts: str, /, *operands: Array) -> Array:
    """Return the sum of products that `subscripts` says, as in `einsum("...ij,jk->...ik", x, y)` (Einstein 1916).

    Each operand has a letter for each axis; letters missing after the arrow are summed over. Without an arrow the
    result has the letters that occur once, in alphabetical order. An ellipsis stands for leading axes that broadcast.
    An axis of length 1 broadcasts against those that other operands have for its letter. The result has the dtype of
    the products. Operands are contracted from left to right. Raises `TraceError` if letters and axes do not fit.
    """
    terms, wanted = _parse(subscripts, [x.ndim for x in operands])
    parts, terms = _without_stretched(subscripts, operands, terms)
    out, labels = _simplify(parts[0], terms[0], {*wanted, *(label for term in terms[1:] for label in term)})
    for i, (x, term) in enumerate(zip(parts[1:], terms[1:], strict=True)):
        later = {*wanted, *(label for term in terms[i + 2 :] for label in term)}
        x, term = _simplify(x, term, {*later, *labels})
        out, labels = _contract(out, labels, x, term, later)
    return permute_dims(out, [labels.index(label) for label in wanted])


def _parse(subscripts: str, ndims: Sequence[int]) -> tuple[list[list], list]:
    """Return the labels of each operand and of the result: letters, and −1, −2, … for the axes of an ellipsis."""
    text = subscripts.replace(" ", "")
    given, arrow, result = text.partition("->")
    terms = given.split(",")
    if not re.fullmatch(r"[A-Za-z.,]*(->[A-Za-z.]*)?", text) or len(terms) != len(ndims):
        raise TraceError(f"einsum({subscripts!r}) needs a term of letters for each of the {len(ndims)} operands")
    labels = [_labels(subscripts, term, ndim) for term, ndim in zip(terms, ndims, strict=True)]
    ellipsis = sorted({label for term in labels for label in term if isinstance(label, int)})
    if not arrow:
        letters = given.replace(",", "").replace(".", "")
        result = ("..." if ellipsis else "") + "".join(sorted(c for c in letters if letters.count(c) == 1))
    head, dots, tail = result.partition("...")
    wanted: list[Any] = [*head, *(ellipsis if dots else ()), *tail]
    known = {label for term in labels for label in term}
    if len(set(wanted)) < len(wanted) or not known.issuperset(wanted) or not set(wanted).issuperset(ellipsis):
        raise TraceError(
            f"einsum({subscripts!r}): letters of the result occur in it once and in an operand, and it has an "
            "ellipsis if they have"
        )
    return labels, wanted


def _labels(subscripts: str, term: str, ndim: int) -> list:
    head, dots, tail = term.partition("...")
    more = ndim - len(head) - len(tail)
    if more < 0 or (more > 0 and not dots) or "." in head + tail:
        raise TraceError(f"einsum({subscripts!r}): {term!r} does not fit an operand of {ndim} axes")
    return [*head, *range(-more, 0), *tail]


def _without_stretched(subscripts: str, operands: Sequence[Array], terms: Sequence[list]) -> tuple[list, list]:
    """Return the operands and their labels without the axes of length 1 for whose label another operand is longer."""
    length: dict[Any, int] = {}
    for x, term in zip(operands, terms, strict=True):
        inside: dict[Any, int] = {}
        for label, n in zip(term, x.shape, strict=True):
            known = length.setdefault(label, n)
            other = inside.setdefault(label, n)
            if other != n or (known != n and 1 not in (known, n)):
                letter = repr(label) if isinstance(label, str) else "an axis of the ellipsis"
                lengths = f"{other if other != n else known} and {n}"
                raise TraceError(f"einsum({subscripts!r}): {letter} stands for axes of lengths {lengths}")
            if known == 1:
                length[label] = n
    kept_operands, kept_terms = [], []
    for x, term in zip(operands, terms, strict=True):
        gone = [i for i, label in enumerate(term) if x.shape[i] != length[label]]
        kept_operands.append(squeeze(x, gone) if gone else x)
        kept_terms.append([label for i, label in enumerate(term) if i not in gone])
    return kept_operands, kept_terms


def _simplify(x: Array, labels: Sequence, needed: Collection) -> tuple[Array, list]:
    """Take the diagonal where a label repeats, and sum over the labels that nobody needs."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            x = diagonal(moveaxis(x, (i, j), (-2, -1)))
            labels = [other for k, other in enumerate(labels) if k not in (i, j)] + [label]
    unneeded = [i for i, label in enumerate(labels) if label not in needed]
    if unneeded:
        x = _sum_as_they_are(x, unneeded)
    return x, [label for label in labels if label in needed]


def _contract(x: Array, of_x: list, y: Array, of_y: list, needed: Collection) -> tuple[Array, list]:
    """Multiply two operands as stacks of matrices and return the result with its labels, which are all needed.

    A label of both is a stack's if it is needed, and summed over if not.
    """
    stacks = [label for label in of_x if label in of_y and label in needed]
    summed = [label for label in of_x if label in of_y and label not in needed]
    rows = [label for label in of_x if label not in of_y]
    columns = [label for label in of_y if label not in of_x]
    for label in summed:
        left, right = x.shape[of_x.index(label)], y.shape[of_y.index(label)]
        if left != right:
            raise TraceError(f"cannot sum over an axis of length {left} in one operand and {right} in the other")
    x = permute_dims(x, [of_x.index(label) for label in (*stacks, *rows, *summed)])
    y = permute_dims(y, [of_y.index(label) for label in (*stacks, *summed, *columns)])
    s, r, c = len(stacks), x.shape[len(stacks) : len(stacks) + len(rows)], y.shape[y.ndim - len(columns) :]
    depth = math.prod(x.shape[s + len(rows) :])
    out = _matmul(reshape(x, (*x.shape[:s], math.prod(r), depth)), reshape(y, (*y.shape[:s], depth, math.prod(c))))
    return reshape(out, (*out.shape[:-2], *r, *c)), [*stacks, *rows, *columns]
