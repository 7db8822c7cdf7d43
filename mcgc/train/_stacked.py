"""Members of a run advanced together: on a device they are one more axis of all arrays, and ten models one launch."""

import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from mcgc.arrays import HOST, Device, is_array, namespace_of
from mcgc.autodiff.pytree import flatten, unflatten
from mcgc.continuation import State
from mcgc.errors import SolveError
from mcgc.random import Key
from mcgc.train._epoch import Advance, Member, MemberRecord, Result, Task, advance, in_turn, run_epoch


def advance_on(device: Device, pause: Callable[[], None] = lambda: None) -> Advance:
    """Return how the members of an epoch are best advanced on `device`: `in_turn` on the host, elsewhere `together`.

    `pause()` is called before each step.
    """
    return in_turn(pause) if device == HOST else together(pause)


def together(pause: Callable[[], None] = lambda: None) -> Advance:
    """Return what takes all members through an epoch at once, if the problem is `stacked`; `pause()` as in `in_turn`.

    A member's numbers are those that it has alone, to rounding. Members are stacked whose states agree in shapes and
    numbers of steps, and that were restored equally often: one that diverged goes on beside the others. A loss that is
    not finite stays with its member. If a solution fails, all members of its stack are taken through that epoch one
    after the other, so that no other member heeds the failure.
    """

    def advance_all(task: Task, members: Sequence[Member], epoch: int) -> list[tuple[Member, MemberRecord]]:
        stacks: dict[Any, list[int]] = {}
        for index, member in enumerate(members):
            stacks.setdefault(_kind(member) if task.problem.stacked else index, []).append(index)
        found: dict[int, tuple[Member, MemberRecord]] = {}
        for stack in stacks.values():
            found.update(zip(stack, _advance(task, members, stack, epoch, pause), strict=True))
        return [found[index] for index in range(len(members))]

    return advance_all


def _kind(member: Member) -> tuple:
    """Return what members of a stack have in common: all of their states that is no array, and the shapes of arrays."""
    leaves, structure = flatten(member.state)
    return member.past, structure, tuple(leaf.shape if is_array(leaf) else leaf for leaf in leaves)


def _advance(
    task: Task, members: Sequence[Member], stack: list[int], epoch: int, pause: Callable[[], None]
) -> list[tuple[Member, MemberRecord]]:
    began = time.perf_counter()
    results = _run(task, [members[index] for index in stack], epoch, pause) if len(stack) > 1 else None
    if results is None:
        return [advance(task, members[index], index, epoch, pause) for index in stack]
    share, advanced = (time.perf_counter() - began) / len(stack), []
    for index, result in zip(stack, results, strict=True):
        member, row = advance(task, members[index], index, epoch, found=result)
        advanced.append((member, row._replace(seconds=row.seconds + share)))
    return advanced


def _run(task: Task, members: Sequence[Member], epoch: int, pause: Callable[[], None]) -> list[Result] | None:
    """Return what `run_epoch` gives for each of the members, or None if a solution fails."""
    several: Any = stacked_member(members)
    try:
        state, row = run_epoch(task, several, epoch, pause, most_skips=0)  # a step left out would be one of all
    except SolveError:
        return None
    columns = (entry if isinstance(entry, list) else [entry] * len(members) for entry in row)
    rows = [MemberRecord(*entries) for entries in zip(*columns, strict=True)]
    return list(zip(_parted(state, len(members)), rows, strict=True))


def stacked_member(members: Sequence[Member]) -> Member:
    """Return members as one whose arrays have them in front, and whose keys are tuples."""
    return members[0]._replace(
        state=_stacked([member.state for member in members]),
        noise=tuple(cast(Key, member.noise) for member in members),
        order=tuple(cast(Key, member.order) for member in members),
    )


def _stacked(states: Sequence[State]) -> State:
    columns = zip(*(flatten(state)[0] for state in states), strict=True)
    leaves = [namespace_of(x[0]).stack(x) if is_array(x[0]) else x[0] for x in columns]
    return unflatten(flatten(states[0])[1], leaves)


def _parted(state: State, count: int) -> list[State]:
    """Return the state of each member, copied, so that none keeps the others' arrays alive."""
    leaves, structure = flatten(state)
    return [
        unflatten(structure, [namespace_of(x).asarray(x[i, ...], copy=True) if is_array(x) else x for x in leaves])
        for i in range(count)
    ]
