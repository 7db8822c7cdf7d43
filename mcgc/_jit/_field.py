"""The programs of a field dy/dt = f(t, y, params) for one trajectory, from a function that takes a batch of them.

The function runs on a symbolic batch of two or three rows. Each array of `params` has either numbers that all
trajectories share or a row for each. Which of the two is found by trying: an array is shared if the function takes it
as it is beside another number of rows. The program is that of the first row, and must be that of every other.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from mcgc._jit._array import Symbolic, symbolic
from mcgc._jit._graph import COMMUTATIVE, Graph, Node, building, ordered
from mcgc._jit._program import Leaf, Program
from mcgc._jit._trace import Argument
from mcgc.autodiff import transforms
from mcgc.autodiff.engine import strip
from mcgc.autodiff.pytree import Structure, unflatten
from mcgc.errors import TraceError

CANDIDATES = 6  # arrays of params, at most, that may have rows: there are two ways for each


class Programs(NamedTuple):
    """The programs of a function f of (t, y, p), numbers of one trajectory.

    `pullback` takes (t, y, p, g) and returns the cotangents of t, y and p. `jacobians` returns ∂f/∂y and ∂f/∂p.
    """

    value: Program
    pullback: Program
    jacobians: Program


class FieldPrograms(NamedTuple):
    """The programs of a field, and those of the function and of the reset of each event.

    `by_row` tells of each leaf of params whether it has rows; p has the leaves one after the other.
    """

    field: Programs
    events: tuple[tuple[Programs, Programs | None], ...]
    by_row: tuple[bool, ...]


def field_programs(
    field: Callable,
    structure: Structure,
    leaves: Sequence[Argument],
    dtype: np.dtype,
    states: int,
    batch: int | None,
    events: Sequence[tuple[Callable, Callable | None]] = (),
) -> FieldPrograms:
    """Return the programs of `field` at `states` numbers of `dtype`, in a batch, or for a single trajectory (None).

    `structure` and `leaves` are those of params, all of `dtype`. `events` are the function and the reset of each event.
    Raises what these functions raise.
    """
    able = [i for i, leaf in enumerate(leaves) if batch not in (None, 1) and leaf.shape[:1] == (batch,)]
    if len(able) > CANDIDATES:
        raise TraceError(f"more than {CANDIDATES} arrays of params may have rows: join them to one")
    first: Exception | None = None
    for rows in product((False, True), repeat=len(able)):
        by_row = tuple(i in able and rows[able.index(i)] for i in range(len(leaves)))
        try:
            of = lambda name, f, width=None: _programs(name, f, structure, leaves, dtype, states, batch, by_row, width)  # noqa: B023
            of_events = [
                (of("the function of an event", guard, 1), reset and of("the reset of an event", reset))
                for guard, reset in events
            ]
            return FieldPrograms(of("f", field), tuple(of_events), by_row)
        except Exception as error:  # whatever the function has against these shapes
            first = first or error
    assert first is not None
    raise first


def _programs(
    name: str,
    field: Callable,
    structure: Structure,
    leaves: Sequence[Argument],
    dtype: np.dtype,
    states: int,
    batch: int | None,
    by_row: tuple[bool, ...],
    width: int | None,
) -> Programs:
    """Return the programs of `field`, which gives an array like y, or with a `width` of 1 a number a trajectory."""
    count = 1 if batch in (None, 1) else 3 if batch == 2 else 2
    head = () if batch is None else (count,)
    size = sum(_size(leaf, row) for leaf, row in zip(leaves, by_row, strict=True))
    with building() as graph:
        rows = [[_inputs(graph, 4 * r + i, n, dtype) for i, n in enumerate((1, states, size))] for r in range(count)]
        t = Symbolic(_stacked([row[0] for row in rows], head if batch is None else (count, 1)), dtype)
        y = Symbolic(_stacked([row[1] for row in rows], (*head, states)), dtype)
        params, at = [], 0
        for leaf, row in zip(leaves, by_row, strict=True):
            n = _size(leaf, row)
            pieces = [each[2][at : at + n] for each in rows[: count if row else 1]]
            params.append(Symbolic(_stacked(pieces, (count, *leaf.shape[1:]) if row else leaf.shape), leaf.dtype))
            at += n
        function = lambda t, y, *params: field(t, y, unflatten(structure, list(params)))
        out, pullback = transforms.vjp(function, t, y, *params)
        out = symbolic(strip(out))
        expected = head if width else y.shape
        if out.shape != expected or out.dtype != dtype:
            like = "with a number for each trajectory" if width else "like y"
            raise TraceError(
                f"{name} must return an array {like}, of shape {expected} and dtype {dtype}, "
                f"got {out.shape} and {out.dtype}"
            )
        width = width or states
        value = _rowwise(out.nodes.reshape(count, width))

        def pulled(g: np.ndarray | list[Node]) -> list[tuple]:
            """Return the cotangents of t, y and p of the first row, of which `g` is the cotangent."""
            rows_of_g = np.full((count, width), graph.constant(0, dtype), object)
            rows_of_g[0] = g
            bars = [strip(bar).nodes for bar in pullback(Symbolic(rows_of_g.reshape(expected), dtype))]
            of_p = [
                node for bar, row in zip(bars[2:], by_row, strict=True) for node in (bar[:1] if row else bar).ravel()
            ]
            return [tuple(bars[0].ravel()[:1]), tuple(bars[1].reshape(count, states)[0]), tuple(of_p)]

        pullback_of = pulled(_inputs(graph, 3, width, dtype))
        zero, one = graph.constant(0, dtype), graph.constant(1, dtype)
        jacobian = [pulled([one if i == j else zero for j in range(width)]) for i in range(width)]
    sizes = Leaf((), dtype), Leaf((states,), dtype), Leaf((size,), dtype)
    of_y, of_p = (tuple(node for row in jacobian for node in row[i]) for i in (1, 2))
    _check_alone(pullback_of[2])
    result = Leaf((width,), dtype)
    square, wide = Leaf((width, states), dtype), Leaf((width, size), dtype)
    return Programs(
        Program(sizes, (result,), (tuple(value),)),
        Program((*sizes, result), sizes, tuple(pullback_of)),
        Program(sizes, (square, wide), (of_y, of_p)),
    )


def _size(leaf: Argument, by_row: bool) -> int:
    return int(np.prod(leaf.shape[1:] if by_row else leaf.shape, dtype=np.int64))


def _inputs(graph: Graph, leaf: int, size: int, dtype: np.dtype) -> np.ndarray:
    nodes = np.empty(size, object)
    nodes[:] = [graph.input(leaf, i, dtype) for i in range(size)]
    return nodes


def _stacked(rows: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.concatenate(rows).reshape(shape)


def _rowwise(rows: np.ndarray) -> np.ndarray:
    """Return the first row. Raises `TraceError` unless the others are the same functions of their own inputs."""
    numbers: dict[tuple, int] = {}  # of expressions in which every row has the inputs of the first
    found = []
    for row, nodes in enumerate(rows):
        number: dict[Node, int] = {}
        for node in ordered(nodes):
            if node.op == "input":
                leaf, index = node.args
                key: tuple = ("input", leaf if leaf == 2 else leaf - 4 * row, index)
            else:
                operands = [number[arg] for arg in node.args]
                key = (node.op, node.dtype, node.value, *(sorted(operands) if node.op in COMMUTATIVE else operands))
            number[node] = numbers.setdefault(key, len(numbers))
        found.append([number[node] for node in nodes])
    _check_alone(rows[0])
    if any(each != found[0] for each in found):
        raise TraceError(_MIXED)
    return rows[0]


_MIXED = (
    "a field of equations must compute each row from its own row alone, all rows alike: pass what differs between rows "
    "in params"
)


def _check_alone(nodes: Sequence[Node]) -> None:
    """Raise `TraceError` if one of the nodes depends on the inputs of a row that is not the first."""
    if any(node.op == "input" and node.args[0] > 3 for node in ordered(nodes)):
        raise TraceError(_MIXED)
